"""What the textbook's models of stock leave out: why a network is none of them."""

from __future__ import annotations

from hmarl.network import Demand, Network, Node


def complication(network: Network) -> str | None:
    """Why no closed form is known for a network, whatever its tree; None where nothing is in the way.

    The textbook: one SKU, an endless horizon, fixed lead times, any quantity may be ordered on any day, nothing is
    lost, demand of a day independent of all other days.
    """
    if network.finite:
        return "the horizon ends, this method is for the long run"
    if len(network.skus) > 1:
        return f"there are {len(network.skus)} SKUs, this method is for one"
    for name, node in network.nodes.items():
        reason = _limit(node) or _loss(node)
        item = network.item(name, network.skus[0])
        if item.minimum_order or item.case_pack:
            reason = "orders have a minimum or come in case packs"
        if item.demand is not None:
            reason = reason or demand_complication(item.demand)
        if reason is not None:
            return f"{name}: {reason}"
    return None


def _limit(node: Node) -> str | None:
    if node.storage_capacity is not None:
        return "its storage is limited"
    if node.order_capacity is not None:
        return "its orders are limited"
    return "it orders on some days only" if node.review_period > 1 else None


def _loss(node: Node) -> str | None:
    if not isinstance(node.lead_time, int) or node.delays:
        return "its lead time varies"
    if node.reliability < 1 or node.outages:
        return "its source cannot always deliver"
    return "orders or shipments get lost" if node.order_loss or node.shipment_loss else None


def demand_complication(demand: Demand) -> str | None:
    """Why the days of a demand are not independent and alike; None where they are."""
    if demand.distribution in ("history", "path"):
        return f"its demand is a {demand.distribution}, not drawn anew each day"
    if demand.season or demand.weekday or demand.weekday_add or demand.events or demand.trend:
        return "its demand changes from day to day"
    if demand.spikes or demand.autocorrelation:
        return "its demand depends on the days before"
    if demand.std == 0 or (demand.low is not None and demand.low == demand.high):
        return "its demand does not vary, which a constant demand says"
    return "it has no demand" if demand.base_mean == 0 else None
