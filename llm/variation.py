"""How far the same language model decides differently when it is asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmarl.policies import simulate
from hmarl.report.statistics import Estimate, estimate
from llm.tasks.task import ParseError

if TYPE_CHECKING:
    from llm.generation import Conversation, Generate
    from llm.tasks.supply_chain import SupplyChainTask


@dataclass(frozen=True)
class Variation:
    """What :func:`measure` found.

    Attributes
    ----------
    temperature
        Of the sampling.
    repeats, paths
        Times that each of some demand paths was played.
    profit
        Of all these episodes, mean over paths.
    within
        Standard deviation of an episode's profit over repeats on the same path.
    between
        The same of the mean profit of a path over paths: what demand does to it.
    states, changed
        States that the model met when it took the likeliest answer, and how many of the answers to the same question
        decide on another order than that one, a share.
    spread
        Standard deviation of the orders given to the same question, mean over states, units.
    """

    temperature: float
    repeats: int
    paths: int
    profit: Estimate
    within: float
    between: float
    states: int
    changed: float
    spread: float

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {**vars(self), "profit": self.profit.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Variation:
        """The reverse of :meth:`to_json`."""
        return cls(**{**data, "profit": Estimate.from_json(data["profit"])})


def order_of(task: SupplyChainTask, text: str) -> float | None:
    """The order that an answer decides on; None where it cannot be read."""
    try:
        return task.parse(text)
    except ParseError:
        return None


def measure(
    task: SupplyChainTask,
    sampled: Generate,
    *,
    temperature: float,
    repeats: int,
    paths: int,
    seed: int,
    asked: Sequence[Conversation],
    likeliest: Sequence[float | None],
) -> Variation:
    """Play the same demand paths, and ask the same questions, again and again.

    Parameters
    ----------
    sampled, temperature
        Sampled answers of the model, and what they are sampled at.
    repeats, paths
        At least 2 each; the paths are the first of the evaluation's.
    seed
        Of the demand.
    asked, likeliest
        Questions, and the orders that the likeliest answers to them decide on.
    """
    from llm.tasks.decider import LanguageModelPolicy

    network = task.network
    same = np.repeat(np.arange(paths), repeats)
    found = simulate(network, LanguageModelPolicy(task, sampled), replications=len(same), seed=seed, ids=same)
    profit = (found.metrics["profit"] * (found.days - found.warmup)).reshape(paths, repeats)
    texts = sampled([messages for messages in asked for _ in range(repeats)])
    orders = [order_of(task, text) for text in texts]
    before = [order for order in likeliest for _ in range(repeats)]
    by_state = [orders[i : i + repeats] for i in range(0, len(orders), repeats)]
    read = [[order for order in row if order is not None] for row in by_state]
    return Variation(
        temperature=temperature,
        repeats=repeats,
        paths=paths,
        profit=estimate(profit.mean(1)),
        within=float(np.sqrt(profit.var(1, ddof=1).mean())),
        between=float(profit.mean(1).std(ddof=1)),
        states=len(asked),
        changed=float(np.mean([a != b for a, b in zip(orders, before, strict=True)])),
        spread=float(np.mean([float(np.std(row, ddof=1)) for row in read if len(row) > 1] or [0.0])),
    )
