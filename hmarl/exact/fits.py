"""What all methods ask of a network."""

from __future__ import annotations

from typing import Any

from hmarl.network.config import Network

_PLAIN: dict[str, Any] = {
    "order_lead_time": 0,
    "review_period": 1,
    "storage_capacity": None,
    "order_capacity": None,
    "reliability": 1,
    "order_loss": 0,
    "shipment_loss": 0,
    "outages": [],
    "delays": [],
}


def node_refusal(network: Network, name: str) -> str | None:
    """What at a node no method takes into account; None if nothing."""
    node = network.nodes[name]
    if len(network.skus) > 1:
        return f"{len(network.skus)} SKUs, this method is for one"
    if network.quantities != "integer":
        return "quantities are real, this method is for whole units"
    for field, plain in _PLAIN.items():
        if getattr(node, field) != plain:
            return f"{name}: no method takes {field} into account"
    item = network.item(name, network.skus[0])
    if item.case_pack > 1 or item.minimum_order > 1:
        return f"{name} has a case pack or a minimum order"
    if not isinstance(node.lead_time, int):
        return f"the lead time of {name} is random"
    if item.holding_cost == 0:
        return f"holding stock costs nothing at {name}"
    return None
