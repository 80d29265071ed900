"""What Prometheus reads of a run."""

from __future__ import annotations

import math
from collections.abc import Callable

from hmarl.gauges import MEASURES, Gauges, Measure
from llm.trainers.measures import MEASURES as LLM_MEASURES


def test_names_are_told_apart() -> None:
    names = [measure.name for measure in (*MEASURES, *LLM_MEASURES)]
    assert len(names) == len(set(names))


def test_the_last_number_of_each_column_is_shown_and_totals_are_counted(
    scraped: Callable[..., dict[str, float]],
) -> None:
    measures = (
        Measure("test_reward", "reward", "", ""),
        Measure("test_gap", "gap", "", ""),
        Measure("test_profit", "profit", "", ""),
        Measure("test_steps", "steps", "", "", kind="counter"),
    )
    rows = [
        {"steps": 10, "reward": 1.0, "gap": 0.25, "profit": None},
        {"steps": 30, "reward": -2.5, "gap": math.nan, "profit": None},
        {"steps": 70, "reward": 0},
    ]
    with Gauges(measures, "run", "first") as first, Gauges(measures, "run", "second") as second:
        second.show({"steps": 5, "reward": 9.0})
        for row in rows:
            first.show(row)
        expected = {"ray_test_reward": 0.0, "ray_test_gap": 0.25, "ray_test_steps_total": 70.0}
        assert scraped("run", "first", expected) == expected
        expected = {"ray_test_reward": 9.0, "ray_test_steps_total": 5.0}
        assert scraped("run", "second", expected) == expected
