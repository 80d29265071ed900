"""An evaluation on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hmarl.report.metrics import ALL_METRICS, Metric, decimals, number
from hmarl.report.statistics import Estimate
from llm.evaluation import BOUND, Evaluation

if TYPE_CHECKING:
    from rich.table import Table

PROFIT = Metric("Profit", "revenue less purchases, holding, orders and shortage", 1, money=True)
FILL_RATE, SERVICE_LEVEL = ALL_METRICS["fill_rate"], ALL_METRICS["service_level"]
COLUMNS = {"profit": PROFIT, "fill_rate": FILL_RATE, "service_level": SERVICE_LEVEL}


def evaluation_table(e: Evaluation) -> Table:
    """Each policy's figures and how far the model is ahead of it; below, how the model decides."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = f"{e.network}: {e.episodes:,} episodes of {e.days:,} {e.period}s, mean ± half of the 95 % interval"
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.caption, table.caption_justify = escape("\n".join(remarks(e))), "left"
    table.add_column("policy", no_wrap=True)
    for heading in ("Profit\n[dim]an episode[/]", f"{escape(e.model)} is ahead by\n[dim]paired[/]"):
        table.add_column(heading, justify="right")
    for metric in (FILL_RATE, SERVICE_LEVEL):
        table.add_column(f"{metric.label}\n[dim]%[/]", justify="right")
    digits = column_digits(e)
    for name, row in e.rows.items():
        label = f"[bold]{escape(name)}[/]" if name == e.model else escape(name)
        label += " [dim](continuation)[/]" if name == e.continuation else ""
        profit, *shares = (_mean(metric, getattr(row, key), digits[key]) for key, metric in COLUMNS.items())
        table.add_row(label, profit, _ahead(row.ahead, digits["ahead"]), *shares)
    if e.bound is not None and e.behind is not None:
        behind = _ahead(negated(e.behind), digits["ahead"])
        table.add_row(f"[dim]{BOUND}[/]", _mean(PROFIT, e.bound, digits["profit"]), behind, "", "")
    return table


def remarks(e: Evaluation) -> list[str]:
    """How the model decides, a line each."""
    lines = [
        f"{e.decisions:,} decisions: {e.parse_failures:,} could not be read ({share(e.failed)}), "
        f"{len(e.orders)} different orders, {e.tokens_a_decision:,.1f} tokens each"
    ]
    if e.no_bound:
        lines.append(e.no_bound)
    if e.variation is not None:
        v = e.variation
        lines.append(
            f"sampled at temperature {v.temperature:g}, {v.paths} paths {v.repeats} times each: profit "
            f"{number(PROFIT, v.profit.mean, 0)} ±{number(PROFIT, v.profit.half, 0)}; its standard deviation is "
            f"{number(PROFIT, v.within, 0)} on the same path, {number(PROFIT, v.between, 0)} between paths"
        )
        lines.append(
            f"asked again in {v.states} states {share(v.changed)} of its orders are others than the likeliest; "
            f"they spread by {v.spread:,.1f} units"
        )
    return lines


def negated(e: Estimate) -> Estimate:
    """The difference the other way round."""
    return Estimate(-e.mean, -e.high, -e.low, e.n)


def share(value: float) -> str:
    """In per cent, with the digits that tell a small one from none."""
    return f"{100 * value:.{1 if value >= 0.1 or not value else 2}f}\N{NO-BREAK SPACE}%"


def column_digits(e: Evaluation) -> dict[str, int]:
    """Digits after the point of each column, and of ``ahead``."""
    rows = e.rows.values()
    digits = {key: decimals(metric, [getattr(row, key) for row in rows]) for key, metric in COLUMNS.items()}
    return digits | {"ahead": decimals(PROFIT, [row.ahead for row in rows if row.ahead is not None])}


def _mean(metric: Metric, e: Estimate, digits: int) -> str:
    return f"{number(metric, e.mean, digits)} [dim]±{number(metric, e.half, digits)}[/]"


def _ahead(e: Estimate | None, digits: int) -> str:
    if e is None:
        return ""
    style = {1: "green", -1: "red"}.get(e.verdict, "dim")
    return f"[{style}]{number(PROFIT, e.mean, digits, signed=True)} ±{number(PROFIT, e.half, digits)}[/]"
