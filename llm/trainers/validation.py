"""Playing the model on validation paths now and then: the best of its weights are kept, and it ends in time."""

from __future__ import annotations

import shutil
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from hmarl.report.statistics import estimate
from llm.evaluation import foresight, play
from llm.tasks.decider import LanguageModelPolicy
from llm.trainers import checkpoint
from llm.trainers.grpo_trainer import Trainer, told
from llm.trainers.worker import MODEL, export_trained


class Validation:
    """Validates a trainer's model and keeps the best of its weights.

    Attributes
    ----------
    best, best_step
        Mean profit of the best, money an episode, and the step it was reached in; None, 0 before the first.
    waited
        Validations since.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.settings = trainer, trainer.settings
        self.best: float | None = None
        self.best_step, self.waited = 0, 0
        self._held = tempfile.TemporaryDirectory()
        self._model = Path(self._held.name) / MODEL

    def due(self, step: int) -> bool:
        """Whether a step ends with a validation."""
        return step % self.settings.eval_steps == 0

    def run(self, step: int) -> dict[str, float]:
        """Publish the weights of now and play with them; all workers must call it.

        Returns
        -------
        dict
            The row's columns: profit an episode with its 95 % interval, how far it is below what foresight would make
            (where that is known), the share of demand met, of unreadable answers, the best step, seconds.
        """
        begun = time.perf_counter()
        self.trainer.publish_now()
        row = told(self._played() if self.trainer.accelerator.is_main_process else None)
        if self.best is None or row["validation_profit"] > self.best:
            self.best, self.best_step, self.waited = row["validation_profit"], step, 0
            export_trained(self.trainer, self._model)
        else:
            self.waited += 1
        return {**row, "best_step": self.best_step, "validation_seconds": time.perf_counter() - begun}

    def _played(self) -> dict[str, float]:
        task = self.trainer.rollouts.task
        policy = LanguageModelPolicy(task, self.trainer.rollouts.generate)
        played = play(task.network, policy, self.settings.evaluation_episodes, self._seed, "validation")
        profit = estimate(played.profit)
        gap = {} if self._most is None else {"gap": 1 - profit.mean / self._most}
        return {
            "validation_profit": profit.mean,
            "validation_profit_low": profit.low,
            "validation_profit_high": profit.high,
            **gap,
            "service_level": float(played.service_level.mean()),
            "validation_parse_failures": policy.parse_failures / policy.decisions,
        }

    @property
    def _seed(self) -> int:
        """Of the demand paths."""
        settings = self.settings
        return settings.seed if settings.validation_seed is None else settings.validation_seed

    @cached_property
    def _most(self) -> float | None:
        """Mean profit of foresight on the same paths; None where it is not known, or nothing."""
        network = self.trainer.rollouts.task.network
        profit, _ = foresight(network, self.settings.evaluation_episodes, self._seed, "validation")
        return float(profit.mean()) if profit is not None and profit.mean() > 0 else None

    @property
    def stop(self) -> str:
        """Why the training ends, if it does."""
        patience = self.settings.patience
        if not patience or self.waited < patience:
            return ""
        return f"{patience} validations without a better one than that of step {self.best_step}"

    def write(self, folder: Path) -> None:
        """Add the best model to a checkpoint: rank 0 does, which alone has it."""
        if self._model.exists():
            shutil.copytree(self._model, folder / MODEL)

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"best": self.best, "best_step": self.best_step, "waited": self.waited}

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint."""
        held = checkpoint.kept(folder, "validation")
        self.best, self.best_step, self.waited = held["best"], held["best_step"], held["waited"]
        if self.trainer.accelerator.is_main_process and (folder / MODEL).exists():
            shutil.copytree(folder / MODEL, self._model)
