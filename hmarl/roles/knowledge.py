"""What agents learn from the past: a causal forecast, its error, and the service of the last days."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from hmarl.network.config import ForecastSettings
from hmarl.simulator import Params

SERVICE_DAYS = 7
_QUIET = 0.1  # a weekday of less than a tenth of the usual demand says nothing about its level
_METHODS = {"moving_average": 0, "exponential": 1, "seasonal": 2}


class Knowledge(NamedTuple):
    """B replications, N nodes, S SKUs. A node's demand is its customers' and the orders it hears from below."""

    forecast: np.ndarray  # (B, N, S) of today's demand, made from the days before, units
    variance: np.ndarray  # (B, N, S) of its errors, units squared
    level: np.ndarray  # (B, N, S) the forecast before the weekday's factor
    factor: np.ndarray  # (B, N, S, 7) of the weekdays
    window: np.ndarray  # (B, N, S, W) the last W days' demand, a ring
    service: np.ndarray  # (B, N, S) share of yesterday's demand met from stock on the day; 1 without demand
    late: np.ndarray  # (B, N, S) share of yesterday's shipments to the nodes below that was due on an earlier day
    week: np.ndarray  # (B, N, S, 7) service of the last seven days, a ring

    @property
    def uncertainty(self) -> np.ndarray:
        """Standard deviation of the forecast's errors, ``(B, N, S)`` units."""
        return np.sqrt(self.variance)


def make_knowledge(params: Params, settings: ForecastSettings, replications: int) -> Knowledge:
    """Buffers; :func:`begin` fills them."""
    shape = (replications, *params.mean_demand.shape)
    return Knowledge(
        forecast=np.empty(shape),
        variance=np.empty(shape),
        level=np.empty(shape),
        factor=np.empty((*shape, 7)),
        window=np.empty((*shape, settings.window)),
        service=np.empty(shape),
        late=np.empty(shape),
        week=np.empty((*shape, SERVICE_DAYS)),
    )


def begin(knowledge: Knowledge, params: Params, rows: np.ndarray | slice) -> None:
    """Begin with what is known before the first day: the network's mean demand and its spread."""
    knowledge.forecast[rows] = params.mean_demand
    knowledge.level[rows] = params.mean_demand
    knowledge.variance[rows] = params.demand_std**2
    knowledge.window[rows] = params.mean_demand[..., None]
    for array in (knowledge.factor, knowledge.service, knowledge.week):
        array[rows] = 1.0
    knowledge.late[rows] = 0.0


def smoothing_of(settings: ForecastSettings) -> tuple[int, float, float, float]:
    """Method, weight of the newest day, of the newest weekday factor, of the newest squared error."""
    return (
        _METHODS[settings.method],
        settings.smoothing,
        settings.seasonal_smoothing,
        1.0 / (4.0 * settings.window),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def learn(p, s, o, known, settings, first_weekday, weekdays):
    """Take in the day just booked (`s.day` is already tomorrow)."""
    method, alpha, gamma, weight = settings
    forecast, variance, level, factor, window = (
        known.forecast, known.variance, known.level, known.factor, known.window,
    )  # fmt: skip
    service, late, week = known.service, known.late, known.week
    demand, unmet, incoming, filled, heard = o.demand, o.unmet, o.incoming, o.filled, o.heard
    day, owed, child_start, child, keep = s.day, s.owed, p.child_start, p.child, p.keep_unfilled
    replications, nodes, skus, width = window.shape
    for b in range(replications):
        today = day[b] - 1
        place, week_place = today % width, today % week.shape[3]
        weekday, tomorrow = (today + first_weekday) % 7, (today + 1 + first_weekday) % 7
        for n in range(nodes):
            first, last = child_start[n], child_start[n + 1]
            for k in range(skus):
                observed = demand[b, n, k] + incoming[b, n, k]
                error = observed - forecast[b, n, k]
                variance[b, n, k] += weight * (error * error - variance[b, n, k])
                if method == 0:
                    level[b, n, k] += (observed - window[b, n, k, place]) / width
                    forecast[b, n, k] = max(level[b, n, k], 0.0)
                    window[b, n, k, place] = observed
                else:
                    usual = factor[b, n, k, weekday] if method == 2 and weekdays else 1.0
                    old = level[b, n, k]
                    if usual >= _QUIET:
                        level[b, n, k] += alpha * (observed / usual - old)
                    if method == 2 and weekdays and old > 0.0:
                        factor[b, n, k, weekday] += gamma * (observed / old - usual)
                        usual = factor[b, n, k, tomorrow]
                    forecast[b, n, k] = level[b, n, k] * usual
                met = demand[b, n, k] - unmet[b, n, k]
                shipped, overdue, waiting = 0.0, 0.0, 0.0
                for i in range(first, last):
                    c = child[i]
                    before = owed[b, c, k] + filled[b, c, k] - heard[b, c, k] if keep else 0.0
                    old_part = min(filled[b, c, k], max(before, 0.0))
                    met += filled[b, c, k] - old_part
                    shipped += filled[b, c, k]
                    overdue += old_part
                    waiting += owed[b, c, k]
                service[b, n, k] = met / observed if observed > 0.0 else 1.0
                late[b, n, k] = overdue / shipped if shipped > 0.0 else (1.0 if waiting > 0.0 else 0.0)
                week[b, n, k, week_place] = service[b, n, k]
