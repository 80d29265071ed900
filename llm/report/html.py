"""report.html of a language model's run: one self-contained page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from hmarl.errors import InputError
from hmarl.files import write_atomic
from hmarl.report.metrics import Metric, number
from hmarl.report.plots import png, svg
from hmarl.report.statistics import Estimate
from hmarl.report.words import describe, listing, node_rows
from hmarl.runs import read_rows
from llm.evaluation import BOUND, Evaluation
from llm.report.plots import comparison_figure, orders_figure, training_figure
from llm.report.table import COLUMNS, PROFIT, column_digits, negated, share
from llm.report.words import against_bound, amount, findings, times, training
from llm.runs import EVALUATION, METRICS, SAMPLES, Run, make_task, read_run, task_settings

_SAMPLES = 12  # shown, evenly over the training


def write_report(folder: str | Path, evaluation: Evaluation | None = None) -> Path:
    """Write a run's report.html and comparison.png; returns the page's path.

    Parameters
    ----------
    folder
        The run's: config.yaml; metrics.jsonl, samples.jsonl and sft/metrics.jsonl where they are there.
    evaluation
        Of the final model; evaluation.json where left out.

    Raises
    ------
    InputError
        If the folder is no run, or one of its files is not what training writes.
    """
    run = read_run(folder)
    found = evaluation or Evaluation.load(run.folder / EVALUATION)
    write_atomic(run.folder / "comparison.png", png(comparison_figure(found)))
    rows, samples, sft = (_rows(run.folder / name) for name in (METRICS, SAMPLES, Path("sft") / METRICS))
    return write_atomic(run.folder / "report.html", render(run, found, rows, samples, sft))


def render(
    run: Run,
    evaluation: Evaluation,
    rows: Sequence[Mapping[str, Any]],
    samples: Sequence[Mapping[str, Any]] = (),
    sft: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The page as HTML.

    Parameters
    ----------
    rows
        Of metrics.jsonl, see :data:`llm.report.plots.PANELS`.
    samples
        Of samples.jsonl: ``steps``, ``prompt``, ``answer``, ``order`` (None: it could not be read), ``reward``.
    sft
        Rows of the supervised training before.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"listing": listing, "share": share, "amount": amount}
    template = environment.from_string((resources.files("llm.report") / "template.html").read_text(encoding="utf-8"))
    e = evaluation
    return template.render(
        style=Markup((resources.files("hmarl.report") / "report.css").read_text(encoding="utf-8")),
        run=run,
        network=run.network,
        description=describe(run.network),
        nodes=node_rows(run.network),
        training=training(run.settings, rows, make_task(run.network, task_settings(run, run.name))),
        e=e,
        model=e.rows[e.model],
        findings=findings(e),
        bound_in_words=against_bound(e),
        bound=BOUND,
        cards=_cards(e),
        figure=_figure,
        ahead=_ahead,
        negated=negated,
        columns=COLUMNS,
        digits=column_digits(e),
        times=times(rows),
        comparison_svg=_drawn(comparison_figure(e), "Policies compared"),
        training_svg=_drawn(training_figure(rows), "Training curves") if rows else "",
        sft_svg=_drawn(training_figure(sft), "Supervised training curves") if sft else "",
        orders_svg=_drawn(orders_figure(e), "How often each quantity is ordered") if e.orders else "",
        samples=_chosen(samples),
        number=_number,
        commands=_commands(run, e),
        settings=yaml.safe_dump({k: v for k, v in run.config.items() if k != "network"}, sort_keys=False),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return read_rows(path)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: a line is not JSON: one object a line") from error


def _drawn(figure: Any, label: str) -> Markup:
    return Markup(svg(figure, label))


def _figure(metric: Metric, e: Estimate, digits: int) -> Markup:
    """Mean and half of its interval, the exact mean beside it for machines."""
    return Markup('<data value="{}">{}</data> <span class="half">±{}</span>').format(
        repr(e.mean), number(metric, e.mean, digits), number(metric, e.half, digits)
    )


def _ahead(e: Estimate, digits: int) -> Markup:
    """A difference in the colour of what it means."""
    tone = {1: "good", -1: "bad"}.get(e.verdict, "even")
    return Markup('<span class="{}"><data value="{}">{}</data> <span class="half">±{}</span></span>').format(
        tone, repr(e.mean), number(PROFIT, e.mean, digits, signed=True), number(PROFIT, e.half, digits)
    )


def _cards(e: Evaluation) -> list[dict[str, str]]:
    """What a planner looks at first."""
    model = e.rows[e.model]
    low, high = number(PROFIT, model.profit.low, 0), number(PROFIT, model.profit.high, 0)
    cards = [
        {
            "label": "Profit, money an episode",
            "value": number(PROFIT, model.profit.mean, 0),
            "small": f"95\N{NO-BREAK SPACE}% interval {low} to {high}",
        }
    ]
    if e.continuation:
        ahead = e.rows[e.continuation].ahead or Estimate(0, 0, 0)
        cards.append(
            {
                "label": f"Against {e.continuation}",
                "value": number(PROFIT, ahead.mean, 0, signed=True),
                "small": f"the rule of the reward; it earns {amount(e.rows[e.continuation].profit)}",
            }
        )
    cards.append(
        {
            "label": "Fill rate",
            "value": share(model.fill_rate.mean),
            "small": f"all demand met over all demand; on a mean day {share(model.service_level.mean)}",
        }
    )
    cards.append(
        {
            "label": "Answers that cannot be read",
            "value": share(e.failed),
            "small": f"{e.parse_failures:,} of {e.decisions:,}; nothing is ordered then",
        }
    )
    return cards


def _chosen(samples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Some of the samples, evenly from the first to the last."""
    if len(samples) <= _SAMPLES:
        return list(samples)
    return [samples[round(k * (len(samples) - 1) / (_SAMPLES - 1))] for k in range(_SAMPLES)]


def _number(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{round(value, 2) + 0.0:g}".replace("-", "\N{MINUS SIGN}")


def _commands(run: Run, e: Evaluation) -> list[str]:
    model = str(run.folder / "final")
    evaluate = ["--model", model, "--episodes", str(e.episodes), "--seed", str(e.seed)]
    if e.variation is not None:
        v = e.variation
        evaluate += ["--repeats", str(v.repeats), "--paths", str(v.paths), "--temperature", f"{v.temperature:g}"]
    return [
        run.command(),
        shlex.join(["python", "-m", "llm.evaluate", *evaluate]),
        shlex.join(["python", "-m", "llm.ask", "--model", model, "--seed", "3"]),
    ]
