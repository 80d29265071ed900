"""Playing a policy on many demand paths at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hmarl.network.config import ROLES, Network
from hmarl.policies.rules import Policy
from hmarl.roles import Chain
from hmarl.simulator import day_costs
from hmarl.simulator.params import NO_DEMAND

Array = NDArray[np.float64]

_RECORDED = ("demand", "sold", "unmet", "ordered", "incoming", "filled", "received", "overflow", "left")


@dataclass(frozen=True)
class Paths:
    """What a policy did, path by path.

    Attributes
    ----------
    metrics
        Name -> ``(replications,)``, averaged over the days after the warm-up:

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
    days: int
    warmup: int
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
    seed, split, ids
        What keys the random draws; see :class:`hmarl.Simulator`. Same keys, same paths, whatever the policy.
    record
        Replications to keep day by day, in :attr:`Paths.trace`.

    Raises
    ------
    ValueError
        If the warm-up leaves no day to count.
    """
    days = network.days if days is None else days
    warmup = network.warmup if warmup is None else warmup
    if not 0 <= warmup < days:
        raise ValueError(f"warmup: {warmup}: 0 to {days - 1}, below the {days} days")
    chain = Chain(network, replications, seed, split=split, ids=ids)
    books = _Books(chain)
    recorder = _Recorder(chain, record)
    for day in range(days):
        orders = policy.orders(chain)
        recorder.morning()
        chain.step(orders)
        recorder.evening()
        if day >= warmup:
            books.add(chain)
    return Paths(books.metrics(days - warmup), days, warmup, recorder.trace())


class _Books:
    """Sums of a simulation, one a replication."""

    def __init__(self, chain: Chain) -> None:
        params, count = chain.simulator.params, chain.replications
        self.places = params.demand.kind != NO_DEMAND
        self.stores = chain.roles["store"].nodes if "store" in chain.roles else np.flatnonzero(self.places.any(1))
        self.sums = {
            name: np.zeros(count)
            for name in (
                "cost",
                "profit",
                "holding_cost",
                "met",
                "demand",
                "service",
                "short_days",
                "stock",
                "ordered",
            )
        }
        self.rewards = {role: np.zeros(count) for role in ROLES}
        shape = (count, len(self.stores), len(chain.network.skus))
        self.orders, self.orders_squared = np.zeros(shape), np.zeros(shape)
        self.demanded = np.zeros((count, int(self.places.sum())))
        self.demanded_squared = np.zeros_like(self.demanded)

    def add(self, chain: Chain) -> None:
        """Book the day just played."""
        outcome, sums = chain.simulator.outcome, self.sums
        costs = day_costs(chain.simulator.params, outcome)
        cost = costs.cost
        sums["cost"] += _total(cost)
        sums["profit"] += _total(costs.revenue - costs.purchase - cost)
        sums["holding_cost"] += _total(costs.holding)
        sums["ordered"] += _total(outcome.ordered)
        sums["stock"] += _total(outcome.left[:, self.stores])
        demand, unmet = outcome.demand[:, self.places], outcome.unmet[:, self.places]
        met = demand - unmet
        sums["met"] += met.sum(1)
        sums["demand"] += demand.sum(1)
        sums["service"] += np.where(demand > 0, met / np.where(demand > 0, demand, 1.0), 1.0).sum(1)
        sums["short_days"] += (unmet > 0).sum(1)
        for role in chain.roles:
            self.rewards[role] += chain.rewards(role).sum(1)
        orders = outcome.ordered[:, self.stores]
        self.orders += orders
        self.orders_squared += orders**2
        self.demanded += demand
        self.demanded_squared += demand**2

    def metrics(self, days: int) -> dict[str, Array]:
        """The figures, ``(replications,)`` each."""
        sums, places = self.sums, max(int(self.places.sum()), 1)
        out = {"reward": sum(self.rewards.values(), np.zeros(1)) / days}
        out.update({f"reward_{role}": reward / days for role, reward in self.rewards.items()})
        out.update({name: sums[name] / days for name in ("cost", "profit", "holding_cost", "stock", "ordered")})
        empty = sums["demand"] == 0
        out["service_level"] = sums["service"] / (places * days) if self.places.any() else np.ones(len(empty))
        out["fill_rate"] = np.where(empty, 1.0, sums["met"] / np.where(empty, 1.0, sums["demand"]))
        out["stockout_days"] = sums["short_days"] / (places * days)
        ordered = (self.orders_squared / days - (self.orders / days) ** 2).sum((1, 2))
        demanded = (self.demanded_squared / days - (self.demanded / days) ** 2).sum(1)
        still = demanded <= 1e-9
        out["bullwhip"] = np.where(still, np.nan, np.maximum(ordered, 0) / np.where(still, 1.0, demanded))
        return out


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


def _total(values: Array) -> Array:
    """Sum over nodes and SKUs, ``(B,)``."""
    return values.reshape(len(values), -1).sum(1)
