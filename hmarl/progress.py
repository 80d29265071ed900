"""What a training tells while it runs: a bar on a terminal, a line a phase elsewhere, and train.log always."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

Advance = Callable[[int, str], None]
"""Told the work done so far and a few words on how it goes."""


class Reporter:
    """Says what happens, to a person and to the log.

    Parameters
    ----------
    log
        File that lines are appended to, with the time.
    quiet
        Only the log.

    Attributes
    ----------
    run
        Name of the run, whose folder the log is in.
    """

    def __init__(self, log: Path, quiet: bool = False) -> None:
        self.run = log.resolve().parent.name
        self.bars = not quiet and sys.stdout.isatty()
        width = None if self.bars else 150
        self.console = Console(quiet=quiet, highlight=False, width=width)
        self._logger = logging.Logger("hmarl.train", logging.INFO)
        handler = logging.FileHandler(log, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._logger.addHandler(handler)
        self._handler = handler

    def say(self, line: str) -> None:
        """A line for both."""
        self.console.print(line, markup=False, soft_wrap=True)
        self._logger.info(line)

    def warn(self, line: str) -> None:
        """A line for both that asks for attention."""
        self.console.print(f"warning: {line}", markup=False, soft_wrap=True)
        self._logger.warning(line)

    def show(self, table: Table) -> None:
        """A table for a person."""
        self.console.print(table)

    def note(self, line: str) -> None:
        """A line for the log alone."""
        self._logger.info(line)

    def trace(self, error: BaseException) -> None:
        """An error with all that led to it, for the log alone."""
        self._logger.error(error, exc_info=error)

    @contextlib.contextmanager
    def bar(self, title: str, total: int, done: int = 0, unit: str = "steps") -> Iterator[Advance]:
        """Show how far a piece of work is, its rate and the time left; nothing where there is no terminal."""
        if not self.bars:
            yield lambda done, words: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            _Rate(unit),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[words]}"),
        )
        with Progress(*columns, console=self.console, transient=True, refresh_per_second=4) as progress:
            task = progress.add_task(title, total=total, completed=done, words="", begun=time.monotonic(), first=done)

            def advance(done: int, words: str) -> None:
                progress.update(task, completed=done, words=words)

            yield advance

    def close(self) -> None:
        """Close the log."""
        self._handler.close()


class _Rate(ProgressColumn):
    """Work done a second since the bar appeared."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        seconds = time.monotonic() - task.fields["begun"]
        done = task.completed - task.fields["first"]
        return Text(f"{done / seconds:,.0f} {self._unit}/s" if seconds > 0.5 and done else "")
