"""Pictures of a language model's run: who earns what, how the training went, what is ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from hmarl.report.metrics import Metric
from hmarl.report.panels import WIDTH, Panel, curves_figure, points
from hmarl.report.statistics import Estimate
from hmarl.report.style import ACCENT, INK, MUTED, SECOND, styled
from llm.evaluation import BOUND, Evaluation
from llm.report.table import FILL_RATE, PROFIT, SERVICE_LEVEL
from llm.report.words import PARTS

_NOTHING = Estimate(float("nan"), float("nan"), float("nan"))

PANELS = (
    Panel("Profit, validation", "money an episode", 1, (("", "validation_profit"),)),
    Panel("Reward of the answers", "mean, one std", 1, (("", "reward"),)),
    Panel("Loss", "", 1, (("", "loss"),)),
    Panel("Entropy", "nats a token", 1, (("", "entropy"),)),
    Panel("Different answers in a group", "mean", 1, (("", "distinct_answers"),)),
    Panel("Groups of equal rewards", "% of groups", 100, (("", "groups_without_signal"),)),
    Panel("Answers that cannot be read", "% of answers", 100, (("", "parse_failures"),)),
    Panel("Length of an answer", "tokens", 1, (("", "completion_length"),)),
    Panel("Divergence from the reference", "KL, nats", 1, (("", "kl"),)),
    Panel("Clipped", "% of tokens", 100, (("", "clip_fraction"),)),
    Panel("Trainer against engine", "largest log-prob. difference", 1, (("", "mismatch_max"),)),
    Panel("Learning rate", "", 1, (("", "learning_rate"),)),
    Panel("Generation", "tokens a second", 1, (("", "tokens_per_second"),)),
    Panel("Time of a step", "seconds", 1, tuple((label, key) for key, label in PARTS.items())),
)


def training_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Curves from the rows of a metrics.jsonl, a panel for each figure that they hold; rewards with their spread."""
    return curves_figure([_derived(row) for row in rows], PANELS, "steps", "optimiser steps")


def _derived(row: Mapping[str, Any]) -> dict[str, Any]:
    """With the spread of the rewards as a band."""
    found = dict(row)
    if "reward" in row:
        found |= {"reward_low": row["reward"] - row["reward_std"], "reward_high": row["reward"] + row["reward_std"]}
    return found


def comparison_figure(e: Evaluation) -> Figure:
    """Every policy and the bound as points with their 95 % intervals."""
    names = [*e.rows, *([] if e.bound is None else [BOUND])]
    bound = [] if e.bound is None else [e.bound]
    figures: tuple[tuple[Metric, list[Estimate]], ...] = (
        (PROFIT, [row.profit for row in e.rows.values()] + bound),
        (FILL_RATE, [row.fill_rate for row in e.rows.values()] + [_NOTHING] * len(bound)),
        (SERVICE_LEVEL, [row.service_level for row in e.rows.values()] + [_NOTHING] * len(bound)),
    )
    look = [_look(name, e) for name in names]
    reference = names.index(e.continuation or e.model)
    with styled():
        figure = Figure(figsize=(WIDTH, 1.1 + 0.27 * len(names)), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
        axes = figure.subplots(1, len(figures), sharey=True)
        for axis, (metric, estimates) in zip(axes, figures, strict=True):
            span = _span(estimates) if metric is PROFIT else None
            points(axis, names, estimates, metric, look, reference, labels=axis is axes[0], span=span)
            axis.set_title(metric.label)
            axis.set_xlabel("money an episode" if metric is PROFIT else "%", fontsize=9, loc="left")
        played = f"{e.episodes:,} episodes of {e.days:,} {e.period}s"
        figure.suptitle(
            f"{e.network}: mean and 95 % interval over {played}; dashed: {names[reference]}",
            x=0.01, ha="left", fontsize=10, color=MUTED,
        )  # fmt: skip
    return figure


def _span(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """An axis without the worst where it is further from all others than these are from each other."""
    worst, *others = sorted(estimates, key=lambda e: e.mean)
    far = len(others) > 1 and others[0].mean - worst.mean > others[-1].mean - others[0].mean
    shown = others if far else [worst, *others]
    low, high = min(e.low for e in shown), max(e.high for e in shown)
    margin = 0.09 * (high - low) or 1.0
    return low - margin, high + margin


def _look(name: str, e: Evaluation) -> tuple[str, str]:
    """Colour and marker: the model, the bound, the continuation, others."""
    if name == BOUND:
        return SECOND, "D"
    return ACCENT if name == e.model else MUTED if name == e.continuation else INK, "o"


def orders_figure(e: Evaluation) -> Figure:
    """How often each quantity was ordered."""
    with styled():
        figure = Figure(figsize=(WIDTH, 2.2), layout="constrained")
        axis = figure.subplots()
        shares = [100 * count / e.decisions for count in e.orders.values()]
        axis.bar([float(order) for order in e.orders], shares, width=0.8, color=ACCENT)
        axis.set_xlabel("units ordered", fontsize=9, loc="left")
        axis.set_ylabel("% of decisions", fontsize=9)
        axis.tick_params(length=0, labelsize=9, labelcolor=MUTED)
        axis.spines["left"].set_visible(False)
    return figure
