"""What a sweep tells while it runs: a table on a terminal, a line a trial elsewhere, and sweep.log always."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray import tune as ray_tune
from rich.live import Live

from hmarl.progress import Reporter
from tune.record import Trial, read_trials
from tune.results import in_words, read_results, table
from tune.search import NUMBER
from tune.settings import Sweep


class Progress(ray_tune.Callback):
    """Follows Tune's trials and writes down how they end.

    Parameters
    ----------
    sweep
        Its records tell the rest.
    """

    def __init__(self, sweep: Sweep, reporter: Reporter) -> None:
        self.sweep, self.reporter = sweep, reporter
        self._live: Live | None = None
        self._done = {trial.number for trial in read_trials(sweep.folder) if trial.status != "unfinished"}

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes down what it is given; this is of use here alone."""
        return {}

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """The table, on a terminal, inside the block."""
        if not self.reporter.bars:
            yield
            return
        with Live(console=self.reporter.console, refresh_per_second=2, transient=True) as self._live:
            self._show()
            yield

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins."""
        self._show()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A validation."""
        self._show()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended: by itself, else by the scheduler."""
        self._ended(trial).end("stopped")
        self._tell(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed and is tried again."""
        number = self._ended(trial).number
        self.reporter.warn(f"trial {number} broke off and goes on from its last checkpoint: {_cause(trial)}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good."""
        self._ended(trial).end("failed", _cause(trial))
        self._tell(trial)

    def _ended(self, trial: Any) -> Trial:
        return Trial(self.sweep.folder, trial.config["trial"][NUMBER])

    def _tell(self, trial: Any) -> None:
        number = trial.config["trial"][NUMBER]
        if number in self._done:  # before this process
            return
        (result,) = (result for result in read_results(self.sweep) if result.number == number)
        line = in_words(result, self.sweep.objective)
        if self._live:
            self.reporter.note(line)
        else:
            self.reporter.say(line)
        self._show()

    def _show(self) -> None:
        if self._live:
            self._live.update(table(self.sweep, read_results(self.sweep), self.reporter.console.width))


def _cause(trial: Any) -> str:
    """What went wrong, in a line: the last of what Tune wrote down on this machine."""
    return Path(trial.error_file).read_text(encoding="utf-8").strip().splitlines()[-1]
