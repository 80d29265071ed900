"""What a sweep leaves behind: trials.csv, best.yaml, a table. Reads neither Ray nor torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hmarl.command import plain
from hmarl.errors import Failed
from hmarl.files import write_atomic
from tune.record import Status, read_trials
from tune.settings import HmarlSweep, LlmSweep, Sweep
from tune.space import Parameters, label

if TYPE_CHECKING:
    from rich.table import Table

BEST, CSV = "best.yaml", "trials.csv"
_SHOWN = 20  # trials in a table


@dataclass(frozen=True)
class Result:
    """A trial.

    Attributes
    ----------
    steps
        Made of its training.
    value
        Money on the validation paths, mean over seeds; None before the first validation.
    seconds
        Of its training.
    why
        The error of one that failed.
    """

    number: int
    status: Status
    parameters: Parameters
    steps: int
    value: float | None
    seconds: float
    why: str = ""


def read_results(sweep: Sweep) -> list[Result]:
    """All trials begun: those finished first, the best of them first; of the others those that came farthest."""
    found = []
    for trial in read_trials(sweep.folder):
        rows = trial.rows
        last = rows[-1] if rows else None
        found.append(
            Result(
                trial.number,
                trial.status,
                trial.parameters,
                last.steps if last else 0,
                last.mean if last else None,
                last.seconds if last else 0.0,
                trial.why,
            )
        )
    return ranked(found, sweep)


def ranked(results: Sequence[Result], sweep: Sweep) -> list[Result]:
    """See :func:`read_results`."""
    sign = -1 if sweep.objective == "profit" else 1

    def rank(result: Result) -> tuple[bool, int, float]:
        worth = float("inf") if result.value is None else sign * result.value
        return (result.status != "finished", -result.steps, worth)

    return sorted(results, key=rank)


def best_of(results: Sequence[Result]) -> Result:
    """The best of the trials that were trained to the end.

    Raises
    ------
    Failed
        If there is none.
    """
    if not results or results[0].status != "finished":
        failed = next((result for result in results if result.why), None)
        reason = f": trial {failed.number}: {failed.why}" if failed else ""
        raise Failed(f"no trial came to its end{reason}")
    return results[0]


def write_csv(sweep: Sweep, results: Sequence[Result]) -> None:
    """trials.csv: a line a trial in their order; a text never begins a formula."""
    names = list(sweep.searched.root)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "status", f"validation_{sweep.objective}", "steps", "seconds", *names])
    for result in sorted(results, key=lambda result: result.number):
        value = "" if result.value is None else result.value
        cells = [_cell(result.parameters[name]) for name in names]
        table.writerow([result.number, result.status, value, result.steps, result.seconds, *cells])
    write_atomic(sweep.folder / CSV, text.getvalue())


def _cell(value: Any) -> Any:
    if isinstance(value, int | float):
        return value
    text = label(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def write_best(sweep: Sweep, best: Result) -> Path:
    """best.yaml: a training with the settings of the best trial, as ``--config`` takes it."""
    settings: Any
    if isinstance(sweep, HmarlSweep):
        settings = sweep.training(best.parameters, name=f"{sweep.run_name}-best", address=None, json_=False)
        usual = type(settings)()
    else:
        changes = {"name": f"{sweep.run_name}-best", "output_dir": None, "address": None, "json_": False}
        settings = sweep.training(best.parameters, **changes)
        usual = type(settings).model_validate({"model": settings.model, "quick": settings.quick})
    given = settings.model_dump(mode="json")
    same = usual.model_dump(mode="json")
    shown = {plain(name): value for name, value in given.items() if value != same[name] or name in ("model", "quick")}
    head = (
        f"# {command_of(sweep)} --config {sweep.folder / BEST}\n"
        f"# trial {best.number} of {sweep.folder.name}: validation {sweep.objective} {best.value:,.6g}\n"
    )
    return write_atomic(sweep.folder / BEST, head + yaml.safe_dump(shown, sort_keys=False, allow_unicode=True))


def command_of(sweep: Sweep) -> str:
    """What trains with a best.yaml."""
    return "python -m llm.train grpo" if isinstance(sweep, LlmSweep) else "python -m hmarl.train"


def table(sweep: Sweep, results: Sequence[Result], width: int) -> Table:
    """The trials, the best first, with as many of their settings as the width allows."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    shown.title = escape(f"{sweep.run_name}: {_counts(results, sweep.number)}")
    for name in ("trial", "status", "done", f"validation {sweep.objective}"):
        shown.add_column(name, justify="left" if name == "status" else "right", no_wrap=True)
    names = list(sweep.searched.root)[: max(1, (width - 48) // 14)]
    for name in names:
        shown.add_column(escape(name.rpartition(".")[2]), justify="right", no_wrap=True)
    total = sweep.seeds * sweep.seed_steps
    for result in ranked(results, sweep)[:_SHOWN]:
        value = "" if result.value is None else f"{result.value:,.2f}"
        cells = [escape(_short(result.parameters[name])) for name in names]
        status = "running" if result.status == "unfinished" else result.status
        shown.add_row(str(result.number), status, f"{result.steps / total:.0%}", value, *cells)
    if len(results) > _SHOWN:
        shown.caption = f"and {len(results) - _SHOWN} more: {CSV}"
    return shown


def in_words(result: Result, objective: str) -> str:
    """A trial in a line."""
    settings = ", ".join(f"{name}={_short(value)}" for name, value in result.parameters.items())
    if result.why:
        return f"trial {result.number} failed: {result.why} ({settings})"
    value = "no validation" if result.value is None else f"validation {objective} {result.value:,.2f}"
    return f"trial {result.number} {result.status} after {result.steps:,} steps: {value} ({settings})"


def _counts(results: Sequence[Result], number: int) -> str:
    kinds = [result.status for result in results]
    counts = [f"{kinds.count(kind)} {kind}" for kind in ("finished", "stopped", "failed") if kinds.count(kind)]
    return ", ".join([*counts, f"of {number} trials"])


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else label(value)
