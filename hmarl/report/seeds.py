"""How good a training is over its seeds: the final policies of several runs on the same test paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hmarl.report.comparison import Comparison, Result
from hmarl.report.metrics import ALL_METRICS, RELATIVE, Metric, decimals, number, per_cent_decimals
from hmarl.report.statistics import Estimate, estimate, interquartile_mean

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Spread:
    """A figure over trainings that differ in nothing but their seed.

    Attributes
    ----------
    mean
        Student's t over seeds: :func:`hmarl.report.statistics.estimate`.
    interquartile_mean
        Bootstrap over seeds: :func:`hmarl.report.statistics.interquartile_mean`.
    worst, best
        Of the seeds.
    """

    mean: Estimate
    interquartile_mean: Estimate
    worst: float
    best: float

    @classmethod
    def of(cls, scores: Sequence[float], better: int) -> Spread:
        """Over the scores of the seeds; `better` is 1 where higher is better, -1 where lower is."""
        worst, best = (min, max) if better > 0 else (max, min)
        return cls(estimate(scores), interquartile_mean(scores), worst(scores), best(scores))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        shown = {"mean": self.mean.to_json(), "interquartile_mean": self.interquartile_mean.to_json()}
        return {**shown, "worst": self.worst, "best": self.best}


@dataclass(frozen=True)
class Seeds:
    """Several trainings of the same settings, judged on the same test paths.

    All met the same paths, so that the spread is the trainings': luck of the paths, which all share, is not in it. In
    differences to a policy that met them too it cancels.

    Attributes
    ----------
    runs
        Names, as the comparison has them.
    metric
        What agents are paid for, see :attr:`hmarl.report.Comparison.objective`.
    unit
        Of :attr:`value`.
    value
        Over the runs' means.
    differences
        By the policy compared with: of rewards in their unit, of costs as a share of that policy's.
    """

    runs: list[str]
    metric: str
    unit: str
    value: Spread
    differences: dict[str, Spread]

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers."""
        differences = {other: spread.to_json() for other, spread in self.differences.items()}
        return {**vars(self), "value": self.value.to_json(), "differences": differences}

    def table(self) -> Table:
        """For a terminal."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        metric = ALL_METRICS[self.metric]
        title = f"over {len(self.runs)} trainings: {', '.join(self.runs)}"
        columns = (
            "",
            "mean ± half of the 95 % interval",
            "interquartile mean",
            "its 95 % interval",
            "worst",
            "best",
            "",
        )
        table = Table(*columns, title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        table.add_row(metric.label, *_cells(metric, self.value, signed=False), self.unit)
        relative = self.metric == "cost"
        for other, spread in self.differences.items():
            cells = _cells(RELATIVE if relative else metric, spread, signed=True)
            table.add_row(f"  vs {escape(other)}", *cells, "%" if relative else self.unit)
        return table


def over_seeds(comparison: Comparison, runs: Sequence[str]) -> Seeds:
    """What a comparison of several runs' final policies says about the training, in its first scenario.

    Parameters
    ----------
    comparison
        Of the runs, by their names, and of what they are compared with.
    runs
        The policies that are trainings of the same settings.
    """
    name, metric = comparison.objective, ALL_METRICS[comparison.objective]
    found = [comparison.result(run, name) for run in runs]
    others = dict.fromkeys((comparison.baseline, *comparison.references))
    differences = {
        other: Spread.of([_difference(result, other, name).mean for result in found], metric.better)
        for other in others
        if other not in runs
    }
    values = Spread.of([result.value.mean for result in found], metric.better)
    return Seeds(list(runs), name, metric.unit(comparison.period), values, differences)


def _difference(result: Result, other: str, metric: str) -> Estimate:
    """To the baseline, the only one that is not in `against`, or to a reference."""
    differences = result.relative if metric == "cost" else result.against
    return differences[other] if other in differences else cast(Estimate, result.difference)


def _cells(metric: Metric, spread: Spread, *, signed: bool) -> list[str]:
    mean, middle = spread.mean, spread.interquartile_mean
    digits = per_cent_decimals([mean]) if metric is RELATIVE else decimals(metric, [mean])
    values = (mean.mean, middle.mean, middle.low, middle.high, spread.worst, spread.best)
    first, between, low, high, worst, best = (number(metric, v, digits, signed=signed) for v in values)
    return [f"{first} ±{number(metric, mean.half, digits)}", between, f"{low} to {high}", worst, best]
