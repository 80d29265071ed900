"""What a training left behind, as reports and evaluations read it. Reads neither Ray nor torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hmarl.errors import InputError, explain
from hmarl.files import read_yaml
from llm.settings import GRPOSettings

if TYPE_CHECKING:
    from hmarl.network import Network
    from llm.tasks.supply_chain import SupplyChainTask

CONFIG, METRICS, SAMPLES, EVALUATION = "config.yaml", "metrics.jsonl", "samples.jsonl", "evaluation.json"


@dataclass(frozen=True)
class Run:
    """A run of llm.train."""

    folder: Path
    config: dict[str, Any]
    network: Network

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.config.get("name") or self.folder.name)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the training, plain values."""
        return dict(self.config["settings"])


def read_run(folder: str | Path) -> Run:
    """Read a run's config.yaml.

    Raises
    ------
    InputError
        If the folder is no run.
    """
    from hmarl.network import Network

    path = Path(folder) / CONFIG
    if not path.is_file():
        raise InputError(f"{folder}: no run (it has no {CONFIG}): a folder that llm.train made")
    config = read_yaml(path)
    if not isinstance(config, dict) or not {"settings", "network"} <= config.keys():
        raise InputError(f"{path}: not a run's record: a mapping with settings and network")
    try:
        return Run(Path(folder), config, Network.model_validate(config["network"]))
    except ValidationError as error:
        raise explain(error, Network, f"{path}: network") from error


def run_of(model: str) -> Run | None:
    """The run whose model is in this folder (``runs/NAME/final``); None where it is not a run's."""
    folder = Path(model).resolve().parent
    return read_run(folder) if Path(model).is_dir() and (folder / CONFIG).is_file() else None


def network_for(run: Run | None, name: str | None, changes: Mapping[str, Any]) -> Network:
    """The network that was asked for; else the one that the run was trained on, or corner_shop."""
    from hmarl.network import load_network

    if run is not None and name is None and not changes:
        return run.network
    return load_network(name or (run.settings["network"] if run else "corner_shop"), **changes)


def task_settings(run: Run | None, model: str) -> dict[str, Any]:
    """How a model is asked: as its training did; else by the defaults for it."""
    settings = run.settings if run else {"model": model}
    defaults = GRPOSettings.model_validate({"model": settings["model"]}).model_dump(mode="json")
    return {**defaults, **settings}


def make_task(network: Network, settings: Mapping[str, Any]) -> SupplyChainTask:
    """The task of a training's settings."""
    from llm.tasks.supply_chain import SupplyChainTask

    return SupplyChainTask(
        network,
        settings["role"],
        continuation=settings["continuation"],
        days=settings["continuation_days"],
        futures=settings["futures"],
        scenarios=settings["scenarios"] or ("normal",),
        economics=settings["economics"],
        show_recommendation=settings["show_recommendation"],
        margin=settings["margin"],
        reward_scale=settings["reward_scale"],
    )
