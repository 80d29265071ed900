"""Customers' demand: a distribution, and what changes its mean from day to day.

On day t a draw has the mean ``mean x multiplier(t) + addition(t)``. The multiplier is season x weekday x trend x
events; random spikes multiply it once more. Draws are rounded where the network's quantities are integers and
never fall below 0.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DemandPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Season(DemandPart):
    """``1 + amplitude sin(2 pi (t + phase) / period)``."""

    amplitude: float = Field(ge=0, le=1, description="relative, 0.3 is plus and minus 30 %")
    period: float = Field(gt=1, description="days")
    phase: float = Field(0, description="days")


class Event(DemandPart):
    """A scheduled change: the mean is multiplied from day `first` to day `last` of an episode."""

    first: int = Field(ge=0)
    last: int = Field(ge=0)
    multiplier: Finite


class Spikes(DemandPart):
    """Random peaks: each day one may begin; it multiplies the mean for some days."""

    probability: float = Field(ge=0, le=1, description="that a peak begins on a day")
    multiplier: Finite = 2.0
    duration: int = Field(1, ge=1, le=60, description="days")


class Demand(DemandPart):
    """Demand of one SKU at one node, units a day.

    ========== ===========================================================================================
    constant   `mean`
    poisson    `mean`
    geometric  `mean`; on 0, 1, 2, ... with P(k) = p (1 - p)^k, p = 1 / (1 + mean)
    normal     `mean`, `std` (a season changes the mean, not the spread)
    uniform    `low` to `high`, both included where quantities are integers
    discrete   `values` with `probabilities`
    history    `values`: past demand by day, replayed in random blocks of `block` days; the blocks are the same
               for all nodes and SKUs of a network, so that what sold together stays together
    path       `values`: played once, day by day; the last one is kept. `mean` and `std` say what planners expect
               of it (what the past held); left out, they are those of the values
    ========== ===========================================================================================

    `autocorrelation` is the lag-1 correlation of the normal score of the draws (a Gaussian copula: the
    distribution of a day stays what it is).
    """

    distribution: Literal["constant", "poisson", "geometric", "normal", "uniform", "discrete", "history", "path"]
    mean: Finite | None = None
    std: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    values: list[Finite] | None = Field(None, min_length=1)
    probabilities: list[Finite] | None = None
    block: int = Field(14, ge=1, description="days of a block of `history`")
    season: Season | None = None
    weekday: list[Finite] | None = Field(None, min_length=7, max_length=7, description="multipliers, Monday first")
    weekday_add: list[Finite] | None = Field(None, min_length=7, max_length=7, description="units, Monday first")
    events: list[Event] = []
    spikes: Spikes | None = None
    trend: float = Field(0, gt=-1, lt=1, description="relative change of the mean a period, for `trend_days`")
    trend_days: int = Field(365, ge=1, description="after so many days the mean stays where the trend brought it")
    autocorrelation: float = Field(0, gt=-1, lt=1)

    @model_validator(mode="after")
    def _complete(self) -> Demand:
        needs = {
            "constant": ["mean"],
            "poisson": ["mean"],
            "geometric": ["mean"],
            "normal": ["mean", "std"],
            "uniform": ["low", "high"],
            "discrete": ["values", "probabilities"],
            "history": ["values"],
            "path": ["values"],
        }[self.distribution]
        parameters = ("mean", "std", "low", "high", "values", "probabilities")
        missing = [name for name in needs if getattr(self, name) is None]
        allowed = [*needs, "mean", "std"] if self.distribution == "path" else needs
        extra = [name for name in parameters if name not in allowed and getattr(self, name) is not None]
        if missing or extra:
            wrong = f"{missing[0]} is missing" if missing else f"{extra[0]} does not belong there"
            raise ValueError(f"a {self.distribution} demand takes {' and '.join(needs)}; {wrong}")
        if self.low is not None and self.high is not None and self.high < self.low:
            raise ValueError(f"high ({self.high}) must not be below low ({self.low})")
        if (
            self.probabilities is not None
            and self.values is not None
            and (len(self.probabilities) != len(self.values) or abs(sum(self.probabilities) - 1) > 1e-6)
        ):
            raise ValueError("values and probabilities must be equally long and the probabilities sum to 1")
        if self.distribution in ("history", "path") and self.autocorrelation:
            raise ValueError(f"autocorrelation: {self.autocorrelation}: a {self.distribution} demand has its own")
        return self

    @property
    def base_mean(self) -> float:
        """Mean of a draw before multipliers and additions, units a day."""
        if self.distribution == "path" and self.mean is not None:
            return self.mean
        if self.values is not None:
            weights = self.probabilities or [1 / len(self.values)] * len(self.values)
            return math.fsum(v * w for v, w in zip(self.values, weights, strict=True))
        if self.distribution == "uniform":
            return (float(self.low or 0) + float(self.high or 0)) / 2
        return float(self.mean or 0)

    def base_variance(self, integer: bool) -> float:
        """Variance of a draw before multipliers and additions, units squared."""
        mean = self.base_mean
        if self.distribution == "path" and self.std is not None:
            return self.std**2
        if self.values is not None:
            weights = self.probabilities or [1 / len(self.values)] * len(self.values)
            return math.fsum((v - mean) ** 2 * w for v, w in zip(self.values, weights, strict=True))
        if self.distribution == "uniform":
            width = float(self.high or 0) - float(self.low or 0)
            return ((width + 1) ** 2 - 1) / 12 if integer else width**2 / 12
        if self.distribution == "poisson":
            return mean
        if self.distribution == "geometric":
            return mean * (1 + mean)
        return float(self.std or 0) ** 2

    def levels(self, days: np.ndarray, first_weekday: int) -> tuple[np.ndarray, np.ndarray]:
        """Multiplier and addition of each day (random spikes left out).

        Parameters
        ----------
        days
            Days of an episode, 0 the first, shape ``(days,)``.
        first_weekday
            Weekday of day 0, 0 Monday.
        """
        multiplier = np.ones(len(days))
        addition = np.zeros(len(days))
        if self.season is not None:
            angle = 2 * np.pi * (days + self.season.phase) / self.season.period
            multiplier *= 1 + self.season.amplitude * np.sin(angle)
        weekday = (days + first_weekday) % 7
        if self.weekday is not None:
            multiplier *= np.asarray(self.weekday)[weekday]
        if self.weekday_add is not None:
            addition += np.asarray(self.weekday_add)[weekday]
        if self.trend:
            multiplier *= (1 + self.trend) ** np.minimum(days, self.trend_days)
        for event in self.events:
            multiplier[(days >= event.first) & (days <= event.last)] *= event.multiplier
        return multiplier, addition

    def level_calendar(self) -> tuple[int, int]:
        """``(start, cycle)``: from day `start` on, :meth:`levels` repeats every `cycle` days."""
        start = max([self.trend_days if self.trend else 0] + [event.last + 1 for event in self.events])
        cycle = 7 if self.weekday is not None or self.weekday_add is not None else 1
        if self.season is not None:
            period = self.season.period
            cycle = math.lcm(cycle, int(period)) if period == int(period) else cycle * round(period * 100)
        return start, cycle
