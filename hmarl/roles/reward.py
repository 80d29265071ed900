"""What the agents of a role are paid for a day.

Every term is a share or a number of days, so that a policy moves between SKUs and networks: units are divided by the
agent's mean demand, and a cost by mean demand x what it costs a unit. Holding cost thus counts days of stock and
stock-out cost the share of a day's demand that was short; a cost that a node does not have counts nothing. Rewards in
money (`cost`, `profit`) keep the proportions between the costs: they are divided by mean demand x :func:`cost_rate`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from hmarl.roles.observation import TILE, nodes_of
from hmarl.simulator import Params, rows
from hmarl.simulator.memory import declare, fields

declare(types.float64, 2, "safety price unit_cost")


def cost_rate(params: Params) -> np.ndarray:
    """Money a unit: its unit cost; where units cost nothing, the shortage cost, else the holding cost; ``(N, S)``."""
    rate = params.unit_cost
    for fallback in (params.shortage_cost, params.holding_cost, np.ones_like(rate)):
        rate = np.where(rate > 0, rate, fallback)
    return rate


@njit(error_model="numpy")
def _pay_store(service, short, left, planned, uncertain, safety, hold, stockout, excess, out):
    for b in range(len(out)):
        buffer = safety * np.sqrt(uncertain[b]) + planned[b]
        over = max(0.0, left[b] - buffer)
        out[b] = 10.0 * service[b] - hold * left[b] - stockout * short[b] - excess * over


@njit(error_model="numpy")
def _count_positive(count, numbers):
    for b in range(len(count)):
        count[b] += 1.0 if numbers[b] > 0.0 else 0.0


@njit(error_model="numpy")
def _pay_warehouse(served, out_of_stock, left, each, hold, out):
    for b in range(len(out)):
        out[b] = 5.0 * each * served[b] - hold * left[b] - 3.0 * each * out_of_stock[b]


@njit(error_model="numpy")
def _pay_supplier(service, late, left, hold, out):
    for b in range(len(out)):
        out[b] = 2.0 * service[b] - late[b] - hold * left[b]


@njit(cache=True, nogil=True, error_model="numpy")
def reward(w, role, out):
    """Fill ``out (B, agents)`` for role 0 store, 1 warehouse, 2 supplier.

    store: 10 service level - 0.1 holding cost - 5 stock-out cost - 0.05 excess stock
    warehouse: 5 mean store service level - 0.05 holding cost - 3 share of its stores out of stock
    supplier: 2 fill rate - 1 share delivered late - 0.05 holding cost

    Excess is what is left above forecast and safety stock as they were on the morning of the day.
    """
    left, short, unmet, service, late = fields(w, "left short unmet service late")
    planned, uncertain, safety, mean, tile = fields(w, "planned uncertain safety mean tile")
    holding, shortage, leaf_start, leaf = fields(w, "holding_cost shortage_cost leaf_start leaf")
    replications, agents = out.shape
    nodes = nodes_of(w, role)
    skus = agents // len(nodes)
    for b0 in range(0, replications, TILE):
        b1 = min(b0 + TILE, replications)
        served, out_of_stock = tile[0, : b1 - b0], tile[1, : b1 - b0]
        for a in range(agents):
            n, k, paid = nodes[a // skus], a % skus, out[b0:b1, a]
            hold = 0.05 / mean[n, k] if holding[n, k] > 0.0 else 0.0
            if role == 0:
                stockout = 5.0 / mean[n, k] if shortage[n, k] > 0.0 else 0.0
                _pay_store(
                    service[n, k, b0:b1], short[n, k, b0:b1], left[n, k, b0:b1], planned[n, k, b0:b1],
                    uncertain[n, k, b0:b1], safety[n, k], 2.0 * hold, stockout, 0.05 / mean[n, k], paid,
                )  # fmt: skip
            elif role == 1:
                rows.fill(served, 0.0)
                rows.fill(out_of_stock, 0.0)
                for j in range(leaf_start[n], leaf_start[n + 1]):
                    rows.add(served, service[leaf[j], k, b0:b1])
                    _count_positive(out_of_stock, unmet[leaf[j], k, b0:b1])
                each = 1.0 / max(leaf_start[n + 1] - leaf_start[n], 1)
                _pay_warehouse(served, out_of_stock, left[n, k, b0:b1], each, hold, paid)
            else:
                _pay_supplier(service[n, k, b0:b1], late[n, k, b0:b1], left[n, k, b0:b1], hold, paid)


@njit(error_model="numpy")
def _add_money(w, n, k, b0, b1, profit, scale, out):
    """Add minus the cost, or the profit, of a node and SKU, divided by `scale`."""
    left, short, ordered, sold, parent = fields(w, "left short ordered sold parent")
    holding, shortage, order_cost, price, unit_cost = fields(w, "holding_cost shortage_cost order_cost price unit_cost")
    hold, lack, place, per = holding[n, k], shortage[n, k], order_cost[n, k], 1.0 / scale
    earn = price[n, k] if profit else 0.0
    buy = unit_cost[n, k] if profit and parent[n] < 0 else 0.0
    for b in range(b1 - b0):
        asked = ordered[n, k, b0 + b]
        cost = hold * left[n, k, b0 + b] + lack * short[n, k, b0 + b] + (place if asked > 0.0 else 0.0)
        out[b] += per * (earn * sold[n, k, b0 + b] - buy * asked - cost)


@njit(cache=True, nogil=True, error_model="numpy")
def money_reward(w, role, profit, chain_scale, out):
    """Fill ``out (B, agents)`` with minus the cost, or the profit, of each agent, divided by its mean demand x rate; or
    of the whole chain, divided by `chain_scale` where that is not 0."""
    mean, rate, tile = fields(w, "mean rate tile")
    replications, agents = out.shape
    nodes = nodes_of(w, role)
    skus = agents // len(nodes)
    for b0 in range(0, replications, TILE):
        b1 = min(b0 + TILE, replications)
        money = tile[0, : b1 - b0]
        rows.fill(money, 0.0)
        for n in range(len(mean) if chain_scale > 0.0 else 0):
            for k in range(skus):
                _add_money(w, n, k, b0, b1, profit, chain_scale, money)
        for a in range(agents):
            n, k = nodes[a // skus], a % skus
            if chain_scale == 0.0:
                rows.fill(money, 0.0)
                _add_money(w, n, k, b0, b1, profit, mean[n, k] * rate[n, k], money)
            rows.copy(out[b0:b1, a], money)
