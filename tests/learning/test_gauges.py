"""That a training shows what it writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hmarl
from hmarl.gauges import MEASURES


def test_prometheus_reads_what_metrics_jsonl_has_at_the_last_step(
    small: dict[str, Any], scraped: Callable[..., dict[str, float]]
) -> None:
    arguments: dict[str, Any] = {"lead_time": 1, "penalty": 4, "unmet_demand": "backorder"}  # its optimum is known
    network = hmarl.load_network("lost_sales", **arguments, **small.pop("set"))
    run = hmarl.train(network, **small | {"name": "shown"})
    rows = run.metrics("phase1_stores")
    newest = {name: value for row in rows for name, value in row.items()}  # validations are older than the last row
    expected = {measure.exported: newest[measure.column] for measure in MEASURES}
    assert scraped("shown", "phase1_stores", set(expected)) == expected
    assert newest["gap"] > 0
