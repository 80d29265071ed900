"""What Ray Tune runs: a trial trains a configuration with each seed and tells of every validation."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune as ray_tune

from hmarl.errors import InputError
from tune.record import Row, Trial
from tune.search import NUMBER, PARAMETERS, REPLAYED, SCORE, STEPS
from tune.settings import HmarlSweep, Sweep

Tell = Callable[[float, float], None]
"""Told the share of a seed's training that is done, and what its policy comes to on validation, money; at the end, with
share 1, the policy that the training keeps."""


def run_trial(told: dict[str, Any], sweep: Sweep, folder: str, pool: Any = None) -> None:
    """Train a configuration, from where an earlier process or another trial left it.

    Parameters
    ----------
    told
        Number and parameters of the trial.
    folder
        Of the sweep, whole: trials have a working directory of their own.
    pool
        Engines that all trials share.
    """
    if not (Path(folder) / f"{sweep.half}.yaml").exists():
        raise InputError(
            f"{folder}: not seen on node {socket.gethostname()}: a sweep's folder must be seen on all nodes"
        )
    trial = Trial(Path(folder), told["trial"][NUMBER])
    population = sweep.scheduler == "pbt"
    held = ray_tune.get_checkpoint()
    if held is not None:
        with held.as_directory() as run:
            trial.take(Path(run), held.get_metadata()[STEPS])
    trial.begin(told["trial"][PARAMETERS])
    rows = trial.rows
    if rows and (trial.status != "unfinished" or not population):
        for row in rows[-1:] if population else rows:
            _report(trial, row, sweep, replayed=True)
    if trial.status == "unfinished":
        for seed in range(rows[-1].steps // sweep.seed_steps if rows else 0, sweep.seeds):
            _learn(sweep, trial, seed, _teller(sweep, trial, seed), pool)


def _learn(sweep: Sweep, trial: Trial, seed: int, tell: Tell, pool: Any) -> None:
    if isinstance(sweep, HmarlSweep):
        from tune import trial_hmarl

        trial_hmarl.learn(sweep, trial, seed, tell)
    else:
        from tune import trial_llm

        trial_llm.learn(sweep, trial, seed, tell, pool)


def _teller(sweep: Sweep, trial: Trial, seed: int) -> Tell:
    before = trial.rows
    finals = {row.seed: row.value for row in before if row.seed < seed}
    begun = time.monotonic() - (before[-1].seconds if before else 0)

    def tell(share: float, value: float) -> None:
        steps = round((seed + share) * sweep.seed_steps)
        if not (rows := trial.rows) or steps > rows[-1].steps:
            mean = (sum(finals.values()) + value) / (seed + 1)
            row = Row(steps, seed, value, mean, round(time.monotonic() - begun, 1))
            trial.add(row)
            if steps == sweep.seeds * sweep.seed_steps:
                trial.end("finished")
            _report(trial, row, sweep)

    return tell


def _report(trial: Trial, row: Row, sweep: Sweep, replayed: bool = False) -> None:
    """Tell Tune. Returns after it has decided; where it ends the trial, not at all."""
    score = row.mean if sweep.objective == "profit" else -row.mean
    told: dict[str, Any] = {SCORE: score, STEPS: row.steps, REPLAYED: replayed}
    checkpoint = None
    if sweep.scheduler == "pbt":
        if trial.status == "finished":
            del told[STEPS]  # nothing is left to decide
        else:
            checkpoint = ray_tune.Checkpoint.from_directory(str(trial.run(0)))
            checkpoint.set_metadata({STEPS: row.steps})
    ray_tune.report(told, checkpoint=checkpoint)
