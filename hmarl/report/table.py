"""A comparison on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hmarl.report.comparison import OPTIMAL, Comparison, Result
from hmarl.report.metrics import ALL_METRICS, METRICS, RELATIVE, number, per_cent_decimals
from hmarl.report.sampling import in_words
from hmarl.report.statistics import LEVEL, Estimate

if TYPE_CHECKING:
    from rich.table import Table

_WIDE = 140
_SHOWN = {
    ("reward", True): tuple(METRICS),
    ("reward", False): ("reward", "cost", "service_level", "profit"),
    ("cost", True): ("cost", "service_level", "fill_rate", "stockout_days", "holding_cost", "bullwhip", "reward"),
    ("cost", False): ("cost", "service_level", "stockout_days", "reward"),
}  # by what agents are paid for, and whether there is room


def comparison_table(comparison: Comparison, width: int = 160) -> Table:
    """Each policy's means and, below them, its differences; cost in per cent of the other's.

    Colour says that an interval leaves 0 out. A terminal of little width gets fewer figures. What agents are paid for
    stands first.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    c = comparison
    title = (
        f"{c.network}: {in_words(c.replications, c.days, c.batches, c.period)}, "
        f"mean ± half of the {100 * LEVEL:g} % interval"
    )
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.caption, table.caption_justify = escape("\n".join([*gaps(c), *distances(c), *remarks(c)])), "left"
    table.add_column("policy", no_wrap=True)
    shown = _SHOWN[c.objective, width >= _WIDE]
    for metric in (METRICS[name] for name in shown):
        table.add_column(f"{metric.label}\n[dim]{metric.unit(c.period)}[/]", justify="right")
    for scenario, rows in c.results.items():
        table.add_section()
        if len(c.results) > 1:
            table.add_row(f"[bold]{escape(scenario)}[/]")
        digits = {
            kind: {name: c.decimals(name, scenario, kind) for name in shown} for kind in ("value", "difference", "step")
        }
        for policy, row in rows.items():
            table.add_row(escape(policy), *(_value(name, row[name].value, digits["value"][name]) for name in shown))
            for other, kind in ((c.baseline, "difference"), (c.previous.get(policy), "step")):
                if other not in (None, policy):
                    cells = (_difference(name, row[name], str(other), kind, digits[kind][name]) for name in shown)
                    table.add_row(f"[dim]  vs {escape(str(other))}[/]", *cells)
    return table


def gaps(comparison: Comparison) -> list[str]:
    """How far the cost of every policy lies above that of the optimal one, a line each and scenario."""
    lines = []
    for scenario, rows in comparison.results.items():
        found = {name: row["cost"].relative[OPTIMAL] for name, row in rows.items() if OPTIMAL in row["cost"].relative}
        place = f" in {scenario}" if len(comparison.scenarios) > 1 else ""
        for name, gap in found.items():
            digits = per_cent_decimals(found.values())
            mean, half = number(RELATIVE, abs(gap.mean), digits), number(RELATIVE, gap.half, digits)
            side = "above" if gap.mean >= 0 else "below"
            lines.append(f"{name}: {mean} % ±{half} {side} optimal in cost (paired){place}")
    return lines


def distances(comparison: Comparison) -> list[str]:
    """How the last policy stands against each reference, a line each; none where it is one itself.

    In what agents are paid for; a cost in per cent of the other's.
    """
    policy, scenario, metric = comparison.policies[-1], comparison.scenarios[0], comparison.objective
    result, figure, unit = comparison.result(policy, metric), ALL_METRICS[metric], ""
    digits, found = comparison.decimals(metric, scenario, "difference"), result.against
    if metric == "cost":
        unit, found = " %", {other: result.relative[other] for other in found if other != OPTIMAL}
        figure, digits = RELATIVE, per_cent_decimals(found.values())
    lines = []
    for other, difference in found.items() if policy not in comparison.references else ():
        mean, low, high = (number(figure, v, digits, signed=True) for v in difference[:3])
        label = ALL_METRICS[metric].label.lower()
        lines.append(f"{policy} vs {other}: {label} {mean}{unit}, 95 % interval {low} to {high}")
    return lines


def remarks(comparison: Comparison) -> list[str]:
    """Whether a precision that was asked for is reached; what the intervals cannot be trusted for."""
    lines, found = [], comparison.precision
    if found is not None:
        goal, reached = f"±{100 * found.goal:g} %", f"±{100 * found.reached:.2g} %"
        place = f"the interval of {found.policy}'s {found.metric} is {reached}, the widest"
        episodes = f"{comparison.replications:,} episodes"
        lines.append(
            f"precision of {goal} reached with {episodes}: {place}"
            if found.met
            else f"precision of {goal} not reached with {episodes}, the most allowed: {place}; --episodes allows more"
        )
    return [*lines, *comparison.warnings]


def _value(name: str, value: Estimate, digits: int) -> str:
    metric = METRICS[name]
    return f"{number(metric, value.mean, digits)} [dim]±{number(metric, value.half, digits)}[/]"


def _difference(name: str, result: Result, other: str, kind: str, digits: int) -> str:
    """To the baseline (`difference`) or to the policy before (`step`); of cost in per cent."""
    metric, difference, unit = METRICS[name], getattr(result, kind), ""
    better = metric.better
    if other in result.relative:
        metric, difference, unit = RELATIVE, result.relative[other], " %"
        digits = per_cent_decimals([difference])
    mean, half = number(metric, difference.mean, digits, signed=True), number(metric, difference.half, digits)
    style = {1: "green", -1: "red"}.get(difference.verdict * better, "dim")
    return f"[{style}]{mean}{unit} ±{half}[/]"
