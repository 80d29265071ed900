"""A day's demand as probabilities of 0, 1, 2, ... units."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hmarl.network.config import Network
from hmarl.network.demand import Demand

Array = NDArray[np.float64]

TAIL = 1e-12
"""Demand whose probability of more is below this is cut there; what is beyond is counted as the largest value."""

MOST_DEMAND = 10_000
"""Largest demand of a day that is taken, units."""

_CHANGES = ("season", "weekday", "weekday_add", "events", "spikes", "trend", "autocorrelation")


def demand_refusal(network: Network, name: str) -> str | None:
    """Why a node's demand is not the same distribution every day, in whole units; None if it is."""
    demand = network.item(name, network.skus[0]).demand
    if demand is None:
        return f"{name} has no demand"
    if demand.distribution in ("history", "path"):
        return f"the demand of {name} is a {demand.distribution}, not a distribution"
    if demand.base_mean == 0:
        return f"the demand of {name} is 0"
    most = max(demand.base_mean + 10 * math.sqrt(demand.base_variance(integer=True)), *(demand.values or [0]))
    if most > MOST_DEMAND:
        return f"too large: the demand of {name} reaches {most:.0f} units a day, at most {MOST_DEMAND}"
    for change in _CHANGES:
        if getattr(demand, change):
            return f"the demand of {name} changes from day to day ({change})"
    return None


def probabilities(demand: Demand) -> Array:
    """P(D = 0), P(D = 1), ... of a day's demand as the simulator draws it in a network of whole units."""
    if demand.distribution == "poisson":
        return _cut(stats.poisson(demand.mean))
    if demand.distribution == "geometric":
        return _cut(stats.geom(1 / (1 + float(demand.mean or 0)), loc=-1))
    if demand.distribution == "normal":
        mean, std = float(demand.mean or 0), max(float(demand.std or 0), 1e-9)
        edges = np.arange(max(1, int(stats.norm.isf(TAIL, mean, std)) + 2)) + 0.5
        return np.diff(stats.norm.cdf(edges, mean, std), prepend=0.0, append=1.0)
    if demand.distribution == "uniform":
        low, width = float(demand.low or 0), float(demand.high or 0) - float(demand.low or 0)
        steps = np.arange(np.floor(width + 1) + 1)
        return _collected(low + steps, np.clip(width + 1 - steps, 0, 1) / (width + 1))
    if demand.distribution == "discrete":
        return _collected(np.array(demand.values), np.array(demand.probabilities) / sum(demand.probabilities or []))
    return _collected(np.array([demand.mean]), np.ones(1))


def _cut(distribution: stats.rv_discrete) -> Array:
    last = max(int(distribution.isf(TAIL)), 0)
    pmf = distribution.pmf(np.arange(last + 1))
    pmf[last] = distribution.sf(last - 1)
    return pmf


def _collected(values: Array, weights: Array) -> Array:
    """Weights of values that are rounded to whole units."""
    whole = np.rint(values).astype(np.int64)[weights > 0]
    return np.bincount(whole, weights[weights > 0]).astype(np.float64)
