"""Every option of the training and of the task, two steps each, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm.tasks.supply_chain import SupplyChainTask

COLUMNS = {
    "loss", "reward", "reward_std", "groups_without_signal", "entropy", "grad_norm", "learning_rate",
    "completion_length", "cut_off", "clip_fraction", "mismatch_mean", "mismatch_max", "importance_ratio",
    "generation_seconds", "reward_seconds", "publish_seconds", "training_seconds", "gain", "parse_failures",
    "unparsed_groups", "distinct_answers", "completion_tokens", "tokens_per_second", "version", "staleness",
}  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta": 0.05},
        {"beta": 0.05, "use_lora": True},
        {"iterations": 2, "episodes": 8},
        {"epochs": 2, "episodes": 8},
        {"staleness": 1, "own_states": 0},
        {"temperature": 0.7},
        {"temperature": 0.7, "top_p": 0.9},
        {"constrain": True},
        {"explore": 0.3},
        {"schedule": "linear", "clip_high": 0.3},
        {"gradient_accumulation_steps": 2, "batch_size": 32, "gradient_checkpointing": True},
    ],
    ids=lambda options: "-".join(options) or "defaults",
)
def test_two_steps(make: Callable[..., Any], trained: Callable[..., Any], options: dict[str, Any]) -> None:
    if "use_lora" in options:
        make().publish()  # the engine then needs what adapters change alone
    trainer = make(**{"episodes": 16, **options})
    rows = trained(trainer)
    columns = COLUMNS | ({"kl"} if "beta" in options else set())
    for step, row in enumerate(rows, 1):
        assert columns <= row.keys()
        assert {type(row[name]) for name in columns} <= {int, float}
        assert row["version"] == (step if "iterations" not in options else 1) - row["staleness"]
    assert rows[0]["grad_norm"] > 0
    exact = not options.keys() & {"constrain", "top_p"}
    if exact:
        assert rows[0]["mismatch_max"] < 1e-4
    if "beta" in options:
        assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)
        assert rows[1]["kl"] > 0
    assert [row["staleness"] for row in rows] == [0, int("staleness" in options)]
    places = [(epoch, number) for epoch, number, _ in trainer.ledger]
    epochs, episodes = options.get("epochs", 1), options.get("episodes", 16)
    assert places == [(epoch, number) for epoch in range(epochs) for number in range(episodes)]


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("corner_shop", {"scenarios": ("normal", "demand_spike")}),
        ("two_store", {"role": "warehouse"}),
        ("two_store", {"role": "supplier"}),
        ("corner_shop", {"show_recommendation": True}),
        ("corner_shop", {"economics": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_tasks(make: Callable[..., Any], trained: Callable[..., Any], network: str, options: dict[str, Any]) -> None:
    asked = SupplyChainTask(network, **{"economics": False, **options})
    trainer = make(asked, episodes=8, max_prompt_length=600, max_completion_length=8)
    (row,) = trained(trainer)
    assert row["mismatch_max"] < 1e-4
    assert 0 <= row["parse_failures"] <= 1
