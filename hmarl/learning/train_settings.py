"""What a training is told: the fields are the options of ``python -m hmarl.train``. Reads neither Ray nor torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hmarl.errors import explain
from hmarl.learning.settings import PPO_SETTINGS, PPOSettings
from hmarl.network.config import ROLES, Network

RULES = (
    "s_S",
    "base_stock",
    "tuned_s_S",
    "tuned_base_stock",
    "tuned_capped_base_stock",
    "tuned_echelon_base_stock",
    "tuned_forecast",
)


class TrainSettings(BaseModel):
    """A network, how its agents are trained, and what is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str = Field("two_store", description="a preset's name or a network's YAML file")
    set_: dict[str, Any] = Field({}, description="change of the network, for example store.lead_time=3; repeatable")
    scenario: str | None = Field(None, description="scenario laid over the network, see --list scenarios")
    sales: Path | None = Field(None, description="sales history, CSV or Parquet, that demand is fitted to")
    sales_columns: dict[str, str] = Field(
        {},
        description="the file's names where they differ from date, store, sku, units, in_stock, stock: units=qty",
    )
    fill_gaps: Literal["refuse", "zero"] = Field("refuse", description="what a missing date in the sales means")
    name: str | None = Field(None, description="name of the run, a folder below --runs (default: the network's name)")
    runs: Path = Field(Path("runs"), description="folder of all runs")
    storage: str | None = Field(
        None,
        description="where the run is kept too, and goes on from on any machine: a folder that all nodes see, "
        "s3://bucket/path, gs://bucket/path",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of demand, first weights and actions")
    ppo: Literal["auto", "default", "fine", "classic"] = Field(
        "auto",
        description="default: good everywhere; fine: nearer to the optimum where all agents observe stock alone; auto: "
        "fine there, else default; classic: the published hyperparameters",
    )
    ppo_set: dict[str, Any] = Field({}, description="change of a PPO setting, for example epochs=8; repeatable")
    phases: list[str] = Field([], description="phases to train, for example phase1_stores (default: all)")
    rules: list[str] = Field(
        list(RULES),
        min_length=1,
        description="rules compared with, the first is the baseline",
    )
    acting_rule: str = Field(
        "tuned_base_stock",
        description="rule of the roles that are not taught yet; best: the best of --rules on validation",
    )
    steps: int = Field(4_000_000, ge=1, le=10**12, description="agent-steps of each phase (one agent, one day)")
    evaluate_every: int = Field(
        250_000, ge=1, description="agent-steps between two validations, each with a checkpoint"
    )
    evaluation_episodes: int = Field(256, ge=2, le=100_000, description="episodes of a validation")
    objective: Literal["reward", "cost", "profit"] = Field(
        "reward",
        description="what validations tell the best policy by: the agents' rewards, or the chain's money a day",
    )
    patience: int = Field(0, ge=0, description="end a phase after so many validations without a better one; 0: never")
    compare_episodes: int = Field(200, ge=2, le=100_000, description="test episodes of the comparison at the end")
    curriculum: Path | None = Field(None, description="YAML file with a list of stages, easy ones first")
    wandb: bool = Field(False, description="log to Weights & Biases too; offline without a key")
    runners: int = Field(
        0,
        ge=0,
        le=4096,
        description="processes that sample, on any node; 0: the learner itself, fastest on one machine",
    )
    address: str | None = Field(None, description="a running Ray cluster (default: RAY_ADDRESS, or a Ray of our own)")
    wait: float = Field(60.0, ge=0, description="seconds for a cluster that is busy, or that grows, to have room")
    json_: bool = Field(False, description="print the results as one JSON object on the last line")

    @property
    def compared_rules(self) -> list[str]:
        """`rules`, and the acting rule where it is not among them."""
        return list(dict.fromkeys(self.rules + [self.acting_rule] * (self.acting_rule != "best")))

    @property
    def run_name(self) -> str:
        """The run's name: what was given, else the network's."""
        return self.name if self.name is not None else Path(self.network).stem

    def ppo_settings(self, network: Network) -> PPOSettings:
        """The preset of ``ppo`` for a network, with the changes of ``ppo_set``.

        Raises
        ------
        InputError
            An unknown setting, or a value that it does not allow.
        """
        seen = {network.role_settings(role).observation for role in ROLES if network.nodes_of(role)}
        base = PPO_SETTINGS[self.ppo if self.ppo != "auto" else "fine" if seen == {"stock"} else "default"]
        try:
            return PPOSettings.model_validate({**base.model_dump(), **self.ppo_set})
        except ValidationError as error:
            raise explain(error, PPOSettings, "--ppo-set") from error


FREE = frozenset({"name", "runs", "storage", "json_", "wandb", "address", "wait", "phases", "steps"})
"""Settings that a run may go on with changed; `steps` only upwards."""


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What two records of settings differ in, in words; empty where the run may go on.

    Parameters
    ----------
    before, now
        JSON-like dumps of :class:`TrainSettings`.
    """
    defaults = TrainSettings().model_dump(mode="json")
    found = []
    for name in TrainSettings.model_fields:
        old, new = before.get(name, defaults[name]), now.get(name, defaults[name])
        label = name.removesuffix("_")
        if name == "steps" and new < old:
            found.append(f"steps {old}, now {new} (more is fine)")
        elif name not in FREE and old != new:
            found.append(f"{label} {_short(old)}, now {_short(new)}")
    return found


def _short(value: Any) -> str:
    if value in (None, {}, []):
        return "not given"
    return ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
