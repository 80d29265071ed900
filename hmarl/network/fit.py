"""Demand fitted to a sales history, and networks that hold it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import nbinom

from hmarl.errors import InputError
from hmarl.network.config import WEEKDAYS, ItemOverrides, Network
from hmarl.network.demand import Demand, Season
from hmarl.network.sales import SalesHistory, weekday_of

Method = Literal["bootstrap", "distribution"]
BLOCK = {"day": 14, "week": 4}
YEAR = {"day": 365, "week": 52}
TREND_CONTINUES = {"day": 28, "week": 8}
STEEPEST_TREND = {"day": 0.01, "week": 0.05}
_T = 2.5  # t statistic from which a trend, a season or an autocorrelation counts
_F = 3.0  # F statistic from which a weekday profile counts
_QUANTILES = 200


def fit_demand(history: SalesHistory, method: Method = "bootstrap") -> dict[tuple[str, str], Demand]:
    """Demand of each series of a history.

    Parameters
    ----------
    history
        The part to learn from. Censored periods count as :attr:`SalesHistory.demand` says.
    method
        ``"bootstrap"`` replays random blocks of the past (14 days or 4 weeks; blocks of a daily history begin
        on the weekday that they replay). ``"distribution"`` fits a mean with weekday profile, yearly season
        and trend, each where the history shows it, and a distribution around it by its dispersion: Poisson,
        normal or negative binomial. Its day 0 is the day after the history's last.

    Returns
    -------
    dict
        ``{(store, sku): Demand}``, without the SKUs a store does not sell.
    """
    if method not in ("bootstrap", "distribution"):
        raise InputError(f"method: {method!r}: bootstrap or distribution")
    used = whole_weeks(history) if method == "bootstrap" else history
    fitted = {}
    for n, s in np.argwhere(history.sold):
        values = used.demand[:, n, s]
        if method == "bootstrap":
            block = min(BLOCK[history.period], len(values))
            demand = Demand(distribution="history", values=values.tolist(), block=block)
        else:
            demand = fit_series(values, used)
        fitted[history.stores[n], history.skus[s]] = demand
    return fitted


def whole_weeks(history: SalesHistory) -> SalesHistory:
    """A daily history without its first days, so that whole weeks are left; others as they are."""
    if history.period == "week" or len(history) < 7:
        return history
    return history.part(len(history) % 7, len(history))


def fit_series(values: np.ndarray, history: SalesHistory) -> Demand:
    """One series' fitted distribution.

    Parameters
    ----------
    values
        ``(T,)`` units a period at the history's dates.
    history
        Its dates, its period and whether its quantities are whole numbers.
    """
    day = np.array([WEEKDAYS.index(weekday_of(date)) for date in history.dates])
    weekday = _weekday_profile(values, day) if history.period == "day" else None
    profile = np.array(weekday)[day] if weekday else np.ones(len(values))
    times = np.flatnonzero(profile > 0)
    level = _fit_level(values[times] / profile[times], times, len(values), history.period)
    residual = (values - level.expected * profile)[times]
    parts: dict[str, Any] = {"weekday": weekday, "season": level.season, "trend": level.trend}
    if level.trend:
        parts["trend_days"] = TREND_CONTINUES[history.period]
    return _around(level, residual, history.integer, {**parts, "autocorrelation": _autocorrelation(residual)})


class _Level(NamedTuple):
    expected: np.ndarray  # (T,) over the history
    mean: float  # over the history
    next: float  # on the first period after it, season left out
    trend: float  # relative, a period
    season: Season | None


def _weekday_profile(values: np.ndarray, day: np.ndarray) -> list[float] | None:
    """Multipliers, Monday first, mean 1; none under three weeks of history or where days do not differ."""
    if len(values) < 21 or values.mean() == 0:
        return None
    counts = np.bincount(day, minlength=7)
    means = np.bincount(day, weights=values, minlength=7) / counts
    between = (counts * (means - values.mean()) ** 2).sum() / 6
    within = ((values - means[day]) ** 2).sum() / (len(values) - 7)
    return (means / means.mean()).round(4).tolist() if between > _F * within else None


def _fit_level(values: np.ndarray, times: np.ndarray, periods: int, period: str) -> _Level:
    """Least squares of level, trend and yearly sine, without the terms that stay below the t threshold."""
    mean, angle = float(values.mean()), 2 * np.pi / YEAR[period]
    terms = {"level": lambda t: np.ones(len(t))}
    if mean > 0 and len(values) >= 2 * TREND_CONTINUES[period]:
        terms["trend"] = lambda t: t - periods / 2
    if mean > 0 and periods >= 1.5 * YEAR[period]:
        terms["sin"], terms["cos"] = (lambda t: np.sin(angle * t)), (lambda t: np.cos(angle * t))
    names = list(terms)
    while True:
        design = np.column_stack([terms[name](times) for name in names])
        fitted, *_ = np.linalg.lstsq(design, values, rcond=None)
        found = dict(zip(names, fitted, strict=True))
        weak = _weakest(found, design, values - design @ fitted)
        if not weak:
            break
        names = [name for name in names if name not in weak]
    everywhere = np.arange(periods)
    expected = sum(found[name] * terms[name](everywhere) for name in names)
    following = max(found["level"] + found.get("trend", 0.0) * periods / 2, 0.05 * mean)
    steepest = STEEPEST_TREND[period]
    trend = float(np.clip(found.get("trend", 0.0) / following, -steepest, steepest)) if following > 0 else 0.0
    season = None
    if "sin" in found:
        amplitude = min(math.hypot(found["sin"], found["cos"]) / found["level"], 1.0)
        phase = (periods + math.atan2(found["cos"], found["sin"]) / angle) % YEAR[period]
        season = Season(amplitude=round(amplitude, 4), period=YEAR[period], phase=round(phase, 2))
    return _Level(np.maximum(expected, 0), mean, float(following), trend, season)


def _weakest(found: dict[str, float], design: np.ndarray, residual: np.ndarray) -> set[str]:
    """The term that the history shows least, where that is too little; autocorrelation widens the errors."""
    freedom = max(len(residual) - design.shape[1], 1)
    rho = _autocorrelation(residual)
    spread = (residual @ residual) / freedom * (1 + rho) / (1 - rho)
    errors = np.sqrt(np.diag(np.linalg.pinv(design.T @ design)) * spread) + 1e-12
    strength = {name: abs(value) / error for (name, value), error in zip(found.items(), errors, strict=True)}
    candidates = {"trend": strength.get("trend", math.inf)}
    candidates["sin"] = math.hypot(strength.get("sin", math.inf), strength.get("cos", math.inf))
    name = min(candidates, key=lambda key: candidates[key])
    if candidates[name] >= _T:
        return set()
    return {"trend"} if name == "trend" else {"sin", "cos"}


def _autocorrelation(residual: np.ndarray) -> float:
    """Lag 1; 0 where the history does not show one above 0."""
    power = float(residual @ residual)
    if len(residual) < 21 or power == 0:
        return 0.0
    rho = float(residual[1:] @ residual[:-1]) / power
    return round(min(rho, 0.9), 3) if rho * math.sqrt(len(residual)) > _T else 0.0


def _around(level: _Level, residual: np.ndarray, integer: bool, parts: dict[str, Any]) -> Demand:
    """A distribution of mean ``level.next`` with the spread of the residuals."""
    mean, std = level.next, float(residual.std())
    if mean == 0 or std == 0:
        return Demand(distribution="constant", mean=mean, **{**parts, "autocorrelation": 0.0})
    dispersion = std**2 / max(level.mean, 1e-9)
    if integer and 0.75 <= dispersion <= 1.25:
        return Demand(distribution="poisson", mean=mean, **parts)
    never_zero = parts["weekday"] is None or min(parts["weekday"]) > 0
    if never_zero and (std < level.mean / 2.5 or not integer or dispersion <= 1):
        return Demand(distribution="normal", mean=mean, std=std, **parts)
    size = mean / max(dispersion - 1, 0.01)  # negative binomial: variance = mean (1 + mean / size)
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    quantiles = nbinom.ppf(shares, size, size / (size + mean))
    values, counts = np.unique(quantiles * mean / max(quantiles.mean(), 1e-9), return_counts=True)
    probabilities = (counts / _QUANTILES).tolist()
    return Demand(distribution="discrete", values=values.tolist(), probabilities=probabilities, **parts)


def network_with_sales(
    network: Network, history: SalesHistory, *, fraction: float = 0.7, method: Method = "bootstrap"
) -> Network:
    """The network with the demand of the first `fraction` of a history (1: of all of it) at its stores.

    Raises
    ------
    InputError
        If stores, SKUs or period of the two do not match.
    """
    check_match(network, history)
    used = history if fraction == 1 else history.split(fraction)[0]
    first = whole_weeks(used).dates[0] if method == "bootstrap" else used.next_date
    return _with_demand(network, fit_demand(used, method), first_weekday=weekday_of(first))


def network_on_path(
    network: Network, past: SalesHistory, future: SalesHistory, *, warmup: int | None = None
) -> Network:
    """The network with real demand, played once: the end of the past as warm-up, then the future.

    What rules and observations may know of the demand's mean and spread is the past's, never the future's.

    Parameters
    ----------
    past, future
        The two parts of a history, one after the other.
    warmup
        Periods of the past that are played before the future and that no figure counts; left out, as many as
        the forecast needs to settle and twice the longest way down the tree.
    """
    warm = min(warmup if warmup is not None else warmup_periods(network), len(past))
    tail = past.part(len(past) - warm, len(past))
    dates = np.concatenate([tail.dates, future.dates])
    demand = np.concatenate([tail.demand, future.demand])
    return network_playing(network, past, dates, demand).model_copy(update={"warmup": warm})


def network_playing(
    network: Network,
    sales: SalesHistory,
    dates: np.ndarray,
    demand: np.ndarray,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
) -> Network:
    """The network with demand that is played once.

    Parameters
    ----------
    sales
        A history of the same stores and SKUs.
    dates, demand
        ``(T,)`` and ``(T, N, S)``, units.
    mean, std
        ``(N, S)`` what planners expect of it, units a period; those of `sales` where left out.
    """
    check_match(network, sales)
    mean, std = sales.mean if mean is None else mean, sales.std if std is None else std
    demands = {
        (sales.stores[n], sales.skus[s]): Demand(
            distribution="path", values=demand[:, n, s].tolist(), mean=float(mean[n, s]), std=float(std[n, s])
        )
        for n, s in np.argwhere(sales.sold)
    }
    return _with_demand(network, demands, first_weekday=weekday_of(dates[0]), days=len(demand))


def warmup_periods(network: Network) -> int:
    """Periods after which forecast and stock no longer show how they began."""
    ways = []
    for name in network.nodes:
        way, node = 0.0, name
        while True:
            way += network.lead_time_moments(node)[0] + network.nodes[node].review_period
            upstream = network.nodes[node].upstream
            if upstream is None:
                break
            node = upstream
        ways.append(way)
    settling = 2 * network.forecast.window
    if network.forecast.method != "moving_average":
        settling = max(settling, math.ceil(3 / network.forecast.smoothing))
    return max(network.warmup, settling, math.ceil(2 * max(ways)))


def check_match(network: Network, history: SalesHistory) -> None:
    """Refuse a history whose stores, SKUs or period are not the network's."""
    selling = network.nodes_of("store")
    pairs = [
        ("store", "the network's stores", history.stores, selling),
        ("sku", "the network's SKUs", history.skus, network.skus),
    ]
    for field, known, found, expected in pairs:
        unknown = [name for name in found if name not in expected]
        missing = [name for name in expected if name not in found]
        if unknown:
            raise InputError(f"{history.source}: {field} {unknown[0]!r}: {known} are {_listed(expected)}")
        if missing:
            raise InputError(f"{history.source}: no sales of {field} {missing[0]!r}: {known} are {_listed(expected)}")
    if network.period != history.period:
        raise InputError(
            f"{history.source}: sales by {history.period}: the network's period is {network.period!r}; set "
            f"period: {history.period} there, and its lead times and costs with it"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _with_demand(network: Network, demands: dict[tuple[str, str], Demand], **fields: Any) -> Network:
    nodes = {}
    for name, node in network.nodes.items():
        overrides = {sku: item.model_copy(update={"demand": None}) for sku, item in node.skus.items()}
        for sku in network.skus:
            if (name, sku) in demands:
                item = overrides.get(sku, ItemOverrides())
                overrides[sku] = item.model_copy(update={"demand": demands[name, sku]})
        nodes[name] = node.model_copy(update={"demand": None, "skus": overrides})
    return Network.model_validate(network.model_copy(update={"nodes": nodes, **fields}).model_dump())
