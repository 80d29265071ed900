"""The optimum of one store with lost sales: relative value iteration on stock and pipeline.

The order z of a day arrives L days later. With L >= 1 the state is the stock x after the morning's arrivals and the
orders q_1, ..., q_{L-1} that arrive in 1, ..., L - 1 days (Zipkin 2008, "Old and New Methods for Lost-Sales Inventory
Systems", Operations Research 56(5)); with D the day's demand::

    g + v(x, q) = h E(x - D)^+ + p E(D - x)^+ + min_z { k 1(z > 0) + E v((x - D)^+ + q_1, q_2, ..., q_{L-1}, z) }

An order above the cap Q of orders is one of Q, as far as v can tell, and it stays so until it arrives; then it is
stock above Q, where another unit does not lower v: with that, and with the cap of the stock, nothing outside the
table is better (:mod:`hmarl.exact.value_iteration`). With L = 0 every day is a newsvendor's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

from hmarl.errors import InputError
from hmarl.exact.conditions import complication
from hmarl.exact.distribution import Array, day_cost, day_demand, quantile
from hmarl.exact.proof import Optimum, Proof
from hmarl.exact.value_iteration import (
    DAMPING,
    MOST_SWEEPS,
    SLACK,
    SOURCE,
    TOLERANCE,
    rising_from,
    stock_cap_holds,
)
from hmarl.network.config import Network
from hmarl.policies.rules import BaseStock
from hmarl.roles import Chain

Orders = NDArray[np.int32]

MOST_WORK = 8e9
"""Multiplications a sweep of the value iteration may take: a minute or two in all."""
_EVALUATIONS = 15  # sweeps with the orders kept, between two that improve them


class _Problem(NamedTuple):
    """One store; costs a unit, an order."""

    pmf: Array
    lead_time: int
    holding: float
    shortage: float
    order_cost: float


@dataclass(frozen=True)
class LostSalesTable:
    """The optimal order by stock and pipeline.

    Attributes
    ----------
    table
        ``(Q + 1, ..., Q + 1, X + 1)`` units: by what arrives in 1, ..., L - 1 days, and by stock. Beyond the table the
        last entry counts.
    """

    table: Orders
    name: str = "optimal"

    def orders(self, chain: Chain) -> Array:
        state = chain.simulator.state
        pipeline = [state.in_transit[:, 0, 0, k] for k in range(self.table.ndim - 1)]
        index = [
            np.minimum(units, size - 1).astype(np.int64)
            for units, size in zip([*pipeline, state.on_hand[:, 0, 0]], self.table.shape, strict=True)
        ]
        return self.table[tuple(index)].astype(float)[:, None, None]


def fits(network: Network) -> bool:
    """Whether it is one node with lost sales."""
    return len(network.nodes) == 1 and network.unmet_demand == "lost"


def refusal(network: Network) -> str | None:
    """Why a network that :func:`fits` cannot be solved; None where it can."""
    reason = complication(network, "order_cost")
    if reason is not None:
        return reason
    problem = problem_of(network)
    if problem.lead_time == 0 and problem.order_cost > 0:
        return "an order costs something and arrives at once"
    work = _log_work(problem, *first_caps(problem))
    if work > math.log10(MOST_WORK):
        most = math.log10(MOST_WORK)
        return f"too large: 10^{work:.1f} multiplications a sweep of the value iteration, at most 10^{most:.1f}"
    return None


def solve(network: Network) -> Optimum:
    """The optimum; the network is one that :func:`refusal` lets pass."""
    problem = problem_of(network)
    if problem.lead_time == 0:
        return _every_day_a_newsvendor(problem)
    caps = first_caps(problem)
    while True:
        order_cap, stock_cap = caps
        low, high, values, orders = iterate(problem, order_cap, stock_cap)
        larger = _larger_caps(problem, order_cap, values, orders)
        if larger == caps:
            break
        caps = larger
        if _log_work(problem, *caps) > math.log10(MOST_WORK):
            raise InputError(f"network {network.name}: too large: orders up to {caps[0]}, stock up to {caps[1]} units")
    table = orders.reshape((order_cap + 1,) * (problem.lead_time - 1) + (stock_cap + 1,))
    bounds = {"on hand": stock_cap, "order": order_cap}
    tolerance = (high - low) / 2 + SLACK * stock_cap
    proof = Proof("relative value iteration on stock and pipeline", tolerance, bounds, SOURCE)
    return Optimum(max(0.0, low + high) / 2, LostSalesTable(table), proof)


def problem_of(network: Network) -> _Problem:
    name = network.node_names[0]
    item, lead_time = network.item(name, network.skus[0]), network.longest_lead_time(name)
    assert item.demand is not None
    costs = float(item.holding_cost), float(item.shortage_cost), float(item.order_cost)
    return _Problem(day_demand(item.demand, True, 1.0), lead_time, *costs)


def _every_day_a_newsvendor(problem: _Problem) -> Optimum:
    """No day costs less than min_y E[h (y - D)^+ + p (D - y)^+], and base-stock has it every day."""
    cost = day_cost(problem.pmf, 1.0, problem.holding, problem.shortage, len(problem.pmf) + 1)
    level = int(cost.argmin())
    proof = Proof(
        "newsvendor, every day", 0.0, {"on hand": level}, "Arrow, Harris and Marschak (1951), Econometrica 19(3)"
    )
    return Optimum(float(cost[level]), BaseStock(np.full((1, 1), float(level)), name="optimal"), proof)


def first_caps(problem: _Problem) -> tuple[int, int]:
    """Caps that will most likely do: of an order, and of the stock."""
    days, ratio = problem.lead_time, problem.shortage / (problem.shortage + problem.holding)
    demand = np.arange(len(problem.pmf))
    mean = float(problem.pmf @ demand)
    std = math.sqrt(float(problem.pmf @ (demand - mean) ** 2))
    one_day = quantile(problem.pmf, ratio)
    batch = math.sqrt(2 * problem.order_cost * mean / problem.holding)
    level = math.ceil(max(one_day, days * mean + float(ndtri(ratio)) * std * math.sqrt(days)) + batch)
    order_cap = level if days < 3 else math.ceil(0.75 * level)
    return max(1, order_cap), level + one_day + 2


def _larger_caps(problem: _Problem, order_cap: int, values: Array, orders: Orders) -> tuple[int, int]:
    """The caps themselves where they are proven to be large enough, else larger ones."""
    stock_cap, rising = values.shape[1] - 1, rising_from(values, 1)
    position = np.arange(stock_cap + 1) + orders
    for k in range(problem.lead_time - 1):
        position += (np.arange(len(values)) // (order_cap + 1) ** k % (order_cap + 1))[:, None]
    needed = int(position[orders > 0].max(initial=0))
    if rising > order_cap:
        order_cap = rising + 1
    if needed > stock_cap or not stock_cap_holds(values, 1, problem.pmf, problem.holding, problem.shortage):
        stock_cap = max(needed, stock_cap + max(1, stock_cap // 8))
    return order_cap, stock_cap


def _log_work(problem: _Problem, order_cap: int, stock_cap: int) -> float:
    return problem.lead_time * math.log10(order_cap + 1) + math.log10((stock_cap + 1) * len(problem.pmf))


def iterate(problem: _Problem, order_cap: int, stock_cap: int) -> tuple[float, float, Array, Orders]:
    """Bounds on the optimal cost, values ``(pipelines, X + 1)`` that prove them, and the orders that have it."""
    pipelines = (order_cap + 1) ** (problem.lead_time - 1)
    cost = day_cost(problem.pmf, 1.0, problem.holding, problem.shortage, stock_cap + 1)
    pmf = problem.pmf[: stock_cap + 1]
    at_least = np.array([problem.pmf[x:].sum() for x in range(stock_cap + 1)])
    values = np.zeros((pipelines, stock_cap + 1))
    improved, orders = np.empty_like(values), np.zeros(values.shape, np.int32)
    most = order_cap
    for _ in range(MOST_SWEEPS):
        _improve(values, pmf, at_least, cost, problem.order_cost, order_cap, most, improved, orders)
        gain = improved - values
        low, high = float(gain.min()), float(gain.max())
        if high - low < 2 * TOLERANCE and most == order_cap:
            return low, high, values, orders
        if high - low < 2 * TOLERANCE:
            most = order_cap  # the bounds are ones if no order is left out
            continue
        most = min(order_cap, int(orders.max()) + 2)
        for _ in range(_EVALUATIONS):
            values, improved = improved, values
            _evaluate(values, pmf, at_least, cost, problem.order_cost, order_cap, orders, improved)
        values, improved = improved - improved[0, 0], values
    raise InputError(f"network: the value iteration did not settle: cost between {low:g} and {high:g} a day")


@njit(cache=True, error_model="numpy")
def _improve(values, pmf, at_least, cost, order_cost, order_cap, most, improved, orders):
    """``improved = T values``, orders up to `most`, and the best; rows by pipeline (q_1 the highest digit)."""
    pipelines, stocks = values.shape
    shifted, expected = np.empty(stocks), np.empty(stocks)
    for pipeline in range(pipelines):
        best, order = improved[pipeline], orders[pipeline]
        best[:] = np.inf
        for z in range(most + 1):
            longer = pipeline * (order_cap + 1) + z
            arriving, row = longer // pipelines, values[longer % pipelines]
            for x in range(stocks):
                shifted[x] = row[min(x + arriving, stocks - 1)]
            for x in range(stocks):
                expected[x] = at_least[x] * shifted[0]
            for d in range(len(pmf)):
                for x in range(d + 1, stocks):
                    expected[x] += pmf[d] * shifted[x - d]
            fixed = order_cost if z > 0 else 0.0
            for x in range(stocks):
                if expected[x] + fixed < best[x] - 1e-12:
                    best[x] = expected[x] + fixed
                    order[x] = z
        for x in range(stocks):
            best[x] += cost[x]


@njit(cache=True, error_model="numpy")
def _evaluate(values, pmf, at_least, cost, order_cost, order_cap, orders, out):
    """One day of the orders given, then `values`."""
    pipelines, stocks = values.shape
    for pipeline in range(pipelines):
        for x in range(stocks):
            z = orders[pipeline, x]
            longer = pipeline * (order_cap + 1) + z
            arriving, row = longer // pipelines, values[longer % pipelines]
            total = at_least[x] * row[min(arriving, stocks - 1)]
            for d in range(min(x, len(pmf))):
                total += pmf[d] * row[min(x - d + arriving, stocks - 1)]
            total += cost[x] + (order_cost if z > 0 else 0.0)
            out[pipeline, x] = DAMPING * values[pipeline, x] + (1.0 - DAMPING) * total
