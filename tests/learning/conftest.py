"""A small network and settings with which a whole training takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hmarl
from hmarl.learning.run import Run

SMALL: dict[str, Any] = {
    "set": {"days": 24, "warmup": 4},
    "rules": ["s_S", "base_stock"],
    "acting_rule": "base_stock",
    "steps": 1024,
    "evaluate_every": 512,
    "evaluation_episodes": 8,
    "compare_episodes": 12,
    "ppo_set": {"replications": 4, "days": 16, "minibatch": 64, "epochs": 2, "hidden": [8]},
}


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    """Settings of :func:`hmarl.train` for a run in the test's own folder."""
    return {**SMALL, "runs": tmp_path / "runs", "name": "run", "quiet": True}


@pytest.fixture(scope="session")
def trained(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A whole run, to be read only."""
    return hmarl.train("two_store", runs=tmp_path_factory.mktemp("runs"), name="run", quiet=True, **SMALL)
