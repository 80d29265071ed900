"""Curves while a phase trains: TensorBoard's events, gauges, and Weights & Biases where it is asked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Self

from torch.utils.tensorboard import SummaryWriter

from hmarl.gauges import MEASURES, Gauges


class Charts:
    """Writes the rows of metrics.jsonl where they are drawn.

    Parameters
    ----------
    folder
        Of TensorBoard's events.
    run, phase
        Names of the gauges' values; `phase` is the prefix of the names in Weights & Biases.
    resumed_at
        Steps of the checkpoint that the run goes on from: later events of before are dropped.
    wandb
        A run of Weights & Biases, or None.
    """

    def __init__(self, folder: Path, run: str, phase: str, resumed_at: int | None, wandb: Any = None) -> None:
        purge = None if resumed_at is None else resumed_at + 1
        self._writer = SummaryWriter(str(folder), purge_step=purge)
        self._gauges = Gauges(MEASURES, run, phase)
        self._phase, self._wandb = phase, wandb

    def __enter__(self) -> Self:
        self._gauges.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._gauges.__exit__(*error)
        self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """Add a row's numbers at its steps."""
        numbers = {key: value for key, value in row.items() if isinstance(value, int | float) and key != "steps"}
        for key, value in numbers.items():
            self._writer.add_scalar(key, value, row["steps"])
        self._gauges.show(row)
        if self._wandb is not None:
            self._wandb.log(
                {f"{self._phase}/{key}": value for key, value in [*numbers.items(), ("steps", row["steps"])]}
            )

    def flush(self) -> None:
        """Have what was added on disk."""
        self._writer.flush()


def start_wandb(folder: Path, config: dict[str, Any], phases: list[str]) -> Any:
    """A run of Weights & Biases below the run's folder; offline where no key is known.

    The same run's name goes on where it stopped.
    """
    import wandb

    known = bool(os.environ.get("WANDB_API_KEY")) or bool(wandb.api.api_key)
    mode = os.environ.get("WANDB_MODE") or ("online" if known else "offline")
    run = wandb.init(
        project="hmarl",
        name=config["name"],
        id=hashlib.sha256(f"{config['name']} {config['started']}".encode()).hexdigest()[:16],
        resume="allow",
        dir=str(folder),
        config=config,
        mode=mode,
        settings=wandb.Settings(silent=True, console="off"),
    )
    for phase in phases:
        run.define_metric(f"{phase}/*", step_metric=f"{phase}/steps")
    return run
