"""Drawing customers' demand, a block of days at a time.

In all kernels the arrays are taken out of their tuples before the loops: numba counts a reference for every field
that is read from a tuple inside one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from hmarl.simulator.params import CONSTANT, GEOMETRIC, HISTORY, NORMAL, PATH, POISSON, UNIFORM
from hmarl.simulator.rng import BLOCK, DEMAND, SPIKE, normal_quantile, poisson_mode, poisson_quantile, uniform

BLOCK_DAYS = 16


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
    start = int(uniform(k0, k1, replication, day // block, 0, BLOCK) * length)
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
def _poisson(u, mean, pmf, cdf, tabled):
    if mean <= 0.0:
        return 0.0
    mode = int(mean)
    if not tabled:
        mode, pmf, cdf = poisson_mode(mean)
    return float(poisson_quantile(u, mean, mode, pmf, cdf))


@njit(error_model="numpy")
def _geometric(u, mean):
    return math.floor(math.log(u) / math.log(mean / (1.0 + mean))) if mean > 0.0 else 0.0


@njit(error_model="numpy")
def draw_demand(d, day, replication, drawn_until, noise, demand, integer, k0, k1):
    """Draw the next block of every replication that has used up its last one."""
    kinds, first, second, lengths, profile = d.kind, d.first, d.second, d.length, d.profile
    values, cumulative, multipliers, additions = d.values, d.cumulative, d.multiplier, d.addition
    pmf, cdf, spike, autocorrelation = d.poisson_pmf, d.poisson_cdf, d.spike, d.autocorrelation
    start, cycle, weekly = d.calendar[0], d.calendar[1], d.weekly_blocks
    nodes, skus = kinds.shape
    for b in range(day.shape[0]):
        if day[b] < drawn_until[b]:
            continue
        drawn_until[b] = day[b] + BLOCK_DAYS
        for n in range(nodes):
            for s in range(skus):
                kind, row, place, length = kinds[n, s], profile[n, s], n * skus + s, lengths[n, s]
                rho, probability = autocorrelation[n, s], spike[n, s, 0]
                for k in range(BLOCK_DAYS if kind > 0 else 0):
                    t = day[b] + k
                    column = t if t < start else start + (t - start) % cycle
                    multiplier, addition = multipliers[row, column], additions[row, column]
                    if probability > 0.0:
                        multiplier *= _spike(
                            k0, k1, replication[b], t, place, probability, spike[n, s, 1], int(spike[n, s, 2])
                        )
                    u = 0.5
                    if CONSTANT < kind < HISTORY:
                        u = uniform(k0, k1, replication[b], t, place, DEMAND)
                        if rho != 0.0:
                            u, noise[b, n, s] = _correlated(u, rho, noise[b, n, s], t == 0)
                    mean = first[n, s] * multiplier + addition
                    if kind == NORMAL:
                        value = mean + second[n, s] * normal_quantile(u)
                    elif kind == POISSON:
                        value = _poisson(u, mean, pmf[row, column], cdf[row, column], probability == 0.0)
                    elif kind == CONSTANT:
                        value = mean
                    elif kind == GEOMETRIC:
                        value = _geometric(u, mean)
                    elif kind == UNIFORM:
                        width = second[n, s] - first[n, s]
                        draw = math.floor(u * (width + 1.0)) if integer else u * width
                        value = (first[n, s] + draw) * multiplier + addition
                    elif kind == PATH:
                        value = values[n, s, min(t, length - 1)] * multiplier + addition
                    elif kind == HISTORY:
                        past = _replayed_day(k0, k1, replication[b], t, int(first[n, s]), length, weekly)
                        value = values[n, s, past] * multiplier + addition
                    else:
                        i = 0
                        while i < length - 1 and u > cumulative[n, s, i]:
                            i += 1
                        value = values[n, s, i] * multiplier + addition
                    value = max(value, 0.0)
                    demand[b, k, n, s] = np.rint(value) if integer else value
