"""A trial of a language model: a GRPO training, whose validations play the same paths in all trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hmarl.runs import read_rows
from llm.job import train_only
from llm.runs import METRICS
from tune.record import Trial
from tune.settings import LlmSweep

if TYPE_CHECKING:
    from llm.rollout.pool import Pool
    from tune.trial import Tell

_PROFIT = "validation_profit"


def learn(sweep: LlmSweep, trial: Trial, seed: int, tell: Tell, pool: Pool | None) -> None:
    """Train with the seed of this number, with engines of its own where there is no pool; what is there of the run
    already is kept."""
    folder = trial.run(seed)
    settings = sweep.training(
        trial.parameters, seed=sweep.seed + seed, validation_seed=sweep.seed, output_dir=folder, name=None
    )

    def best(steps: int) -> float:
        rows = read_rows(folder / METRICS)
        return max(row[_PROFIT] for row in rows if row["steps"] <= steps and _PROFIT in row)

    def validated(row: dict[str, Any]) -> None:
        if _PROFIT in row and row["steps"] < settings.steps:
            tell(row["steps"] / settings.steps, best(row["steps"]))

    train_only(settings, validated, pool)
    tell(1, best(settings.steps))
