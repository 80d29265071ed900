"""A run's folder: one writer at a time, a record of what made it, checkpoints that are whole or not there.

Reads neither Ray nor torch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from hmarl.errors import InputError
from hmarl.files import flush, read_yaml, write_atomic
from hmarl.learning.train_settings import TrainSettings, differences
from hmarl.network.config import Network
from hmarl.runs import changes, commit, now, refuse_changes, refuse_strangers, versions

CONFIG, LOG = "config.yaml", "train.log"
RULES_FILE, POLICY, COMPARISON, REPORT = "rules.json", "policy", "comparison", "report.html"
_TEMPORARY = ".writing"


def record(settings: TrainSettings, network: Network) -> dict[str, Any]:
    """Everything that made a run: settings, the whole network, versions, commit. Plain data."""
    return {
        "name": settings.run_name,
        "started": now(),
        "command": "python -m hmarl.train",
        "settings": {
            key.removesuffix("_"): value for key, value in settings.model_dump(mode="json").items() if key != "json_"
        },
        "ppo": settings.ppo_settings(network).model_dump(mode="json"),
        "network": network.model_dump(mode="json", exclude_none=True),
        "versions": versions(),
        "commit": commit(),
    }


def begin(folder: Path, settings: TrainSettings, network: Network) -> bool:
    """Write ``config.yaml``, or check the one that is there against the settings.

    Returns
    -------
    bool
        True where the run goes on.

    Raises
    ------
    InputError
        If the run was started with other settings or another network (the differences are named), or the folder
        is no run.
    """
    current = record(settings, network)
    path = folder / CONFIG
    if not path.exists():
        refuse_strangers(folder, CONFIG, LOG)
        write_atomic(path, _yaml(current))
        return False
    before = read_config(folder)
    found = differences(_fields(before["settings"]), _fields(current["settings"]))
    if not found:
        found = changes("network", before["network"], current["network"]) + changes(
            "ppo", before["ppo"], current["ppo"]
        )
    refuse_changes(folder, found)
    if current["settings"] != before["settings"]:
        write_atomic(path, _yaml({**before, "settings": current["settings"]}))
    return True


def read_config(folder: Path) -> dict[str, Any]:
    """What :func:`record` wrote.

    Raises
    ------
    InputError
        If the folder is no run.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: no run (it has no {CONFIG}): a folder that hmarl.train made")
    config = read_yaml(folder / CONFIG)
    if not isinstance(config, dict) or not {"settings", "network", "ppo"} <= set(config):
        raise InputError(f"{folder / CONFIG}: not a run's record: settings, ppo and network")
    return config


def _fields(settings: dict[str, Any]) -> dict[str, Any]:
    return {(f"{key}_" if f"{key}_" in TrainSettings.model_fields else key): value for key, value in settings.items()}


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


class Checkpoints:
    """A folder's checkpoints, numbered; the newest whole one counts, older ones are removed.

    A checkpoint is written under a temporary name and renamed: a process that is killed at any moment leaves the
    one before.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest(self) -> Path | None:
        """The newest whole checkpoint."""
        found = sorted(self.folder.glob("[0-9]*")) if self.folder.is_dir() else []
        return found[-1] if found else None

    def save(self, write: Callable[[Path], object]) -> Path:
        """Make the next checkpoint: `write` fills the folder that it is given."""
        newest = self.newest()
        number = int(newest.name) + 1 if newest else 1
        temporary = self.folder / _TEMPORARY
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written: {error.strerror or error}") from error
        write(temporary)
        flush(temporary)
        final = self.folder / f"{number:06d}"
        os.replace(temporary, final)
        if newest is not None:
            shutil.rmtree(newest)
        return final


def digest(folder: Path) -> str:
    """Of the files in a folder: their names and contents."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(f"{path.relative_to(folder)}:{path.stat().st_size}:".encode())
            total.update(path.read_bytes())
    return total.hexdigest()
