"""Means and what can be said about them: pure functions, 95 % intervals where not said otherwise.

All intervals are Student's t: mean +- t(n - 1) s / sqrt(n) over n independent values. Values that are NaN (a
ratio without a denominator in that replication) are left out and `n` says how many were left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean and its confidence interval, in the unit of the values.

    NaN stands for what cannot be said: the mean of no value, the limits of a single one.
    """

    mean: float
    low: float
    high: float
    n: int = 0  # independent values behind it

    @property
    def verdict(self) -> int:
        """1 where the whole interval is above zero, -1 where it is below, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def to_json(self) -> dict[str, float | int | None]:
        """Plain numbers; None for NaN, which JSON does not know."""
        return {k: None if math.isnan(v) else v for k, v in self._asdict().items()}

    @classmethod
    def from_json(cls, data: dict[str, float | int | None]) -> Estimate:
        """The reverse of :meth:`to_json`."""
        mean, low, high = (math.nan if data[k] is None else float(data[k]) for k in ("mean", "low", "high"))  # type: ignore[arg-type]
        return cls(mean, low, high, int(data["n"] or 0))


def estimate(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of independent values with its t interval.

    Parameters
    ----------
    values
        ``(n,)``, one a replication; NaN is left out.
    level
        Probability that the interval covers the true mean, 0 to 1.

    Examples
    --------
    >>> estimate([1, 2, 3])  # s = 1, t(2) = 4.303: 2 +- 2.484
    Estimate(mean=2.0, low=-0.484..., high=4.484..., n=3)
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1:
        raise ValueError(f"values: shape {x.shape}: one axis")
    if not 0 < level < 1:
        raise ValueError(f"level: {level}: between 0 and 1")
    x = x[~np.isnan(x)]
    n = len(x)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(x.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    half = _t_quantile(level, n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def paired_difference(values: ArrayLike, baseline: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of ``values - baseline``, pair by pair, with its t interval.

    Parameters
    ----------
    values, baseline
        ``(n,)`` each; entry i of both saw the same demand. Pairs with NaN are left out.
    """
    x, y = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if x.shape != y.shape:
        raise ValueError(f"baseline: shape {y.shape}: {x.shape}, pair by pair")
    return estimate(x - y, level)


def clustered(values: ArrayLike, clusters: Sequence[object] | np.ndarray, level: float = LEVEL) -> Estimate:
    """Mean over clusters of the cluster means, with a t interval over clusters.

    For values that are alike within a cluster (weeks of one SKU): clusters are independent, each counts once.

    Parameters
    ----------
    values
        ``(n,)``; NaN is left out, and so is a cluster of nothing else.
    clusters
        ``(n,)`` label of each value's cluster.
    """
    x, labels = np.asarray(values, np.float64), np.asarray(clusters)
    if x.shape != labels.shape or x.ndim != 1:
        raise ValueError(f"clusters: shape {labels.shape}: {x.shape}, one label a value")
    defined = ~np.isnan(x)
    _, member = np.unique(labels[defined], return_inverse=True)
    counts = np.bincount(member)
    return estimate(np.bincount(member, x[defined]) / counts, level)


def batch_means(values: ArrayLike, batches: int = 20, level: float = LEVEL) -> Estimate:
    """Mean of one long, autocorrelated run with the interval of its batch means.

    The run is cut into `batches` of equal length (what is left over is dropped from its beginning, where a
    start-up bias would be); their means are nearly independent where a batch is much longer than the memory.

    Parameters
    ----------
    values
        ``(periods,)`` in order of time, after the warm-up.
    batches
        At least 2 and at most the number of periods.

    References
    ----------
    Law, Simulation Modeling and Analysis, section 9.5.3.
    """
    x = np.asarray(values, np.float64)
    if not 2 <= batches <= len(x):
        raise ValueError(f"batches: {batches}: 2 to {len(x)}, the number of values")
    length = len(x) // batches
    return estimate(x[len(x) - length * batches :].reshape(batches, length).mean(axis=1), level)


def _t_quantile(level: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))
