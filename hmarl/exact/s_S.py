"""One node with backorders and a fixed cost of an order: the optimal (s, S) policy."""

from __future__ import annotations

import math

import numpy as np

from hmarl.exact.conditions import complication
from hmarl.exact.distribution import Array, day_cost, day_demand, is_counted, over_days
from hmarl.exact.newsvendor import days_until_served, only_item
from hmarl.exact.proof import Optimum, Proof
from hmarl.network import Network
from hmarl.policies.rules import ReorderUpTo


def fits(network: Network) -> bool:
    """Whether it is one node with backorders."""
    return len(network.nodes) == 1 and network.unmet_demand == "backorder"


def refusal(network: Network) -> str | None:
    """Why a network that :func:`fits` cannot be solved; None where it can."""
    item = only_item(network)
    if item.shortage_cost == 0:
        return "a shortage costs nothing"
    if item.demand is not None and not is_counted(item.demand, network.quantities == "integer"):
        return "demand is not in whole units"
    return complication(network, "quantities", "order_lead_time", "order_cost")


def solve(network: Network) -> Optimum:
    """The best (s, S): order up to S where the position is at or below s.

    Parameters
    ----------
    network
        One that :func:`refusal` does not refuse.
    """
    item, integer = only_item(network), network.quantities == "integer"
    assert item.demand is not None
    day = day_demand(item.demand, integer, step=1.0)
    cycle = _Cycle(
        day, over_days(day, days_until_served(network)), item.holding_cost, item.shortage_cost, item.order_cost
    )
    s, S, cost = cycle.best()
    proof = Proof(
        "(s, S) policies, algorithm of Zheng and Federgruen",
        1e-9 * max(1.0, cost),
        {"lowest reorder point": cycle.lowest, "highest order-up-to level": cycle.lowest + len(cycle.costs) - 1},
        "Zheng and Federgruen (1991), Finding optimal (s, S) policies is about as simple as evaluating a single "
        "policy, Operations Research 39(4); Snyder and Shen, Fundamentals of Supply Chain Theory, section 4.4",
    )
    return Optimum(cost, ReorderUpTo(np.array([[float(s)]]), np.array([[float(S)]])), proof)


class _Cycle:
    """From order to order, positions being whole units.

    Attributes
    ----------
    lowest
        A position at which to order is surely better than to wait.
    costs
        G(y), the cost of the day that an order of today can serve, by position y after ordering from `lowest` to
        where it alone exceeds what some policy costs.
    visits
        m(j), how often a cycle is expected to be at S - j.
    """

    def __init__(self, day: Array, over_lead_time: Array, holding: float, shortage: float, order_cost: float) -> None:
        self.order_cost = order_cost
        mean = float(over_lead_time @ np.arange(len(over_lead_time)))
        served = day_cost(over_lead_time, 1.0, holding, shortage, len(over_lead_time))
        at_most = float(served.min()) + order_cost * (1 - day[0])  # base-stock at the least G
        self.lowest = math.floor(min(mean - at_most / shortage, float(np.argmin(served)) - 1))
        highest = max(math.ceil(mean + at_most / holding), int(np.argmin(served)) + 1)
        y = np.arange(self.lowest, highest + 1)
        inside = served[np.clip(y, 0, len(served) - 1)]
        self.costs = np.where(y < 0, shortage * (mean - y), np.where(y >= len(served), holding * (y - mean), inside))
        self.visits = _renewals(day, len(y))

    def cost(self, s: int, S: int) -> float:
        """Long-run average a day of (s, S); both counted from `lowest`."""
        visits = self.visits[: S - s]
        return float((self.order_cost + visits @ self.costs[S:s:-1]) / visits.sum())

    def best(self) -> tuple[int, int, float]:
        """s, S, and their cost, by the steps of Zheng and Federgruen (1991), section 2."""
        S = int(np.argmin(self.costs))
        s = S - 1
        while self.cost(s, S) > self.costs[s]:
            s -= 1
        cost, other = self.cost(s, S), S + 1
        while other < len(self.costs) and self.costs[other] <= cost:
            if self.cost(s, other) < cost:
                S = other
                while self.cost(s, S) <= self.costs[s + 1]:
                    s += 1
                cost = self.cost(s, S)
            other += 1
        return self.lowest + s, self.lowest + S, cost


def _renewals(day: Array, count: int) -> Array:
    """m(j), j below `count`: m(0) = 1 / (1 - p(0)), m(j) = sum of p(k) m(j - k) over k above 0, times m(0)."""
    visits = np.zeros(count)
    visits[0] = 1 / (1 - day[0])
    for j in range(1, count):
        last = min(j, len(day) - 1)
        visits[j] = visits[0] * (day[1 : last + 1] @ visits[j - last : j][::-1])
    return visits
