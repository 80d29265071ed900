"""What every run's folder has: one writer at a time, a record of what made it, its metrics.

Reads neither Ray nor torch.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import importlib.metadata
import json
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hmarl.errors import InputError
from hmarl.files import write_atomic

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run's folder; it is made where it is missing.

    The lock is the operating system's: it ends with the process, however that ends.

    Raises
    ------
    InputError
        If another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "a+")  # noqa: SIM115 (closed below: closing ends the lock)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InputError(f"{folder}: in use by {holder}: wait for it, or choose another --name") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def versions(*more: str) -> dict[str, str]:
    """Of Python and of the packages that a result depends on, `more` among them."""
    packages = ("hmarl", "ray", "torch", "numpy", "numba", "scipy", "gymnasium", *more)
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def commit() -> str | None:
    """The checkout's commit, with ``+changes`` where files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None

    def git(*arguments: str) -> str | None:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    return head + ("+changes" if git("status", "--porcelain") else "") if head else None


def now() -> str:
    """The time in UTC, to the second (ISO 8601)."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def refuse_strangers(folder: Path, config: str, log: str) -> None:
    """A run begins in a folder that holds nothing but its log and hidden files.

    Raises
    ------
    InputError
    """
    strangers = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and path.name != log)
    if strangers:
        raise InputError(f"{folder}: holds {strangers[0]!r} and no {config}: choose another --name")


def refuse_changes(folder: Path, found: list[str]) -> None:
    """A run goes on with the settings it was started with; `found` are the differences in words.

    Raises
    ------
    InputError
    """
    if found:
        shown = "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")
        raise InputError(f"{folder}: started with other settings: {shown}: repeat those, or choose another --name")


def changes(place: str, before: Any, now: Any) -> list[str]:
    """What two records of plain data differ in, in words."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [line for key in keys for line in changes(f"{place}.{key}".lstrip("."), before.get(key), now.get(key))]
    return [] if before == now else [f"{place} {_short(before)}, now {_short(now)}"]


def _short(value: Any) -> str:
    text = "not given" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


class Metrics:
    """``metrics.jsonl``: one JSON object a line, in the order of their ``steps``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, step: int) -> list[dict[str, Any]]:
        """Keep the whole lines up to `step` (what came after a checkpoint is done again); the rows kept."""
        rows = [row for row in read_rows(self.path) if row["steps"] <= step]
        write_atomic(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """Add a line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON Lines file; none where there is no file. A last line cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
