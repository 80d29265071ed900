"""What stores can reach that see only their own stock: the price of decentralisation.

Each store orders by a table of its own stock; the warehouse (and the supplier) see every stock and order as is best
for these tables. A shortage is shared as the network says. Given the tables,
relative value iteration on the joint state bounds the cost (:mod:`hmarl.exact.value_iteration`). From the best capped
base-stock tables on, an entry, or two next to each other, are moved by one unit until that no longer helps. The cost
is one that is reached; nothing proves that no other tables cost less.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hmarl.errors import InputError
from hmarl.exact import warehouse
from hmarl.exact.value_iteration import MOST_SWEEPS
from hmarl.exact.warehouse_sweep import expect, order_outside, reached, ship_inside
from hmarl.network.config import Network
from hmarl.simulator.sharing import share_equal_shortfall, share_proportionally

Tables = NDArray[np.int16]

_TOLERANCE = 2e-5  # money a day; a gain below it is none
_STARTS = 4


def best_decentralised(network: Network, shared: bool = True) -> float:
    """The lowest cost found, money a day, of stores that order by their own stock alone.

    Parameters
    ----------
    shared
        Stores that are alike order by one table, as agents that share a policy do; else each has its own, which costs
        less (stores need not ask for the last unit at the same time).

    Raises
    ------
    InputError
        If the network is not stores behind a warehouse that :mod:`hmarl.exact.warehouse` solves, or keeps unfilled
        orders.
    """
    known = warehouse.fits(network)
    reason = warehouse.refusal(network) if known else "it is not stores behind a warehouse with lost sales"
    if reason is None and network.unfilled_orders == "keep":
        reason = "unfilled orders are kept, they must be cancelled"
    if reason is not None:
        raise InputError(f"network {network.name}: the cost of decentralised stores is not known: {reason}")
    search = Search(network, warehouse.tree_of(network), shared)
    most = max(search.caps[:2])
    starts = [search.capped_base_stock(level, cap) for level in range(1, most + 1) for cap in range(1, level + 1)]
    return min(search.improved(start)[0] for start in sorted(starts, key=search.cost)[:_STARTS])


class Search:
    """The stores' tables ``(2, X + 1)``, units by own stock, and what they cost.

    Attributes
    ----------
    shipments, next_stock
        What the tables judged last lead to, ``(2, X_1 + 1, X_2 + 1, X_s + 1, X_w + 1)``; see
        :class:`hmarl.exact.warehouse.TreeTable`.
    """

    def __init__(self, network: Network, known: warehouse.Tree, shared: bool = True) -> None:
        self.tree, self.caps = known, warehouse.first_caps(known)
        self._shape = tuple(cap + 1 for cap in self.caps)
        self._store_costs = warehouse.store_costs(known, self.caps)
        self._values, self._improved = np.zeros(self._shape), np.zeros(self._shape)
        self.shipments, self.next_stock = (np.zeros((2, *self._shape), np.int16) for _ in range(2))
        equal = network.shortage == "equal_shortfall"
        self._shares = _shares(self.caps.store_1, self.caps.store_2, self.caps.warehouse, equal)
        items = [
            network.item(known.names[n], network.skus[0]).model_copy(update={"opening_stock": 0}) for n in known.stores
        ]
        alike = shared and len(items) == 2 and items[0] == items[1]
        self._groups = [[0, 1]] if alike else [[i] for i in range(len(items))]

    def capped_base_stock(self, level: int, cap: int) -> Tables:
        """Both stores order up to the level (the largest of their table where that is less), at most `cap`."""
        tables = np.zeros((2, max(self._shape[:2])), np.int16)
        for i in range(2):
            stock = np.arange(self._shape[i])
            tables[i, : self._shape[i]] = np.clip(min(level, self.caps[i]) - stock, 0, cap)
        return tables

    def improved(self, tables: Tables) -> tuple[float, Tables]:
        """Cost and tables when no neighbour helps."""
        best, changed = self.cost(tables), True
        while changed:
            changed = False
            for group in self._groups:
                for moved in self._neighbours(tables, group):
                    cost = self.cost(moved, best)
                    if cost < best - _TOLERANCE:
                        best, tables, changed = cost, moved, True
                        break
        return best, tables

    def _neighbours(self, tables: Tables, group: list[int]) -> Iterator[Tables]:
        """Tables with one entry, or two next to each other, one unit higher or lower."""
        cap = self.caps[group[0]]
        for stock, second in itertools.product(range(cap + 1), (0, 1, -1)):
            for first in (1, -1):
                moved = tables.copy()
                moved[group, stock] += first
                moved[group, min(stock + 1, cap)] += second
                orders = moved[group[0], : cap + 1]
                if (orders >= 0).all() and (orders + np.arange(cap + 1) <= cap).all():
                    yield moved

    def cost(self, tables: Tables, worst: float = np.inf) -> float:
        """The cost of these tables with the best orders behind them; infinite where it cannot be below `worst`."""
        known = self.tree
        for _ in range(MOST_SWEEPS):
            sweep_tables(
                self._values, *known.pmfs, self._store_costs, known.holdings[0], known.holdings[1],
                known.supplier is not None, tables, self._shares, self._improved, self.shipments, self.next_stock,
            )  # fmt: skip
            gain = self._improved - self._values
            low, high = float(gain.min()), float(gain.max())
            self._values, self._improved = self._improved - self._improved.flat[0], self._values
            if low >= worst - _TOLERANCE:
                return np.inf
            if high - low < _TOLERANCE / 2:
                break
        inside = reached(self.shipments, self.next_stock, *known.pmfs)
        return high if self.next_stock[:, inside].max() < self.caps.warehouse else np.inf


@njit(cache=True)
def _shares(most_1, most_2, available, equal):
    """What the stores get, ``(2, asked_1, asked_2, available)`` units, shared as the simulator shares."""
    out = np.zeros((2, most_1 + 1, most_2 + 1, available + 1), np.int16)
    share, scratch, child = np.zeros((2, 1, 1)), np.zeros((2, 1, 1)), np.arange(2)
    stock, total, left = np.zeros(1), np.zeros(1), np.zeros(1)
    for i in range(most_1 + 1):
        for j in range(most_2 + 1):
            for k in range(available + 1):
                share[0, 0, 0], share[1, 0, 0] = i, j
                stock[0], total[0] = k, i + j
                if equal and i + j > k:
                    share_equal_shortfall(share, scratch, child, 0, 2, 0, 0, stock[0], total[0], True)
                elif i + j > k:
                    share_proportionally(share, scratch, child, 0, 2, 0, stock, total, left, True)
                out[0, i, j, k], out[1, i, j, k] = share[0, 0, 0], share[1, 0, 0]
    return out


@njit(cache=True, error_model="numpy")
def sweep_tables(
    values, pmf_1, pmf_2, store_cost, h_s, h_w, upstream, tables, shares, improved, shipments, next_stock
):  # fmt: skip
    """One day of stores that order by `tables`, the best orders of the others, then `values`."""
    stocks_1, stocks_2, suppliers, warehouses = values.shape
    flat = values.reshape(stocks_1, stocks_2 * suppliers * warehouses)
    half, expected = np.empty(flat.shape[1]), np.empty(suppliers * warehouses)
    best, cost = np.empty((suppliers, warehouses)), np.empty((suppliers, warehouses))
    chosen, to_s = np.zeros(best.shape, np.int16), np.zeros(best.shape, np.int16)
    to_w = np.zeros(best.shape, np.int16)
    for x_1 in range(stocks_1):
        for x_2 in range(stocks_2):
            u_1, u_2 = -1, -1
            for w in range(warehouses):
                get_1, get_2 = shares[:, tables[0, x_1], tables[1, x_2], w]
                if get_1 != u_1 or get_2 != u_2:
                    u_1, u_2 = get_1, get_2
                    expect(flat, pmf_1, x_1, u_1, half)
                    expect(half.reshape(stocks_2, suppliers * warehouses), pmf_2, x_2, u_2, expected)
                    order_outside(expected.reshape(suppliers, warehouses), upstream, best, chosen)
                    ship_inside(best, chosen, h_s, h_w, upstream, cost, to_s, to_w)
                m = w - u_1 - u_2
                for s in range(suppliers):
                    improved[x_1, x_2, s, w] = store_cost[x_1, x_2] + cost[s, m]
                    shipments[0, x_1, x_2, s, w], shipments[1, x_1, x_2, s, w] = u_1, u_2
                    next_stock[0, x_1, x_2, s, w], next_stock[1, x_1, x_2, s, w] = to_s[s, m], to_w[s, m]
