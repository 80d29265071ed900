"""Clark and Scarf's recursion, on trees: what a day costs at least, stage by stage from the stores up.

A stage is a node; its echelon is the node and all below it. h_n is its echelon holding cost, its local one less that
of the node above; y its echelon position after ordering, D a day's demand of all stores below, L_n its lead time.

    store        C_n(y) = E[h_n (y - D(L_n + 1)) + (p + h) (D(L_n + 1) - y)+]
    other nodes  C_n(y) = E[h_n (y - D(L_n + 1)) + R_n(y - D(L_n))]
                 R_n(x) = min {sum of C_i(y_i) over the nodes i below : sum of y_i <= x}

The least cost of a day is the minimum of C at the root, less what C charges for stock in transit, which the simulator
does not. Where every node has one node below (stages in series) R_n(x) = C_i(min(S_i, x)) and the recursion is exact
(Clark and Scarf 1960). Where stock is shared, R_n lets stores return stock to each other at any time for nothing: a
lower bound (the balance relaxation of Federgruen and Zipkin 1984).

A quantity is in units; functions are kept at 0, step, 2 step, ... and are linear below 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import signal

from hmarl.exact.distribution import Array, add, mean_of, over_days, surplus


@dataclass(frozen=True)
class Stage:
    """A node of the recursion.

    Attributes
    ----------
    name
        The node's.
    lead_time
        Days from the order to the day whose demand it can serve.
    holding, shortage
        Local holding cost a unit and day, and cost a unit owed to customers and day (of a store).
    below
        Stages that it delivers to; none for a store.
    demand
        Probabilities of a store's demand of a day, on the grid.
    """

    name: str
    lead_time: int
    holding: float
    shortage: float = 0.0
    below: tuple[Stage, ...] = ()
    demand: Array | None = None

    @property
    def stores(self) -> int:
        """How many stores there are in the echelon."""
        return sum(stage.stores for stage in self.below) or 1

    @property
    def days(self) -> int:
        """Days from the stage's order to the end of the last day whose demand it can serve."""
        return self.lead_time + max((stage.days for stage in self.below), default=1)

    @property
    def draws(self) -> int:
        """Days of demand that the recursion takes expectations over, those of each store counted, and stages."""
        own = self.lead_time * self.stores + (1 if self.below else 2)
        return own + sum(stage.draws for stage in self.below)

    def total_demand(self) -> Array:
        """Probabilities of a day's demand of all stores in the echelon."""
        if self.demand is not None:
            return self.demand
        total = np.ones(1)
        for stage in self.below:
            total = add(total, stage.total_demand())
        return total


@dataclass(frozen=True)
class Solution:
    """Least cost of a day and the echelon levels that minimise C, by stage."""

    cost: float
    levels: Mapping[str, float]
    highest: float  # largest position that was searched, units


@dataclass(frozen=True)
class _Convex:
    """A convex function at 0, step, 2 step, ...; of constant slope (a unit) below 0."""

    values: Array
    slope: float


def solve_echelons(root: Stage, step: float) -> Solution:
    """Solve the recursion.

    Parameters
    ----------
    root
        The outermost stage; its source is unlimited.
    step
        Of the grid, units.
    """
    points = len(over_days(root.total_demand(), root.days)) + 1
    levels: dict[str, float] = {}
    costs = _stage_costs(root, 0.0, step, points, levels)
    return Solution(float(costs.values.min()) - _transit(root, step), levels, step * (points - 1))


def _stage_costs(stage: Stage, holding_above: float, step: float, points: int, levels: dict[str, float]) -> _Convex:
    """C of the stage."""
    echelon_holding = stage.holding - holding_above
    daily, y = stage.total_demand(), step * np.arange(points)
    mean = mean_of(daily, step)
    if stage.below:
        shared = _shared([_stage_costs(s, stage.holding, step, points, levels) for s in stage.below], step)
        below = _after(shared, over_days(daily, stage.lead_time), step)
    else:
        over_lead_time = over_days(daily, stage.lead_time + 1)
        penalty = stage.shortage + stage.holding
        short = mean_of(over_lead_time, step) - y + surplus(over_lead_time, step, points)
        below = _Convex(penalty * short, -penalty)
    values = echelon_holding * (y - (stage.lead_time + 1) * mean) + below.values
    levels[stage.name] = step * int(np.argmax(values <= values.min() + 1e-10 * abs(below.slope)))
    return _Convex(values, echelon_holding + below.slope)


def _after(function: _Convex, demand: Array, step: float) -> _Convex:
    """E f(y - D)."""
    y = step * np.arange(len(function.values))
    bend = function.values - function.values[0] - function.slope * y
    bent = signal.convolve(bend, demand)[: len(y)]
    return _Convex(function.values[0] + function.slope * (y - mean_of(demand, step)) + bent, function.slope)


def _shared(functions: list[_Convex], step: float) -> _Convex:
    """The least sum of the functions where their arguments sum to at most x: the steepest descent goes first."""
    slope = max(f.slope for f in functions)
    rises = [np.diff(f.values) for f in functions]
    first = [int((rise < slope * step).sum()) for rise in rises]
    rest = np.sort(np.concatenate([rise[k:] for rise, k in zip(rises, first, strict=True)]))
    descent = np.minimum(np.concatenate([np.full(sum(first), slope * step), rest]), 0.0)
    lowest = sum(float(f.values[k]) for f, k in zip(functions, first, strict=True)) - slope * step * sum(first)
    return _Convex(lowest + np.concatenate([[0.0], np.cumsum(descent)])[: len(functions[0].values)], slope)


def _transit(stage: Stage, step: float) -> float:
    """What C charges a day for stock on its way to the nodes below, at the holding cost of where it left."""
    own = sum(stage.holding * below.lead_time * mean_of(below.total_demand(), step) for below in stage.below)
    return own + sum(_transit(below, step) for below in stage.below)


def grid_error(root: Stage, step: float, density: float) -> float:
    """By how much a grid may raise the cost, money a day; 0 where demand is counted.

    Parameters
    ----------
    density
        The largest of the stores' demands of a day.

    Notes
    -----
    The second derivative of C is at most (p + h) times the largest density, for minima of sums and expectations do
    not raise it; each day of demand that is put on the grid, and each level that is a point of it, costs at most
    step^2 / 8 times that (:mod:`hmarl.exact.distribution`).
    """
    return root.draws * step**2 / 8 * _largest_penalty(root) * density


def _largest_penalty(stage: Stage) -> float:
    return max([stage.shortage + stage.holding, *(_largest_penalty(below) for below in stage.below)])
