"""Means and what can be said about them: pure functions, 95 % intervals where not said otherwise.

============================ ===============================================================================
:func:`estimate`             Student's t over n independent values: mean +- t(n - 1) s / sqrt(n)
:func:`paired_difference`    the same over differences, value by value on common random numbers
:func:`relative_difference`  ratio of two paired means less 1, delta method, t
:func:`clustered`            t over the means of clusters
:func:`batch_means`          t over the batch means of one long run
:func:`interquartile_mean`   percentiles of the stratified bootstrap
============================ ===============================================================================

Values that are NaN (a ratio without a denominator in that replication) are left out and `n` says how many were left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

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
    def half(self) -> float:
        """Half of the interval's width, of the side above the mean."""
        return self.high - self.mean

    @property
    def relative_half(self) -> float:
        """:attr:`half` over the size of the mean; 0 where nothing varies, infinite where it cannot be said."""
        if self.half == 0:
            return 0.0
        return math.inf if math.isnan(self.half) or self.mean == 0 else self.half / abs(self.mean)

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


def relative_difference(values: ArrayLike, baseline: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of `values` over mean of `baseline`, less 1: how far above it lies, as a share of it.

    The interval is that of the delta method: Student's t over the residuals ``values - ratio * baseline``, which are
    small where both saw the same demand, divided by the mean of `baseline`.

    Parameters
    ----------
    values, baseline
        ``(n,)`` each; entry i of both saw the same demand. Pairs with NaN are left out. NaN where the mean of
        `baseline` is 0.

    References
    ----------
    Cochran (1977), Sampling Techniques, 3rd edition, chapter 6.

    Examples
    --------
    >>> relative_difference([2, 4, 6], [1, 3, 4])  # 12 / 8 - 1, residuals 0.5, -0.5, 0
    Estimate(mean=0.5, low=0.034..., high=0.965..., n=3)
    """
    x, y = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if x.shape != y.shape:
        raise ValueError(f"baseline: shape {y.shape}: {x.shape}, pair by pair")
    pairs = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[pairs], y[pairs]
    if not y.any():
        return Estimate(math.nan, math.nan, math.nan, len(y))
    ratio = float(x.sum() / y.sum())
    half = estimate((x - ratio * y) / abs(y.mean()), level).half
    return Estimate(ratio - 1, ratio - 1 - half, ratio - 1 + half, len(y))


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


class Correlation(NamedTuple):
    """Lag-1 autocorrelation and the probability of one so large among independent values."""

    lag_1: float
    p_value: float


def batch_correlation(means: ArrayLike) -> Correlation:
    """Whether batches are long enough for their means to be independent.

    Lag-1 autocorrelation of the batch means around their common mean, added up over episodes. Of n independent values
    it is nearly normal with variance ``sum(batches - 1) / n**2`` (von Neumann's ratio test, one-sided).

    Parameters
    ----------
    means
        ``(episodes, batches)`` in order of time. Where all are equal or one is NaN nothing is said: 0, and 1.

    References
    ----------
    Law, Simulation Modeling and Analysis, section 9.5.3; von Neumann (1941), Annals of Mathematical Statistics 12.
    """
    from scipy.special import ndtr

    x = np.asarray(means, np.float64)
    apart = x - x.mean()
    total = float((apart**2).sum())
    if not total > 0:
        return Correlation(0.0, 1.0)
    lag_1 = float((apart[:, 1:] * apart[:, :-1]).sum()) / total
    return Correlation(lag_1, float(ndtr(-lag_1 * x.size / math.sqrt(apart[:, 1:].size))))


def interquartile_mean(scores: ArrayLike, level: float = LEVEL, resamples: int = 10_000, seed: int = 0) -> Estimate:
    """Mean of the middle half of the scores of trainings, with its bootstrap interval.

    A quarter of the scores, rounded down, is cut off at either end: of three or fewer it is the mean.

    Parameters
    ----------
    scores
        ``(runs,)``, or ``(runs, tasks)``: each task's runs are drawn anew apart from the others' (stratified).
    resamples, seed
        Of the bootstrap (percentiles).

    References
    ----------
    Agarwal, Schwarzer, Castro, Courville and Bellemare (2021), "Deep reinforcement learning at the edge of the
    statistical precipice", NeurIPS 34.
    """
    from scipy.stats import bootstrap, trim_mean

    x = np.asarray(scores, np.float64)
    strata = x.reshape(len(x), -1).T

    def middle(*drawn: np.ndarray, axis: int = -1) -> Any:
        return trim_mean(np.concatenate(drawn, axis), 0.25, axis)

    mean = float(middle(*strata))
    if len(x) < 2:
        return Estimate(mean, math.nan, math.nan, len(x))
    low, high = bootstrap(
        tuple(strata), middle, vectorized=True, n_resamples=resamples, confidence_level=level, method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Estimate(mean, float(low), float(high), len(x))


def _t_quantile(level: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))
