"""Pictures: comparison.png, training.png, stock over time. Drawn without a display and without global state.

The same figures stand in report.html as SVG whose colours are the page's own (light, dark, print).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hmarl.report.comparison import OPTIMAL, Comparison
from hmarl.report.metrics import ALL_METRICS, METRICS, RELATIVE
from hmarl.report.panels import WIDTH, Panel, column, curves_figure, limits, points, readable
from hmarl.report.sampling import in_words
from hmarl.report.statistics import Estimate
from hmarl.report.style import ACCENT, BAD, INK, MUTED, SECOND, png, styled, svg

__all__ = ["comparison_figure", "in_cost", "limits", "png", "stock_figure", "svg", "training_figure"]

_SCENARIO_METRICS = {
    "reward": ("reward", "service_level", "profit"),
    "cost": ("cost", "service_level", "stockout_days"),
}
_METRICS = {
    "reward": tuple(METRICS),
    "cost": ("cost", "service_level", "stockout_days", "holding_cost", "bullwhip"),
}
_DIFFERENCE = {"reward": ("reward", "difference"), "cost": ("cost", "relative")}
"""By what agents are paid for; a cost is compared in per cent."""

PANELS: tuple[Panel, ...] = (
    Panel("Cost", "money a day", 1, (("training", "cost_mean"), ("validation", "validation_cost"))),
    Panel("Reward of who learns", "a day", 1, (("training", "reward_mean"), ("validation", "validation_reward"))),
    Panel("Service level, validation", "% of demand", 100, (("", "service_level"),)),
    Panel("Entropy of the policy", "nats", 1, (("", "entropy"),)),
    Panel("Value explained by the critic", "% of variance", 100, (("", "explained_variance"),)),
    Panel("Policy change an update", "KL divergence", 1, (("", "kl"),)),
    Panel("Speed", "agent-steps a second", 1, (("", "steps_per_second"),)),
)


_IN_COST = {
    "reward_mean": "cost_mean",
    "validation_reward": "validation_cost",
    "validation_reward_low": "validation_cost_high",
    "validation_reward_high": "validation_cost_low",
}


def comparison_figure(comparison: Comparison) -> Figure:
    """Every policy as a point with its 95 % interval: a panel a figure; several scenarios: a row each."""
    with styled():
        if len(comparison.scenarios) == 1:
            return _one_scenario(comparison)
        return _by_scenario(comparison)


def _one_scenario(comparison: Comparison) -> Figure:
    scenario, names = comparison.scenarios[0], comparison.policies
    panels = [_DIFFERENCE[comparison.objective], *((name, "value") for name in _METRICS[comparison.objective])]
    columns = 3
    lines = len(panels) // columns
    figure = Figure(figsize=(WIDTH, lines * (1.1 + 0.27 * len(names))), layout="constrained")
    axes = figure.subplots(lines, columns, sharey=True)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    for place, (axis, (metric, field)) in enumerate(zip(axes.flat, panels, strict=True)):
        _panel(axis, comparison, scenario, metric, field, labels=place % columns == 0)
    figure.suptitle(_heading(comparison), x=0.01, ha="left", fontsize=10, color=MUTED)
    return figure


def _by_scenario(comparison: Comparison) -> Figure:
    objective = comparison.objective
    panels = [_DIFFERENCE[objective], *((name, "value") for name in _SCENARIO_METRICS[objective])]
    rows, names = comparison.scenarios, comparison.policies
    height = len(rows) * (0.95 + 0.24 * len(names)) + 0.4
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(len(rows), len(panels), sharey=True)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    for r, scenario in enumerate(rows):
        for c, (metric, field) in enumerate(panels):
            axis = axes[r, c]
            _panel(axis, comparison, scenario, metric, field, labels=c == 0)
            axis.set_xlabel(", ".join(filter(None, (axis.get_title(loc="left"), axis.get_xlabel()))))
            axis.set_title(scenario if c == 0 else "")
    figure.suptitle(_heading(comparison), x=0.01, ha="left", fontsize=10, color=MUTED)
    return figure


def _heading(comparison: Comparison) -> str:
    c = comparison
    played = in_words(c.replications, c.days, c.batches, c.period)
    optimum = f"; diamond: {OPTIMAL}" if OPTIMAL in c.policies else ""
    return f"{c.network}: mean and 95 % interval over {played}; dashed: {c.baseline}{optimum}"


def _panel(axis: Axes, comparison: Comparison, scenario: str, name: str, field: str, *, labels: bool) -> None:
    metric = RELATIVE if field == "relative" else ALL_METRICS[name]
    policies, baseline = comparison.policies, comparison.baseline
    found: list[Estimate] = []
    for policy in policies:
        result = comparison.result(policy, name, scenario)
        zero = Estimate(0.0, 0.0, 0.0, result.value.n)
        estimates = {"value": result.value, "difference": result.difference, "relative": result.relative.get(baseline)}
        found.append(estimates[field] or zero)
    reference = policies.index(baseline)
    look = [_look(policy, baseline) for policy in policies]
    points(axis, policies, found, metric, look, reference, labels=labels, signed=field != "value")
    if OPTIMAL in policies and name == "cost" and scenario == "normal":
        axis.axvline(
            metric.scale(found[policies.index(OPTIMAL)].mean), color=SECOND, linewidth=1.1, linestyle=":", zorder=1
        )
    label = ALL_METRICS[name].label
    axis.set_title(label if field == "value" else f"{label} against {baseline}")
    axis.set_xlabel(metric.unit(comparison.period), fontsize=9, loc="left")


def _look(policy: str, baseline: str) -> tuple[str, str]:
    """Colour and marker: trained, optimal, baseline, another rule."""
    if policy == OPTIMAL:
        return SECOND, "D"
    return ACCENT if policy.startswith("phase") else MUTED if policy == baseline else INK, "o"


def training_figure(
    rows: Sequence[Mapping[str, Any]], title: str = "", most: int = len(PANELS), optimal_cost: float | None = None
) -> Figure:
    """Curves of a phase from the rows of its metrics.jsonl; a panel for each figure that the rows hold.

    Parameters
    ----------
    rows
        In order of training; ``steps`` (agent-steps so far) on the x axis, the columns of :data:`PANELS` that
        are there. A number that is missing or None in a row (validation is not run at each) is skipped.
    title
        Above the panels.
    most
        Panels at most, the first of those that there are.
    optimal_cost
        A line where the rows hold costs, see :func:`in_cost`.
    """
    figure = curves_figure(rows, PANELS, "steps", "agent-steps", title=title, most=most)
    for axis in figure.axes:
        if axis.get_title(loc="left") == "Cost":
            _near(axis, rows, optimal_cost)
    return figure


def _near(axis: Axes, rows: Sequence[Mapping[str, Any]], optimal_cost: float | None) -> None:
    """The optimum as a line; the axis is that of the second half of training, which the first would flatten."""
    columns = [column(rows, "steps", key)[1] for key in ("cost_mean", "validation_cost")]
    costs = [y for found in columns for y in found[len(found) // 2 :]]
    if optimal_cost is not None:
        axis.axhline(optimal_cost, color=SECOND, linewidth=1.1, linestyle=":", zorder=1)
        axis.annotate("optimal", (0, optimal_cost), (2, 3), xycoords=axis.get_yaxis_transform(),
                      textcoords="offset points", fontsize=9, color=SECOND)  # fmt: skip
        costs.append(optimal_cost)
    margin = 0.08 * (max(costs) - min(costs)) or 0.05 * max(costs)
    axis.set_ylim(min(costs) - margin, max(costs) + margin)


def in_cost(rows: Sequence[Mapping[str, Any]], comparison: Comparison) -> list[Mapping[str, Any]]:
    """Rows of a metrics.jsonl with the whole chain's cost, money a day, in place of reward.

    Rewards are minus that cost over a scale where the ratio of the two is one and the same for all policies of the
    comparison, and in all rows that of all agents' reward to the learners'; else the rows stay as they are.
    """
    found = next(iter(comparison.results.values())).values()
    costs, rewards = (np.array([row[name].value.mean for row in found]) for name in ("cost", "reward"))
    validations = [
        (row["validation_reward_all"], row["validation_reward"]) for row in rows if "validation_reward_all" in row
    ]
    everyone, learners = np.array(validations).reshape(-1, 2).T
    if comparison.objective != "cost" or not rewards.any() or not learners.any():
        return list(rows)
    scale, share = -costs.sum() / rewards.sum(), everyone.sum() / learners.sum()
    if not (np.allclose(costs, -scale * rewards) and np.allclose(everyone, share * learners)):
        return list(rows)
    return [
        {_IN_COST.get(k, k): -scale * share * v if k in _IN_COST and v is not None else v for k, v in row.items()}
        for row in rows
    ]


def stock_figure(
    stock: np.ndarray,
    demand: np.ndarray,
    unmet: np.ndarray,
    names: Sequence[str],
    period: str = "day",
    first: int = 0,
) -> Figure:
    """Stock over time of one episode, a panel a place: stock an area, demand a line, stock-outs marks.

    Parameters
    ----------
    stock, demand, unmet
        ``(days, places)`` units at the day's end, asked for on the day, and of that not met.
    names
        Of the places.
    period
        "day" or "week".
    first
        Number of the first day shown.
    """
    days = np.arange(first, first + len(stock)) + 1
    columns = 2 if len(names) > 1 else 1
    lines = math.ceil(len(names) / columns)
    with styled():
        figure = Figure(figsize=(WIDTH, 1.75 * lines + 0.3), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
        axes = figure.subplots(lines, columns, squeeze=False, sharex=True)
        for axis in list(axes.flat)[len(names) :]:
            axis.set_axis_off()
        for place, (axis, name) in enumerate(zip(axes.flat, names, strict=False)):
            axis.fill_between(days, stock[:, place], step="mid", color=ACCENT, alpha=0.22, linewidth=0)
            axis.step(days, stock[:, place], where="mid", color=ACCENT, linewidth=1.3, label="stock at the end")
            axis.plot(days, demand[:, place], color=SECOND, linewidth=1.1, label="asked for")
            short = unmet[:, place] > 1e-9
            (marks,) = axis.plot(
                days[short], np.zeros(short.sum()), "v", color=BAD, ms=6, label="not all met", zorder=5
            )
            marks.set(clip_on=False, in_layout=False)
            axis.set_title(name)
            axis.set_ylim(bottom=0)
            axis.set_xlim(days[0] - 0.5, days[-1] + 0.5)
            axis.tick_params(length=0, labelsize=9, labelcolor=MUTED)
            axis.spines["left"].set_visible(False)
            readable(axis.yaxis)
            if place % columns == 0:
                axis.set_ylabel("units", fontsize=9)
            if place >= len(names) - columns:
                axis.set_xlabel(period, fontsize=9, loc="left")
                axis.tick_params(labelbottom=True)
        figure.legend(
            handles=axes[0, 0].lines,
            frameon=False,
            fontsize=9,
            labelcolor=MUTED,
            loc="outside upper right",
            ncols=3,
        )
    return figure
