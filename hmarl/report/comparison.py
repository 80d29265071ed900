"""Policies side by side on the same test paths."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmarl.errors import InputError, unknown
from hmarl.files import write_atomic
from hmarl.network.config import Network
from hmarl.network.scenarios import apply_scenario
from hmarl.report.metrics import ALL_METRICS, METRICS, Metric, decimals, number
from hmarl.report.statistics import LEVEL, Estimate, estimate, paired_difference

if TYPE_CHECKING:
    from rich.table import Table

    from hmarl.policies import Policy

_WIDE, _NARROW = 128, ("reward", "service_level", "stockout_days", "profit")
Values = Mapping[str, np.ndarray]  # metric -> (replications,)


@dataclass(frozen=True)
class Result:
    """One figure of one policy in one scenario."""

    value: Estimate
    difference: Estimate | None = None  # to the baseline, paired by replication
    step: Estimate | None = None  # to the policy before (a phase to the phase before), paired
    against: Mapping[str, Estimate] = field(default_factory=dict)  # to other references, paired

    def to_json(self) -> dict[str, Any]:
        """Mean, low, high and n; the differences the same or None."""
        return {
            **self.value.to_json(),
            "difference": self.difference and self.difference.to_json(),
            "step": self.step and self.step.to_json(),
            "against": {other: difference.to_json() for other, difference in self.against.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """The reverse of :meth:`to_json`."""
        difference, step = (data[key] and Estimate.from_json(data[key]) for key in ("difference", "step"))
        against = {other: Estimate.from_json(value) for other, value in data["against"].items()}
        return cls(Estimate.from_json(data), difference or None, step or None, against)


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found: ``results[scenario][policy][metric]``."""

    network: str
    period: str
    days: int  # counted a replication, after the warm-up
    warmup: int
    replications: int
    seed: int
    baseline: str
    references: list[str]
    previous: dict[str, str]
    results: dict[str, dict[str, dict[str, Result]]]

    @property
    def scenarios(self) -> list[str]:
        """In the order they were asked for."""
        return list(self.results)

    @property
    def policies(self) -> list[str]:
        """In the order they were given."""
        return list(next(iter(self.results.values())))

    def result(self, policy: str, metric: str, scenario: str | None = None) -> Result:
        """One figure; of the first scenario where none is named."""
        return self.results[scenario or self.scenarios[0]][policy][metric]

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers: what comparison.json holds."""
        return {
            "network": self.network,
            "period": self.period,
            "days": self.days,
            "warmup": self.warmup,
            "replications": self.replications,
            "seed": self.seed,
            "confidence": LEVEL,
            "baseline": self.baseline,
            "references": self.references,
            "previous": self.previous,
            "units": {name: ALL_METRICS[name].unit(self.period) for name in self._metrics()},
            "better": {name: ("lower", "neither", "higher")[ALL_METRICS[name].better + 1] for name in self._metrics()},
            "scenarios": {
                scenario: {
                    policy: {metric: result.to_json() for metric, result in row.items()} for policy, row in rows.items()
                }
                for scenario, rows in self.results.items()
            },
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Comparison:
        """The reverse of :meth:`to_json`."""
        return cls(
            **{name: data[name] for name in cls.__dataclass_fields__ if name != "results"},
            results={
                scenario: {
                    policy: {metric: Result.from_json(result) for metric, result in row.items()}
                    for policy, row in rows.items()
                }
                for scenario, rows in data["scenarios"].items()
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read a comparison.json.

        Raises
        ------
        InputError
            If the file is missing or holds something else.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a comparison.json of this program") from error

    def save(self, folder: str | Path) -> Path:
        """Write comparison.json and comparison.png into a folder; returns the folder."""
        from hmarl.report.plots import comparison_figure, png

        folder = Path(folder)
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        write_atomic(folder / "comparison.json", text + "\n")
        write_atomic(folder / "comparison.png", png(comparison_figure(self)))
        return folder

    def table(self, width: int = 160) -> Table:
        """For a terminal of a width: each policy's means and, below them, its differences.

        Colour says that an interval leaves 0 out. A narrow terminal gets fewer figures.
        """
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        title = (
            f"{self.network}: {self.replications:,} replications of {self.days} {self.period}s, "
            f"mean ± half of the {100 * LEVEL:g} % interval"
        )
        table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        table.caption, table.caption_justify = escape("\n".join(self.distances())), "left"
        table.add_column("policy", no_wrap=True)
        shown = list(METRICS) if width >= _WIDE else list(_NARROW)
        for metric in (METRICS[name] for name in shown):
            table.add_column(f"{metric.label}\n[dim]{metric.unit(self.period)}[/]", justify="right")
        for scenario, rows in self.results.items():
            table.add_section()
            if len(self.results) > 1:
                table.add_row(f"[bold]{escape(scenario)}[/]")
            digits = {
                kind: {name: self.decimals(name, scenario, kind) for name in shown}
                for kind in ("value", "difference", "step")
            }
            for policy, row in rows.items():
                table.add_row(escape(policy), *_cells({name: row[name].value for name in shown}, digits["value"]))
                for other, kind in ((self.baseline, "difference"), (self.previous.get(policy), "step")):
                    differences = {name: getattr(row[name], kind) for name in shown}
                    if differences["reward"] is not None:
                        label = f"[dim]  vs {escape(str(other))}[/]"
                        table.add_row(label, *_cells(differences, digits[kind], difference=True))
        return table

    def distances(self, metric: str = "reward") -> list[str]:
        """How the last policy stands against each reference, a line each; none where it is one itself."""
        policy, scenario = self.policies[-1], self.scenarios[0]
        digits, figure = self.decimals(metric, scenario, "difference"), ALL_METRICS[metric]
        lines = []
        for other, found in self.result(policy, metric).against.items() if policy not in self.references else ():
            mean, low, high = (number(figure, v, digits, signed=True) for v in found[:3])
            lines.append(f"{policy} vs {other}: {figure.label.lower()} {mean}, 95 % interval {low} to {high}")
        return lines

    def decimals(self, metric: str, scenario: str, kind: str = "value") -> int:
        """Digits after the point for a column of values, differences (``difference``) or steps (``step``)."""
        found = [getattr(row[metric], kind) for row in self.results[scenario].values()]
        return decimals(ALL_METRICS[metric], [estimate for estimate in found if estimate is not None])

    def _metrics(self) -> list[str]:
        return list(next(iter(next(iter(self.results.values())).values())))


def compare(
    network: Network,
    policies: Mapping[str, Policy],
    *,
    baseline: str,
    references: Sequence[str] = (),
    previous: Mapping[str, str] | None = None,
    scenarios: Sequence[str] = ("normal",),
    replications: int = 200,
    days: int | None = None,
    warmup: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Play every policy on the same test paths and tell their differences from chance.

    A scenario changes the network that is played, not the policies: they meet it as they were made.

    Parameters
    ----------
    network
        The supply chain.
    policies
        By the names they are shown under.
    baseline
        The policy that the others' differences are taken to.
    references
        More policies that the others' differences are taken to.
    previous
        The policy before, for those that have one: each phase's the phase before.
    scenarios
        Names known to :func:`hmarl.network.scenarios.apply_scenario`.
    replications, days, warmup, seed
        As for :func:`hmarl.policies.simulate`; the network's days and warm-up where left out.
    progress
        Called with (simulations done, simulations in all) before each and at the end.

    Raises
    ------
    InputError
        An unknown policy or scenario; fewer than two replications; no day to count.
    """
    from hmarl.policies import simulate

    previous = dict(previous or {})
    days, warmup = checked_horizon(network, days, warmup, replications)
    for place, name in (
        ("baseline", baseline),
        *(("references", r) for r in references),
        *(("previous", n) for pair in previous.items() for n in pair),
    ):
        if name not in policies:
            raise unknown(place, name, policies)
    played = {scenario: apply_scenario(network, scenario) for scenario in scenarios}
    if not played:
        raise InputError("scenarios: none: name at least one")
    total, done = len(played) * len(policies), 0
    results: dict[str, dict[str, dict[str, Result]]] = {}
    for scenario, changed in played.items():
        values: dict[str, Values] = {}
        for name, policy in policies.items():
            if progress:
                progress(done, total)
            values[name] = simulate(
                changed, policy, days=days, warmup=warmup, replications=replications, seed=seed
            ).metrics
            done += 1
        results[scenario] = dict(_results(values, baseline, references, previous))
    if progress:
        progress(done, total)
    return Comparison(
        network=network.name,
        period=network.period,
        days=days - warmup,
        warmup=warmup,
        replications=replications,
        seed=seed,
        baseline=baseline,
        references=list(references),
        previous=previous,
        results=results,
    )


def checked_horizon(network: Network, days: int | None, warmup: int | None, replications: int) -> tuple[int, int]:
    """Days in all and of warm-up, the network's where left out.

    Raises
    ------
    InputError
        If no day is left to count, or no interval can be given.
    """
    days = network.days if days is None else days
    warmup = network.warmup if warmup is None else warmup
    if replications < 2:
        raise InputError(f"episodes: {replications}: at least 2, or there is no interval")
    if days < 1:
        raise InputError(f"days: {days}: at least 1")
    if not 0 <= warmup < days:
        raise InputError(f"warmup: {warmup}: 0 to {days - 1}, below the {days} {network.period}s of an episode")
    return days, warmup


def _results(
    values: Mapping[str, Values], baseline: str, references: Sequence[str], previous: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Result]]]:
    for name, own in values.items():

        def difference(metric: str, other: str | None, own: Values = own, name: str = name) -> Estimate | None:
            return None if other in (None, name) else paired_difference(own[metric], values[str(other)][metric])

        row = {}
        for metric in ALL_METRICS:
            if metric in own:
                against = {other: difference(metric, other) for other in references}
                row[metric] = Result(
                    estimate(own[metric]),
                    difference(metric, baseline),
                    difference(metric, previous.get(name)),
                    {other: value for other, value in against.items() if value is not None},
                )
        yield name, row


def _cells(row: Mapping[str, Estimate], digits: Mapping[str, int], *, difference: bool = False) -> Iterator[str]:
    for name, value in row.items():
        metric: Metric = METRICS[name]
        mean = number(metric, value.mean, digits[name], signed=difference)
        half = number(metric, value.high - value.mean, digits[name])
        if not difference:
            yield f"{mean} [dim]±{half}[/]"
            continue
        style = {1: "green", -1: "red"}.get(value.verdict * metric.better, "dim")
        yield f"[{style}]{mean} ±{half}[/]"
