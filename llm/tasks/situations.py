"""Situations: a day of a path on which an agent must order, as plain data that the exact state is replayed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmarl.network import Network
from hmarl.policies import Policy
from hmarl.roles import Chain

Array = NDArray[np.float64]

MOST_REPLICATIONS = 1 << 21  # higher numbers are those of futures, see :mod:`llm.tasks.counterfactual`


@dataclass(frozen=True)
class Situation:
    """What is known before a decision.

    Every random draw is a function of seed, split, replication and day, so that these and the orders of the days
    before say all there is to say.

    Attributes
    ----------
    scenario
        One of :data:`hmarl.network.SCENARIOS`.
    seed, split, replication
        What keys the draws; see :class:`hmarl.Simulator`.
    agent
        Who decides: ``store_1/coffee``.
    orders
        Accepted orders of the days before, units: of each day each node's of each SKU, one list.
    """

    scenario: str
    seed: int
    split: str
    replication: int
    agent: str
    orders: list[list[float]]

    @property
    def day(self) -> int:
        """Day of the episode, 0 the first."""
        return len(self.orders)

    def to_json(self) -> dict[str, Any]:
        """Plain data, that ``Situation(**data)`` takes."""
        return dict(vars(self))


@dataclass(frozen=True)
class Record:
    """The orders that were accepted on some paths, ``(days, B, N, S)`` units, and what keys their draws."""

    scenario: str
    seed: int
    split: str
    replications: NDArray[np.int64]  # (B,)
    orders: Array

    def situation(self, row: int, day: int, agent: str) -> Situation:
        """Where a path stood on a day."""
        orders = self.orders[:day, row].reshape(day, self.orders[0, 0].size)
        kind = np.int64 if (orders == np.rint(orders)).all() else np.float64
        plain: Any = orders.astype(kind).tolist()
        return Situation(self.scenario, self.seed, self.split, int(self.replications[row]), agent, plain)


def play(chain: Chain, policy: Policy, days: int, scenario: str) -> Record:
    """Let a policy decide for some days from today, the first of an episode."""
    simulator = chain.simulator
    replications = simulator.state.replication.copy()
    accepted = np.empty((days, *simulator.shape))
    for day in range(days):
        accepted[day] = chain.step(policy.orders(chain)).ordered
    return Record(scenario, simulator.seed, simulator.split, replications, accepted)


def replay(network: Network, situations: Sequence[Situation]) -> Chain:
    """The states that situations of one seed and split speak of, one row each, in one simulation.

    Paths of fewer days begin later, so that all arrive at once.
    """
    days = np.array([situation.day for situation in situations])
    ids = np.array([situation.replication for situation in situations])
    chain = Chain(network, len(ids), situations[0].seed, split=situations[0].split, ids=ids)
    orders = np.zeros((days.max(), *chain.simulator.shape))
    for row, situation in enumerate(situations):
        if situation.orders:
            orders[-situation.day :, row] = np.reshape(situation.orders, (-1, *chain.simulator.shape[1:]))
    for step, placed in enumerate(orders):
        begins = days == len(orders) - step
        if step and begins.any():
            _begin(chain, begins, ids)
        chain.step(placed)
    _begin(chain, days == 0, ids)
    return chain


def _begin(chain: Chain, rows: NDArray[np.bool_], ids: NDArray[np.int64]) -> None:
    chain.reset(rows)
    chain.simulator.state.replication[rows] = ids[rows]


def by_path(situations: Sequence[Situation]) -> Mapping[tuple[str, int, str], list[int]]:
    """Which situations can be replayed together, by scenario, seed and split."""
    found: dict[tuple[str, int, str], list[int]] = {}
    for number, situation in enumerate(situations):
        found.setdefault((situation.scenario, situation.seed, situation.split), []).append(number)
    return found
