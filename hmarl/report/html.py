"""report.html: one self-contained page for a planner."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from hmarl.errors import InputError
from hmarl.exact.gap import known_optimum
from hmarl.exact.policy_evaluation import policy_cost
from hmarl.files import write_atomic
from hmarl.network.config import Network
from hmarl.report.comparison import OPTIMAL, Comparison
from hmarl.report.episode import Course, follow, places
from hmarl.report.metrics import ALL_METRICS, METRICS, RELATIVE, decimals, number, per_cent_decimals
from hmarl.report.plots import comparison_figure, in_cost, stock_figure, svg, training_figure
from hmarl.report.run import Record, load_run
from hmarl.report.sampling import in_words
from hmarl.report.statistics import Estimate
from hmarl.report.table import remarks
from hmarl.report.words import against_optimum, counted, describe, findings, listing, node_rows, verdict

_HEADLINES = {
    "reward": ("service_level", "reward", "profit", "stockout_days"),
    "cost": ("cost", "service_level", "stockout_days", "holding_cost"),
}
_COLUMNS = {
    "reward": tuple(METRICS),
    "cost": ("cost", "service_level", "fill_rate", "stockout_days", "holding_cost", "bullwhip", "profit"),
}
_STEPS = {
    "reward": ("reward", "service_level", "profit"),
    "cost": ("cost", "service_level", "stockout_days"),
}  # by what agents are paid for
_REAL_SALES = ("cost", "profit", "service_level", "fill_rate", "stockout_days")
_LEARNS = {
    "phase1_stores": "The stores' shared policy learns; warehouse and supplier act by a tuned rule.",
    "phase2_warehouse": "The warehouse learns; the stores' policy is frozen.",
    "phase3_supplier": "The supplier learns; stores and warehouse are frozen.",
    "phase4_joint": "All learn together, at a lower rate.",
}


def write_report(
    folder: str | Path,
    comparison: Comparison | None = None,
    course: Course | None = None,
    replications: int = 50,
) -> Path:
    """Write a run's report.html; returns its path.

    Parameters
    ----------
    folder
        The run's: config.yaml, phase*/metrics.jsonl, policy/.
    comparison
        What the figures come from; comparison/comparison.json where left out.
    course
        What happened day by day under the deployed policy; played here where left out.
    replications
        Test episodes that stock-outs are counted over.

    Raises
    ------
    InputError
        If the folder is no run or has no comparison.
    """
    run = load_run(folder)
    found = comparison or Comparison.load(run.folder / "comparison" / "comparison.json")
    if course is None:
        course = follow(run.network, run.deployed(), replications=replications, seed=found.seed)
    optimal_cost, cost = _exact_costs(run)
    return write_atomic(run.folder / "report.html", render(run, found, course, optimal_cost, cost))


def _exact_costs(run: Record) -> tuple[float | None, float | None]:
    """Of the optimal policy and of the deployed one, money a day; None where not known."""
    optimum = known_optimum(run.network)
    if optimum is None:
        return None, None
    try:
        return optimum.cost, policy_cost(run.network, run.deployed())
    except InputError:
        return optimum.cost, None


def render(
    run: Record,
    comparison: Comparison,
    course: Course,
    optimal_cost: float | None = None,
    cost: float | None = None,
) -> str:
    """The page as HTML.

    Parameters
    ----------
    optimal_cost, cost
        Exact ones, of the optimal policy and of the deployed one, money a day; None where not known.
    """
    trained = [p for p in comparison.policies if p in run.phases]
    if not trained:
        raise InputError(f"{run.folder}: the comparison has none of the run's phases: compare the run again")
    network, policy, objective = run.network, trained[-1], comparison.objective
    cell = _cell_writer(comparison)
    names, stock, demand, short = places(network, course)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"listing": listing, "counted": counted}
    files = resources.files("hmarl.report")
    template = environment.from_string((files / "template.html").read_text(encoding="utf-8"))
    stock_title = f"Stock at {listing(names)} over one episode"
    return template.render(
        style=Markup((files / "report.css").read_text(encoding="utf-8")),
        run=run,
        network=network,
        description=[*describe(network), *_history(run)],
        nodes=node_rows(network),
        comparison=comparison,
        played=in_words(comparison.replications, comparison.days, comparison.batches, comparison.period),
        policy=policy,
        optimal=OPTIMAL,
        against_optimum=against_optimum(comparison, policy, optimal_cost, cost) if optimal_cost is not None else "",
        headlines=[_headline(comparison, policy, name, cell) for name in _HEADLINES[objective]],
        findings=findings(comparison, policy, objective),
        in_money=findings(comparison, policy, "profit") if objective == "reward" else [],
        metrics={name: METRICS[name] for name in _columns(network, objective)},
        cell=cell,
        remarks=remarks(comparison),
        step_metrics=[METRICS[name] for name in _STEPS[objective]],
        steps=_steps(comparison, trained, cell),
        phases=[_phase(name, in_cost(rows, comparison), optimal_cost) for name, rows in run.phases.items() if rows],
        comparison_svg=Markup(svg(comparison_figure(comparison), "Policies compared")),
        stock_svg=Markup(svg(stock_figure(stock, demand, short, names, network.period, course.first_day), stock_title)),
        course=course,
        reasons=_reasons(course),
        real_sales=_real_sales(run.folder),
        settings=yaml.safe_dump({k: v for k, v in run.config.items() if k != "network"}, sort_keys=False),
    )


def _columns(network: Network, objective: str) -> list[str]:
    """Of the comparison's table; where nothing has a price profit is minus the cost, once is enough."""
    sells = any(network.item(node, sku).price > 0 for node in network.nodes for sku in network.skus)
    return [name for name in _COLUMNS[objective] if name != "profit" or sells or objective == "reward"]


def _history(run: Record) -> list[str]:
    sales = run.config.get("settings", {}).get("sales")
    return [f"Demand was fitted to the sales history {Path(sales).name}."] if sales else []


def _estimate(comparison: Comparison, scenario: str, policy: str, metric: str, kind: str) -> Estimate | None:
    """A figure's ``value``, ``difference`` to the baseline, ``step``, or ``relative OTHER``: a share of OTHER's."""
    result = comparison.result(policy, metric, scenario)
    other = kind.removeprefix("relative ")
    found: Estimate | None = result.relative.get(other) if other != kind else getattr(result, kind)
    return found


def _figure(
    comparison: Comparison, scenario: str, policy: str, metric: str, kind: str, e: Estimate, *, half: bool = False
) -> Markup:
    """A number of comparison.json as the page shows it, the exact one beside it for machines."""
    relative = kind.startswith("relative")
    digits = per_cent_decimals([e]) if relative else comparison.decimals(metric, scenario, kind)
    exact = e.half if half else e.mean
    shown = number(RELATIVE if relative else ALL_METRICS[metric], exact, digits, signed=kind != "value" and not half)
    key = "|".join((scenario, policy, metric, kind, "half" if half else "mean"))
    value = "" if math.isnan(exact) else repr(exact)
    unit = "\N{NO-BREAK SPACE}%" if relative and not half else ""
    return Markup('<data value="{}" data-key="{}">{}</data>{}').format(value, key, shown, unit)


def _tone(e: Estimate, better: int) -> str:
    """The colour of a difference."""
    return {1: "good", -1: "bad"}.get(e.verdict * better, "even")


def _cell_writer(comparison: Comparison) -> Any:
    paid_by_cost = comparison.objective == "cost"

    def cell(scenario: str, policy: str, metric: str, kind: str = "value", *, mean_only: bool = False) -> Markup:
        """Mean and half width; a difference in the colour of what it means.

        A difference in cost is a share of the other's where agents are paid by their cost.
        """
        if metric == "cost" and kind in ("difference", "step") and paid_by_cost:
            other = comparison.baseline if kind == "difference" else comparison.previous.get(policy)
            kind = f"relative {other}"
        e = _estimate(comparison, scenario, policy, metric, kind)
        if e is None:
            return Markup("")
        text = _figure(comparison, scenario, policy, metric, kind, e)
        if not mean_only:
            half = _figure(comparison, scenario, policy, metric, kind, e, half=True)
            text += Markup(' <span class="half">±{}</span>').format(half)
        if kind == "value":
            return text
        return Markup('<span class="{}">{}</span>').format(_tone(e, ALL_METRICS[metric].better), text)

    return cell


def _headline(comparison: Comparison, policy: str, name: str, cell: Any) -> dict[str, Any]:
    metric, scenario = METRICS[name], comparison.scenarios[0]
    difference = comparison.result(policy, name).difference or Estimate(0, 0, 0)
    return {
        "label": metric.label,
        "unit": metric.unit(comparison.period),
        "value": cell(scenario, policy, name, mean_only=True),
        "difference": cell(scenario, policy, name, "difference", mean_only=True),
        "tone": _tone(difference, metric.better),
        "verdict": verdict(difference, metric.better),
        "meaning": metric.meaning.replace("period", comparison.period),
    }


def _real_sales(folder: Path) -> dict[str, Any] | None:
    """What :mod:`hmarl.report.real_sales` left in the run, as a table; None where there were no sales."""
    path = folder / "comparison" / "real_sales.json"
    if not path.is_file():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    policies = data["policies"]
    digits = {
        name: decimals(ALL_METRICS[name], [Estimate.from_json(row[name]) for row in policies.values()])
        for name in _REAL_SALES
    }

    def figure(name: str, e: Estimate) -> str:
        mean, half = (number(ALL_METRICS[name], v, digits[name]) for v in (e.mean, e.high - e.mean))
        return f"{mean} ±{half}"

    def relative(entry: dict[str, Any]) -> tuple[str, str]:
        e = Estimate.from_json(entry)
        text = f"{100 * e.mean:+.1f} % ±{100 * (e.high - e.mean):.1f}".replace("-", "\N{MINUS SIGN}")
        return text, _tone(e, -1)

    baselines = list(dict.fromkeys(b for row in policies.values() for b in row["relative_cost"]))
    return {
        **{key: data[key] for key in ("period", "periods", "clusters", "cluster", "learned_on", "judged_on")},
        "metrics": [ALL_METRICS[name] for name in _REAL_SALES],
        "baselines": baselines,
        "rows": [
            {
                "name": name,
                "figures": [figure(metric, Estimate.from_json(row[metric])) for metric in _REAL_SALES],
                "relative": [
                    relative(row["relative_cost"][b]) if b in row["relative_cost"] else ("", "") for b in baselines
                ],
            }
            for name, row in policies.items()
        ],
    }


def _steps(comparison: Comparison, trained: Sequence[str], cell: Any) -> list[dict[str, Any]]:
    """A row a phase: what it added to the phase before."""
    rows, scenario, objective = [], comparison.scenarios[0], comparison.objective
    better = METRICS[objective].better
    for phase in trained:
        step = comparison.result(phase, objective).step
        rows.append(
            {
                "phase": phase,
                "learns": _LEARNS.get(phase, ""),
                "cells": [cell(scenario, phase, metric, "step") for metric in _STEPS[objective]],
                "verdict": verdict(step, better) if step else "",
                "tone": _tone(step, better) if step else "even",
            }
        )
    return rows


def _phase(name: str, rows: Sequence[Mapping[str, Any]], optimal_cost: float | None) -> dict[str, Any]:
    steps = max((int(row.get("steps") or 0) for row in rows), default=0)
    return {
        "name": name,
        "learns": _LEARNS.get(name, ""),
        "steps": steps,
        "in_cost": any("cost_mean" in row for row in rows),
        "svg": Markup(svg(training_figure(rows, most=3, optimal_cost=optimal_cost), f"Training curves of {name}")),
    }


def _reasons(course: Course) -> dict[str, Any]:
    """Days with unmet demand by place and reason, the most frequent reason first."""
    from hmarl.roles.reconciliation import DESCRIPTIONS

    totals = {node: sum(counts.values()) for node, counts in course.reasons.items()}
    sums: dict[str, int] = {}
    for counts in course.reasons.values():
        for reason, count in counts.items():
            sums[reason] = sums.get(reason, 0) + count
    ordered = sorted((reason for reason, count in sums.items() if count), key=lambda reason: -sums[reason])
    return {
        "nodes": list(course.reasons),
        "totals": {node: (total, 100 * total / course.place_days) for node, total in totals.items()},
        "rows": [
            {
                "name": reason.replace("_", " "),
                "meaning": DESCRIPTIONS[reason],
                "cells": [
                    (course.reasons[node][reason], 100 * course.reasons[node][reason] / max(1, totals[node]))
                    for node in course.reasons
                ],
            }
            for reason in ordered
        ],
    }
