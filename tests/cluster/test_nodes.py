"""Nodes come and go while trainings run on them: real ones are killed, told that they will be taken away, and added.

Reinforcement learning of a language model is in tests/llm/test_train.py."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.local import LocalCluster
from hmarl.runs import read_rows
from tune.record import read_trials

pytestmark = pytest.mark.slow


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
    with nodes.running(nodes.submission("first", *asked, "--runs", str(tmp_path / "first"))) as until:
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
        nodes.stop("first")
    steps = [row["steps"] for row in read_rows(first)]
    assert steps == sorted({*steps})
    added.kill()
    nodes.add(2)
    with nodes.running(nodes.submission("second", *asked, "--runs", str(tmp_path / "second"))) as until:
        until(lambda: last(second)["steps"] > steps[-1])
        nodes.stop("second")
    kept = [row["steps"] for row in read_rows(second)]
    assert kept[: kept.index(done)] == steps[: steps.index(done)]


def test_a_language_model_heeds_the_notice_that_a_node_goes(nodes: LocalCluster, tmp_path: Path) -> None:
    """Three workers on two nodes of two; checkpoints would be far apart. No step is done again."""
    metrics, log = tmp_path / "metrics.jsonl", tmp_path / "train.log"
    asked = (
        *("sft", "--model", "tiny", "--demonstrations", "3", "--batch-size", "8", "--workers", "3"),
        *("--steps", "1000000", "--save-steps", "1000000", "--output-dir", str(tmp_path), "--address", nodes.address),
    )

    def alone() -> list[dict[str, Any]]:
        return [row for row in read_rows(metrics) if row["workers"] == 1]

    going = nodes.nodes[-1]
    with nodes.running([sys.executable, "-m", "llm.train", *asked]) as until:
        until(lambda: len(read_rows(metrics)) > 3)
        nodes.notice(going, 3600)
        until(alone)
    (told,) = re.findall(r"a node is about to be taken away after step (\d+): starting again", log.read_text())
    assert alone()[0]["steps"] == int(told) + 1
    assert [row["steps"] for row in read_rows(metrics)] == list(range(1, len(read_rows(metrics)) + 1))
    going.kill()
    nodes.add(2)


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
    with nodes.running([sys.executable, "-m", "tune.sweep", "hmarl", *asked]) as until:
        until(lambda: [len(rows) > 1 for rows in steps()].count(True) == 4)
        before = steps()
        lost.kill()
        nodes.add(2)
        until((folder / "best.yaml").exists)
    assert all(trial.status == "finished" for trial in read_trials(folder))
    assert all(after[: len(rows)] == rows for rows, after in zip(before, steps(), strict=False))
    assert "broke off and goes on from its last checkpoint" in (folder / "sweep.log").read_text()
