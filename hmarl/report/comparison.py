"""Policies side by side on the same test paths."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmarl.errors import InputError, unknown
from hmarl.files import write_atomic
from hmarl.network.config import ROLES, Network
from hmarl.network.scenarios import apply_scenario
from hmarl.report.metrics import ALL_METRICS, decimals
from hmarl.report.playing import Progress, Values, correlated, play, play_until
from hmarl.report.sampling import Precision, make_plan, most_replications
from hmarl.report.statistics import LEVEL, Estimate, estimate, paired_difference, relative_difference

if TYPE_CHECKING:
    from rich.table import Table

    from hmarl.policies import Policy

OPTIMAL = "optimal"
"""Name of the policy that others' gaps are taken to."""


@dataclass(frozen=True)
class Result:
    """One figure of one policy in one scenario."""

    value: Estimate
    difference: Estimate | None = None  # to the baseline, paired by replication
    step: Estimate | None = None  # to the policy before (a phase to the phase before), paired
    against: Mapping[str, Estimate] = field(default_factory=dict)  # to other references, paired
    relative: Mapping[str, Estimate] = field(default_factory=dict)  # of cost, to all of them, as a share of theirs

    def to_json(self) -> dict[str, Any]:
        """Mean, low, high and n; the differences the same or None."""
        return {
            **self.value.to_json(),
            "difference": self.difference and self.difference.to_json(),
            "step": self.step and self.step.to_json(),
            "against": {other: difference.to_json() for other, difference in self.against.items()},
            "relative": {other: difference.to_json() for other, difference in self.relative.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """The reverse of :meth:`to_json`."""
        difference, step = (data[key] and Estimate.from_json(data[key]) for key in ("difference", "step"))
        against, relative = (
            {other: Estimate.from_json(value) for other, value in data.get(key, {}).items()}
            for key in ("against", "relative")
        )
        return cls(Estimate.from_json(data), difference or None, step or None, against, relative)


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
    batches: int = 1  # of a replication, each a value of its own
    objective: str = "reward"  # the figure that agents are paid for: "cost" where all are paid minus their cost
    precision: Precision | None = None
    warnings: list[str] = field(default_factory=list)  # what the intervals cannot be trusted for

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
            "batches": self.batches,
            "seed": self.seed,
            "confidence": LEVEL,
            "objective": self.objective,
            "precision": self.precision and self.precision.to_json(),
            "warnings": self.warnings,
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
        results = data["scenarios"]
        plain = {f.name: data[f.name] for f in fields(cls) if f.name in data and f.name != "precision"}
        return cls(
            **plain,
            precision=Precision.from_json(data["precision"]) if data.get("precision") else None,
            results={
                scenario: {
                    policy: {metric: Result.from_json(result) for metric, result in row.items()}
                    for policy, row in rows.items()
                }
                for scenario, rows in results.items()
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
        """For a terminal of a width, see :func:`hmarl.report.table.comparison_table`."""
        from hmarl.report.table import comparison_table

        return comparison_table(self, width)

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
    replications: int | None = None,
    days: int | None = None,
    warmup: int | None = None,
    precision: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Play every policy on the same test paths and tell their differences from chance.

    A scenario changes the network that is played, not the policies: they meet it as they were made.

    Parameters
    ----------
    network
        The supply chain.
    policies
        By the names they are shown under. Where one is called "optimal" the others' gaps to it are told.
    baseline
        The policy that the others' differences are taken to.
    references
        More policies that the others' differences are taken to.
    previous
        The policy before, for those that have one: each phase's the phase before.
    scenarios
        Names known to :func:`hmarl.network.scenarios.apply_scenario`.
    replications, days, warmup
        Episodes, and the days of one; see :func:`hmarl.report.sampling.make_plan` for what is left out and for how
        few long episodes are cut into batches.
    precision
        Episodes are added until half of the interval of every policy's mean cost (reward where nothing costs) is
        below this share of the mean, or `replications` are played (left out: 100 million days and places); see
        :func:`hmarl.report.sampling.more_replications`.
    seed
        Of the test paths.
    progress
        Called with (simulations done, simulations in all) before each and at the end; anew for each round of a
        precision.

    Raises
    ------
    InputError
        An unknown policy or scenario; too few replications for an interval; no day to count.
    """
    previous = dict(previous or {})
    for place, name in (
        ("baseline", baseline),
        *(("references", r) for r in references),
        *(("previous", n) for pair in previous.items() for n in pair),
    ):
        if name not in policies:
            raise unknown(place, name, policies)
    if not scenarios:
        raise InputError("scenarios: none: name at least one")
    plan = make_plan(network, days, warmup, replications)
    networks = {scenario: apply_scenario(network, scenario) for scenario in scenarios}
    found: Precision | None = None
    if precision is None:
        values = play(networks, policies, plan, seed=seed, progress=progress)
    else:
        most = most_replications(network, plan.days) if replications is None else replications
        first = min(most, make_plan(network, days, warmup).replications)
        plan = make_plan(network, days, warmup, first)
        values, plan, found = play_until(networks, policies, plan, precision, most, seed=seed, progress=progress)
    references = [*references, *([OPTIMAL] if OPTIMAL in policies and OPTIMAL not in (baseline, *references) else [])]
    return Comparison(
        network=network.name,
        period=network.period,
        days=plan.length * plan.batches,
        warmup=plan.days - plan.length * plan.batches,
        replications=plan.replications,
        seed=seed,
        baseline=baseline,
        references=references,
        previous=previous,
        results={scenario: dict(_results(rows, baseline, references, previous)) for scenario, rows in values.items()},
        batches=plan.batches,
        objective=_objective(network),
        precision=found,
        warnings=correlated(values, plan.batches),
    )


def _objective(network: Network) -> str:
    """What agents are paid for: "cost" where each is paid minus its own or the chain's, else "reward"."""
    paid = {network.role_settings(role).reward for role in ROLES if network.nodes_of(role)}
    return "cost" if paid <= {"cost", "chain_cost"} else "reward"


def _results(
    values: Mapping[str, Values], baseline: str, references: Sequence[str], previous: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Result]]]:
    for name, own in values.items():
        before = previous.get(name)
        others = [other for other in dict.fromkeys((baseline, *references, before)) if other not in (None, name)]
        row = {}
        for metric in ALL_METRICS:
            if metric in own:
                found = {str(o): paired_difference(own[metric], values[str(o)][metric]) for o in others}
                relative = {str(o): relative_difference(own[metric], values[str(o)][metric]) for o in others}
                row[metric] = Result(
                    estimate(own[metric]),
                    found.get(baseline),
                    found.get(str(before)),
                    {other: found[other] for other in references if other != name},
                    relative if metric == "cost" else {},
                )
        yield name, row
