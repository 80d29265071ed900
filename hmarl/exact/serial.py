"""Stages in series with backorders: Clark and Scarf's echelon base-stock levels."""

from __future__ import annotations

import itertools

import numpy as np

from hmarl.exact.clark_scarf import Stage, grid_error, solve_echelons
from hmarl.exact.conditions import complication
from hmarl.exact.distribution import day_demand, density, grid_step
from hmarl.exact.proof import Optimum, Proof
from hmarl.network import Network
from hmarl.policies.rules import EchelonBaseStock

SOURCE = (
    "Clark and Scarf (1960), Optimal policies for a multi-echelon inventory problem, Management Science 6(4); "
    "Federgruen and Zipkin (1984), Computational issues in an infinite-horizon, multiechelon inventory model, "
    "Operations Research 32(4); Snyder and Shen, Fundamentals of Supply Chain Theory, section 6.2"
)


def fits(network: Network) -> bool:
    """Whether it is nodes in a row with backorders."""
    row = all(len(network.children(name)) < 2 for name in network.nodes) and len(_series(network)) == len(network.nodes)
    return row and network.unmet_demand == "backorder"


def refusal(network: Network) -> str | None:
    """Why a network that :func:`fits` cannot be solved; None where it can."""
    names, sku = _series(network), network.skus[0]
    if network.item(names[0], sku).shortage_cost == 0:
        return "a shortage costs nothing"
    late = next((name for name in names[:-1] if network.nodes[name].order_lead_time), None)
    if late is not None:
        return f"orders of {late} take days to be heard"
    for lower, upper in itertools.pairwise(names):
        if network.item(lower, sku).holding_cost < network.item(upper, sku).holding_cost:
            return f"holding stock costs less at {lower} than at {upper}"
    return complication(network, "quantities", "order_lead_time")


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
