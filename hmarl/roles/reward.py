"""What the agents of a role are paid for a day.

Every term is a share or a number of days, so that a policy moves between SKUs and networks: units are divided by the
agent's mean demand, and a cost by mean demand x what it costs a unit. Holding cost thus counts days of stock and
stock-out cost the share of a day's demand that was short; a cost that a node does not have counts nothing. Rewards in
money (`cost`, `profit`) keep the proportions between the costs: they are divided by mean demand x :func:`cost_rate`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hmarl.simulator import Params


def cost_rate(params: Params) -> np.ndarray:
    """Money a unit: its unit cost; where units cost nothing, the shortage cost, else the holding cost; ``(N, S)``."""
    rate = params.unit_cost
    for fallback in (params.shortage_cost, params.holding_cost, np.ones_like(rate)):
        rate = np.where(rate > 0, rate, fallback)
    return rate


@njit(cache=True, nogil=True, error_model="numpy")
def reward_default(role, nodes, p, o, known, leaf_start, leaf, mean, safety, uncertain, planned, out):
    """Fill ``out (B, agents)`` for role 0 store, 1 warehouse, 2 supplier.

    `planned` and `uncertain` are the forecast and the variance of its errors on the morning of the day.

    store: 10 service level - 0.1 holding cost - 5 stock-out cost - 0.05 excess stock
    warehouse: 5 mean store service level - 0.05 holding cost - 3 share of its stores out of stock
    supplier: 2 fill rate - 1 share delivered late - 0.05 holding cost
    """
    left, short, unmet, service, late = o.left, o.short, o.unmet, known.service, known.late
    holding, shortage = p.holding_cost, p.shortage_cost
    replications, _, skus = left.shape
    for b in range(replications):
        for i in range(nodes.shape[0]):
            n = nodes[i]
            for k in range(skus):
                scale = mean[n, k]
                hold = left[b, n, k] / scale if holding[n, k] > 0.0 else 0.0
                if role == 0:
                    stockout = short[b, n, k] / scale if shortage[n, k] > 0.0 else 0.0
                    buffer = safety[n, k] * np.sqrt(uncertain[b, n, k]) + planned[b, n, k]
                    excess = max(0.0, left[b, n, k] - buffer) / scale
                    value = 10.0 * service[b, n, k] - 0.1 * hold - 5.0 * stockout - 0.05 * excess
                elif role == 1:
                    served, out_of_stock, count = 0.0, 0.0, 0
                    for j in range(leaf_start[n], leaf_start[n + 1]):
                        served += service[b, leaf[j], k]
                        out_of_stock += 1.0 if unmet[b, leaf[j], k] > 0.0 else 0.0
                        count += 1
                    count = max(count, 1)
                    value = 5.0 * served / count - 0.05 * hold - 3.0 * out_of_stock / count
                else:
                    value = 2.0 * service[b, n, k] - late[b, n, k] - 0.05 * hold
                out[b, i * skus + k] = value
