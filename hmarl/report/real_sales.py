"""Policies on the last part of a sales history, which none of them has seen.

The first part is what policies were trained on, rules are tuned on, and every expectation (mean demand,
spread) comes from. The last part is played once as it happened, after a warm-up with the end of the first
part; forecasts roll on day by day from what was sold before. An SKU's days are not independent of each other,
so that an SKU, over all stores and nodes, counts as one value: intervals are over SKUs. With one SKU only,
they are over stretches of consecutive periods.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from hmarl.files import write_atomic
from hmarl.network.config import Network
from hmarl.network.fit import network_on_path, network_playing, warmup_periods
from hmarl.network.sales import SalesHistory, read_sales
from hmarl.policies import LearnedPolicy, Policy, make_policy, rule_from_json, rule_to_json, tune
from hmarl.policies.tuning import Objective
from hmarl.report.metrics import ALL_METRICS, decimals, number
from hmarl.report.run import load_run
from hmarl.report.statistics import LEVEL, Estimate, estimate, paired_difference
from hmarl.roles import Chain
from hmarl.simulator import day_costs

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.float64]
Candidate = str | Policy | Callable[[Network], Policy]

FILE = "real_sales.json"
BASELINES = ("tuned_forecast", "tuned_capped_base_stock")
SHOWN = ("reward", "cost", "profit", "holding_cost", "service_level", "fill_rate", "stockout_days")
REPLICATIONS = 32  # where the network itself is random (lead times, losses)
_BATCHES = 8
_ENDLESS = 10_000


@dataclass(frozen=True)
class RealSalesRow:
    """One policy on the last part: amounts a period and SKU, shares 0 to 1."""

    policy: str
    metrics: dict[str, Estimate]
    differences: dict[str, dict[str, Estimate]]  # baseline -> metric -> paired difference
    relative_cost: dict[str, Estimate]  # baseline -> cost over the baseline's cost, less 1

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and numbers."""
        return {
            **{name: value.to_json() for name, value in self.metrics.items()},
            "differences": {
                baseline: {name: value.to_json() for name, value in row.items()}
                for baseline, row in self.differences.items()
            },
            "relative_cost": {baseline: value.to_json() for baseline, value in self.relative_cost.items()},
        }


@dataclass(frozen=True)
class RealSales:
    """What :func:`judge` found."""

    network: str
    source: str
    period: str
    learned_on: tuple[str, str]  # first and last date
    judged_on: tuple[str, str]
    periods: int  # judged
    warmup: int
    clusters: int  # independent values behind the intervals
    cluster: str  # "SKU", or "stretch" of consecutive periods
    rows: list[RealSalesRow]

    def row(self, policy: str) -> RealSalesRow:
        """A policy's row."""
        return next(row for row in self.rows if row.policy == policy)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items() if k != "rows"}
        return {**plain, "confidence": LEVEL, "policies": {row.policy: row.to_json() for row in self.rows}}

    def save(self, folder: str | Path) -> Path:
        """Write real_sales.json into a folder; returns its path."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        return write_atomic(Path(folder) / FILE, text + "\n")

    def table(self) -> Table:
        """For a terminal: each policy's figures, below them its differences to the baselines."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        title = (
            f"{self.network} on real sales of {self.judged_on[0]} to {self.judged_on[1]} "
            f"({self.periods} {self.period}s not seen before): mean ± half of the {LEVEL:.0%} interval over "
            f"{self.clusters} {self.cluster}s, amounts a {self.period} and SKU"
        )
        table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        table.add_column("policy", no_wrap=True)
        for name in SHOWN:
            table.add_column(ALL_METRICS[name].label + (" %" if ALL_METRICS[name].share else ""), justify="right")
        table.add_column("Cost %", justify="right")
        digits = {n: decimals(ALL_METRICS[n], [row.metrics[n] for row in self.rows]) for n in SHOWN}
        for row in self.rows:
            table.add_row(escape(row.policy), *(_cell(n, row.metrics[n], digits[n]) for n in SHOWN), "")
            for baseline, differences in row.differences.items():
                relative = row.relative_cost[baseline]
                table.add_row(
                    f"[dim]  vs {escape(baseline)}[/]",
                    *(_cell(n, differences[n], digits[n], ALL_METRICS[n].better) for n in SHOWN),
                    _coloured(
                        f"{100 * relative.mean:+.1f} ±{100 * (relative.high - relative.mean):.1f}",
                        -relative.verdict,
                    ),
                )
        return table


def judge(
    network: Network,
    history: SalesHistory,
    policies: Mapping[str, Candidate],
    *,
    fraction: float = 0.7,
    baselines: Sequence[str] = BASELINES,
    objective: Objective = "reward",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> RealSales:
    """Play policies on the last part of a history and tell their differences from chance.

    Parameters
    ----------
    network
        The supply chain; its demand is replaced by the history's.
    history
        All of it; the first `fraction` is what policies may have learned from.
    policies
        By the names they are shown under: a policy, a rule's name (``tuned_...``: tuned on the first part),
        or a function that makes the policy for the network it is played on.
    baselines
        Rules that all differences are taken to, tuned on the first part.
    objective
        What rules are tuned for.
    seed
        Of what is random beside demand.
    progress
        Called with (policies played, policies in all).
    """
    past, future = history.split(fraction)
    played = network_on_path(network, past, future)
    lesson = lesson_of(network, past)
    everyone: dict[str, Candidate] = {**{name: name for name in baselines}, **policies}
    series: dict[str, dict[str, Array]] = {}
    for done, (name, candidate) in enumerate(everyone.items()):
        if progress:
            progress(done, len(everyone))
        series[name] = play(played, _made(candidate, lesson, played, objective, seed), seed)
    if progress:
        progress(len(everyone), len(everyone))
    by_sku = len(network.skus) > 1
    values = {name: _clusters(found, by_sku) for name, found in series.items()}
    rows = [_row(name, own, {b: values[b] for b in baselines if b != name}) for name, own in values.items()]
    return RealSales(
        network=network.name,
        source=history.source,
        period=network.period,
        learned_on=(str(past.dates[0]), str(past.dates[-1])),
        judged_on=(str(future.dates[0]), str(future.dates[-1])),
        periods=len(future),
        warmup=played.warmup,
        clusters=len(next(iter(values.values()))["cost"]),
        cluster="SKU" if by_sku else "stretch",
        rows=rows,
    )


def judge_run(folder: str | Path, *, progress: Callable[[int, int], None] | None = None) -> RealSales | None:
    """A run's phases on the last part of the history that it was given; None where it had none.

    What is found is written to ``comparison/real_sales.json`` too.

    Raises
    ------
    InputError
        If the folder is no run, or its sales file is not there any more.
    """
    run = load_run(folder)
    settings = run.config["settings"]
    if not settings.get("sales"):
        return None
    history = read_sales(settings["sales"], settings.get("sales_columns"), settings.get("fill_gaps") or "refuse")
    folders = sorted(Path(folder).glob("phase*/policy"))
    phases = {path.parent.name: functools.partial(LearnedPolicy.load, path) for path in folders}
    found = judge(run.network, history, phases, seed=int(settings.get("seed") or 0), progress=progress)
    found.save(Path(folder) / "comparison")
    return found


def lesson_of(network: Network, past: SalesHistory) -> Network:
    """The first part as it happened, to tune rules on; its own first periods are the warm-up."""
    played = network_playing(network, past, past.dates, past.demand)
    return played.model_copy(update={"warmup": min(warmup_periods(network), len(past) // 2)})


def _made(candidate: Candidate, lesson: Network, played: Network, objective: Objective, seed: int) -> Policy:
    """The policy for the network that is played; tuned rules are tuned on the lesson."""
    if isinstance(candidate, str):
        if not candidate.startswith("tuned_"):
            return make_policy(candidate, played)
        rule = candidate.removeprefix("tuned_")
        tuned = tune(rule, lesson, objective, seed, replications=_replications(lesson))
        return rule_from_json(rule_to_json(tuned), lesson, played)
    return candidate(played) if callable(candidate) else candidate


def _replications(network: Network) -> int:
    """1 where nothing but demand could be random: the path is what it is."""
    nodes = network.nodes.values()
    certain = all(
        isinstance(node.lead_time, int) and node.reliability == 1 and not node.order_loss and not node.shipment_loss
        for node in nodes
    )
    return 1 if certain else REPLICATIONS


def play(network: Network, policy: Policy, seed: int = 0) -> dict[str, Array]:
    """Play a network's path and book by period and SKU, all nodes together.

    Returns
    -------
    dict
        Name -> ``(periods after the warm-up, SKUs)``, means over replications: reward, cost, profit,
        holding_cost (money), demand, met (units), service_level and stockout_days (means over the stores that
        sell it).
    """
    endless = network.model_copy(update={"days": network.days + _ENDLESS})
    chain = Chain(endless, _replications(network), seed)
    sells = np.array([[network.item(n, s).demand is not None for s in network.skus] for n in network.node_names])
    kept: dict[str, list[Array]] = {}
    for day in range(network.days):
        outcome = chain.step(policy.orders(chain))
        if day < network.warmup:
            continue
        costs = day_costs(chain.simulator.params, outcome)
        met = outcome.demand - outcome.unmet
        service = np.where(outcome.demand > 0, met / np.where(outcome.demand > 0, outcome.demand, 1.0), 1.0)
        rewards = [chain.rewards(role).reshape(len(met), -1, met.shape[2]).sum(1) for role in chain.roles]
        stores = np.maximum(sells.sum(0), 1)
        booked = {
            "reward": np.sum(rewards, axis=0),
            "cost": costs.cost.sum(1),
            "profit": costs.profit.sum(1),
            "holding_cost": costs.holding.sum(1),
            "demand": outcome.demand.sum(1),
            "met": met.sum(1),
            "service_level": (service * sells).sum(1) / stores,
            "stockout_days": ((outcome.unmet > 0) & sells).sum(1) / stores,
        }
        for name, value in booked.items():
            kept.setdefault(name, []).append(value.mean(0))
    return {name: np.stack(days) for name, days in kept.items()}


def _clusters(series: Mapping[str, Array], by_sku: bool) -> dict[str, Array]:
    """Each figure by cluster: an SKU's mean over periods, or a batch's mean over its periods."""
    if by_sku:
        means = {name: values.mean(0) for name, values in series.items()}
    else:
        count = min(_BATCHES, len(series["cost"]))
        length = len(series["cost"]) // count
        means = {
            name: values[len(values) - count * length :, 0].reshape(count, length).mean(1)
            for name, values in series.items()
        }
    demand, met = means.pop("demand"), means.pop("met")
    means["fill_rate"] = np.where(demand > 0, met / np.where(demand > 0, demand, 1.0), np.nan)
    return means


def _row(name: str, own: Mapping[str, Array], others: Mapping[str, Mapping[str, Array]]) -> RealSalesRow:
    return RealSalesRow(
        policy=name,
        metrics={metric: estimate(values) for metric, values in own.items()},
        differences={
            other: {metric: paired_difference(own[metric], theirs[metric]) for metric in own}
            for other, theirs in others.items()
        },
        relative_cost={other: relative_difference(own["cost"], theirs["cost"]) for other, theirs in others.items()},
    )


def relative_difference(values: Array, baseline: Array) -> Estimate:
    """``sum(values) / sum(baseline) - 1`` over clusters, with the t interval of the linearised ratio.

    Parameters
    ----------
    values, baseline
        ``(n,)``, cluster by cluster.

    References
    ----------
    Cochran, Sampling Techniques, section 6.3.
    """
    n, total = len(values), float(baseline.sum())
    if total <= 0:
        return Estimate(math.nan, math.nan, math.nan, n)
    ratio = float(values.sum()) / total
    if n < 2:
        return Estimate(ratio - 1, math.nan, math.nan, n)
    spread = math.sqrt(float(((values - ratio * baseline) ** 2).sum()) / (n - 1) * n) / total
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * spread
    return Estimate(ratio - 1, ratio - 1 - half, ratio - 1 + half, n)


def _cell(name: str, value: Estimate, digits: int, better: int | None = None) -> str:
    metric = ALL_METRICS[name]
    mean = number(metric, value.mean, digits, signed=better is not None)
    half = number(metric, value.high - value.mean, digits)
    return f"{mean} [dim]±{half}[/]" if better is None else _coloured(f"{mean} ±{half}", value.verdict * better)


def _coloured(text: str, verdict: int) -> str:
    style = {1: "green", -1: "red"}.get(verdict, "dim")
    return f"[{style}]{text}[/]"
