"""Drawing customers' demand, a block of days at a time."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from hmarl.simulator import rows
from hmarl.simulator.memory import fields
from hmarl.simulator.params import CONSTANT, GEOMETRIC, HISTORY, NORMAL, PATH, POISSON, UNIFORM
from hmarl.simulator.rng import (
    BLOCK,
    DEMAND,
    SPIKE,
    normal_quantile,
    normal_quantiles,
    poisson_mode,
    poisson_quantile,
    poisson_quantiles,
    uniform,
    uniforms,
)

BLOCK_DAYS = 16
_EVERYWHERE = np.int64(0)
_MANY = 48  # replications from which on a table of the Poisson distribution pays for itself


@njit(error_model="numpy")
def _spike(k0, k1, replication, day, place, probability, multiplier, duration):
    """1, or the multiplier of a random peak that covers the day."""
    for back in range(min(duration, day + 1)):
        if uniform(k0, k1, replication, day - back, place, SPIKE) < probability:
            return multiplier
    return 1.0


@njit(error_model="numpy")
def _replayed_day(k0, k1, replication, day, block, length, weekly):
    """The day of the past that a block bootstrap replays; all nodes and SKUs replay the same."""
    start = int(uniform(k0, k1, replication, day // block, _EVERYWHERE, BLOCK) * length)
    if weekly and length >= 7:
        start += ((day // block) * block - start) % 7
    return (start + day % block) % length


@njit(error_model="numpy")
def _correlated(u, rho, noise, first):
    """The uniform and the normal score of a draw that follows the one of score `noise`."""
    z = normal_quantile(u)
    if not first:
        z = rho * noise + math.sqrt(1.0 - rho * rho) * z
    return min(max(0.5 * math.erfc(-z / math.sqrt(2.0)), 1e-16), 1.0 - 1e-16), z


@njit(error_model="numpy")
def _geometric(u, mean):
    return math.floor(math.log(u) / math.log(mean / (1.0 + mean))) if mean > 0.0 else 0.0


@njit(error_model="numpy")
def _due(day, drawn_until, due):
    """List in `due` the replications that have used up their block."""
    count = 0
    for b in range(len(day)):
        if day[b] >= drawn_until[b]:
            due[count] = b
            count += 1
            drawn_until[b] = day[b] + BLOCK_DAYS
    return count


@njit(error_model="numpy")
def _calendar_columns(day, calendar, columns):
    """The calendar's column of each day."""
    start, cycle = calendar[0], calendar[1]
    for i in range(len(day)):
        columns[i] = day[i] if day[i] < start else start + (day[i] - start) % cycle


@njit(error_model="numpy")
def _next_day(day, calendar, columns):
    start, end = calendar[0], calendar[0] + calendar[1]
    for i in range(len(day)):
        day[i] += 1
        columns[i] = columns[i] + 1 if columns[i] + 1 < end else start


@njit(error_model="numpy")
def _all_same(numbers):
    different = 0
    for i in range(len(numbers)):
        different += numbers[i] != numbers[0]
    return different == 0


@njit(error_model="numpy")
def _levels(columns, multipliers, additions, multiplier, addition, same):
    """What the calendar says of each replication's day."""
    for i in range(len(columns)):
        column = columns[0] if same else columns[i]
        multiplier[i] = multipliers[column]
        addition[i] = additions[column]


@njit(error_model="numpy")
def _scale(values, multiplier, addition):
    for i in range(len(values)):
        values[i] = values[i] * multiplier[i] + addition[i]


@njit(error_model="numpy")
def _normal(z, first, second, multiplier, addition):
    for i in range(len(z)):
        z[i] = first * multiplier[i] + addition[i] + second * z[i]


@njit(error_model="numpy")
def _uniform(u, low, width, integer):
    for i in range(len(u)):
        u[i] = low + (np.floor(u[i] * (width + 1.0)) if integer else u[i] * width)


@njit(error_model="numpy")
def _round(values, integer):
    for i in range(len(values)):
        value = max(values[i], 0.0)
        values[i] = np.rint(value) if integer else value


@njit(error_model="numpy")
def draw_demand(w):
    """Draw the next block of every replication that has used up its last one."""
    day, replication, drawn_until, due = fields(w, "day replication drawn_until scratch_due")
    count = _due(day, drawn_until, due)
    if count == 0:
        return
    kind, profile, multipliers, additions, calendar = fields(w, "kind profile multiplier addition calendar")
    spike, drawn, integer = fields(w, "spike drawn integer")
    autocorrelation, noise, scores = fields(w, "autocorrelation noise scores")
    today, columns, numbers, scratch, k0, k1 = fields(
        w, "scratch_days scratch_columns scratch_numbers scratch_rows key_0 key_1"
    )
    due, today, columns, numbers = due[:count], today[:count], columns[:count], numbers[:count]
    multiplier, addition = scratch[0, :count], scratch[1, :count]
    nodes, skus = kind.shape
    for i in range(count):
        numbers[i] = replication[due[i]]
        today[i] = day[due[i]]
    _calendar_columns(today, calendar, columns)
    for t in range(BLOCK_DAYS):
        same = _all_same(columns)
        for n in range(nodes):
            for s in range(skus):
                row, probability = profile[n, s], spike[n, s, 0]
                if kind[n, s] == 0:
                    continue
                _levels(columns, multipliers[row], additions[row], multiplier, addition, same)
                for i in range(count if probability > 0.0 else 0):
                    multiplier[i] *= _spike(
                        k0, k1, numbers[i], today[i], n * skus + s, probability, spike[n, s, 1], int(spike[n, s, 2])
                    )
                values = _draw_day(w, n, s, count, multiplier, addition, same and probability == 0.0)
                for i in range(count if autocorrelation[n, s] != 0.0 else 0):
                    scores[n, s, t, due[i]] = noise[n, s, due[i]]
                _round(values, integer)
                if count == len(day):
                    rows.copy(drawn[n, s, t], values)
                else:
                    for i in range(count):
                        drawn[n, s, t, due[i]] = values[i]
        _next_day(today, calendar, columns)


@njit(error_model="numpy")
def _draw_day(w, n, s, count, multiplier, addition, same):
    """Demand of a day at a place, `count` replications; `same`: their means are the same."""
    kinds, first, second, lengths, past = fields(w, "kind first second length values")
    cumulative, autocorrelation, weekly, integer = fields(w, "cumulative autocorrelation weekly_blocks integer")
    noise, due, today, numbers = fields(w, "noise scratch_due scratch_days scratch_numbers")
    scratch, k0, k1 = fields(w, "scratch_rows key_0 key_1")
    kind, length, rho = kinds[n, s], lengths[n, s], autocorrelation[n, s]
    u = scratch[2, :count]
    if CONSTANT < kind < HISTORY:
        uniforms(k0, k1, numbers[:count], today[:count], n * kinds.shape[1] + s, DEMAND, u)
        for i in range(count if rho != 0.0 else 0):
            u[i], noise[n, s, due[i]] = _correlated(u[i], rho, noise[n, s, due[i]], today[i] == 0)
    if kind == NORMAL:
        normal_quantiles(u, scratch[3, :count])
        _normal(u, first[n, s], second[n, s], multiplier, addition)
        return u
    if kind == POISSON:
        _poisson_day(w, n, s, u, multiplier, addition, same)
        return u
    if kind == GEOMETRIC:
        for i in range(count):
            u[i] = _geometric(u[i], first[n, s] * multiplier[i] + addition[i])
        return u
    if kind == UNIFORM:
        _uniform(u, first[n, s], second[n, s] - first[n, s], integer)
    elif kind == CONSTANT:
        u[:] = first[n, s]
    elif kind == PATH:
        for i in range(count):
            u[i] = past[n, s, min(today[i], length - 1)]
    elif kind == HISTORY:
        for i in range(count):
            u[i] = past[n, s, _replayed_day(k0, k1, numbers[i], today[i], int(first[n, s]), length, weekly)]
    else:
        for i in range(count):
            j = 0
            while j < length - 1 and u[i] > cumulative[n, s, j]:
                j += 1
            u[i] = past[n, s, j]
    _scale(u, multiplier, addition)
    return u


@njit(error_model="numpy")
def _poisson_day(w, n, s, u, multiplier, addition, same):
    """Turn uniforms into Poisson demand."""
    first, profile, multipliers = fields(w, "first profile multiplier")
    pmf, cdf, columns, function, guide = fields(
        w, "poisson_pmf poisson_cdf scratch_columns scratch_function scratch_guide"
    )
    row = profile[n, s]
    mean = first[n, s] * multiplier[0] + addition[0]
    if same and mean > 0.0 and len(u) >= _MANY and 40.0 + 20.0 * math.sqrt(mean) < len(function):
        poisson_quantiles(u, mean, pmf[row, columns[0]], cdf[row, columns[0]], function, guide)
        return
    for i in range(len(u)):
        column = columns[i]
        mean = first[n, s] * multiplier[i] + addition[i]
        if mean <= 0.0:
            u[i] = 0.0
        elif multiplier[i] == multipliers[row, column]:
            u[i] = poisson_quantile(u[i], mean, int(mean), pmf[row, column], cdf[row, column])
        else:
            mode, at_mode, to_mode = poisson_mode(mean)
            u[i] = poisson_quantile(u[i], mean, mode, at_mode, to_mode)
