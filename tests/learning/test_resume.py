"""A run that was killed, interrupted or terminated goes on and ends where an unbroken one ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import hmarl
from hmarl.learning.folder import digest
from hmarl.learning.run import Run
from hmarl.runs import read_rows

KILLED = """
import json, os, signal, sys
import hmarl
from hmarl.learning import folder, job, training
from hmarl.report.comparison import Comparison

def kill(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

moment, settings = sys.argv[1], json.loads(sys.argv[2])
if moment == "while a checkpoint is written":
    flush, written = folder.flush, []
    def second(path):
        written.append(path)
        if len(written) == 2:
            kill()
        flush(path)
    folder.flush = second
elif moment == "in the middle of phase 2":
    iterate = training.PhaseTraining._iterate
    def ninth(self, *arguments):
        iterate(self, *arguments)
        if self.phase.name == "phase2_warehouse" and self.state.iteration == 11:
            kill()
    training.PhaseTraining._iterate = ninth
elif moment == "between phases":
    keep = job.Training._keep
    def kept(self, *arguments):
        keep(self, *arguments)
        kill()
    job.Training._keep = kept
elif moment == "in the comparison":
    Comparison.save = kill
elif moment == "in the report":
    from hmarl.report import html
    html.write_report = kill
hmarl.train("two_store", **settings)
"""


def start(moment: str, settings: dict[str, Any]) -> subprocess.Popen[str]:
    plain = {**settings, "runs": str(settings["runs"])}
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, moment, json.dumps(plain)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "steps_per_second"} for row in rows]


def check_same(run: Run, unbroken: Run) -> None:
    """Rows, policies and comparison are identical."""
    for phase in unbroken.phases:
        assert timeless(run.metrics(phase)) == timeless(unbroken.metrics(phase)), phase
        assert digest(run.folder / phase / "policy") == digest(unbroken.folder / phase / "policy")
    assert digest(run.folder / "policy") == digest(unbroken.folder / "policy")
    assert run.comparison.to_json() == unbroken.comparison.to_json()
    assert run.report.is_file()
    left = [path for path in run.folder.rglob("*") if ".writing" in path.name or path.name.endswith(".old")]
    assert left == []


MOMENTS = {
    "while a checkpoint is written": 1,
    "between phases": 1,
    "in the middle of phase 2": 2,
    "in the comparison": 4,
    "in the report": 4,
}
"""When a run is killed, and the phases begun until then."""


def test_sigkill_again_and_again(trained: Run, small: dict[str, Any]) -> None:
    """Each process goes on where the one before was killed; the last ends where an unbroken run does."""
    folder = small["runs"] / "run"
    for moment, phases in MOMENTS.items():
        process = start(moment, small)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, (moment, output)
        assert len(list(folder.glob("phase*"))) == phases, moment
        assert not (folder / "report.html").exists()
    check_same(hmarl.train("two_store", **small), trained)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_writes_a_checkpoint_and_leaves(
    ray_session: None, small: dict[str, Any], tmp_path: Path, number: int, status: int
) -> None:
    """With a million steps a validation away, only the signal can be why there is a checkpoint."""
    given = {**small, "phases": ["phase1_stores"], "steps": 10**7, "evaluate_every": 10**6}
    config = tmp_path / "settings.yaml"
    config.write_text(json.dumps({k: str(v) if k == "runs" else v for k, v in given.items() if k != "quiet"}))
    process = subprocess.Popen(
        [sys.executable, "-m", "hmarl.train", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    folder = small["runs"] / "run" / "phase1_stores"
    deadline = time.monotonic() + 90
    while len(read_rows(folder / "metrics.jsonl")) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in errors
    (checkpoint,) = (folder / "checkpoint").iterdir()
    steps = json.loads((checkpoint / "state.json").read_text())["steps"]
    rows = read_rows(folder / "metrics.jsonl")
    assert rows[-1]["steps"] == steps
    assert steps > 0
    log = (small["runs"] / "run" / "train.log").read_text()
    assert "stopped" in log


def test_a_signal_before_training_leaves_too(tmp_path: Path) -> None:
    """While rules are tuned nothing is written yet but the record."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hmarl.train", "--runs", str(tmp_path), "--name", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "config.yaml").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "")
    assert not (tmp_path / "run" / "rules.json").exists()
