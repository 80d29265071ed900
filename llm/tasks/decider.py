"""A language model as a policy of the simulator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hmarl.roles import Chain
from llm.tasks.supply_chain import SupplyChainTask
from llm.tasks.task import Message, ParseError

Generate = Callable[[list[list[Message]]], list[str]]


class LanguageModelPolicy:
    """Asks a model for the orders of the task's role; the continuation orders for all others.

    An answer that cannot be parsed orders nothing and is counted.

    Parameters
    ----------
    generate
        The model's turn of each conversation.

    Attributes
    ----------
    decisions, parse_failures
        Answers asked for until now, and those of them that could not be parsed.
    """

    def __init__(self, task: SupplyChainTask, generate: Generate, name: str = "language_model") -> None:
        self.task, self.generate, self.name = task, generate, name
        self.decisions, self.parse_failures = 0, 0

    def orders(self, chain: Chain) -> NDArray[np.float64]:
        """Orders ``(B, N, S)`` of this morning, units; one question for each agent of each replication that
        may order today."""
        task = self.task
        out = task.continuation.orders(chain)
        days = chain.simulator.state.day.tolist()
        asked = [(row, agent) for row, day in enumerate(days) for agent in task.agents if task.decides(agent, day)]
        rows, agents = np.array([row for row, _ in asked], np.int64), [agent for _, agent in asked]
        answers = self.generate(task.messages(chain, rows, agents)) if asked else []
        for row, agent, text in zip(rows, agents, answers, strict=True):
            out[row, *task.agents[agent]] = self._order(text)
        return out

    def _order(self, text: str) -> float:
        self.decisions += 1
        try:
            return self.task.parse(text)
        except ParseError:
            self.parse_failures += 1
            return 0.0
