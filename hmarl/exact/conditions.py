"""What stands in the way of an exact answer: one list of reasons for all methods.

The plain case is that of the textbooks: an endless horizon, one SKU in whole units, customers at the end of the tree
alone, demand of a day independent of all other days and alike, fixed lead times, any quantity may be ordered on any
day and is heard at once at no cost, storage without limit, nothing gets lost. A method names what it takes beyond that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hmarl.exact.distribution import density
from hmarl.network import Demand, Network

MOST_DEMAND = 1_000_000
"""Largest demand of a day that is taken, units."""

_PLAIN_NODE: dict[str, tuple[Any, str]] = {
    "delays": ([], "the lead time of {} varies"),
    "reliability": (1, "the source of {} cannot always deliver"),
    "outages": ([], "the source of {} cannot always deliver"),
    "order_loss": (0, "orders of {} get lost"),
    "shipment_loss": (0, "shipments to {} get lost"),
    "order_lead_time": (0, "orders of {} take days to be heard"),
    "review_period": (1, "{} orders on some days only"),
    "storage_capacity": (None, "the storage of {} is limited"),
    "order_capacity": (None, "orders of {} are limited"),
}


def complication(network: Network, *taken: str) -> str | None:
    """Why a network is not the plain case; None where it is.

    Parameters
    ----------
    taken
        Fields of the network, its nodes and items that the method takes whatever they are; "customers" for demand
        wherever it is, or nowhere.
    """
    return next((reason for field, reason in _complications(network) if field not in taken), None)


def _complications(network: Network) -> Iterator[tuple[str, str]]:
    integer = network.quantities == "integer"
    if network.finite:
        yield "finite", "the horizon ends, there is no long run"
    if len(network.skus) > 1:
        yield "skus", f"there are {len(network.skus)} SKUs"
    if not integer:
        yield "quantities", "quantities are real, not whole units"
    for name, node in network.nodes.items():
        if not isinstance(node.lead_time, int):
            yield "lead_time", f"the lead time of {name} varies"
        for field, (plain, reason) in _PLAIN_NODE.items():
            if getattr(node, field) != plain:
                yield field, reason.format(name)
        for sku in network.skus:
            item = network.item(name, sku)
            if item.order_cost > 0:
                yield "order_cost", f"an order of {name} costs something"
            if max(item.minimum_order, item.case_pack) > (1 if integer else 0):
                yield "case_pack", f"orders of {name} have a minimum or come in case packs"
            if item.holding_cost == 0:
                yield "holding_cost", f"holding stock costs nothing at {name}"
            if (item.demand is None) != bool(network.children(name)):
                yield "customers", f"{name} has {'no demand' if item.demand is None else 'demand of its own'}"
            changes = item.demand and demand_complication(item.demand, integer)
            if changes:
                yield "demand", f"the demand of {name} {changes}"


def demand_complication(demand: Demand, integer: bool) -> str | None:
    """Why the days of a demand are not independent and alike, or not to be put on a grid; None where they are.

    Parameters
    ----------
    integer
        Whether the network's quantities are.
    """
    if demand.distribution in ("history", "path"):
        return f"is a {demand.distribution}, not drawn anew each day"
    for field in ("season", "weekday", "weekday_add", "events", "trend"):
        if getattr(demand, field):
            return f"changes from day to day ({field})"
    for field in ("spikes", "autocorrelation"):
        if getattr(demand, field):
            return f"depends on the days before ({field})"
    if demand.base_mean == 0:
        return "is 0"
    most = max(demand.base_mean + 10 * math.sqrt(demand.base_variance(integer)), *(demand.values or [0]))
    if most > MOST_DEMAND:
        return f"reaches {most:,.0f} units a day, at most {MOST_DEMAND:,}"
    if math.isinf(density(demand, integer)):
        return "comes in lumps of parts of units"
    return None
