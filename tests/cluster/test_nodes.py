"""Nodes come and go while jobs run on them: real ones are killed, told that they will be taken away, and added."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from cluster.local import RAY, LocalCluster
from hmarl.runs import read_rows
from tune.record import read_trials

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@contextmanager
def running(command: list[str], nodes: LocalCluster) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """A command inside the block, which gets a function that waits for something while the command runs."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=nodes.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def until(holds: Callable[[], Any]) -> Any:
        end = time.monotonic() + 300
        while not (found := holds()):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end, holds
            time.sleep(0.1)
        return found

    try:
        yield until
    finally:
        process.kill()
        process.wait()


def submission(nodes: LocalCluster, name: str, *entrypoint: str) -> list[str]:
    job = [*RAY, "job", "submit", "--address", nodes.dashboard, "--submission-id", name]
    return [*job, "--working-dir", str(ROOT), "--", *entrypoint]


def stop(nodes: LocalCluster, name: str) -> None:
    stopped = nodes.run([*RAY, "job", "stop", name, "--address", nodes.dashboard])
    assert stopped.returncode == 0, stopped.stderr


def test_submitted_agents_go_on_without_a_node_and_use_the_next(nodes: LocalCluster, tmp_path: Path) -> None:
    """Four runners on two nodes. Stopped in the end, and submitted again where nothing is but the storage."""
    asked = (
        *("python", "-m", "hmarl.train", "--network", "two_store", "--name", "ours", "--phases", "phase1_stores"),
        *("--rules", "base_stock", "--acting-rule", "base_stock", "--evaluate-every", "1000000000"),
        *("--evaluation-episodes", "4", "--steps", "1000000000", "--storage", str(tmp_path / "storage")),
        *("--runners", "4", "--ppo-set", "replications=16"),
    )
    first, second = (tmp_path / name / "ours" / "phase1_stores" / "metrics.jsonl" for name in ("first", "second"))

    def last(metrics: Path = first) -> dict[str, Any]:
        rows = read_rows(metrics)
        return rows[-1] if len(rows) > 3 else {"steps": 0}

    lost = nodes.nodes[-1]
    with running(submission(nodes, "first", *asked, "--runs", str(tmp_path / "first")), nodes) as until:
        until(lambda: last()["steps"])
        lost.kill()
        until(lambda: last()["runners"] < 4)
        done = last()["steps"]
        until(lambda: last()["steps"] > done)
        added = nodes.add(2)
        until(lambda: last()["runners"] == 4)
        nodes.notice(added, 3600)
        log = tmp_path / "first" / "ours" / "train.log"
        until(lambda: "a node is about to be taken away: checkpoint written at" in log.read_text())
        stop(nodes, "first")
    steps = [row["steps"] for row in read_rows(first)]
    assert steps == sorted({*steps})
    added.kill()
    nodes.add(2)
    with running(submission(nodes, "second", *asked, "--runs", str(tmp_path / "second")), nodes) as until:
        until(lambda: last(second)["steps"] > steps[-1])
        stop(nodes, "second")
    kept = [row["steps"] for row in read_rows(second)]
    assert kept[: kept.index(done)] == steps[: steps.index(done)]


def test_a_language_model_goes_on_without_a_node_and_uses_the_next(nodes: LocalCluster, tmp_path: Path) -> None:
    """Two workers that share the model out and two engines that serve its adapter, on two nodes. In the end every
    prompt was trained on exactly once."""
    from peft import AutoPeftModelForCausalLM

    folder = tmp_path / "model"
    metrics = folder / "metrics.jsonl"

    def workers() -> list[int]:
        return [row["workers"] for row in read_rows(metrics)]

    command = (
        *("python", "-m", "llm.train", "grpo", "--quick", "--use-lora", "--beta", "0.05", "--learning-rate", "3e-3"),
        *("--demonstrations", "5", "--episodes", "800", "--evaluation-episodes", "4", "--compare-episodes", "4"),
        *("--workers", "2", "--batch-size", "16", "--engines", "2", "--eval-steps", "200", "--save-steps", "5"),
        *("--max-completion-length", "8", "--output-dir", str(folder), "--storage", str(tmp_path / "storage")),
    )
    lost = nodes.nodes[-1]
    with running(submission(nodes, "model", *command), nodes) as until:
        until(lambda: len(workers()) > 7)
        lost.kill()
        until(lambda: 1 in workers())
        nodes.add(2)
        until(lambda: workers()[-1] == 2)
        until((folder / "report.html").exists)
    ledger = list(csv.DictReader((folder / "ledger.csv").open()))
    assert Counter(int(row["number"]) for row in ledger) == Counter(range(800))
    rows = read_rows(metrics)
    assert [row["steps"] for row in rows] == list(range(1, 401))
    assert all(row["mismatch_max"] < 1e-4 for row in rows)
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)  # from what the supervised training left
    assert rows[-1]["kl"] > 0
    first, last = (load_file(folder / part / "adapter_model.safetensors") for part in ("sft/final", "final"))
    assert first.keys() == last.keys()
    assert any((first[name] != last[name]).any() for name in first)
    assert {*AutoPeftModelForCausalLM.from_pretrained(folder / "final").peft_config} == {"default"}


def test_a_sweep_goes_on_without_a_node_and_uses_the_next(nodes: LocalCluster, tmp_path: Path) -> None:
    """Four trials on two nodes: those of the lost one go on from their last checkpoints."""
    folder = tmp_path / "sweeps" / "first"
    asked = (
        *("--network", "two_store", "--name", "first", "--phases", "phase1_stores", "--rules", "base_stock"),
        *("--acting-rule", "base_stock", "--steps", "2000000", "--evaluate-every", "100000", "--scheduler", "none"),
        *("--evaluation-episodes", "4", "--trials", "5", "--runs", str(tmp_path), "--address", nodes.address),
    )

    def steps() -> list[list[int]]:
        return [[row.steps for row in trial.rows] for trial in read_trials(folder)]

    lost = nodes.nodes[-1]
    with running([sys.executable, "-m", "tune.sweep", "hmarl", *asked], nodes) as until:
        until(lambda: [len(rows) > 1 for rows in steps()].count(True) == 4)
        before = steps()
        lost.kill()
        nodes.add(2)
        until((folder / "best.yaml").exists)
    assert all(trial.status == "finished" for trial in read_trials(folder))
    assert all(after[: len(rows)] == rows for rows, after in zip(before, steps(), strict=False))
    assert "broke off and goes on from its last checkpoint" in (folder / "sweep.log").read_text()
