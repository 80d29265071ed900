"""Forecast-driven base-stock: the level follows what is expected of the days ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmarl.network.config import WEEKDAYS, Network
from hmarl.policies.levels import way_to_stores
from hmarl.roles import Chain
from hmarl.roles.plan import protection_days
from hmarl.simulator import Params, compile_network

Array = NDArray[np.float64]

_LONGEST_TABLE = 4_000


@dataclass(frozen=True)
class ForecastBaseStock:
    """Order up to the demand expected over the protection interval plus a safety stock.

    With f the chain's rolling forecast, u the standard deviation of its errors, P the protection interval
    and L the lead time,

        level = f x ahead + safety_factor x sqrt(P u^2 + f^2 var L)

    `ahead` is P days, weighted by what the calendar (season, weekdays, scheduled events, trend) says of the
    days ahead against the days that the forecast was made from; with a seasonal forecast its own weekday
    factors say it. In a network whose days are all there are (``finite``), nothing is ordered that would
    reach no store in time.

    Parameters
    ----------
    safety_factor
        ``(N, S)``, or broadcastable to ``(B, N, S)``.
    ahead
        ``(days, N, S)``; from the last `cycle` rows on it repeats.
    days, lead_variance
        ``(N, 1)`` protection interval, and variance of the lead time.
    first_weekday
        Of day 0, 0 Monday; -1 where the forecast knows no weekdays.
    last_order
        ``(N, 1)`` last day on which an order can still be of use.
    """

    safety_factor: Array
    ahead: Array
    cycle: int
    days: Array
    lead_variance: Array
    first_weekday: int
    last_order: Array
    name: str = "forecast"

    def orders(self, chain: Chain) -> Array:
        orders = np.maximum(self.levels(chain) - chain.simulator.inventory_position(), 0.0)
        return np.where(chain.simulator.state.day[:, None, None] <= self.last_order, orders, 0.0)

    def levels(self, chain: Chain) -> Array:
        """The levels of this morning, ``(B, N, S)`` units."""
        known = chain.known
        forecast = self._forecast(chain, np.zeros_like(self.days), self.days)
        spread = np.sqrt(self.days * known.variance + forecast**2 * self.lead_variance)
        return np.maximum(forecast * self._of_today(self.ahead, chain) + self.safety_factor * spread, 0.0)

    def _of_today(self, table: Array, chain: Chain) -> Array:
        """Today's row of a table by day, ``(B, N, S)``."""
        return table[table_row(chain.simulator.state.day, len(table), self.cycle)]

    def _forecast(self, chain: Chain, first: Array, days: Array) -> Array:
        """Forecast of a day, ``(B, N, S)`` units; a seasonal one has the mean weekday factor of the `days` days that
        begin `first` days ahead, ``(N, 1)`` both."""
        if self.first_weekday < 0:
            return chain.known.forecast
        k = np.arange(7)
        weekday = (chain.simulator.state.day[:, None] + self.first_weekday + k) % 7
        ordered = np.take_along_axis(chain.known.factor, weekday[:, None, None, :], axis=3)
        whole, rest = np.divmod(days, 7.0)
        weights = (whole + np.clip(rest - (k - first) % 7, 0.0, 1.0)) / days  # (N, 7)
        return chain.known.level * np.einsum("bnsk,nk->bns", ordered, weights)


@dataclass(frozen=True)
class CappedForecastBaseStock(ForecastBaseStock):
    """:class:`ForecastBaseStock` whose orders are capped: with lost sales, what a late order cannot save is not ordered
    (Xin, "Understanding the performance of capped base-stock policies in lost-sales inventory models", Operations
    Research 69, 2021).

    The cap follows the calendar as the level does: it is `cap` where the days from one order's arrival to the next's
    are expected to bring mean demand.

    Parameters
    ----------
    cap
        ``(N, S)``, or broadcastable to ``(B, N, S)``: the largest order on a mean day, units.
    served, review
        ``(days, N, S)`` as `ahead`, of the days that an order serves alone, and ``(N, 1)`` how many these are.
    """

    cap: Array = field(kw_only=True)
    served: Array = field(kw_only=True)
    review: Array = field(kw_only=True)

    def orders(self, chain: Chain) -> Array:
        forecast = self._forecast(chain, np.rint(self.days - self.review), self.review)
        expected = forecast * self._of_today(self.served, chain) / (self.review * chain.mean_demand)
        return np.minimum(super().orders(chain), self.cap * expected)


def make_forecast_base_stock(
    network: Network, safety_factor: Array, name: str, cap: Array | None = None
) -> ForecastBaseStock:
    """The rule for a network, from what its calendar says; capped where there is a cap."""
    params = compile_network(network)
    seasonal = network.forecast.method == "seasonal" and network.period == "day"
    days = protection_days(params)
    review = params.review_period[:, None].astype(np.float64)
    ahead, cycle = _ahead_table(network, params, np.zeros(len(days)), days[:, 0], seasonal)
    fields: dict[str, Any] = {
        "safety_factor": safety_factor,
        "ahead": ahead,
        "cycle": cycle,
        "days": days,
        "lead_variance": params.lead_variance[:, None],
        "first_weekday": WEEKDAYS.index(network.first_weekday) if seasonal else -1,
        "last_order": last_useful_order(network, params),
        "name": name,
    }
    if cap is None:
        return ForecastBaseStock(**fields)
    served, _ = _ahead_table(network, params, (days - review)[:, 0], review[:, 0], seasonal)
    return CappedForecastBaseStock(**fields, cap=cap, served=served, review=review)


def last_useful_order(network: Network, params: Params) -> Array:
    """The last day, ``(N, 1)``, on which an order can reach a store before all days are over; inf where they never
    are."""
    way = params.lead_time[:, None] + params.order_lead_time[:, None] + way_to_stores(params)[0]
    return network.days - 1 - way if network.finite else np.full_like(way, np.inf)


def table_row(day: Array, length: int, cycle: int) -> Array:
    """Which row of a table by day stands for each day; from the last `cycle` rows on it repeats."""
    return np.where(day < length, day, length - cycle + (day - length) % cycle)


def demand_ahead(
    network: Network, params: Params, first: Array, days: Array, seasonal: bool = False
) -> tuple[Array, Array, int]:
    """What the calendar says of the `days` days that begin `first` days ahead, ``(N,)`` both.

    Returns
    -------
    tuple
        By day, ``(days, N, S)``: demand expected over those days, and of the day itself and the days after it, both
        in days of mean demand; after how many rows the first repeats.
    """
    memory = network.forecast.window if network.forecast.method == "moving_average" else 30
    start, cycle = (int(v) for v in params.demand.calendar)
    cycle = min(cycle, _LONGEST_TABLE)
    length = min(cycle * (math.ceil((memory + start + 1) / cycle) + 1), 2 * _LONGEST_TABLE)
    furthest = math.ceil((first + days).max()) + 2
    relative = _relative_demand(network, params, length + furthest, seasonal)
    if np.allclose(relative, 1.0):
        return np.broadcast_to(days[:, None], params.mean_demand.shape)[None].copy(), np.ones_like(relative), 1
    total = np.concatenate([np.zeros((1, *relative.shape[1:])), np.cumsum(relative, axis=0)])
    morning = np.arange(length)
    ahead = np.empty((length, *params.mean_demand.shape))
    for n in range(len(days)):
        ahead[:, n] = _total_until(total[:, n], morning + first[n] + days[n])
        ahead[:, n] -= _total_until(total[:, n], morning + first[n])
    return ahead, relative, cycle


def _ahead_table(network: Network, params: Params, first: Array, days: Array, seasonal: bool) -> tuple[Array, int]:
    """:func:`demand_ahead` over the mean that each day's forecast stands for."""
    ahead, relative, cycle = demand_ahead(network, params, first, days, seasonal)
    return ahead / np.maximum(_smoothed(network, relative)[: len(ahead)], 0.05), cycle


def _total_until(total: Array, time: Array) -> Array:
    """Sums of the days before a time, ``(days, S)``; of a day that has begun its part."""
    whole = time.astype(np.int64)
    return total[whole] + (time - whole)[:, None] * (total[whole + 1] - total[whole])


def _relative_demand(network: Network, params: Params, days: int, seasonal: bool) -> Array:
    """Each day's expected demand over the mean, ``(days, N, S)``.

    An upstream node meets the stores' orders, which run ahead of their demand by their lead time.
    """
    reach = np.zeros(len(params.parent), np.int64)
    for n in params.order:
        above = params.parent[n]
        if above >= 0:
            reach[n] = reach[above] + round(params.lead_time[n])
    total = days + int(reach.max())
    expected = np.zeros((total, *params.mean_demand.shape))
    weekday = WEEKDAYS.index(network.first_weekday)
    for n, name in enumerate(network.node_names):
        for s, sku in enumerate(network.skus):
            demand = network.item(name, sku).demand
            if demand is not None:
                if seasonal:
                    demand = demand.model_copy(update={"weekday": None, "weekday_add": None})
                multiplier, addition = demand.levels(np.arange(total), weekday)
                expected[:, n, s] = np.maximum(demand.base_mean * multiplier + addition, 0.0)
    own_mean = expected.mean(0)
    for n in params.order[::-1]:
        above = params.parent[n]
        if above >= 0:
            lead = round(params.lead_time[n])
            expected[: total - lead, above] += expected[lead:, n]
            own_mean[above] += own_mean[n]
    mean = params.mean_demand if not seasonal else own_mean
    return np.where(mean > 0, expected[:days] / np.where(mean > 0, mean, 1.0), 1.0)


def _smoothed(network: Network, relative: Array) -> Array:
    """What each morning's forecast stands for: past days as the method weighs them; 1 before the first."""
    settings, out = network.forecast, np.ones_like(relative)
    if settings.method == "moving_average":
        padded = np.concatenate([np.ones((settings.window, *relative.shape[1:])), relative])
        total = np.concatenate([np.zeros((1, *relative.shape[1:])), np.cumsum(padded, axis=0)])
        return (total[settings.window : -1] - total[: -settings.window - 1]) / settings.window
    for t in range(1, len(relative)):
        out[t] = out[t - 1] + settings.smoothing * (relative[t - 1] - out[t - 1])
    return out
