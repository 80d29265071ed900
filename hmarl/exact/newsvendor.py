"""One node with backorders and no order cost: a newsvendor's problem over the days until an order has served."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from hmarl.exact.conditions import complication
from hmarl.exact.distribution import day_cost, day_demand, density, grid_step, over_days, quantile
from hmarl.exact.proof import Optimum, Proof
from hmarl.network import Demand, Item, Network
from hmarl.policies.rules import BaseStock

_RARELY_NEGATIVE = 1e-3  # probability below which a normal demand is taken as it is
_SOURCE = (
    "Snyder and Shen, Fundamentals of Supply Chain Theory, section 4.3; Zipkin (2000), Foundations of Inventory "
    "Management, chapter 9: with backorders the cost of a day depends on the position L days before alone"
)


def fits(network: Network) -> bool:
    """Whether it is one node with backorders and orders that cost nothing."""
    return len(network.nodes) == 1 and network.unmet_demand == "backorder" and only_item(network).order_cost == 0


def refusal(network: Network) -> str | None:
    """Why a network that :func:`fits` cannot be solved; None where it can."""
    if only_item(network).shortage_cost == 0:
        return "a shortage costs nothing"
    return complication(network, "quantities", "order_lead_time")


def only_item(network: Network) -> Item:
    """The numbers of the only node's only SKU."""
    return network.item(network.node_names[0], network.skus[0])


def days_until_served(network: Network) -> int:
    """Days of demand that an order of the only node answers for, L + 1."""
    node = network.nodes[network.node_names[0]]
    return network.longest_lead_time(network.node_names[0]) + node.order_lead_time + 1


def solve(network: Network) -> Optimum:
    """Base-stock at the quantile p / (p + h) of the demand over L + 1 days.

    Exact where demand is counted. Normal demand that is negative less than once in a thousand days has the closed
    form (h + p) sigma sqrt(L + 1) phi(z); the tolerance is what taking the negative as 0, as the simulator does, can
    change. Other demand is put on a grid.

    Parameters
    ----------
    network
        One that :func:`refusal` does not refuse.
    """
    item, days, integer = only_item(network), days_until_served(network), network.quantities == "integer"
    assert item.demand is not None
    demand = item.demand
    if demand.distribution == "normal" and not integer and _clipped(demand)[0] < _RARELY_NEGATIVE:
        return _closed_form(item, demand, days)
    return _by_convolution(item, demand, days, integer)


def _clipped(demand: Demand) -> tuple[float, float]:
    """How often a normal demand is negative, and the mean of what taking it as 0 adds, units."""
    std = float(demand.std or 0)
    z = demand.base_mean / std
    rarely = float(stats.norm.sf(z))
    return rarely, std * (float(stats.norm.pdf(z)) - z * rarely)


def _closed_form(item: Item, demand: Demand, days: int) -> Optimum:
    level, cost = normal_optimum(demand.base_mean, float(demand.std or 0), days, item.holding_cost, item.shortage_cost)
    tolerance = max(item.holding_cost, item.shortage_cost) * days * _clipped(demand)[1]
    proof = Proof("newsvendor over L + 1 days, closed form of normal demand", tolerance, source=_SOURCE)
    return Optimum(cost, BaseStock(np.array([[level]])), proof)


def _by_convolution(item: Item, demand: Demand, days: int, integer: bool) -> Optimum:
    h, p, step = item.holding_cost, item.shortage_cost, grid_step([demand], integer)
    total = over_days(day_demand(demand, integer, step), days)
    costs = day_cost(total, step, h, p, len(total))
    best = quantile(total, p / (p + h))
    tolerance = 1e-9 * max(1.0, costs[best]) + (h + p) * density(demand, integer) * days * step**2 / 8
    proof = Proof(
        "newsvendor over L + 1 days, distribution of the demand by convolution",
        tolerance,
        {"base-stock level": step * (len(total) - 1)},
        _SOURCE,
    )
    return Optimum(float(costs[best]), BaseStock(np.array([[step * best]])), proof)


def normal_optimum(mean: float, std: float, days: int, holding: float, shortage: float) -> tuple[float, float]:
    """Optimal base-stock level, units, and its cost a day for normal demand over some days.

    Examples
    --------
    >>> normal_optimum(5, 1.6, days=2, holding=1, shortage=9)
    (12.89..., 3.971...)
    """
    z = float(stats.norm.ppf(shortage / (shortage + holding)))
    spread = std * math.sqrt(days)
    return days * mean + z * spread, (holding + shortage) * spread * float(stats.norm.pdf(z))
