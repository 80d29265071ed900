"""What a simulation adds up, one sum a replication."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from hmarl.network.config import ROLES
from hmarl.roles import Chain
from hmarl.simulator import rows
from hmarl.simulator.memory import address_table, declare, fields
from hmarl.simulator.params import NO_DEMAND

Array = NDArray[np.float64]

SUMS = ("cost", "profit", "holding_cost", "ordered", "stock", "met", "demand", "service", "short_days")
_COST, _PROFIT, _HOLDING, _ORDERED, _STOCK, _MET, _DEMAND, _SERVICE, _SHORT_DAYS = range(len(SUMS))

declare(types.float64, 2, "book_sums")
declare(types.float64, 4, "book_demands book_orders")
declare(types.int64, 1, "book_stores")


class Books:
    """Sums of the days booked since the last :meth:`close`.

    Parameters
    ----------
    chain
        Whose days are booked, each after its step.
    """

    def __init__(self, chain: Chain) -> None:
        simulator = chain.simulator
        replications, nodes, skus = simulator.shape
        places = simulator.params.demand.kind != NO_DEMAND
        stores = chain.roles["store"].nodes if "store" in chain.roles else np.flatnonzero(places.any(1))
        self.chain, self.places = chain, int(places.sum())
        self.arrays: dict[str, np.ndarray] = {
            "book_sums": np.zeros((len(SUMS), replications)),
            "book_demands": np.zeros((nodes, skus, 2, replications)),
            "book_orders": np.zeros((nodes, skus, 2, replications)),
            "book_stores": np.isin(np.arange(nodes), stores).astype(np.int64),
        }
        self._table = address_table(simulator.arrays | self.arrays)
        self.rewards = {role: np.zeros(replications) for role in ROLES}
        self._paid = {role: np.empty((replications, len(agents.agents))) for role, agents in chain.roles.items()}

    def add(self) -> None:
        """Book the day just played."""
        _add_day(self._table)
        for role, paid in self._paid.items():
            _add_rewards(self.rewards[role], self.chain.rewards(role, paid))

    def close(self, days: int) -> dict[str, Array]:
        """The figures ``(replications,)`` of the days booked; the next day begins new ones.

        Parameters
        ----------
        days
            How many were booked.
        """
        sums = dict(zip(SUMS, self.arrays["book_sums"], strict=True))
        places = max(self.places, 1)
        out = {"reward": sum(self.rewards.values(), np.zeros(1)) / days}
        out.update({f"reward_{role}": reward / days for role, reward in self.rewards.items()})
        out.update({name: sums[name] / days for name in ("cost", "profit", "holding_cost", "stock", "ordered")})
        empty = sums["demand"] == 0
        out["service_level"] = sums["service"] / (places * days) if self.places else np.ones(len(empty))
        out["fill_rate"] = np.where(empty, 1.0, sums["met"] / np.where(empty, 1.0, sums["demand"]))
        out["stockout_days"] = sums["short_days"] / (places * days)
        ordered, demanded = (_variance(self.arrays[name], days) for name in ("book_orders", "book_demands"))
        still = demanded <= 1e-9
        out["bullwhip"] = np.where(still, np.nan, np.maximum(ordered, 0) / np.where(still, 1.0, demanded))
        for array in (*(self.arrays[f"book_{name}"] for name in ("sums", "demands", "orders")), *self.rewards.values()):
            array[...] = 0.0
        return out


def _variance(sums: Array, days: int) -> Array:
    """Variance over days, added over nodes and SKUs, from sums and sums of squares ``(N, S, 2, B)``."""
    return (sums[:, :, 1] / days - (sums[:, :, 0] / days) ** 2).sum((0, 1))


@njit(error_model="numpy")
def _add_money(cost, profit, held, holding, left, shortage, short, order_cost, ordered, price, sold, unit_cost):
    for b in range(len(cost)):
        spent = holding * left[b] + shortage * short[b] + (order_cost if ordered[b] > 0.0 else 0.0)
        held[b] += holding * left[b]
        cost[b] += spent
        profit[b] += price * sold[b] - unit_cost * ordered[b] - spent


@njit(error_model="numpy")
def _add_service(met, asked, service, short_days, demand, unmet):
    for b in range(len(met)):
        served = demand[b] - unmet[b]
        met[b] += served
        asked[b] += demand[b]
        service[b] += served / demand[b] if demand[b] > 0.0 else 1.0
        short_days[b] += 1.0 if unmet[b] > 0.0 else 0.0


@njit(error_model="numpy")
def _add_moments(sums, row):
    first, second = sums[0], sums[1]
    for b in range(len(row)):
        first[b] += row[b]
        second[b] += row[b] * row[b]


@njit(cache=True, nogil=True, error_model="numpy")
def _add_day(w):
    sums, demands, orders, stores = fields(w, "book_sums book_demands book_orders book_stores")
    demand, sold, unmet, short, ordered, left = fields(w, "demand sold unmet short ordered left")
    holding, shortage, order_cost, price, unit_cost = fields(w, "holding_cost shortage_cost order_cost price unit_cost")
    kind, parent = fields(w, "kind parent")
    nodes, skus = holding.shape
    for n in range(nodes):
        for k in range(skus):
            buy = unit_cost[n, k] if parent[n] < 0 else 0.0
            _add_money(
                sums[_COST], sums[_PROFIT], sums[_HOLDING], holding[n, k], left[n, k], shortage[n, k], short[n, k],
                order_cost[n, k], ordered[n, k], price[n, k], sold[n, k], buy,
            )  # fmt: skip
            rows.add(sums[_ORDERED], ordered[n, k])
            if stores[n]:
                rows.add(sums[_STOCK], left[n, k])
                _add_moments(orders[n, k], ordered[n, k])
            if kind[n, k] != NO_DEMAND:
                _add_moments(demands[n, k], demand[n, k])
                _add_service(sums[_MET], sums[_DEMAND], sums[_SERVICE], sums[_SHORT_DAYS], demand[n, k], unmet[n, k])


@njit(cache=True, nogil=True, error_model="numpy")
def _add_rewards(to, rewards):
    for b in range(len(to)):
        for a in range(rewards.shape[1]):
            to[b] += rewards[b, a]
