"""What may happen to a supply chain: pure functions from a network to the network in which it does.

Changes of supply (`supplier_delay`, `disruption`) meet the shipments that come from suppliers; in a network
without suppliers those that come from outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hmarl.errors import InputError, unknown
from hmarl.network.config import Delay, Network, Node, Window
from hmarl.network.demand import Demand, Season, Spikes

SCENARIOS: dict[str, str] = {
    "normal": "the network as it is",
    "high_demand_weekend": "half as much again on Saturdays and Sundays (not for weeks)",
    "demand_spike": "on 1 day in 20, at random, demand rises to 2.5 times for 2 days",
    "seasonal": "plus and minus 50 % over 30 days (over 52 weeks)",
    "supplier_delay": "in the middle third of an episode shipments from suppliers take 3 days (1 week) more",
    "high_variability": "twice the standard deviation of demand around the same mean",
    "disruption": "from a third of the episode on suppliers ship nothing for 10 days (2 weeks)",
}


def apply_scenario(network: Network, name: str) -> Network:
    """The network in which the scenario happens.

    Raises
    ------
    InputError
        For a name that is not in :data:`SCENARIOS`, or a scenario of weekdays and a network of weeks.
    """
    if name not in SCENARIOS:
        raise unknown("scenario", name, SCENARIOS)
    if name == "normal":
        return network
    if name == "high_demand_weekend" and network.period == "week":
        raise InputError(f"scenario: {name!r}: for a network of period 'day', not 'week'")
    if name in ("supplier_delay", "disruption"):
        return _change_supply(network, _delayed if name == "supplier_delay" else _disrupted)
    return _change_demand(network, _DEMAND[name])


def _weekend(demand: Demand, network: Network) -> Demand:
    weekday = demand.weekday or [1.0] * 7
    return demand.model_copy(update={"weekday": [*weekday[:5], 1.5 * weekday[5], 1.5 * weekday[6]]})


def _spiky(demand: Demand, network: Network) -> Demand:
    return demand.model_copy(update={"spikes": Spikes(probability=0.05, multiplier=2.5, duration=2)})


def _seasonal(demand: Demand, network: Network) -> Demand:
    season = Season(amplitude=0.5, period=30 if network.period == "day" else 52)
    return demand.model_copy(update={"season": season})


def _variable(demand: Demand, network: Network) -> Demand:
    """Mean kept, standard deviation doubled; less where demand cannot spread that far above 0."""
    mean, integer = demand.base_mean, network.quantities == "integer"
    new: dict[str, Any]
    if mean == 0:
        return demand
    match demand.distribution:
        case "normal":
            return demand.model_copy(update={"std": 2 * float(demand.std or 0)})
        case "constant":
            half = math.floor(mean / 2) if integer else mean / 2
            new = {"distribution": "uniform", "mean": None, "low": mean - half, "high": mean + half}
            return demand.model_copy(update=new)
        case "uniform":
            half = min(float(demand.high or 0) - float(demand.low or 0), mean)
            return demand.model_copy(update={"low": mean - half, "high": mean + half})
        case "poisson" | "geometric":
            values, probabilities = _negative_binomial(mean, 4 * demand.base_variance(integer))
            new = {"distribution": "discrete", "mean": None, "values": values, "probabilities": probabilities}
            return demand.model_copy(update=new)
        case _:
            spread = [max(0.0, mean + 2 * (value - mean)) for value in demand.values or []]
            scale = mean / demand.model_copy(update={"values": spread}).base_mean
            return demand.model_copy(update={"values": [value * scale for value in spread]})


def _negative_binomial(mean: float, variance: float) -> tuple[list[float], list[float]]:
    """Values and probabilities of a negative binomial distribution, cut where it ends."""
    p = mean / variance
    size = mean * p / (1 - p)
    last = math.ceil(mean + 8 * math.sqrt(variance) + 20 / p)
    logs = [math.lgamma(k + size) - math.lgamma(size) - math.lgamma(k + 1) for k in range(last + 1)]
    weights = [math.exp(log + size * math.log(p) + k * math.log1p(-p)) for k, log in enumerate(logs)]
    total = math.fsum(weights)
    return [float(k) for k in range(last + 1)], [weight / total for weight in weights]


_DEMAND: dict[str, Callable[[Demand, Network], Demand]] = {
    "high_demand_weekend": _weekend,
    "demand_spike": _spiky,
    "seasonal": _seasonal,
    "high_variability": _variable,
}


def _change_demand(network: Network, change: Callable[[Demand, Network], Demand]) -> Network:
    nodes = {}
    for name, node in network.nodes.items():
        skus = {
            sku: item.model_copy(update={"demand": change(item.demand, network)}) if item.demand else item
            for sku, item in node.skus.items()
        }
        demand = change(node.demand, network) if node.demand else None
        nodes[name] = node.model_copy(update={"demand": demand, "skus": skus})
    return network.model_copy(update={"nodes": nodes})


def _delayed(node: Node, network: Network) -> Node:
    first, last = network.days // 3, max(network.days // 3, 2 * network.days // 3 - 1)
    late = Delay(first=first, last=last, days=3 if network.period == "day" else 1)
    return node.model_copy(update={"delays": [*node.delays, late]})


def _disrupted(node: Node, network: Network) -> Node:
    first, length = network.days // 3, 10 if network.period == "day" else 2
    return node.model_copy(update={"outages": [*node.outages, Window(first=first, last=first + length - 1)]})


def _change_supply(network: Network, change: Callable[[Node, Network], Node]) -> Network:
    suppliers = network.nodes_of("supplier")
    supplied = [name for name, node in network.nodes.items() if node.upstream in suppliers]
    if not supplied:
        supplied = [name for name, node in network.nodes.items() if node.upstream is None]
    changed = {name: change(network.nodes[name], network) for name in supplied}
    return network.model_copy(update={"nodes": {**network.nodes, **changed}})
