"""What ends a training, and what does not."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hmarl.errors import InputError
from hmarl.progress import Reporter
from llm.trainers.fit import TrainingFailed, fit
from llm.trainers.journal import Journal
from llm.trainers.placing import Placement


def _broken(config: dict[str, Any]) -> None:
    raise ValueError("no such layer\nand a second line")


def _refused(config: dict[str, Any]) -> None:
    raise InputError("max_length: 3: example 1 has 4 tokens")


def _dies(config: dict[str, Any]) -> None:
    import ray.train

    ray.train.report({"steps": 1})  # Ray Train keeps the processors of one that dies before it is seen to run
    with open(config["path"], "a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def _run(loop: Any, folder: Path) -> None:
    journal = Journal(folder, Reporter(folder / "log", quiet=True), [])
    fit(loop, {"path": str(folder / "tries")}, Placement((1,), str(folder), gpu=False), journal)


def test_an_error_ends_it_at_once_with_its_first_line(ray_session: None, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"^ValueError: no such layer$"):
        _run(_broken, tmp_path)


def test_bad_input_stays_bad_input(ray_session: None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="example 1 has 4 tokens"):
        _run(_refused, tmp_path)


def test_workers_that_die_at_the_same_step_are_not_started_for_ever(ray_session: None, tmp_path: Path) -> None:
    # The report of step 1 may die with its worker.
    with pytest.raises(TrainingFailed, match=r"workers died 3 times after step [01]"):
        _run(_dies, tmp_path)
    assert (tmp_path / "tries").read_text() == "xxx"
