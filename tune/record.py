"""What a sweep knows of its trials, in files: what a killed sweep goes on from. Reads neither Ray nor torch.

``trials/007/trial.json`` holds the parameters, ``rows.jsonl`` a row for each validation, ``ended.json`` how it ended,
``seed_0`` the run.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hmarl.files import write_atomic
from hmarl.runs import Metrics, read_rows
from tune.space import Parameters

TRIALS = "trials"
Status = Literal["finished", "stopped", "failed", "unfinished"]


@dataclass(frozen=True)
class Row:
    """A validation of a trial.

    Attributes
    ----------
    steps
        Of training so far, those of seeds before included: agent-steps, or prompts.
    seed
        Number of the seed that is trained, from 0.
    value
        What its policy came to, money; in the last row of a seed the policy that the training keeps.
    mean
        The same, mean over the seeds so far.
    seconds
        Of training so far, all seeds.
    """

    steps: int
    seed: int
    value: float
    mean: float
    seconds: float


class Trial:
    """A trial's folder.

    Parameters
    ----------
    sweep
        Folder of the sweep.
    number
        Of the trial, from 0.
    """

    def __init__(self, sweep: Path, number: int) -> None:
        self.number = number
        self.folder = sweep / TRIALS / f"{number:03d}"
        self._rows = Metrics(self.folder / "rows.jsonl")

    def begin(self, parameters: Parameters) -> None:
        """Write down what is tried."""
        write_atomic(self.folder / "trial.json", json.dumps(parameters))

    @property
    def parameters(self) -> Parameters:
        """What is tried."""
        parameters: Parameters = json.loads((self.folder / "trial.json").read_text(encoding="utf-8"))
        return parameters

    @property
    def rows(self) -> list[Row]:
        """The validations so far."""
        return [Row(**row) for row in read_rows(self._rows.path)]

    def add(self, row: Row) -> None:
        """Add a validation; what a killed process left behind it is cut off."""
        self._rows.cut(row.steps - 1)
        self._rows.append(vars(row))

    def end(self, status: Status, why: str = "") -> None:
        """Write down how it ended, unless that is known."""
        if self.status == "unfinished":
            write_atomic(self.folder / "ended.json", json.dumps({"status": status, "why": why}))

    def again(self) -> None:
        """Forget that it failed."""
        if self.status == "failed":
            (self.folder / "ended.json").unlink()

    @property
    def status(self) -> Status:
        """How it stands: ``stopped`` by the scheduler, ``unfinished`` where it goes on."""
        status: Status = self._ended()["status"]
        return status

    @property
    def why(self) -> str:
        """The error of one that failed."""
        return str(self._ended()["why"])

    def _ended(self) -> dict[str, Any]:
        path = self.folder / "ended.json"
        if not path.exists():
            return {"status": "unfinished", "why": ""}
        ended: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return ended

    def run(self, seed: int) -> Path:
        """Folder of a seed's run."""
        return self.folder / f"seed_{seed}"

    def take(self, run: Path, steps: int) -> None:
        """Go on from another trial's run, which had made some steps."""
        shutil.rmtree(self.run(0), ignore_errors=True)
        shutil.copytree(run, self.run(0))
        self._rows.cut(steps)


def read_trials(sweep: Path) -> list[Trial]:
    """The trials begun, by number; from 0 without a gap."""
    trials: list[Trial] = []
    while (Trial(sweep, len(trials)).folder / "trial.json").exists():
        trials.append(Trial(sweep, len(trials)))
    return trials
