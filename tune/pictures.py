"""pictures.html: how trials went, which settings matter, and how they go together; one self-contained page."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmarl.files import write_atomic
from tune.record import read_trials
from tune.results import Result
from tune.search import distributions, labelled
from tune.settings import Sweep

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PICTURES = "pictures.html"
_FEWEST = 4  # trials that the importance of settings can be told from
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font-family: system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }}</style>
</head>
<body><h1>{title}</h1>
{figures}
</body></html>
"""


def write_pictures(sweep: Sweep, results: list[Result]) -> Path:
    """Write the page; returns its path."""
    import html

    from plotly.offline import get_plotlyjs

    figures = [progress_figure(sweep)]
    judged = [result for result in results if result.status in ("finished", "stopped") and result.value is not None]
    study = _study(sweep, judged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's, of what is experimental there
        import optuna

        name = f"validation {sweep.objective}"
        if len(judged) >= _FEWEST and len({result.value for result in judged}) > 1:
            figures.append(optuna.visualization.plot_param_importances(study, target_name=name))
        if len(judged) > 1:
            figures.append(optuna.visualization.plot_parallel_coordinate(study, target_name=name))
    script = f"<script>{get_plotlyjs()}</script>"
    parts = [figure.to_html(full_html=False, include_plotlyjs=False) for figure in figures]
    title = html.escape(f"Sweep {sweep.run_name}")
    return write_atomic(sweep.folder / PICTURES, _PAGE.format(title=title, figures="\n".join([script, *parts])))


def progress_figure(sweep: Sweep) -> Figure:
    """Each trial's validations over the steps of its training."""
    from plotly import graph_objects

    figure = graph_objects.Figure()
    for trial in read_trials(sweep.folder):
        rows = trial.rows
        figure.add_scatter(
            x=[row.steps for row in rows],
            y=[row.mean for row in rows],
            mode="lines+markers",
            name=f"{trial.number}, {trial.status}",
            opacity=1 if trial.status == "finished" else 0.5,
        )
    steps = "agent-steps" if sweep.half == "hmarl" else "prompts trained on"
    figure.update_layout(title="Trials", xaxis_title=steps, yaxis_title=f"validation {sweep.objective}, money")
    return figure


def _study(sweep: Sweep, results: list[Result]) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = distributions(sweep.searched)
    study = optuna.create_study(direction="maximize" if sweep.objective == "profit" else "minimize")
    for result in results:
        parameters = labelled(sweep.searched, result.parameters)
        study.add_trial(optuna.create_trial(params=parameters, distributions=known, value=result.value))
    return study
