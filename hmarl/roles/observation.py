"""What the agents of a role see, as features of order one.

Units are divided by the agent's mean demand (so stock reads as days of demand), days of cover by 10. Days of cover are
inventory position over forecast, at most 30, and 30 where the forecast is 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hmarl.network.config import Network

FEATURES = {
    "store": (
        "stock", "forecast", "uncertainty", "days_of_cover", "stocked_out_yesterday", "warehouse_stock",
        "service_level_7_days",
    ),
    "warehouse": (
        "orders_yesterday", "stock", "inbound", "lowest_cover_of_stores", "mean_cover_of_stores",
        "service_level_of_stores",
    ),
    "supplier": ("orders_yesterday", "stock", "in_production", "capacity_left", "lead_time", "fill_rate_7_days"),
}  # fmt: skip
LARGEST = 100.0
_COVER, _MOST_COVER, _MOST_CAPACITY = 10.0, 30.0, 10.0
_LAST_DAYS = 14


def pipeline_days(network: Network, role: str) -> int:
    """Days of arrivals that the observation `pipeline` tells apart.

    Where not configured, the role's longest lead time less 1: what was shipped yesterday arrives in L - 1 days.
    """
    configured = network.role_settings(role).pipeline_days
    return configured or max(1, *(network.longest_lead_time(name) - 1 for name in network.nodes_of(role)))


def feature_names(network: Network, role: str) -> tuple[str, ...]:
    """Names of an agent's observation, in order."""
    names = FEATURES[role]
    if network.role_settings(role).observation == "pipeline":
        names += tuple(f"arrives_in_{k + 1}_days" for k in range(pipeline_days(network, role)))
        names += (
            "owed_by_source",
            "own_forecast",
            "own_uncertainty",
            "echelon_position",
            "season_today",
            "season_ahead",
        )
        names += ("holding_cost", "shortage_cost", "order_cost", "days_left")
        names += tuple(f"weekday_{k}" for k in range(7)) if network.period == "day" else ()
    return names


@njit(error_model="numpy")
def _cover(position, forecast):
    if forecast <= 0.0:
        return _MOST_COVER
    return min(max(position / forecast, 0.0), _MOST_COVER)


@njit(cache=True, nogil=True, error_model="numpy")
def observe_default(role, nodes, p, s, o, known, leaf_start, leaf, mean, out):
    """Fill ``out (B, agents, features)`` for role 0 store, 1 warehouse, 2 supplier; `leaf` lists the stores below."""
    on_hand, in_transit, owed, backorders, sent = s.on_hand, s.in_transit, s.owed, s.backorders, s.orders_sent
    forecast, variance, week, service = known.forecast, known.variance, known.week, known.service
    incoming, unmet, ordered = o.incoming, o.unmet, o.ordered
    parent, child_start, child, capacity, lead = p.parent, p.child_start, p.child, p.order_capacity, p.lead_time
    day, delay = s.day, p.delay
    replications, _, skus, days = in_transit.shape
    for b in range(replications):
        for i in range(nodes.shape[0]):
            n = nodes[i]
            for k in range(skus):
                a, scale = i * skus + k, mean[n, k]
                stock = on_hand[b, n, k] - backorders[b, n, k]
                for j in range(child_start[n], child_start[n + 1]):
                    stock -= owed[b, child[j], k]
                pipeline = 0.0
                for d in range(days):
                    pipeline += in_transit[b, n, k, d]
                average = 0.0
                for d in range(week.shape[3]):
                    average += week[b, n, k, d] / week.shape[3]
                if role == 0:
                    coming = owed[b, n, k]
                    for d in range(sent.shape[3]):
                        coming += sent[b, n, k, d]
                    up = parent[n]
                    out[b, a, 0] = stock / scale
                    out[b, a, 1] = forecast[b, n, k] / scale
                    out[b, a, 2] = np.sqrt(variance[b, n, k]) / scale
                    out[b, a, 3] = _cover(stock + pipeline + coming, forecast[b, n, k]) / _COVER
                    out[b, a, 4] = 1.0 if unmet[b, n, k] > 0.0 else 0.0
                    out[b, a, 5] = on_hand[b, up, k] / mean[up, k] / _COVER if up >= 0 else 1.0
                    out[b, a, 6] = average
                elif role == 1:
                    lowest, total, served, count = _MOST_COVER, 0.0, 0.0, 0
                    for j in range(leaf_start[n], leaf_start[n + 1]):
                        c = leaf[j]
                        position = on_hand[b, c, k] + owed[b, c, k] - backorders[b, c, k]
                        for d in range(days):
                            position += in_transit[b, c, k, d]
                        cover = _cover(position, forecast[b, c, k])
                        lowest = min(lowest, cover)
                        total += cover
                        served += service[b, c, k]
                        count += 1
                    out[b, a, 0] = incoming[b, n, k] / scale
                    out[b, a, 1] = stock / scale
                    out[b, a, 2] = pipeline / scale
                    out[b, a, 3] = lowest / _COVER
                    out[b, a, 4] = total / max(count, 1) / _COVER
                    out[b, a, 5] = served / count if count > 0 else 1.0
                else:
                    used = ordered[b, n, k]
                    room = (capacity[n] - used) / scale if capacity[n] < np.inf else _MOST_CAPACITY
                    out[b, a, 0] = incoming[b, n, k] / scale
                    out[b, a, 1] = stock / scale
                    out[b, a, 2] = pipeline / scale
                    out[b, a, 3] = min(max(room, 0.0), _MOST_CAPACITY)
                    out[b, a, 4] = (lead[n] + delay[min(day[b], delay.shape[0] - 1), n]) / _COVER
                    out[b, a, 5] = average
                for f in range(out.shape[2]):
                    out[b, a, f] = min(max(out[b, a, f], -LARGEST), LARGEST)


@njit(cache=True, nogil=True, error_model="numpy")
def observe_pipeline(
    nodes, p, s, known, echelon, season, mean, rate, told_apart, episode_days, first_weekday, weekdays, start, out
):
    """Fill the features from column `start` on: arrivals by day, what is owed, the forecast, season, costs, days left.

    `echelon (B, N, S)` is the echelon position; `season (B, N, 2)` the calendar's multiplier today and on the day that
    today's order serves.

    The last of the `told_apart` days of arrivals holds all that comes later, too.
    """
    in_transit, owed, sent, day = s.in_transit, s.owed, s.orders_sent, s.day
    forecast, variance = known.forecast, known.variance
    holding, shortage, order_cost = p.holding_cost, p.shortage_cost, p.order_cost
    replications, _, skus, days = in_transit.shape
    for b in range(replications):
        left = min(max(episode_days - day[b], 0), _LAST_DAYS) / _LAST_DAYS
        weekday = (day[b] + first_weekday) % 7
        for i in range(nodes.shape[0]):
            n = nodes[i]
            for k in range(skus):
                a, f, scale = i * skus + k, start, mean[n, k]
                for d in range(told_apart):
                    out[b, a, f + d] = 0.0
                for d in range(days):
                    out[b, a, f + min(d, told_apart - 1)] += in_transit[b, n, k, d] / scale
                f += told_apart
                coming = owed[b, n, k]
                for d in range(sent.shape[3]):
                    coming += sent[b, n, k, d]
                out[b, a, f] = coming / scale
                out[b, a, f + 1] = forecast[b, n, k] / scale
                out[b, a, f + 2] = np.sqrt(variance[b, n, k]) / scale
                out[b, a, f + 3] = echelon[b, n, k] / scale / _COVER
                out[b, a, f + 4] = season[b, n, 0]
                out[b, a, f + 5] = season[b, n, 1]
                out[b, a, f + 6] = holding[n, k] / rate[n, k]
                out[b, a, f + 7] = shortage[n, k] / rate[n, k]
                out[b, a, f + 8] = order_cost[n, k] / (rate[n, k] * scale)
                out[b, a, f + 9] = left
                for w in range(7 if weekdays else 0):
                    out[b, a, f + 10 + w] = 1.0 if w == weekday else 0.0
                for g in range(start, out.shape[2]):
                    out[b, a, g] = min(max(out[b, a, g], -LARGEST), LARGEST)
