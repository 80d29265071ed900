"""Playing a policy on many demand paths at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hmarl.network.config import Network
from hmarl.policies.books import Books
from hmarl.policies.rules import Policy
from hmarl.roles import Chain

Array = NDArray[np.float64]

_RECORDED = ("demand", "sold", "unmet", "ordered", "incoming", "filled", "received", "overflow", "left")


@dataclass(frozen=True)
class Paths:
    """What a policy did, path by path.

    Attributes
    ----------
    metrics
        Name -> ``(replications * batches,)``, averaged over the days after the warm-up, or over those of each
        batch, replication by replication:

        ================= ==================================================================================
        reward            of all agents together, a day
        reward_store ...  of the agents of a role together (`reward_warehouse`, `reward_supplier`; 0 without)
        cost              holding, shortage and order cost of all nodes, money a day
        profit            revenue less purchases and cost, money a day
        holding_cost      money a day
        service_level     share of a day's demand met, 1 on a day without; mean over days and places
        fill_rate         all demand met over all demand
        stockout_days     share of days with unmet demand, mean over places
        stock             units at the stores at a day's end
        ordered           units ordered by all nodes, a day
        bullwhip          variance of the stores' daily orders over that of demand; NaN where demand is even
        ================= ==================================================================================

        A place is a node and SKU with customers' demand.
    trace
        Of the replications that were recorded, day by day from the first day on, ``(days, recorded, N, S)``:
        on_hand, position, forecast and uncertainty of the morning, and demand, sold, unmet, ordered,
        incoming, filled, received, overflow, left of the day.
    """

    metrics: dict[str, Array]
    days: int  # of an episode
    warmup: int  # of them that do not count
    trace: dict[str, Array] = field(default_factory=dict)

    def mean(self, metric: str) -> float:
        """Mean over replications."""
        return float(self.metrics[metric].mean())


def simulate(
    network: Network,
    policy: Policy,
    *,
    days: int | None = None,
    warmup: int | None = None,
    replications: int = 200,
    batches: int = 1,
    seed: int = 0,
    split: str = "test",
    ids: NDArray[np.int64] | None = None,
    record: Sequence[int] = (),
) -> Paths:
    """Play a policy and book what it did.

    Parameters
    ----------
    network
        The supply chain.
    policy
        Orders for every node.
    days, warmup
        Days of an episode, and how many at its start do not count; the network's where left out.
    replications
        Demand paths side by side.
    batches
        Stretches of equal length that the days after the warm-up are cut into, each with figures of its own. Days
        left over are added to the warm-up.
    seed, split, ids
        What keys the random draws; see :class:`hmarl.Simulator`. Same keys, same paths, whatever the policy.
    record
        Replications to keep day by day, in :attr:`Paths.trace`.

    Raises
    ------
    ValueError
        If the warm-up leaves no day to count, or fewer days than batches.
    """
    days = network.days if days is None else days
    warmup = network.warmup if warmup is None else warmup
    if not 0 <= warmup < days:
        raise ValueError(f"warmup: {warmup}: 0 to {days - 1}, below the {days} days")
    if not 1 <= batches <= days - warmup:
        raise ValueError(f"batches: {batches}: 1 to {days - warmup}, the days counted")
    length = (days - warmup) // batches
    warmup = days - length * batches
    chain = Chain(network, replications, seed, split=split, ids=ids)
    books, closed = Books(chain), []
    recorder = _Recorder(chain, record)
    for day in range(days):
        orders = policy.orders(chain)
        recorder.morning()
        chain.step(orders)
        recorder.evening()
        if day >= warmup:
            books.add()
            if (day + 1 - warmup) % length == 0:
                closed.append(books.close(length))
    metrics = {name: np.stack([batch[name] for batch in closed], 1).ravel() for name in closed[0]}
    return Paths(metrics, days, warmup, recorder.trace())


class _Recorder:
    """Keeps some replications day by day."""

    def __init__(self, chain: Chain, rows: Sequence[int]) -> None:
        self.chain, self.rows = chain, np.asarray(rows, np.int64)
        self.kept: dict[str, list[Array]] = {}

    def _keep(self, name: str, values: Array) -> None:
        self.kept.setdefault(name, []).append(values[self.rows].copy())

    def morning(self) -> None:
        if len(self.rows):
            chain = self.chain
            self._keep("on_hand", chain.simulator.state.on_hand)
            self._keep("position", chain.simulator.inventory_position())
            self._keep("forecast", chain.forecast)
            self._keep("uncertainty", chain.uncertainty)

    def evening(self) -> None:
        if len(self.rows):
            for name in _RECORDED:
                self._keep(name, getattr(self.chain.simulator.outcome, name))

    def trace(self) -> dict[str, Array]:
        return {name: np.stack(days) for name, days in self.kept.items()}
