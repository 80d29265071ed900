"""Real sweeps: what they leave behind, and how one that was killed goes on."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import hmarl
from hmarl.errors import Failed, InputError
from tune.job import sweep_from
from tune.record import Trial, read_trials
from tune.settings import HmarlSweep
from tune.sweep import parse

ROOT = Path(__file__).resolve().parents[2]


def sweep_of(values: dict[str, Any], **changes: Any) -> HmarlSweep:
    fields = HmarlSweep.model_fields
    return HmarlSweep.model_validate({f"{k}_" if f"{k}_" in fields else k: v for k, v in (values | changes).items()})


def test_a_sweep(ray_session: None, small: dict[str, Any]) -> None:
    """Without early stopping; the best is what its best.yaml trains, to the last digit."""
    sweep = sweep_of(small, scheduler="none")
    best = sweep_from(sweep, quiet=True)
    trials = read_trials(sweep.folder)
    assert [trial.status for trial in trials] == ["finished"] * 4
    for trial in trials:
        assert [row.steps for row in trial.rows][-1] == 2 * 1536
        assert len(trial.rows) == 6
    assert best.value == min(trial.rows[-1].mean for trial in trials)
    assert len(list(csv.DictReader((sweep.folder / "trials.csv").open()))) == 4
    page = (sweep.folder / "pictures.html").read_text()
    assert page.count("Plotly.newPlot(") >= 3
    assert "src=" not in page.split("</script>")[-1]
    settings = yaml.safe_load((sweep.folder / "best.yaml").read_text())
    settings.pop("network", None)
    run = hmarl.train("two_store", quiet=True, **settings)
    kept = Trial(sweep.folder, best.number).run(0)
    for phase in ("phase1_stores", "phase2_warehouse"):
        rows = [json.loads(line) for line in (kept / phase / "metrics.jsonl").read_text().splitlines()]
        timeless = [{k: v for k, v in row.items() if k != "steps_per_second"} for row in run.metrics(phase)]
        assert timeless == [{k: v for k, v in row.items() if k != "steps_per_second"} for row in rows]


def test_seeds_are_trained_one_after_the_other(ray_session: None, small: dict[str, Any]) -> None:
    sweep = sweep_of(small, scheduler="none", trials=1, seeds=2, phases=["phase1_stores"])
    best = sweep_from(sweep, quiet=True)
    rows = Trial(sweep.folder, 0).rows
    assert [(row.seed, row.steps) for row in rows] == [(s, 1536 * s + 512 * k) for s in (0, 1) for k in (1, 2, 3)]
    assert best.value == pytest.approx((rows[2].value + rows[5].value) / 2)
    assert rows[3].mean == pytest.approx((rows[2].value + rows[3].value) / 2)


@pytest.mark.slow
def test_half_a_population_goes_on_from_the_other(ray_session: None, small: dict[str, Any], tmp_path: Path) -> None:
    space = tmp_path / "rates.yaml"
    space.write_text("learning_rate: {choice: [1.0e-9, 3.0e-3, 4.0e-3]}\nhidden: {choice: [[8], [16]]}\n")
    changes = {"steps": 4096, "evaluate_every": 512, "space": str(space), "phases": ["phase1_stores"]}
    sweep = sweep_of(small, scheduler="pbt", **changes)
    sweep_from(sweep, quiet=True)
    trials = read_trials(sweep.folder)
    assert [trial.status for trial in trials] == ["finished"] * 4
    assert all(trial.rows[-1].steps == 4096 for trial in trials)
    taken = [trial.number for trial in trials if (trial.run(0) / ".metadata.json").exists()]
    assert taken
    rows = [json.loads(x) for x in (trials[0].run(0) / "phase1_stores/metrics.jsonl").read_text().splitlines()]
    assert [row["steps"] for row in rows] == sorted({row["steps"] for row in rows})


def test_a_failing_trial_is_told_of(ray_session: None, small: dict[str, Any], tmp_path: Path) -> None:
    """The rollout of one configuration is longer than RLlib can hold in its minibatches."""
    sweep = sweep_of(small, scheduler="none", trials=1, seed=1, steps=512, phases=["phase3_supplier"])
    folder = sweep.folder / "trials" / "000"
    folder.mkdir(parents=True)
    (folder / "seed_0").write_text("not a folder")
    (sweep.folder / "hmarl.yaml").write_text("{}")
    with pytest.raises(Failed, match="no trial came to its end: trial 0: "):
        sweep_from(sweep.model_copy(update={"resume": True}), quiet=True)


def start(config: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tune.sweep", "hmarl", "--config", str(config), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_repeats_no_finished_trial(small: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**small, "trials": 6, "scheduler": "asha", "steps": 6144}))
    process = start(config)
    folder = Path(small["runs"]) / "sweeps" / "first"
    deadline = time.monotonic() + 120
    while [trial.status for trial in read_trials(folder)].count("finished") < 1:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    trying = [child for child in family if tries(child)]
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert psutil.wait_procs(trying, timeout=60)[1] == []  # trials go on until they know
    before = {trial.number: trial.rows for trial in read_trials(folder) if trial.status != "unfinished"}
    runs = {number: digest(Trial(folder, number)) for number in before}
    left = sweep_again("--name", "first", "--runs", small["runs"], "--resume")
    assert left.returncode == 0, left.stderr
    assert f"goes on: {len(before)} of 6 trials are done" in left.stdout
    assert [line for number in before for line in left.stdout.splitlines() if line.startswith(f"trial {number} ")] == []
    trials = read_trials(folder)
    assert len(trials) == 6
    assert all(trial.status in ("finished", "stopped") for trial in trials)
    assert {number: Trial(folder, number).rows for number in before} == before
    assert {number: digest(Trial(folder, number)) for number in before} == runs
    best = yaml.safe_load((folder / "best.yaml").read_text())
    assert best["name"] == "first-best"
    again = sweep_again("--name", "first", "--runs", small["runs"])
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "there is a sweep: --resume goes on with it" in again.stderr


def tries(process: psutil.Process) -> bool:
    """Whether it is a trial's."""
    with contextlib.suppress(psutil.Error):
        return "ImplicitFunc" in " ".join(process.cmdline())
    return False


def digest(trial: Trial) -> list[tuple[str, int]]:
    """Files of a trial's runs, with the time of their last change."""
    return sorted((str(path), path.stat().st_mtime_ns) for path in trial.run(0).rglob("*") if path.is_file())


def sweep_again(*given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tune.sweep", "hmarl", *given]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_sweep_goes_on_as_it_began(small: dict[str, Any], tmp_path: Path) -> None:
    sweep = sweep_of(small)
    sweep.folder.mkdir(parents=True)
    told = {**small, "scheduler": "median", "seed": 3}
    (sweep.folder / "hmarl.yaml").write_text(yaml.safe_dump(told))
    where = ["--name", "first", "--runs", small["runs"], "--resume"]
    settings = parse("hmarl", [*where, "--concurrent", "3"])
    assert (settings.scheduler, settings.seed, settings.trials, settings.concurrent) == ("median", 3, 4, 3)
    with pytest.raises(InputError, match="started with other settings: trials 4, now 5"):
        parse("hmarl", [*where, "--trials", "5"])
    with pytest.raises(InputError, match="no sweep of hmarl to go on with"):
        parse("hmarl", ["--name", "second", "--resume", "--runs", small["runs"]])


def test_an_unknown_half_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tune.sweep", "hmarle"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean hmarl?" in done.stderr
