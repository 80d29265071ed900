"""What a sweep is told. Reads neither Ray nor torch."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hmarl.errors import InputError, explain, unknown
from hmarl.files import run_folder
from hmarl.learning.settings import PPOSettings
from hmarl.learning.train_settings import TrainSettings
from hmarl.network.config import ROLES, Shaping
from hmarl.network.overrides import override
from hmarl.network.presets import load_network
from llm.settings import GRPOSettings, make_settings
from tune.presets import hmarl_space, llm_space
from tune.space import Parameters, Space, read_space

SWEEPS = "sweeps"  # folder below that of the runs
_PRESETS = ("quick", "full")


class _Sweep(BaseModel):
    """How settings are searched."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    half: ClassVar[str]
    fixed: ClassVar[frozenset[str]]
    """Settings that a training in progress cannot change."""

    resume: bool = Field(False, description="go on with the sweep of this --name")
    space: str = Field(
        "quick", description="what is searched: quick, full, or a YAML file with a range for each setting"
    )
    search: Literal["random", "grid", "optuna"] = Field(
        "random", description="how configurations are found; optuna: by what came of those before (TPE)"
    )
    scheduler: Literal["none", "asha", "pbt", "median"] = Field(
        "asha",
        description="which trials end early: asha: all but the best third at 1/9 and 1/3 of the steps; median: those "
        "below the median; pbt: none, but the worst quarter goes on from the best, with settings nearby",
    )
    trials: int | None = Field(None, ge=1, le=100_000, description="configurations tried (default: 16; of a grid all)")
    seeds: int = Field(
        1,
        ge=1,
        le=100,
        description="seeds that each configuration is trained with, one after the other; their mean counts",
    )
    concurrent: int | None = Field(
        None, ge=1, le=10_000, description="trials at once (default: as many as the processors allow)"
    )

    @cached_property
    def searched(self) -> Space:
        """The space."""
        raise NotImplementedError

    @property
    def number(self) -> int:
        """Of trials."""
        return self.searched.grid_size() if self.search == "grid" else self.trials or 16

    def check(self) -> None:
        """Check what the fields together ask for.

        Raises
        ------
        InputError
        """
        space = self.searched
        if getattr(self, "storage", None) is not None:
            raise InputError("storage: of one training: a sweep is in its folder alone, which all nodes must see")
        if self.search == "grid" and self.trials and self.trials != self.number:
            raise InputError(
                f"trials: {self.trials}: the grid of {', '.join(space.root)} has {self.number:,}: so many, or other "
                "values in --space"
            )
        if self.scheduler == "pbt" and self.search == "optuna":
            raise InputError("scheduler: pbt: with --search random or grid: it changes settings on the way itself")
        if self.scheduler == "pbt" and self.seeds > 1:
            raise InputError(f"seeds: {self.seeds}: 1 with --scheduler pbt: a trial's weights come from others")
        if self.scheduler == "pbt" and space.root.keys() <= self.fixed:
            raise InputError(f"scheduler: pbt: nothing to change on the way: {', '.join(space.root)} stay as they are")


class HmarlSweep(TrainSettings, _Sweep):
    """A search for the settings of PPO and the weights of the reward, judged on validation paths."""

    half = "hmarl"
    fixed = frozenset({"replications", "days", "same_draws", "hidden"})

    objective: Literal["cost", "profit"] = Field(
        "cost",
        description="what counts, in a trial too: the chain's money a day, on the validation paths of --seed",
    )

    @property
    def folder(self) -> Path:
        """Of the sweep."""
        return run_folder(self.run_name, self.runs / SWEEPS)

    @cached_property
    def searched(self) -> Space:
        """The space.

        Raises
        ------
        InputError
            A setting that cannot be searched, or a value that it does not allow.
        """
        if self.space in _PRESETS:
            return hmarl_space(self.space)
        space = read_space(self.space)
        network = load_network(self.network, **self.set_)
        weights = [f"{role}.shaping.{weight}" for role in ROLES for weight in Shaping.model_fields]
        weights += [f"{role}.reward" for role in ROLES]
        for name, parameter in space.root.items():
            if name in _PPO:
                for value in parameter.values():
                    _check_ppo(self.space, name, value)
            elif name in weights:
                for value in parameter.values():
                    override(network, {name: value}, self.space)
            else:
                raise unknown(self.space, name, [*_PPO, *weights])
        return space

    @cached_property
    def seed_steps(self) -> int:
        """Agent-steps of a seed's training, all phases."""
        from hmarl.learning.phases import plan

        return self.steps * len(plan(load_network(self.network, **self.set_), self.phases)[0])

    @property
    def network_is_searched(self) -> bool:
        """Whether agents are paid otherwise in every trial."""
        return any(name not in _PPO for name in self.searched.root)

    def training(self, parameters: Parameters, **changes: Any) -> TrainSettings:
        """The settings of a training with some parameters.

        Parameters
        ----------
        changes
            Other fields.
        """
        values = {name: getattr(self, name) for name in TrainSettings.model_fields}
        values["ppo_set"] = self.ppo_set | {name: value for name, value in parameters.items() if name in _PPO}
        values["set_"] = self.set_ | {name: value for name, value in parameters.items() if name not in _PPO}
        return TrainSettings.model_validate(values | changes)


class LlmSweep(GRPOSettings, _Sweep):
    """A search for the settings of GRPO, judged by the profit on validation paths."""

    half = "llm"
    fixed = frozenset()
    objective: ClassVar[str] = "profit"

    share_engines: bool = Field(
        False,
        description="--engines in all, which serve the adapters of all trials in turn, rather than as many for each",
    )

    @property
    def folder(self) -> Path:
        """Of the sweep."""
        return self.output_dir or run_folder(self.run_name, Path("runs") / SWEEPS)

    @cached_property
    def searched(self) -> Space:
        """See :attr:`HmarlSweep.searched`."""
        if self.space in _PRESETS:
            return llm_space(self.space, self.training({}))
        space = read_space(self.space)
        for name, parameter in space.root.items():
            if name not in _GRPO:
                raise unknown(self.space, name, _GRPO)
            if name.startswith("lora_") and not self.use_lora:
                raise InputError(f"{self.space}: {name}: with use_lora only: all weights are trained here")
            for value in parameter.values():
                self.training({name: value}).validate()
        return space

    @property
    def seed_steps(self) -> int:
        """Prompts of a seed's training, each as often as it is trained on."""
        return self.episodes * self.epochs

    def check(self) -> None:
        """See :meth:`_Sweep.check`."""
        super().check()
        if self.scheduler == "pbt":
            raise InputError(
                "scheduler: pbt: for hmarl only: a language model's training cannot go on from another trial's"
            )
        if self.share_engines and (not self.use_lora or self.expert_targets):
            raise InputError(
                "share_engines: with use_lora and without expert_targets: engines serve such adapters alone"
            )

    @property
    def highest_rank(self) -> int:
        """Of the trials' adapters."""
        searched = self.searched.root.get("lora_r")
        return self.lora_r if searched is None else int(max(searched.values()))

    def training(self, parameters: Parameters, **changes: Any) -> GRPOSettings:
        """See :meth:`HmarlSweep.training`."""
        given = {name: getattr(self, name) for name in GRPOSettings.model_fields if name in self.model_fields_set}
        settings: GRPOSettings = make_settings(GRPOSettings, {**given, **parameters, **changes}, self.space)
        return settings


Sweep = HmarlSweep | LlmSweep
_PPO = [name for name in PPOSettings.model_fields if name != "threads"]
_GRPO = [
    "learning_rate", "warmup", "schedule", "adam_beta2", "max_grad_norm", "lora_r", "lora_alpha", "lora_dropout",
    "num_generations", "iterations", "clip", "clip_high", "beta", "kl_stop", "temperature", "top_p",
    "continuation_days", "futures", "reward_scale", "margin", "own_states", "perturb", "refresh", "explore",
]  # fmt: skip


def _check_ppo(place: str, name: str, value: Any) -> None:
    try:
        PPOSettings.model_validate({name: value})
    except ValidationError as error:
        raise explain(error, PPOSettings, place) from error
