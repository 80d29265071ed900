"""What the agents of a role see, as features of order one.

Units are divided by the agent's mean demand (so stock reads as days of demand), days of cover by 10. Days of cover are
inventory position over forecast, at most 30, and 30 where the forecast is 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from hmarl.network.config import Network
from hmarl.simulator import rows
from hmarl.simulator.day import position_of
from hmarl.simulator.memory import declare, fields

declare(types.int64, 1, "role_start role_nodes leaf_start leaf below_start below season_row days_ahead")
declare(types.float64, 2, "mean rate season tile learn_rows")
declare(types.int64, 0, "episode_days")
TILE = 256  # replications whose observations are made together: as many as stay in the fastest memory

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
    settings = network.role_settings(role)
    return _names_by_kind(network, role) + (("identity",) if settings.identity else ())


def _names_by_kind(network: Network, role: str) -> tuple[str, ...]:
    kind = network.role_settings(role).observation
    arrivals = tuple(f"arrives_in_{k + 1}_days" for k in range(pipeline_days(network, role)))
    if kind == "stock":
        below = (
            () if role == "store" else ("echelon_position", "lowest_position_of_stores", "highest_position_of_stores")
        )
        return ("stock", *arrivals, "owed_by_source", *below)
    names = FEATURES[role]
    if kind == "pipeline":
        names += arrivals
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
        names += ("demand_yesterday",) if role == "store" else ()
    return names


@njit(error_model="numpy")
def nodes_of(w, role):
    """The nodes of a role: its agents are these, SKU by SKU."""
    role_start, role_nodes = fields(w, "role_start role_nodes")
    return role_nodes[role_start[role] : role_start[role + 1]]


@njit(error_model="numpy")
def _put(values, factor, out):
    """One feature of one agent, scaled and bounded."""
    for b in range(len(values)):
        out[b] = min(max(values[b] * factor, -LARGEST), LARGEST)


@njit(error_model="numpy")
def _put_number(value, out):
    bounded = min(max(value, -LARGEST), LARGEST)
    for b in range(len(out)):
        out[b] = bounded


@njit(error_model="numpy")
def _put_deviation(variance, factor, out):
    for b in range(len(out)):
        out[b] = min(np.sqrt(variance[b]) * factor, LARGEST)


@njit(error_model="numpy")
def _cover(position, forecast, out):
    """Tens of days that a position lasts for."""
    for b in range(len(out)):
        cover = position[b] / forecast[b] if forecast[b] > 0.0 else _MOST_COVER
        out[b] = min(max(cover, 0.0), _MOST_COVER) / _COVER


@njit(error_model="numpy")
def _lower(lowest, values):
    for b in range(len(lowest)):
        lowest[b] = min(lowest[b], values[b])


@njit(error_model="numpy")
def _raise(highest, values):
    for b in range(len(highest)):
        highest[b] = max(highest[b], values[b])


@njit(error_model="numpy")
def _put_signs(numbers, out):
    for b in range(len(out)):
        out[b] = 1.0 if numbers[b] > 0.0 else 0.0


@njit(error_model="numpy")
def _put_room(ordered, capacity, factor, out):
    for b in range(len(out)):
        out[b] = min(max((capacity - ordered[b]) * factor, 0.0), _MOST_CAPACITY)


@njit(error_model="numpy")
def _observe_store(w, n, k, b0, b1, out):
    owed, sent, in_transit, on_hand, parent = fields(w, "owed orders_sent in_transit on_hand parent")
    forecast, variance, unmet, mean, tile = fields(w, "forecast variance unmet mean tile")
    position, cover, per_unit = tile[0, : b1 - b0], tile[1, : b1 - b0], 1.0 / mean[n, k]
    _stock(w, n, k, b0, b1, position)
    _put(position, per_unit, out[:, 0])
    _put(forecast[n, k, b0:b1], per_unit, out[:, 1])
    _put_deviation(variance[n, k, b0:b1], per_unit, out[:, 2])
    for d in range(in_transit.shape[2]):
        rows.add(position, in_transit[n, k, d, b0:b1])
    rows.add(position, owed[n, k, b0:b1])
    for d in range(sent.shape[2]):
        rows.add(position, sent[n, k, d, b0:b1])
    _cover(position, forecast[n, k, b0:b1], cover)
    _put(cover, 1.0, out[:, 3])
    _put_signs(unmet[n, k, b0:b1], out[:, 4])
    above = parent[n]
    if above >= 0:
        _put(on_hand[above, k, b0:b1], 1.0 / (mean[above, k] * _COVER), out[:, 5])
    else:
        _put_number(1.0, out[:, 5])
    _put_service(w, n, k, b0, b1, out[:, 6])


@njit(error_model="numpy")
def _observe_warehouse(w, n, k, b0, b1, out):
    on_hand, owed, backorders, in_transit = fields(w, "on_hand owed backorders in_transit")
    forecast, service, leaf_start, leaf, tile = fields(w, "forecast service leaf_start leaf tile")
    size, count = b1 - b0, leaf_start[n + 1] - leaf_start[n]
    work, lowest, total, served = tile[0, :size], tile[1, :size], tile[2, :size], tile[3, :size]
    _put_orders_and_stock(w, n, k, b0, b1, out)
    rows.fill(lowest, _MOST_COVER / _COVER)
    rows.fill(total, 0.0)
    rows.fill(served, 0.0)
    for j in range(leaf_start[n], leaf_start[n + 1]):
        c = leaf[j]
        rows.copy(work, on_hand[c, k, b0:b1])
        rows.add(work, owed[c, k, b0:b1])
        rows.subtract(work, backorders[c, k, b0:b1])
        for d in range(in_transit.shape[2]):
            rows.add(work, in_transit[c, k, d, b0:b1])
        _cover(work, forecast[c, k, b0:b1], work)
        _lower(lowest, work)
        rows.add(total, work)
        rows.add(served, service[c, k, b0:b1])
    _put(lowest, 1.0, out[:, 3])
    _put(total, 1.0 / max(count, 1), out[:, 4])
    if count > 0:
        _put(served, 1.0 / count, out[:, 5])
    else:
        _put_number(1.0, out[:, 5])


@njit(error_model="numpy")
def _observe_supplier(w, n, k, b0, b1, out):
    ordered, capacity, lead, day, delay = fields(w, "ordered order_capacity lead_time day delay")
    mean = fields(w, "mean")
    _put_orders_and_stock(w, n, k, b0, b1, out)
    if capacity[n] < np.inf:
        _put_room(ordered[n, k, b0:b1], capacity[n], 1.0 / mean[n, k], out[:, 3])
    else:
        _put_number(_MOST_CAPACITY, out[:, 3])
    for b in range(b1 - b0):
        out[b, 4] = min((lead[n] + delay[min(day[b0 + b], len(delay) - 1), n]) / _COVER, LARGEST)
    _put_service(w, n, k, b0, b1, out[:, 5])


@njit(error_model="numpy")
def _stock(w, n, k, b0, b1, stock):
    """On hand less what is owed to customers and to the nodes below."""
    on_hand, backorders, owed, child_start, child = fields(w, "on_hand backorders owed child_start child")
    rows.copy(stock, on_hand[n, k, b0:b1])
    rows.subtract(stock, backorders[n, k, b0:b1])
    for j in range(child_start[n], child_start[n + 1]):
        rows.subtract(stock, owed[child[j], k, b0:b1])


@njit(error_model="numpy")
def _put_orders_and_stock(w, n, k, b0, b1, out):
    incoming, in_transit, mean, tile = fields(w, "incoming in_transit mean tile")
    work, per_unit = tile[0, : b1 - b0], 1.0 / mean[n, k]
    _put(incoming[n, k, b0:b1], per_unit, out[:, 0])
    _stock(w, n, k, b0, b1, work)
    _put(work, per_unit, out[:, 1])
    rows.fill(work, 0.0)
    for d in range(in_transit.shape[2]):
        rows.add(work, in_transit[n, k, d, b0:b1])
    _put(work, per_unit, out[:, 2])


@njit(error_model="numpy")
def _put_service(w, n, k, b0, b1, out):
    """Mean service of the last seven days."""
    week, tile = fields(w, "week tile")
    work, days = tile[0, : b1 - b0], week.shape[2]
    rows.fill(work, 0.0)
    for d in range(days):
        rows.add(work, week[n, k, d, b0:b1])
    _put(work, 1.0 / days, out)


@njit(error_model="numpy")
def season_on(w, n, day):
    """The calendar's multiplier of the mean demand of the stores below a node."""
    season, row, calendar = fields(w, "season season_row calendar")
    start, cycle = calendar[0], calendar[1]
    return season[row[n], day if day < start else start + (day - start) % cycle]


@njit(error_model="numpy")
def _put_arrivals(w, n, k, b0, b1, apart, out):
    """Arrivals by day, the last of the `apart` days with all that comes later, and what the source owes."""
    in_transit, owed, sent, mean, tile = fields(w, "in_transit owed orders_sent mean tile")
    work, days, per_unit = tile[0, : b1 - b0], in_transit.shape[2], 1.0 / mean[n, k]
    for f in range(apart):
        rows.fill(work, 0.0)
        for d in range(f, days if f == apart - 1 else min(f + 1, days)):
            rows.add(work, in_transit[n, k, d, b0:b1])
        _put(work, per_unit, out[:, f])
    rows.copy(work, owed[n, k, b0:b1])
    for d in range(sent.shape[2]):
        rows.add(work, sent[n, k, d, b0:b1])
    _put(work, per_unit, out[:, apart])


@njit(error_model="numpy")
def _echelon(w, n, k, b0, b1, position):
    """Position of a node and all below it together."""
    below_start, below, tile = fields(w, "below_start below tile")
    other = tile[1, : b1 - b0]
    rows.fill(position, 0.0)
    for j in range(below_start[n], below_start[n + 1]):
        position_of(w, below[j], k, b0, b1, other)
        rows.add(position, other)


@njit(error_model="numpy")
def _observe_stock(w, n, k, b0, b1, role, apart, out):
    """What there is and what is on its way; upstream also at the stores below."""
    mean, leaf_start, leaf, tile = fields(w, "mean leaf_start leaf tile")
    size, per_unit = b1 - b0, 1.0 / mean[n, k]
    work, other, lowest, highest = tile[0, :size], tile[1, :size], tile[2, :size], tile[3, :size]
    _stock(w, n, k, b0, b1, work)
    _put(work, per_unit, out[:, 0])
    _put_arrivals(w, n, k, b0, b1, apart, out[:, 1:])
    if role == 0:
        return
    out = out[:, apart + 2 :]
    _echelon(w, n, k, b0, b1, work)
    _put(work, per_unit, out[:, 0])
    rows.fill(lowest, LARGEST)
    rows.fill(highest, -LARGEST)
    for j in range(leaf_start[n], leaf_start[n + 1]):
        c = leaf[j]
        position_of(w, c, k, b0, b1, work)
        _put(work, 1.0 / mean[c, k], other)
        _lower(lowest, other)
        _raise(highest, other)
    _put(lowest, 1.0, out[:, 1])
    _put(highest, 1.0, out[:, 2])


@njit(error_model="numpy")
def _observe_pipeline(w, n, k, b0, b1, role, apart, out):
    """Arrivals by day, what is owed, the forecast, season, costs, days left, a store's demand of yesterday."""
    day, yesterday = fields(w, "day yesterday")
    forecast, variance, mean, rate, tile = fields(w, "forecast variance mean rate tile")
    holding, shortage, order_cost = fields(w, "holding_cost shortage_cost order_cost")
    ahead, episode = fields(w, "days_ahead episode_days")
    weekdays, first_weekday = fields(w, "weekdays first_weekday")
    work, scale = tile[0, : b1 - b0], mean[n, k]
    per_unit = 1.0 / scale
    _put_arrivals(w, n, k, b0, b1, apart, out)
    out = out[:, apart:]
    _put(forecast[n, k, b0:b1], per_unit, out[:, 1])
    _put_deviation(variance[n, k, b0:b1], per_unit, out[:, 2])
    _echelon(w, n, k, b0, b1, work)
    _put(work, per_unit / _COVER, out[:, 3])
    _put_number(holding[n, k] / rate[n, k], out[:, 6])
    _put_number(shortage[n, k] / rate[n, k], out[:, 7])
    _put_number(order_cost[n, k] / (rate[n, k] * scale), out[:, 8])
    for b in range(b1 - b0):
        today = day[b0 + b]
        out[b, 4] = min(season_on(w, n, today), LARGEST)
        out[b, 5] = min(season_on(w, n, today + ahead[n]), LARGEST)
        out[b, 9] = min(max(episode - today, 0), _LAST_DAYS) / _LAST_DAYS
        weekday = (today + first_weekday) % 7
        for f in range(7 if weekdays else 0):
            out[b, 10 + f] = 1.0 if f == weekday else 0.0
    if role == 0:
        _put(yesterday[n, k, b0:b1], per_unit, out[:, 17 if weekdays else 10])


@njit(cache=True, nogil=True, error_model="numpy")
def observe(w, role, out):
    """Fill ``out (B, agents, features)`` for role 0 store, 1 warehouse, 2 supplier."""
    replications, agents, _ = out.shape
    nodes = nodes_of(w, role)
    skus = agents // len(nodes)
    for b0 in range(0, replications, TILE):
        b1 = min(b0 + TILE, replications)
        for a in range(agents):
            n, k, seen = nodes[a // skus], a % skus, out[b0:b1, a]
            if role == 0:
                _observe_store(w, n, k, b0, b1, seen)
            elif role == 1:
                _observe_warehouse(w, n, k, b0, b1, seen)
            else:
                _observe_supplier(w, n, k, b0, b1, seen)


@njit(cache=True, nogil=True, error_model="numpy")
def observe_pipeline(w, role, apart, first, out):
    """Fill ``out (B, agents, features)`` from feature `first` on; `apart` days of arrivals are told apart."""
    replications, agents, _ = out.shape
    nodes = nodes_of(w, role)
    skus = agents // len(nodes)
    for b0 in range(0, replications, TILE):
        b1 = min(b0 + TILE, replications)
        for a in range(agents):
            _observe_pipeline(w, nodes[a // skus], a % skus, b0, b1, role, apart, out[b0:b1, a, first:])


@njit(cache=True, nogil=True, error_model="numpy")
def observe_stock(w, role, apart, out):
    """Fill ``out (B, agents, features)`` with what there is and what is on its way, `apart` days told apart."""
    replications, agents, _ = out.shape
    nodes = nodes_of(w, role)
    skus = agents // len(nodes)
    for b0 in range(0, replications, TILE):
        b1 = min(b0 + TILE, replications)
        for a in range(agents):
            _observe_stock(w, nodes[a // skus], a % skus, b0, b1, role, apart, out[b0:b1, a])
