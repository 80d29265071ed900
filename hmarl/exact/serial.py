"""Stages in series with backorders: Clark and Scarf's echelon base-stock levels."""

from __future__ import annotations

import numpy as np

from hmarl.exact.conditions import complication
from hmarl.exact.distribution import day_demand, density, grid_step
from hmarl.exact.echelon import Stage, grid_error, solve_echelons
from hmarl.exact.newsvendor import lumps_refusal
from hmarl.exact.proof import Optimum, Proof
from hmarl.network import Network
from hmarl.policies.rules import EchelonBaseStock

SOURCE = (
    "Clark and Scarf (1960), Optimal policies for a multi-echelon inventory problem, Management Science 6(4); "
    "Federgruen and Zipkin (1984), Computational issues in an infinite-horizon, multiechelon inventory model, "
    "Operations Research 32(4); Snyder and Shen, Fundamentals of Supply Chain Theory, section 6.2"
)


def refusal(network: Network) -> str | None:
    """Why a network is not a series with backorders at its end; None where it is."""
    if any(len(network.children(name)) > 1 for name in network.nodes) or len(_series(network)) < len(network.nodes):
        return "the nodes do not stand in a row, this method is for stages in series"
    if network.unmet_demand != "backorder":
        return "unmet demand is lost, this method is for backorders"
    store, *others = _series(network)
    items = {name: network.item(name, network.skus[0]) for name in network.nodes}
    demand = items[store].demand
    if demand is None or any(items[name].demand for name in others):
        return "this method is for demand at the last stage, and there alone"
    if any(item.order_cost for item in items.values()):
        return "an order costs something, this method is for orders that cost nothing"
    if any(network.nodes[name].order_lead_time for name in [store, *others][:-1]):
        return "orders between nodes are heard late, this method is for orders heard at once"
    holding = [items[name].holding_cost for name in (store, *others)]
    if items[store].shortage_cost == 0 or holding[-1] == 0:
        return "holding or shortage costs nothing, then there is nothing to balance"
    if holding != sorted(holding, reverse=True):
        return "holding costs less at a node than above it, this method is for costs that rise towards customers"
    return complication(network) or lumps_refusal([demand], network)


def _series(network: Network) -> list[str]:
    """Names from a node without any below up to the source."""
    names = [next(name for name in network.nodes if not network.children(name))]
    while (upstream := network.nodes[names[-1]].upstream) is not None:
        names.append(upstream)
    return names


def solve(network: Network) -> Optimum:
    """Echelon base-stock levels and their cost.

    Exact where demand is counted; other demand is put on a grid, and the tolerance is what that can change.

    Parameters
    ----------
    network
        One that :func:`refusal` does not refuse.
    """
    names, sku, integer = _series(network), network.skus[0], network.quantities == "integer"
    demand = network.item(names[0], sku).demand
    assert demand is not None
    step = grid_step([demand], integer)
    below: tuple[Stage, ...] = ()
    for name in names:
        node, item = network.nodes[name], network.item(name, sku)
        lead_time = network.longest_lead_time(name) + node.order_lead_time
        pmf = None if below else day_demand(demand, integer, step)
        below = (Stage(name, lead_time, item.holding_cost, 0.0 if below else item.shortage_cost, below, pmf),)
    solution = solve_echelons(below[0], step)
    levels = np.array([[solution.levels[name]] for name in network.node_names])
    tolerance = 1e-9 * max(1.0, solution.cost) + grid_error(below[0], step, density(demand, integer))
    method = f"Clark and Scarf's recursion on a grid of {step:g} units"
    bounds = {f"echelon position of {names[-1]}": solution.highest}
    return Optimum(solution.cost, EchelonBaseStock(levels), Proof(method, tolerance, bounds, SOURCE))
