"""What a training says of its steps: metrics.jsonl, TensorBoard, gauges, Weights & Biases, a bar."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hmarl.gauges import Gauges
from hmarl.progress import Advance, Reporter
from hmarl.runs import Metrics, read_rows
from llm.trainers.measures import MEASURES

Row = dict[str, Any]
"""Numbers of a step by name; ``steps`` is how many were done."""

METRICS, SAMPLES, TENSORBOARD, WANDB = "metrics.jsonl", "samples.jsonl", "tensorboard", "wandb"


class Journal:
    """Follows ``metrics.jsonl`` while Ray Train's controller writes it, and passes each step on once.

    Attributes
    ----------
    path
        Of ``metrics.jsonl``: one row a step; a step that is done again replaces its row, and its samples beside it.
    step
        The last step passed on.
    """

    def __init__(self, folder: Path, reporter: Reporter, listeners: list[Callable[[Row], None]]) -> None:
        self.path = folder / METRICS
        self.reporter = reporter
        self.listeners = listeners
        rows = read_rows(self.path)
        self.step = int(rows[-1]["steps"]) if rows else 0
        self._read: tuple[int, int] = (0, 0)  # inode and bytes of the file when it was read last

    @staticmethod
    def append(path: Path, row: Row) -> None:
        """Add a step's row in the place of what stands there from a time before a restart.

        What it has of ``samples``, answers as the report shows them, goes to ``samples.jsonl``; NaN becomes
        null.
        """
        numbers = {name: value for name, value in row.items() if name != "samples"}
        _add(path.with_name(SAMPLES), row["steps"], row.get("samples", []))
        _add(path, row["steps"], [numbers])

    def follow(self) -> None:
        """Pass on the rows that are new."""
        if not self.path.exists():
            return
        status = self.path.stat()
        if (status.st_ino, status.st_size) == self._read:
            return
        self._read = (status.st_ino, status.st_size)
        samples = read_rows(self.path.with_name(SAMPLES))
        for row in read_rows(self.path):
            if row["steps"] > self.step:
                self.step = row["steps"]
                shown = [sample for sample in samples if sample["steps"] == self.step]
                for listener in self.listeners:
                    listener({**row, "samples": shown} if shown else row)


@contextlib.contextmanager
def opened(
    folder: Path,
    reporter: Reporter,
    title: str,
    steps: int,
    words: Callable[[Row], str],
    wandb: tuple[str, str | None] | None,
    config: dict[str, Any],
) -> Iterator[Journal]:
    """A journal inside the block.

    Parameters
    ----------
    folder
        Of the run.
    title, steps, words
        Of the bar: what it is called, its length, what a row says beside it. The gauges' phase is called so too.
    wandb
        Project and entity of Weights & Biases, with `config`; offline where there is no key.
    """
    from torch.utils.tensorboard import SummaryWriter

    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        board = stack.enter_context(SummaryWriter(str(folder / TENSORBOARD)))
        journal = Journal(folder, reporter, [])
        advance = stack.enter_context(reporter.bar(title, steps, journal.step))
        gauges = stack.enter_context(Gauges(MEASURES, reporter.run, title.lower()))
        journal.listeners += [_to_bar(advance, words), _to_board(board), gauges.show]
        if wandb:
            journal.listeners.append(stack.enter_context(_to_wandb(folder, *wandb, config)))
        yield journal
        journal.follow()


def _to_bar(advance: Advance, words: Callable[[Row], str]) -> Callable[[Row], None]:
    return lambda row: advance(row["steps"], words(row))


def _to_board(board: Any) -> Callable[[Row], None]:
    def add(row: Row) -> None:
        for name, value in row.items():
            if name != "steps" and isinstance(value, int | float):
                board.add_scalar(name, value, row["steps"])
        for place, sample in enumerate(row.get("samples", [])):
            board.add_text(f"sample_{place + 1}", _in_markdown(sample), row["steps"])

    return add


@contextlib.contextmanager
def _to_wandb(
    folder: Path, project: str, entity: str | None, config: dict[str, Any]
) -> Iterator[Callable[[Row], None]]:
    import wandb

    online = wandb.login(prompt=False, verify=False)
    run = wandb.init(
        project=project,
        entity=entity,
        name="/".join(folder.resolve().parts[-2:]),
        id=hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16],  # the same run where it goes on
        resume="allow",
        dir=str(folder),
        config=config,
        mode="online" if online else "offline",
        settings=wandb.Settings(silent=True, console="off"),
    )

    def log(row: Row) -> None:
        values = {name: value for name, value in row.items() if name != "steps"}
        if "samples" in row:
            columns = list(row["samples"][0])
            cells = [[sample[column] for column in columns] for sample in row["samples"]]
            values["samples"] = wandb.Table(columns=columns, data=cells)
        run.log(values, step=row["steps"])

    with run:
        yield log


def _in_markdown(sample: Row) -> str:
    """A sample as text that no markup is read into."""
    return "\n".join(f"    {line}" for name, value in sample.items() for line in f"{name}: {value}".splitlines())


def _add(path: Path, step: int, rows: list[Row]) -> None:
    """Add a step's lines to a file that has none of this or a later step, or is made to."""
    metrics = Metrics(path)
    if _last_step(path) >= step:
        metrics.cut(step - 1)
    for row in rows:
        metrics.append({name: _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _last_step(path: Path) -> int:
    """Of the last line; 0 of an empty or missing file."""
    if not path.exists() or not path.stat().st_size:
        return 0
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 65_536))
        last = file.read().decode().rstrip("\n").rpartition("\n")[2]
    return int(json.loads(last)["steps"])
