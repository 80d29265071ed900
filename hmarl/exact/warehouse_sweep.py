"""The kernels of :mod:`hmarl.exact.warehouse`; tables are by x_1, x_2, x_s, x_w."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def expect(values, pmf, stock, shipped, out):
    """``out = E values[(stock - D)^+ + shipped]``, the first axis at most its cap."""
    cap = len(values) - 1
    out[...] = 0.0
    left = 1.0
    for d in range(min(stock, len(pmf))):
        row = values[min(stock - d + shipped, cap)]
        for i in range(len(out)):
            out[i] += pmf[d] * row[i]
        left -= pmf[d]
    row = values[min(shipped, cap)]
    for i in range(len(out)):
        out[i] += left * row[i]


@njit(cache=True, error_model="numpy")
def order_outside(expected, upstream, best, chosen):
    """``best[k, a] = min over b >= a of expected`` along the outermost node's axis, and the b."""
    rows, columns = expected.shape
    for a in range(rows):
        for b in range(columns):
            best[a, b] = expected[a, b]
            chosen[a, b] = a if upstream else b
    if upstream:
        for a in range(rows - 2, -1, -1):
            for b in range(columns):
                if best[a + 1, b] <= best[a, b]:
                    best[a, b], chosen[a, b] = best[a + 1, b], chosen[a + 1, b]
    else:
        for b in range(columns - 2, -1, -1):
            if best[0, b + 1] <= best[0, b]:
                best[0, b], chosen[0, b] = best[0, b + 1], chosen[0, b + 1]


@njit(cache=True, error_model="numpy")
def ship_inside(best, chosen, h_s, h_w, upstream, cost, to_s, to_w):
    """Cost of x_s at the supplier and m_w left at the warehouse, and the next stocks that have it."""
    suppliers, warehouses = best.shape
    if not upstream:
        for m in range(warehouses):
            cost[0, m] = best[0, m] + h_w * m
            to_w[0, m] = chosen[0, m]
        return
    for total in range(suppliers + warehouses - 1):  # x_s + m_w
        least, a, b = np.inf, 0, 0
        for x in range(min(total, suppliers - 1) + 1):  # m_s = x is possible from x_s = x on
            warehouse = min(total - x, warehouses - 1)
            candidate = best[x, warehouse] + h_s * x
            if candidate < least:
                least, a, b = candidate, chosen[x, warehouse], warehouse
            m = total - x
            if m < warehouses:
                cost[x, m] = least + h_w * m
                to_s[x, m], to_w[x, m] = a, b


@njit(cache=True, error_model="numpy")
def _throw_away(cost, to_s, to_w):
    """What is shipped above a store's cap vanishes: no more need be left at the warehouse than is best."""
    for x in range(cost.shape[0]):
        for m in range(1, cost.shape[1]):
            if cost[x, m - 1] < cost[x, m]:
                cost[x, m], to_s[x, m], to_w[x, m] = cost[x, m - 1], to_s[x, m - 1], to_w[x, m - 1]


@njit(cache=True, error_model="numpy")
def sweep(values, pmf_1, pmf_2, store_cost, h_s, h_w, upstream, improved, shipments, next_stock):
    """``improved = T values`` and the decisions of the minimum."""
    stocks_1, stocks_2, suppliers, warehouses = values.shape
    flat = values.reshape(stocks_1, stocks_2 * suppliers * warehouses)
    half, expected = np.empty(flat.shape[1]), np.empty(suppliers * warehouses)
    best, cost = np.empty((suppliers, warehouses)), np.empty((suppliers, warehouses))
    chosen, to_s = np.zeros(best.shape, np.int16), np.zeros(best.shape, np.int16)
    to_w = np.zeros(best.shape, np.int16)
    improved[...] = np.inf
    for x_1 in range(stocks_1):
        for u_1 in range(stocks_1):
            expect(flat, pmf_1, x_1, u_1, half)
            for x_2 in range(stocks_2):
                row, ship, follow = improved[x_1, x_2], shipments[:, x_1, x_2], next_stock[:, x_1, x_2]
                for u_2 in range(min(stocks_2, warehouses - u_1)):
                    expect(half.reshape(stocks_2, suppliers * warehouses), pmf_2, x_2, u_2, expected)
                    order_outside(expected.reshape(suppliers, warehouses), upstream, best, chosen)
                    ship_inside(best, chosen, h_s, h_w, upstream, cost, to_s, to_w)
                    if u_1 == stocks_1 - 1 or (u_2 == stocks_2 - 1 and u_2 > 0):
                        _throw_away(cost, to_s, to_w)
                    u = u_1 + u_2
                    for s in range(suppliers):
                        for w in range(u, warehouses):
                            if cost[s, w - u] < row[s, w] - 1e-12:
                                row[s, w] = cost[s, w - u]
                                ship[0, s, w], ship[1, s, w] = u_1, u_2
                                follow[0, s, w], follow[1, s, w] = to_s[s, w - u], to_w[s, w - u]

    for x_1 in range(stocks_1):
        for x_2 in range(stocks_2):
            improved[x_1, x_2] += store_cost[x_1, x_2]


@njit(cache=True, error_model="numpy")
def reached(shipments, next_stock, pmf_1, pmf_2):
    """Which states the decisions lead to from the empty network, beginning with none on hand anywhere."""
    stocks_1, stocks_2, suppliers, warehouses = shipments.shape[1:]
    inside = np.zeros((stocks_1, stocks_2, suppliers, warehouses), np.bool_)
    waiting = [(0, 0, 0, 0)]
    inside[0, 0, 0, 0] = True
    while len(waiting) > 0:
        i, j, s, w = waiting.pop()
        to_s, to_w = next_stock[0, i, j, s, w], next_stock[1, i, j, s, w]
        for d in range(min(i + 1, len(pmf_1))):
            a = min(i - d + shipments[0, i, j, s, w], stocks_1 - 1)
            for e in range(min(j + 1, len(pmf_2))):
                b = min(j - e + shipments[1, i, j, s, w], stocks_2 - 1)
                if not inside[a, b, to_s, to_w]:
                    inside[a, b, to_s, to_w] = True
                    waiting.append((a, b, to_s, to_w))
    return inside
