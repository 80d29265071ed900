"""A run's folder as its report reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hmarl.errors import InputError, explain
from hmarl.files import read_yaml
from hmarl.network.config import Network

if TYPE_CHECKING:
    from hmarl.policies import Policy


@dataclass(frozen=True)
class Record:
    """What training left behind, as far as it got."""

    folder: Path
    config: dict[str, Any]
    network: Network
    phases: dict[str, list[dict[str, Any]]]  # folder's name -> rows of its metrics.jsonl

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.config.get("name") or self.folder.name)

    def deployed(self) -> Policy:
        """The policy that the run deploys."""
        from hmarl.policies.learned import LearnedPolicy

        return LearnedPolicy.load(self.folder / "policy")


def load_run(folder: str | Path) -> Record:
    """Read config.yaml and the phases' metrics.

    Raises
    ------
    InputError
        If the folder is no run, or one of its files is not what training writes.
    """
    folder = Path(folder)
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder}: no run (it has no config.yaml): a folder that hmarl.train made")
    config = read_yaml(path)
    if not isinstance(config, dict) or not isinstance(config.get("network"), dict):
        raise InputError(f"{path}: not a run's record: a mapping with a network")
    try:
        network = Network.model_validate(config["network"])
    except ValidationError as error:
        raise explain(error, Network, f"{path}: network") from error
    phases = {phase.name: _rows(phase / "metrics.jsonl") for phase in sorted(folder.glob("phase*")) if phase.is_dir()}
    return Record(folder, config, network, phases)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Whole lines only: training may be writing the last one."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    try:
        return [json.loads(line) for line in lines if line]
    except ValueError as error:
        raise InputError(f"{path}: a line is not JSON: one object a line") from error
