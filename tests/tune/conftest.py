"""A sweep whose trials take a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

SMALL: dict[str, Any] = {
    "set": {"days": 24, "warmup": 4},
    "rules": ["base_stock"],
    "acting_rule": "base_stock",
    "phases": ["phase1_stores", "phase2_warehouse"],
    "steps": 1536,
    "evaluate_every": 512,
    "evaluation_episodes": 16,
    "compare_episodes": 12,
    "ppo_set": {"replications": 4, "days": 16, "minibatch": 64, "epochs": 2},
}
SPACE: dict[str, Any] = {
    "learning_rate": {"log": [1e-3, 3e-2]},
    "hidden": {"choice": [[8], [16]]},
}


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    """Settings of a sweep of agents in the test's own folder, plain values by option."""
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump(SPACE))
    return {**SMALL, "space": str(space), "runs": str(tmp_path / "runs"), "name": "first", "trials": 4}
