"""Rows of metrics: written once a step, passed on once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hmarl.progress import Reporter
from hmarl.runs import read_rows
from llm.trainers.journal import Journal, opened


def test_a_step_that_is_done_again_replaces_its_row_and_those_after(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step, loss in ((1, 0.1), (2, 0.2), (3, 0.3), (2, 0.4)):
        Journal.append(path, {"steps": step, "loss": loss})
    assert read_rows(path) == [{"steps": 1, "loss": 0.1}, {"steps": 2, "loss": 0.4}]


def test_samples_go_to_a_file_of_their_own_and_are_replaced_with_their_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step, order in ((1, 10), (2, None), (3, 20), (2, None), (3, 30)):
        samples = [] if order is None else [{"steps": step, "order": order}]
        Journal.append(path, {"steps": step, "samples": samples})
    assert read_rows(path) == [{"steps": 1}, {"steps": 2}, {"steps": 3}]
    assert read_rows(tmp_path / "samples.jsonl") == [{"steps": 1, "order": 10}, {"steps": 3, "order": 30}]


def test_what_is_not_a_number_is_null(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    Journal.append(path, {"steps": 1, "gain": math.nan, "loss": 0.5})
    assert path.read_text() == '{"steps": 1, "gain": null, "loss": 0.5}\n'


def test_each_step_is_passed_on_once(tmp_path: Path) -> None:
    heard: list[Any] = []
    journal = Journal(tmp_path, Reporter(tmp_path / "log", quiet=True), [heard.append])
    for step in (1, 2, 2, 3):
        Journal.append(journal.path, {"steps": step})
        journal.follow()
        journal.follow()
    assert [row["steps"] for row in heard] == [1, 2, 3]


def test_tensorboard_and_wandb_offline_without_a_key(tmp_path: Path, monkeypatch: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "run"
    reporter = Reporter(tmp_path / "log", quiet=True)
    with opened(folder, reporter, "SFT", 2, lambda row: "", ("project", None), {"seed": 1}) as journal:
        for step in (1, 2):
            sample = {"steps": step, "prompt": "Stock 3.", "answer": "<b>25", "order": None, "reward": 0.5}
            Journal.append(journal.path, {"steps": step, "loss": 1 / step, "samples": [sample] * 2})
    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [(1, 1.0), (2, 0.5)]
    shown = board.Tensors("sample_2/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert shown.splitlines()[:3] == ["    steps: 2", "    prompt: Stock 3.", "    answer: <b>25"]
    assert [*folder.glob("wandb/offline-run-*/files/media/table/samples_*.json")]
