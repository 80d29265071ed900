"""The figures that policies are judged by: their names, units and which way is better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from hmarl.report.statistics import Estimate


@dataclass(frozen=True)
class Metric:
    """One figure of an episode, one value a replication."""

    label: str
    meaning: str  # one line for a planner
    better: int  # 1 higher is better, -1 lower, 0 neither
    share: bool = False  # a fraction, shown in per cent
    per_period: bool = False  # an amount a day (a week)
    money: bool = False
    units: bool = False

    def unit(self, period: str = "day") -> str:
        """What stands behind a number: ``% of demand``, ``money a day``."""
        if self.share:
            return "%"
        amount = "money" if self.money else "units" if self.units else ""
        return f"{amount} a {period}".strip() if self.per_period else amount

    def scale(self, value: float) -> float:
        """The number as it is shown: per cent for shares."""
        return 100 * value if self.share else value


METRICS: dict[str, Metric] = {
    "reward": Metric("Reward", "what the agents are paid, all together", 1, per_period=True),
    "service_level": Metric("Service level", "share of a period's demand met, mean over periods", 1, share=True),
    "fill_rate": Metric("Fill rate", "all demand met over all demand", 1, share=True),
    "stockout_days": Metric("Stock-out days", "share of periods on which some demand was not met", -1, share=True),
    "cost": Metric("Cost", "holding, orders and shortage", -1, per_period=True, money=True),
    "holding_cost": Metric("Holding cost", "cost of the stock kept", -1, per_period=True, money=True),
    "bullwhip": Metric("Bullwhip", "variance of orders over variance of demand", -1),
    "profit": Metric("Profit", "revenue less purchases, holding, orders and shortage", 1, per_period=True, money=True),
}
"""What every comparison shows, in this order."""

OTHER_METRICS: dict[str, Metric] = {
    "reward_store": Metric("Reward, stores", "what the stores' agents are paid", 1, per_period=True),
    "reward_warehouse": Metric("Reward, warehouse", "what the warehouse's agents are paid", 1, per_period=True),
    "reward_supplier": Metric("Reward, supplier", "what the supplier's agents are paid", 1, per_period=True),
    "stock": Metric("Stock", "units at the stores at a period's end", 0, units=True),
    "ordered": Metric("Ordered", "units ordered, all nodes", 0, per_period=True, units=True),
}
"""Kept in comparison.json and in an Evaluation beside those."""

ALL_METRICS: dict[str, Metric] = METRICS | OTHER_METRICS

RELATIVE = Metric("Relative difference", "share of what it is compared with", 0, share=True)
"""A difference in per cent."""


def decimals(metric: Metric, estimates: Iterable[Estimate]) -> int:
    """Digits after the point that show two digits of the widest interval of a column, 0 to 4."""
    shown = [e for e in estimates if not math.isnan(e.mean)]
    halves = [metric.scale(e.high - e.mean) for e in shown if not math.isnan(e.high)]
    size = max(halves, default=0.0) or max((abs(metric.scale(e.mean)) for e in shown), default=1.0) / 100
    if not size or math.isinf(size):
        return 1
    return min(4, max(0, 1 - math.floor(math.log10(size))))


def per_cent_decimals(estimates: Iterable[Estimate]) -> int:
    """The same for :data:`RELATIVE` differences, at most 2: nobody minds a ten-thousandth of a cost."""
    return min(2, decimals(RELATIVE, estimates))


def number(metric: Metric, value: float, digits: int, *, signed: bool = False) -> str:
    """A value as text: thousands apart, a true minus sign, a dash where there is none."""
    if math.isnan(value):
        return "\N{EN DASH}"
    shown = round(metric.scale(value), digits) + 0.0
    text = f"{abs(shown):,.{digits}f}"
    if shown < 0:
        return "\N{MINUS SIGN}" + text
    return "+" + text if signed and shown > 0 else text
