"""What pictures are made of: figures as points with intervals, curves over training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hmarl.report.metrics import Metric, decimals, number
from hmarl.report.statistics import Estimate
from hmarl.report.style import ACCENT, BAD, INK, MUTED, PAPER, SECOND, styled

WIDTH = 11.5  # inches
_COLOURS = (SECOND, INK, BAD, MUTED, ACCENT)  # of a panel's curves; the last the boldest


class Panel(NamedTuple):
    """Curves of a training over its steps.

    Attributes
    ----------
    title, unit
        Above it, and at its axis.
    factor
        What the values are multiplied by; 100: a share in per cent.
    series
        Label and column of each curve; where there are columns of that name with _low and _high they are a band.
    """

    title: str
    unit: str
    factor: float
    series: tuple[tuple[str, str], ...]


def points(
    axis: Axes,
    names: Sequence[str],
    estimates: Sequence[Estimate],
    metric: Metric,
    look: Sequence[tuple[str, str]],
    reference: int,
    *,
    labels: bool = True,
    signed: bool = False,
    span: tuple[float, float] | None = None,
) -> None:
    """A point with its interval a name, the reference a dashed line.

    Parameters
    ----------
    names, estimates, look
        One each: what stands at the axis, the figure, colour and marker.
    metric
        Whose figures they are.
    reference
        Index of the one that is always shown; see :func:`limits`.
    labels
        Write the names.
    signed
        The figures are differences.
    span
        Ends of the axis; :func:`limits` where left out.
    """
    shown = [Estimate(metric.scale(e.mean), metric.scale(e.low), metric.scale(e.high), e.n) for e in estimates]
    low, high = span or limits(shown, reference)
    if low <= shown[reference].mean <= high:
        axis.axvline(shown[reference].mean, color=MUTED, linewidth=0.9, dashes=(4, 3), zorder=1)
    digits = decimals(metric, estimates)
    for y, (estimate, found) in enumerate(zip(shown, estimates, strict=True)):
        _point(axis, y, estimate, (low, high), *look[y], number(metric, found.mean, digits, signed=signed))
    axis.set(ylim=(len(names) - 0.4, -0.6), xlim=(low, high))
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", length=0, labelleft=labels)
    axis.tick_params(axis="x", length=0, labelsize=9)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x")
    readable(axis.xaxis)


def _point(axis: Axes, y: int, e: Estimate, span: tuple[float, float], colour: str, marker: str, text: str) -> None:
    """A point and its interval; an arrow at the edge with the number where it lies outside."""
    low, high = span
    if math.isnan(e.mean):
        return
    if low <= e.mean <= high:
        if not math.isnan(e.low):
            axis.plot([max(low, e.low), min(high, e.high)], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
        axis.plot([e.mean], [y], marker, color=colour, markersize=5.5, markeredgecolor=PAPER, markeredgewidth=0.8)
        return
    left = e.mean < low
    axis.annotate(
        f"◂ {text}" if left else f"{text} ▸",
        (low if left else high, y),
        (4 if left else -4, 0),
        textcoords="offset points",
        ha="left" if left else "right",
        va="center",
        fontsize=8.5,
        color=colour,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
        zorder=3,
    )


def limits(estimates: Sequence[Estimate], baseline: int = 0, reach: float = 3.0) -> tuple[float, float]:
    """An axis on which policies can be told apart: one far off (random, no orders) does not stretch it.

    Far off is further from the stretch between baseline and median than `reach` times that stretch, or than 8
    times the median distance from the median where that is more.

    Parameters
    ----------
    estimates
        Of all policies.
    baseline
        Index of the one that is always shown.
    """
    means = np.array([e.mean for e in estimates])
    if np.isnan(means).all():
        return 0.0, 1.0
    middle = float(np.nanmedian(means))
    anchor = middle if math.isnan(means[baseline]) else float(means[baseline])
    spread = max(abs(anchor - middle), 8 * float(np.nanmedian(np.abs(means - middle))))
    lowest, highest = min(anchor, middle) - reach * spread, max(anchor, middle) + reach * spread
    near = (lowest <= means) & (means <= highest)
    kept = [e for e, keep in zip(estimates, near, strict=True) if keep]
    low = min(e.mean if math.isnan(e.low) else e.low for e in kept)
    high = max(e.mean if math.isnan(e.high) else e.high for e in kept)
    margin = 0.09 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def curves_figure(
    rows: Sequence[Mapping[str, Any]],
    panels: Sequence[Panel],
    step: str,
    label: str,
    *,
    title: str = "",
    most: int = 99,
) -> Figure:
    """Curves over training; a panel for each figure that the rows hold.

    Parameters
    ----------
    rows
        In order of training. A number that is missing or None in a row is skipped.
    panels
        What may be drawn.
    step, label
        Column of the x axis, and what it counts.
    title
        Above the panels.
    most
        Panels at most, the first of those that there are.
    """
    found = [p for p in panels if any(column(rows, step, key)[0] for _, key in p.series)][:most]
    columns = min(3, max(1, len(found)))
    lines = max(1, math.ceil(len(found) / columns))
    with styled():
        figure = Figure(figsize=(WIDTH, 2.5 * lines + (0.3 if title else 0)), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
        axes = figure.subplots(lines, columns, squeeze=False)
        for axis in list(axes.flat)[len(found) :]:
            axis.set_axis_off()
        for axis, panel in zip(axes.flat, found, strict=False):
            _curves(axis, rows, panel, step)
            axis.set_xlabel(label, fontsize=9, loc="left")
            axis.set_title(panel.title)
            axis.set_ylabel(panel.unit, fontsize=9)
        if not found:
            axes[0, 0].text(0, 0.9, "no training step was logged", color=MUTED)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=MUTED)
    return figure


def _curves(axis: Axes, rows: Sequence[Mapping[str, Any]], panel: Panel, step: str) -> None:
    factor, series = panel.factor, panel.series
    for (label, key), colour in zip(series, _COLOURS[-len(series) :], strict=True):
        x, y = column(rows, step, key)
        if not x:
            continue
        few = len(x) <= 30
        axis.plot(
            x,
            [factor * v for v in y],
            color=colour,
            linewidth=1.7,
            marker="o" if few else None,
            ms=3,
            label=label,
        )
        lower, upper = column(rows, step, f"{key}_low"), column(rows, step, f"{key}_high")
        if lower[0] == x == upper[0]:
            band = [[factor * v for v in side[1]] for side in (lower, upper)]
            axis.fill_between(x, *band, color=colour, alpha=0.18, linewidth=0)
    if len(series) > 1 and axis.lines:
        many = len(series) > 2
        axis.legend(frameon=False, fontsize=9, labelcolor=MUTED, loc="upper left" if many else "best", ncols=1 + many)
        if many:
            low, high = axis.get_ylim()
            axis.set_ylim(low, high + 0.3 * (high - low))
    if factor == 100:
        low, high = axis.get_ylim()
        axis.set_ylim(top=min(high, 100 + 0.03 * (100 - low)) if low < 100 else high)
    readable(axis.yaxis)
    readable(axis.xaxis)
    axis.tick_params(length=0, labelsize=9, labelcolor=MUTED)
    axis.spines["left"].set_visible(False)


def column(rows: Sequence[Mapping[str, Any]], step: str, key: str) -> tuple[list[float], list[float]]:
    """Steps and values of the rows that have both."""
    pairs = [(row[step], row[key]) for row in rows if _finite(row.get(key)) and _finite(row.get(step))]
    return [float(x) for x, _ in pairs], [float(y) for _, y in pairs]


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def readable(axis: Axis, ticks: int = 4) -> None:
    """At most so many ticks, with as many digits as tell them apart."""
    axis.set_major_locator(MaxNLocator(ticks, min_n_ticks=3))

    def label(value: float, _: int) -> str:
        places = axis.get_majorticklocs()
        step = float(places[1] - places[0]) if len(places) > 1 else 1.0
        if step >= 1000:
            return _short(value)
        if 0 < step < 1e-4:
            return f"{value:.1e}"
        digits = next((d for d in range(6) if math.isclose(round(step, d), step, rel_tol=1e-6)), 6)
        return number(Metric("", "", 0), value, digits)

    axis.set_major_formatter(FuncFormatter(label))


def _short(value: float) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {letter}".replace("-", "\N{MINUS SIGN}")
    return f"{value:g}"
