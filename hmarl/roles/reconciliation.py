"""Plan against outcome, per node, SKU and day, and why they differ: one reason code.

A day's plan is made when the last order is placed that can still serve it, one lead time before. By the
conservation of stock, the units a node is short of on a day are

    demand of the days since that order - position after that order + units that should be here and are not

so a shortage has three sources (supply, demand, the order) and each reason code asks one of them how many of
the units it explains. The first code of :data:`REASONS` that applies is the day's; the last one always does.

Short days (demand not met that the stock left cannot meet either):

================== ==========================================================================================
supplier_delay     units shipped, due and not here explain at least `cause_share` of the units short
upstream_shortage  units ordered, not filled in time by the source explain at least `cause_share` of them
demand_spike       the day's demand is above forecast + `spike_sigma` x uncertainty, and what it is above the
                   forecast explains at least `cause_share` of them
forecast_error     demand since the order is above its forecast by more than the safety stock, and by at least
                   `cause_share` of them
thin_safety_stock  the position after the order covered the forecast, not what came on top of it
under_ordering     the position after the order did not cover the forecast
================== ==========================================================================================

Days with excess stock above `excess_days` x forecast:

================== ==========================================================================================
demand_drop        the day's demand is below forecast - `drop_sigma` x uncertainty, and what it is below the
                   forecast explains at least `cause_share` of the excess
forecast_error     demand since the order is below its forecast by more than the safety stock, and by at least
                   `cause_share` of the excess
over_ordering      every other
================== ==========================================================================================

All other days are on_target: a delay or a peak that the safety stock took up went as planned.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hmarl.roles.plan import planned_position, safety_stock
from hmarl.simulator.costs import day_costs

if TYPE_CHECKING:
    from hmarl.roles.chain import Chain
    from hmarl.simulator.simulator import Outcome as DayOutcome

Array = NDArray[np.float64]

REASONS = (
    "supplier_delay",
    "upstream_shortage",
    "demand_spike",
    "demand_drop",
    "forecast_error",
    "thin_safety_stock",
    "under_ordering",
    "over_ordering",
    "on_target",
)
DESCRIPTIONS = {
    "supplier_delay": "a shipment was late or lost",
    "upstream_shortage": "the source did not fill an order in time",
    "demand_spike": "demand of the day far above the forecast",
    "demand_drop": "demand of the day far below the forecast",
    "forecast_error": "demand over the lead time off the forecast by more than the safety stock",
    "thin_safety_stock": "the order covered the forecast but too little on top",
    "under_ordering": "the order did not cover the forecast",
    "over_ordering": "more was ordered than planned position and forecast called for",
    "on_target": "demand met, no excess",
}
_ROUNDING = 1e-9
_FOLLOWED = ("ordered", "forecast", "uncertainty", "position", "not_filled", "demand", "shipped", "lost")


class Thresholds(BaseModel):
    """When a difference between plan and outcome counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shortage: float = Field(0, ge=0, le=1, description="share of the day's demand that may be short, 0 to 1")
    excess_days: float = Field(1, ge=0, description="excess stock that may be left, days of forecast demand")
    cause_share: float = Field(0.5, gt=0, le=1, description="share of the units that a cause must explain, 0 to 1")
    spike_sigma: float = Field(2, ge=0, description="a spike is so far above the forecast, standard deviations")
    drop_sigma: float = Field(2, ge=0, description="a drop is so far below the forecast, standard deviations")


@dataclass(frozen=True)
class Plan:
    """What was planned for a day; arrays ``(..., N, S)`` or of shapes that broadcast to it.

    "The order" is the last one that could still serve the day, placed `cover - 1` days before it.
    """

    forecast: Array  # demand of the day as forecast in its morning, units
    uncertainty: Array  # standard deviation of the forecast's errors, units
    target_service: Array  # service level that safety stock is sized for, 0 to 1
    lead_time: Array  # from shipment to arrival, days
    order_forecast: Array  # demand a day as forecast when the order was placed, units
    order_uncertainty: Array  # and its standard deviation, units
    order_position: Array  # inventory position after the order, units
    cover: Array  # days that the position has to cover, the order's and this one included

    @property
    def safety_stock(self) -> Array:
        """Units, see :func:`safety_stock`."""
        return safety_stock(self.uncertainty, self.target_service, self.lead_time)

    @property
    def planned_position(self) -> Array:
        """Units, see :func:`planned_position`."""
        return planned_position(self.forecast, self.uncertainty, self.target_service, self.lead_time)


@dataclass(frozen=True)
class Outcome:
    """What became of a day; arrays ``(..., N, S)``.

    Demand is everything a node is asked for: by customers and by the nodes below it.
    """

    demand: Array  # of the day, units
    short: Array  # of it not met on the day, units
    left: Array  # stock at the day's end, units
    demand_since: Array  # demand from the order's day to this one, both included, units
    late: Array  # units shipped to the node, due by nominal lead times and not here
    not_filled: Array  # units ordered that would be here had the source filled them on the day it heard of them
    holding_cost: Array  # money
    stockout_cost: Array  # money
    ordering_cost: Array  # money


@dataclass(frozen=True)
class Reconciliation:
    """Plan and outcome of a day side by side; arrays ``(..., N, S)``."""

    service_level: Array  # share of the day's demand met on the day; 1 without demand
    holding_cost: Array  # money
    stockout_cost: Array  # money
    ordering_cost: Array  # money
    short: Array  # units
    excess: Array  # max(0, stock at the day's end - (safety stock + a day's forecast)), units
    safety_stock: Array  # units
    planned_position: Array  # units
    order_position: Array  # inventory position after the order that the day depends on, units
    reason: NDArray[np.int8]  # index into REASONS


def reconcile(plan: Plan, outcome: Outcome, thresholds: Thresholds | None = None) -> Reconciliation:
    """Compare plan and outcome; every entry gets one reason, the first of :data:`REASONS` that applies.

    Parameters
    ----------
    plan, outcome
        Arrays that broadcast to one shape ``(..., N, S)``; that is the shape of the result.
    thresholds
        When a difference counts.
    """
    limits = thresholds or Thresholds()
    safety = plan.safety_stock
    excess = np.maximum(0.0, outcome.left - (safety + plan.forecast))
    demand = outcome.demand
    met = 1.0 - np.divide(outcome.short, demand, out=np.zeros_like(demand), where=demand > 0)
    return Reconciliation(
        service_level=met,
        holding_cost=outcome.holding_cost,
        stockout_cost=outcome.stockout_cost,
        ordering_cost=outcome.ordering_cost,
        short=outcome.short,
        excess=excess,
        safety_stock=np.broadcast_to(safety, demand.shape),
        planned_position=np.broadcast_to(plan.planned_position, demand.shape),
        order_position=np.broadcast_to(plan.order_position, demand.shape),
        reason=_reasons(plan, outcome, excess, limits),
    )


def _reasons(plan: Plan, outcome: Outcome, excess: Array, limits: Thresholds) -> NDArray[np.int8]:
    # A source that did not run has stock left and is short all the same: its stock was not at fault.
    lacking = np.maximum(0.0, outcome.short - outcome.left)
    short = lacking > limits.shortage * outcome.demand + _ROUNDING
    heavy = excess > limits.excess_days * plan.forecast + _ROUNDING
    part, heavy_part = limits.cause_share * lacking, limits.cause_share * excess

    surprise = outcome.demand - plan.forecast
    expected = plan.order_forecast * plan.cover
    margin = np.maximum(0.0, safety_stock(plan.order_uncertainty, plan.target_service, plan.cover - 1.0))
    error = outcome.demand_since - expected
    spike = (surprise > limits.spike_sigma * plan.uncertainty) & (surprise >= part)
    drop = (-surprise > limits.drop_sigma * plan.uncertainty) & (-surprise >= heavy_part)
    too_low = (error > margin + _ROUNDING) & (error >= part)
    too_high = (-error > margin + _ROUNDING) & (-error >= heavy_part)

    applies = [
        short & (outcome.late >= part),
        short & (outcome.not_filled >= part),
        short & spike,
        heavy & drop,
        (short & too_low) | (heavy & too_high),
        short & (plan.order_position >= expected - _ROUNDING),
        short,
        heavy,
    ]
    codes = np.arange(len(applies), dtype=np.int8)
    return np.select(applies, list(codes), np.int8(len(applies))).astype(np.int8)


class _Trail:
    """The last days of an array ``(B, N, S)``; 0 before its first."""

    def __init__(self, depth: int, shape: tuple[int, ...]) -> None:
        self._days = np.zeros((depth, *shape))
        self._nodes = np.arange(shape[1])
        self._day = -1

    def add(self, values: Array) -> None:
        self._day += 1
        self._days[self._day % len(self._days)] = values

    def back(self, days: NDArray[np.int64]) -> Array:
        """The values of `days` ago, ``(N,)`` a number for each node."""
        return self._days[(self._day - days) % len(self._days), :, self._nodes].swapaxes(0, 1)


class Ledger:
    """Follows a chain and reconciles each of its days.

    Parameters
    ----------
    chain
        Just reset: its opening stock counts as the order of the days before the first, and its first forecast
        as theirs. A chain that is reset needs a new ledger.
    thresholds
        When a difference between plan and outcome counts.

    Attributes
    ----------
    days
        What was recorded, a :class:`Reconciliation` a day.
    plan, outcome
        Of the day recorded last.

    Examples
    --------
    >>> ledger = Ledger(chain)
    >>> for _ in range(chain.network.days):
    ...     chain.step(policy.orders(chain))
    ...     ledger.record()
    >>> reasons_table(stack(ledger.days), chain.network.node_names)
    """

    def __init__(self, chain: Chain, thresholds: Thresholds | None = None) -> None:
        self.chain, self.days = chain, list[Reconciliation]()
        self.thresholds = thresholds or Thresholds()
        params, shape = chain.simulator.params, chain.simulator.shape
        self._transit = np.ceil(params.lead_time - _ROUNDING).astype(np.int64)
        self._lead = self._transit + params.order_lead_time
        depth = int(self._lead.max()) + 2
        self._trails = {name: _Trail(depth, shape) for name in _FOLLOWED}
        self._demand, self._received, self._shipped, self._lost = (np.zeros(shape) for _ in range(4))
        self.plan: Plan | None = None
        self.outcome: Outcome | None = None
        self._look()
        self._first = self._forecast, self._uncertainty, self._position

    def _look(self) -> None:
        """Keep what is known on this morning; the step overwrites it."""
        self._forecast, self._uncertainty = self.chain.forecast.copy(), self.chain.uncertainty.copy()
        self._position = self.chain.simulator.inventory_position()
        self._owed = self.chain.simulator.state.owed.copy()

    def record(self) -> Reconciliation:
        """Reconcile the day that the chain has just played."""
        params, booked = self.chain.simulator.params, self.chain.simulator.outcome
        unfilled = np.maximum(0.0, self._owed + booked.heard - booked.filled)
        short = booked.unmet + _sum_below(params.parent, np.minimum(booked.heard, unfilled))  # oldest first
        demand = booked.demand + booked.incoming
        self._follow(booked, demand, unfilled)
        costs = day_costs(params, booked)
        self.plan = self._plan()
        self.outcome = Outcome(
            demand=demand,
            short=short,
            left=booked.left.copy(),
            demand_since=self._since("demand", 0 * self._lead),
            late=np.maximum(0.0, self._back("shipped", self._transit) - self._received)
            + self._since("lost", self._transit),
            not_filled=self._back("not_filled", self._transit),
            holding_cost=costs.holding,
            stockout_cost=costs.stockout,
            ordering_cost=costs.ordering,
        )
        reconciliation = reconcile(self.plan, self.outcome, self.thresholds)
        self.days.append(reconciliation)
        self._look()
        return reconciliation

    def _back(self, name: str, days: NDArray[np.int64]) -> Array:
        return self._trails[name].back(days)

    def _since(self, name: str, until: NDArray[np.int64]) -> Array:
        """The sum from the day of the order to `until` days ago, both included."""
        return self._back(name, until) - self._back(name, self._lead + 1)

    def _follow(self, booked: DayOutcome, demand: Array, unfilled: Array) -> None:
        self._trails["ordered"].add(booked.ordered)
        unheard = self._back("ordered", self.chain.simulator.params.order_lead_time) - booked.heard
        self._demand += demand
        self._shipped += booked.filled - booked.lost
        self._lost += booked.lost
        self._received += booked.received
        for name, values in (
            ("forecast", self._forecast),
            ("uncertainty", self._uncertainty),
            ("position", self._position + booked.ordered),
            ("not_filled", unfilled + np.maximum(0.0, unheard)),
            ("demand", self._demand),
            ("shipped", self._shipped),
            ("lost", self._lost),
        ):
            self._trails[name].add(values)

    def _plan(self) -> Plan:
        params, day = self.chain.simulator.params, len(self.days)
        opening = (day < self._lead)[:, None]
        forecast, uncertainty, position = (
            np.where(opening, first, self._back(name, self._lead))
            for name, first in zip(("forecast", "uncertainty", "position"), self._first, strict=True)
        )
        return Plan(
            forecast=self._forecast,
            uncertainty=self._uncertainty,
            target_service=params.target_service,
            lead_time=params.lead_time[:, None],
            order_forecast=forecast,
            order_uncertainty=uncertainty,
            order_position=position,
            cover=(np.minimum(day, self._lead) + 1.0)[:, None],
        )


def _sum_below(parent: NDArray[np.int64], values: Array) -> Array:
    """For each node the sum of its children's values."""
    total = np.zeros_like(values)
    for n, above in enumerate(parent):
        if above >= 0:
            total[:, above] += values[:, n]
    return total


def stack(days: list[Reconciliation]) -> Reconciliation:
    """The days one after another: every array gets a leading axis of days."""
    return Reconciliation(**{f.name: np.stack([getattr(day, f.name) for day in days]) for f in fields(Reconciliation)})


def reasons_table(
    reconciliation: Reconciliation, nodes: list[str], *, stockouts: bool = True
) -> dict[str, dict[str, int]]:
    """How often each reason occurred, by node: days x replications x SKUs.

    Parameters
    ----------
    reconciliation
        Arrays ``(..., N, S)``: a day, or days stacked.
    nodes
        Names of the N nodes.
    stockouts
        Count days with unmet demand only; otherwise all days.
    """
    counted = reconciliation.short > _ROUNDING if stockouts else np.ones(reconciliation.short.shape, bool)
    table = {}
    for n, name in enumerate(nodes):
        reasons = reconciliation.reason[..., n, :][counted[..., n, :]]
        counts = np.bincount(reasons, minlength=len(REASONS))
        table[name] = {reason: int(count) for reason, count in zip(REASONS, counts, strict=True)}
    return table
