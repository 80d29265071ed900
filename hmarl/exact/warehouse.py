"""The optimum of stores behind a warehouse, and behind a supplier too: relative value iteration on the joint state.

A central planner sees all stocks. Every lead time is 1, unmet demand is lost. The state is the stock of every node
after the morning's arrivals: x_s at the supplier (where there is one), x_w at the warehouse, x_1 and x_2 at the
stores. The planner ships u_1 and u_2 to the stores and u_w to the warehouse, and orders z at the outermost node::

    g + v(x) = sum_i { h_i E(x_i - D_i)^+ + p_i E(D_i - x_i)^+ }
               + min { h_w m_w + h_s m_s + E v(m_s + z, m_w + u_w, (x_1 - D_1)^+ + u_1, (x_2 - D_2)^+ + u_2) }

with ``m_w = x_w - u_1 - u_2 >= 0`` and ``m_s = x_s - u_w >= 0`` left after shipping. The expectation is taken first,
store by store; the minimum over z is a running minimum over the next stock of the outermost node, that over u_w one
along the diagonals of equal m_w + x_s, that over u_1 and u_2 comes last (:mod:`hmarl.exact.warehouse_sweep`).

Nothing beyond the caps of the stocks is better (:mod:`hmarl.exact.value_iteration`):

- Store: :func:`hmarl.exact.value_iteration.stock_cap_holds`; what is shipped does not change.
- Warehouse behind a supplier, cap X_w: a unit above it that is not shipped costs h_w or nothing, and leaves the next
  stock at least ``X_w - X_1 - X_2``; from there on another unit must not lower v, which is checked. (One that is
  shipped above a store's cap may as well not be there.)
- Outermost node: what it has above the sum of the caps below it can be ordered later, at no cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmarl.errors import InputError
from hmarl.exact.conditions import complication
from hmarl.exact.distribution import Array, day_cost, day_demand, over_days, quantile
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
from hmarl.exact.warehouse_sweep import reached, sweep
from hmarl.network.config import Network
from hmarl.roles import Chain

Index = NDArray[np.int64]

MOST_WORK = 5e9
"""Multiplications a sweep of the value iteration may take: some seconds."""
_NO_STORE = np.ones(1)


class Tree(NamedTuple):
    """Nodes of the network by place, costs a unit and day; a missing second store has neither stock nor demand."""

    supplier: int | None
    warehouse: int
    stores: list[int]
    names: list[str]  # of all nodes of the network
    pmfs: list[Array]  # of the two stores
    holdings: list[float]  # supplier (the warehouse again where there is none), warehouse, stores
    shortages: list[float]  # of the two stores


class Caps(NamedTuple):
    """Largest stocks of the table."""

    store_1: int
    store_2: int
    supplier: int
    warehouse: int


@dataclass(frozen=True)
class TreeTable:
    """The optimal shipments and orders by the stock of every node.

    Attributes
    ----------
    shipments
        ``(2, X_1 + 1, X_2 + 1, X_s + 1, X_w + 1)`` units to the stores. Beyond the table the last entry counts.
    next_stock
        Of the same shape: tomorrow's stock of the supplier and of the warehouse.
    """

    tree: Tree
    shipments: NDArray[np.int16]
    next_stock: NDArray[np.int16]
    name: str = "optimal"

    def orders(self, chain: Chain) -> Array:
        on_hand, tree = chain.simulator.state.on_hand[:, :, 0], self.tree
        index = self._index(on_hand)
        out = np.zeros(chain.simulator.shape)
        left = on_hand[:, tree.warehouse].copy()
        for units, store in zip(self.shipments, tree.stores, strict=False):
            out[:, store, 0] = units[index]
            left -= units[index]
        wanted = np.maximum(self.next_stock[1][index] - left, 0)
        if tree.supplier is not None:
            out[:, tree.warehouse, 0] = np.minimum(wanted, on_hand[:, tree.supplier])
            left = on_hand[:, tree.supplier] - out[:, tree.warehouse, 0]
            out[:, tree.supplier, 0] = np.maximum(self.next_stock[0][index] - left, 0)
        else:
            out[:, tree.warehouse, 0] = wanted
        return out

    def _index(self, on_hand: Array) -> tuple[Index, ...]:
        tree = self.tree
        places = [*(tree.stores if len(tree.stores) == 2 else [*tree.stores, None]), tree.supplier, tree.warehouse]
        sizes = self.shipments.shape[1:]
        return tuple(
            np.zeros(len(on_hand), np.int64) if n is None else np.minimum(on_hand[:, n], size - 1).astype(np.int64)
            for n, size in zip(places, sizes, strict=True)
        )


def fits(network: Network) -> bool:
    """Whether it is stores behind a warehouse, and at most one supplier above that, with lost sales."""
    roots = [name for name, node in network.nodes.items() if node.upstream is None]
    below = network.children(roots[0])
    if len(below) == 1 and network.children(below[0]):
        below = network.children(below[0])
    leaves = bool(below) and not any(network.children(name) for name in below)
    return len(roots) == 1 and leaves and network.unmet_demand == "lost"


def refusal(network: Network) -> str | None:
    """Why a network that :func:`fits` cannot be solved; None where it can."""
    stores = sum(not network.children(name) for name in network.node_names)
    if stores > 2:
        return f"too large: {stores} stores, at most 2"
    for name, node in network.nodes.items():
        if isinstance(node.lead_time, int) and node.lead_time != 1:
            return f"every lead time must be 1, that of {name} is {node.lead_time}"
    reason = complication(network)
    if reason is not None:
        return reason
    tree = tree_of(network)
    work = _work(tree, first_caps(tree))
    if work > MOST_WORK:
        return f"too large: {work:.1g} multiplications a sweep of the value iteration, at most {MOST_WORK:.0e}"
    return None


def tree_of(network: Network) -> Tree:
    """Places, costs and demand of a network of this shape."""
    names = network.node_names
    root = next(name for name, node in network.nodes.items() if node.upstream is None)
    child = network.children(root)
    deep = len(child) == 1 and bool(network.children(child[0]))
    warehouse = child[0] if deep else root
    stores = network.children(warehouse)
    items = [network.item(name, network.skus[0]) for name in stores]
    pmfs = [day_demand(item.demand, True, 1.0) for item in items if item.demand is not None]
    missing = 2 - len(stores)
    holdings = [network.item(name, network.skus[0]).holding_cost for name in (root, warehouse)]
    return Tree(
        supplier=names.index(root) if deep else None,
        warehouse=names.index(warehouse),
        stores=[names.index(name) for name in stores],
        names=names,
        pmfs=pmfs + [_NO_STORE] * missing,
        holdings=[float(cost) for cost in [*holdings, *(item.holding_cost for item in items)]] + [0.0] * missing,
        shortages=[float(item.shortage_cost) for item in items] + [0.0] * missing,
    )


def solve(network: Network) -> Optimum:
    """The optimum; the network is one that :func:`refusal` lets pass."""
    tree = tree_of(network)
    caps = first_caps(tree)
    while True:
        low, high, values, shipments, next_stock = iterate(tree, caps)
        larger = _larger_caps(tree, caps, values, shipments, next_stock)
        if larger == caps:
            break
        caps = larger
        if _work(tree, caps) > MOST_WORK:
            raise InputError(f"network {network.name}: too large: stocks up to {max(caps)} units at a node")
    places = [*tree.stores, tree.supplier, tree.warehouse]
    sizes = [*caps[: len(tree.stores)], caps.supplier, caps.warehouse]
    bounds = {f"on hand at {tree.names[n]}": float(cap) for n, cap in zip(places, sizes, strict=True) if n is not None}
    for i in range(2):  # what is shipped above a cap, to be rid of it, is left out: no state that lasts has such
        stocks = np.arange(caps[i] + 1).reshape((-1, 1) if i == 0 else (1, -1))[..., None, None]
        np.minimum(shipments[i], caps[i] - stocks, out=shipments[i])
    tolerance = (high - low) / 2 + SLACK * sum(caps)
    proof = Proof("relative value iteration on the joint state", tolerance, bounds, SOURCE)
    return Optimum(max(0.0, low + high) / 2, TreeTable(tree, shipments, next_stock), proof)


def first_caps(tree: Tree) -> Caps:
    """Caps that will most likely do."""
    stores = []
    levels = []
    for pmf, holding, shortage in zip(tree.pmfs, tree.holdings[2:], tree.shortages, strict=True):
        ratio = shortage / (shortage + holding) if len(pmf) > 1 or holding > 0 else 0.0
        levels.append(quantile(over_days(pmf, 2), ratio))
        stores.append(levels[-1] + quantile(pmf, ratio) if ratio > 0 else 0)
    below = max(1, sum(stores))
    if tree.supplier is None:
        return Caps(stores[0], stores[1], 0, below)
    warehouse = below + sum(levels)
    return Caps(stores[0], stores[1], warehouse, warehouse)


def _work(tree: Tree, caps: Caps) -> float:
    decisions = np.prod(
        [float(cap + 1) ** 2 * min(cap + 1, len(pmf)) for cap, pmf in zip(caps, tree.pmfs, strict=False)]
    )
    return float(decisions) * (caps.supplier + 1) * (caps.warehouse + 1)


def _larger_caps(
    tree: Tree, caps: Caps, values: Array, shipments: NDArray[np.int16], next_stock: NDArray[np.int16]
) -> Caps:
    """The caps themselves where they are proven to be large enough, else larger ones."""
    inside = reached(shipments, next_stock, *tree.pmfs)
    stores = []
    for i in range(2):
        stocks = np.arange(caps[i] + 1).reshape((-1, 1) if i == 0 else (1, -1))[..., None, None]
        most = int((stocks + shipments[i])[inside].max())
        holds = stock_cap_holds(values, i, tree.pmfs[i], tree.holdings[2 + i], tree.shortages[i])
        fits = holds and most <= caps[i] and shipments[i][inside].max() < caps[i]
        stores.append(caps[i] if fits or i >= len(tree.stores) else caps[i] + 1)
    below = max(sum(stores), caps.warehouse)
    if tree.supplier is None:
        enough = next_stock[1][inside].max() < caps.warehouse
        return Caps(stores[0], stores[1], 0, below if enough else below + 1)
    needed = rising_from(values, 3) + sum(stores)
    enough = next_stock[:, inside].max() < caps.warehouse
    warehouse = max(needed, below if enough else below + 1)
    return Caps(stores[0], stores[1], warehouse, warehouse)


def store_costs(tree: Tree, caps: Caps) -> Array:
    """Expected holding and shortage cost of a day at the stores, ``(X_1 + 1, X_2 + 1)``."""
    first, second = (
        day_cost(tree.pmfs[i], 1.0, tree.holdings[2 + i], tree.shortages[i], caps[i] + 1) for i in range(2)
    )
    return first[:, None] + second


def iterate(tree: Tree, caps: Caps) -> tuple[float, float, Array, NDArray[np.int16], NDArray[np.int16]]:
    """Bounds on the optimal cost, values that prove them, and the decisions that have it."""
    shape = tuple(cap + 1 for cap in caps)
    values = np.zeros(shape)
    improved, shipments, next_stock = np.empty(shape), np.zeros((2, *shape), np.int16), np.zeros((2, *shape), np.int16)
    cost = store_costs(tree, caps)
    for _ in range(MOST_SWEEPS):
        sweep(
            values, *tree.pmfs, cost, tree.holdings[0], tree.holdings[1], tree.supplier is not None,
            improved, shipments, next_stock,
        )  # fmt: skip
        gain = improved - values
        low, high = float(gain.min()), float(gain.max())
        if high - low < 2 * TOLERANCE:
            return low, high, values, shipments, next_stock
        values += (1 - DAMPING) * (gain - gain.flat[0])
    raise InputError(f"network: the value iteration did not settle: cost between {low:g} and {high:g} a day")
