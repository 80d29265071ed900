"""What agents learn from the past: a causal forecast, its error, and the service of the last days."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from hmarl.network.config import ForecastSettings
from hmarl.simulator import Params, rows
from hmarl.simulator.memory import declare, fields

declare(types.float64, 3, "forecast variance level yesterday service late planned uncertain")
declare(types.float64, 4, "factor window week")
declare(types.int64, 0, "method weekdays first_weekday")
declare(types.float64, 1, "smoothing")

SERVICE_DAYS = 7
_QUIET = 0.1  # a weekday of less than a tenth of the usual demand says nothing about its level
_METHODS = {"moving_average": 0, "exponential": 1, "seasonal": 2}


class Knowledge(NamedTuple):
    """B replications, N nodes, S SKUs. A node's demand is its customers' and the orders it hears from below."""

    forecast: np.ndarray  # (B, N, S) of today's demand, made from the days before, units
    variance: np.ndarray  # (B, N, S) of its errors, units squared
    level: np.ndarray  # (B, N, S) the forecast before the weekday's factor
    factor: np.ndarray  # (B, N, S, 7) of the weekdays
    yesterday: np.ndarray  # (B, N, S) yesterday's demand, units
    window: np.ndarray  # (B, N, S, W) the last W days' demand, a ring
    service: np.ndarray  # (B, N, S) share of yesterday's demand met from stock on the day; 1 without demand
    late: np.ndarray  # (B, N, S) share of yesterday's shipments to the nodes below that was due on an earlier day
    week: np.ndarray  # (B, N, S, 7) service of the last seven days, a ring

    @property
    def uncertainty(self) -> np.ndarray:
        """Standard deviation of the forecast's errors, ``(B, N, S)`` units."""
        return np.sqrt(self.variance)


def make_arrays(params: Params, settings: ForecastSettings, replications: int) -> dict[str, np.ndarray]:
    """Arrays for the kernels, the replications last: knowledge, and `forecast` and `variance` of the day before."""
    shape = params.mean_demand.shape
    lengths = {"factor": 7, "window": settings.window, "week": SERVICE_DAYS}
    arrays = {name: np.empty((*shape, lengths[name], replications)) for name in lengths}
    names = [name for name in (*Knowledge._fields, "planned", "uncertain") if name not in lengths]
    return arrays | {name: np.empty((*shape, replications)) for name in names}


def begin(knowledge: Knowledge, params: Params, chosen: np.ndarray | slice) -> None:
    """Begin with what is known before the first day: the network's mean demand and its spread."""
    knowledge.forecast[chosen] = params.mean_demand
    knowledge.level[chosen] = params.mean_demand
    knowledge.yesterday[chosen] = params.mean_demand
    knowledge.variance[chosen] = params.demand_std**2
    knowledge.window[chosen] = params.mean_demand[..., None]
    for array in (knowledge.factor, knowledge.service, knowledge.week):
        array[chosen] = 1.0
    knowledge.late[chosen] = 0.0


def forecast_constants(settings: ForecastSettings) -> dict[str, object]:
    """Method; weight of the newest day, of the newest weekday factor, of the newest squared error."""
    weights = settings.smoothing, settings.seasonal_smoothing, 1.0 / (4.0 * settings.window)
    return {"method": _METHODS[settings.method], "smoothing": np.array(weights)}


@njit(error_model="numpy")
def _observe(demand, incoming, forecast, variance, weight, observed):
    for b in range(len(observed)):
        observed[b] = demand[b] + incoming[b]
        error = observed[b] - forecast[b]
        variance[b] += weight * (error * error - variance[b])


@njit(error_model="numpy")
def _exchange(ring, place, new, old):
    """Put a number into each replication's place of a ring ``(W, B)``."""
    for b in range(len(new)):
        old[b] = ring[place[b], b]
        ring[place[b], b] = new[b]


@njit(error_model="numpy")
def _average(observed, dropped, width, level, forecast):
    for b in range(len(level)):
        level[b] += (observed[b] - dropped[b]) / width
        forecast[b] = max(level[b], 0.0)


@njit(error_model="numpy")
def _smooth(observed, alpha, level, forecast):
    for b in range(len(level)):
        level[b] += alpha * (observed[b] - level[b])
        forecast[b] = level[b]


@njit(error_model="numpy")
def _smooth_by_weekday(observed, alpha, gamma, weekday, level, factor, forecast):
    """`weekday` is today's; `factor (7, B)`."""
    for b in range(len(level)):
        usual, old = factor[weekday[b], b], level[b]
        if usual >= _QUIET:
            level[b] += alpha * (observed[b] / usual - old)
        if old > 0.0:
            factor[weekday[b], b] += gamma * (observed[b] / old - usual)
            usual = factor[(weekday[b] + 1) % 7, b]
        forecast[b] = level[b] * usual


@njit(error_model="numpy")
def _overdue(filled, owed, heard, keep, part):
    """The part of a shipment that was due on an earlier day."""
    for b in range(len(part)):
        before = owed[b] + filled[b] - heard[b] if keep else 0.0
        part[b] = min(filled[b], max(before, 0.0))


@njit(error_model="numpy")
def _add_in_time(met, filled, overdue):
    for b in range(len(met)):
        met[b] += filled[b] - overdue[b]


@njit(error_model="numpy")
def _share(part, whole, otherwise, out):
    """Part of the whole, or what stands in where the whole is nothing."""
    for b in range(len(out)):
        out[b] = part[b] / whole[b] if whole[b] > 0.0 else otherwise[b]


@njit(error_model="numpy")
def _is_positive(numbers, out):
    for b in range(len(out)):
        out[b] = 1.0 if numbers[b] > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def learn(w):
    """Take in the day just booked (`day` is already tomorrow)."""
    forecast, variance, level, factor, window = fields(w, "forecast variance level factor window")
    planned, uncertain, service, late, week = fields(w, "planned uncertain service late week")
    demand, unmet, incoming, filled, heard, owed = fields(w, "demand unmet incoming filled heard owed")
    day, child_start, child, keep, scratch = fields(w, "day child_start child keep_unfilled learn_rows")
    yesterday = fields(w, "yesterday")
    method, smoothing, weekdays, first_weekday = fields(w, "method smoothing weekdays first_weekday")
    place, week_place, weekday = fields(w, "scratch_due scratch_days scratch_columns")
    observed, met, old, shipped, waiting = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    nodes, skus, width, replications = window.shape
    for b in range(replications):
        place[b] = (day[b] - 1) % width
        week_place[b] = (day[b] - 1) % week.shape[2]
        weekday[b] = (day[b] - 1 + first_weekday) % 7
    for n in range(nodes):
        first, last = child_start[n], child_start[n + 1]
        for k in range(skus):
            rows.copy(planned[n, k], forecast[n, k])
            rows.copy(uncertain[n, k], variance[n, k])
            _observe(demand[n, k], incoming[n, k], forecast[n, k], variance[n, k], smoothing[2], observed)
            rows.copy(yesterday[n, k], observed)
            if method == 0:
                _exchange(window[n, k], place, observed, old)
                _average(observed, old, width, level[n, k], forecast[n, k])
            elif method == 2 and weekdays:
                _smooth_by_weekday(
                    observed, smoothing[0], smoothing[1], weekday, level[n, k], factor[n, k], forecast[n, k]
                )
            else:
                _smooth(observed, smoothing[0], level[n, k], forecast[n, k])
            rows.copy(met, demand[n, k])
            rows.subtract(met, unmet[n, k])
            if first < last:
                rows.fill(shipped, 0.0)
                rows.fill(waiting, 0.0)
                rows.fill(late[n, k], 0.0)
                for i in range(first, last):
                    c = child[i]
                    _overdue(filled[c, k], owed[c, k], heard[c, k], keep, old)
                    _add_in_time(met, filled[c, k], old)
                    rows.add(shipped, filled[c, k])
                    rows.add(late[n, k], old)
                    rows.add(waiting, owed[c, k])
                _is_positive(waiting, waiting)
                _share(late[n, k], shipped, waiting, late[n, k])
            rows.fill(old, 1.0)
            _share(met, observed, old, service[n, k])
            _exchange(week[n, k], week_place, service[n, k], old)
