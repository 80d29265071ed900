"""Distribution of demand on a grid of evenly spaced quantities: ``pmf[k]`` is the probability of ``k step`` units.

Demand that is counted (every quantity of an integer network, Poisson, geometric) has a step of one unit and is exact
up to tails of probability 1e-13. Other demand is spread over the two points around it so that its mean stays what it
is. The expectation of a convex function is then too high, by at most ``step^2 / 8`` times the largest second
derivative of the function a day (the error of linear interpolation), and not at all where the kinks of a piecewise
linear function lie on the grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal, stats

from hmarl.network import Demand

Array = NDArray[np.float64]

_TAIL = 1e-13
_POINTS_A_DEVIATION, _MOST_POINTS = 200, 20_000


def is_counted(demand: Demand, integer: bool) -> bool:
    """Whether a day's demand is a whole number of units; `integer`: in a network of such quantities."""
    if demand.distribution in ("constant", "discrete"):
        return integer or all(value == round(value) for value in demand.values or [demand.base_mean])
    return integer or demand.distribution in ("poisson", "geometric")


def density(demand: Demand, integer: bool) -> float:
    """Largest density of a day's demand, 0 where it is counted, infinite where it has parts of units in lumps."""
    if is_counted(demand, integer):
        return 0.0
    std = math.sqrt(demand.base_variance(integer))
    if demand.distribution == "normal" and std > 0:
        return 1 / (std * math.sqrt(2 * math.pi))
    if demand.distribution == "uniform" and std > 0:
        return 1 / (math.sqrt(12) * std)
    return math.inf


def grid_step(demands: Sequence[Demand], integer: bool) -> float:
    """A step that suits all, units: one, or for demand that is not counted a part of it.

    The part is a 200th of the smallest standard deviation, but no mean has more than 20,000 steps.
    """
    measured = [demand for demand in demands if not is_counted(demand, integer)]
    if not measured:
        return 1.0
    spread = math.sqrt(min(demand.base_variance(integer) for demand in measured))
    most = _MOST_POINTS / max(demand.base_mean for demand in demands)
    return 1 / math.ceil(min(_POINTS_A_DEVIATION / spread, most))


def day_demand(demand: Demand, integer: bool, step: float) -> Array:
    """Probabilities of a day's demand, ``(points,)``, point k being ``k step`` units.

    Parameters
    ----------
    integer
        Whether the network's quantities are: then draws are rounded to units.
    step
        From :func:`grid_step`, units.
    """
    if is_counted(demand, integer):
        pmf = _counts(demand)
        spaced = np.zeros((len(pmf) - 1) * round(1 / step) + 1)
        spaced[:: round(1 / step)] = pmf
        return _trimmed(spaced)
    mean, std = demand.base_mean, math.sqrt(demand.base_variance(integer))
    top = mean + 8.5 * std if demand.distribution == "normal" else float(demand.high or 0)
    x = step * np.arange(math.ceil(top / step) + 2, dtype=np.float64)
    if demand.distribution == "normal":
        below = _normal_surplus(x, mean, std) - _normal_surplus(0.0, mean, std)
    else:
        low, high = float(demand.low or 0), float(demand.high or 0)
        below = (np.maximum(x - low, 0) ** 2 - np.maximum(x - high, 0) ** 2) / (2 * (high - low))
    return _trimmed(np.diff(below, 2, prepend=0.0) / step)


def _normal_surplus(x: Array | float, mean: float, std: float) -> Array:
    """E(x - D)+ of normal demand D."""
    z = (x - mean) / std
    return np.asarray(std * (z * stats.norm.cdf(z) + stats.norm.pdf(z)), np.float64)


def _counts(demand: Demand) -> Array:
    """Probabilities of 0, 1, 2, ... units."""
    mean = demand.base_mean
    if demand.distribution == "poisson":
        return stats.poisson.pmf(np.arange(stats.poisson.isf(_TAIL, mean) + 2), mean)
    if demand.distribution == "geometric":
        ratio = mean / (1 + mean)
        return (1 - ratio) * ratio ** np.arange(math.ceil(math.log(_TAIL) / math.log(ratio)) + 1, dtype=np.float64)
    if demand.distribution == "normal" and demand.std:
        edges = np.arange(math.ceil(mean + 8.5 * demand.std) + 2) - 0.5
        edges[0] = -np.inf
        return np.diff(stats.norm.cdf(edges, mean, demand.std))
    if demand.distribution == "uniform":
        width = float(demand.high or 0) - float(demand.low or 0) + 1
        values = float(demand.low or 0) + np.arange(math.ceil(width))
        weights = np.minimum(1.0, width - np.arange(len(values))) / width
    else:
        values = np.array(demand.values or [mean])
        weights = np.array(demand.probabilities or [1.0])
    return np.bincount(np.rint(values).astype(np.int64), weights).astype(np.float64)


def _trimmed(pmf: Array) -> Array:
    """Without rounding errors below 0 and an upper tail that is too small to matter."""
    pmf = np.maximum(pmf, 0.0)
    tail = np.cumsum(pmf[::-1])[::-1]
    pmf = pmf[: max(1, int((tail > _TAIL * tail[0]).sum()))]
    return pmf / pmf.sum()


def add(first: Array, second: Array) -> Array:
    """Probabilities of the sum of two independent demands."""
    return _trimmed(signal.convolve(first, second))


def over_days(pmf: Array, days: int) -> Array:
    """Probabilities of the demand of some days together, each with probabilities `pmf`."""
    total, power = np.ones(1), pmf
    while days:
        if days % 2:
            total = add(total, power)
        days //= 2
        power = add(power, power) if days else power
    return total


def mean_of(pmf: Array, step: float) -> float:
    """Mean demand, units."""
    return step * float(pmf @ np.arange(len(pmf)))


def quantile(pmf: Array, probability: float) -> int:
    """The least k with P(D <= k steps) >= `probability`."""
    return int(np.searchsorted(np.cumsum(pmf), probability - 1e-12))


def surplus(pmf: Array, step: float, points: int) -> Array:
    """Mean stock left of 0, step, 2 step, ... units after the demand, ``(points,)`` units."""
    at_most = np.minimum(np.cumsum(pmf), 1.0)
    at_most = np.concatenate([at_most, np.ones(max(0, points - len(at_most)))])
    return step * np.concatenate([[0.0], np.cumsum(at_most[: points - 1])])


def day_cost(pmf: Array, step: float, holding: float, shortage: float, points: int) -> Array:
    """Cost of a day that begins with 0, step, 2 step, ... units, ``(points,)`` money.

    G(y) = h E(y - D)+ + p E(D - y)+ (Snyder and Shen, Fundamentals of Supply Chain Theory, section 4.3).

    Parameters
    ----------
    pmf
        Probabilities of the demand on the grid of `step` units: of the day; with backorders, since the order.
    holding, shortage
        Cost a unit left, and a unit short at the end of the day.
    """
    left = surplus(pmf, step, points)
    short = np.maximum(mean_of(pmf, step) - step * np.arange(points) + left, 0.0)
    return holding * left + shortage * short
