"""That a training shows what it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm.trainers.measures import MEASURES


@pytest.mark.slow
def test_prometheus_reads_what_metrics_jsonl_has_at_the_last_step(
    run_grpo: Callable[..., Any], scraped: Callable[..., dict[str, float]], tmp_path: Path
) -> None:
    run = run_grpo(tmp_path / "shown", beta=0.01)  # without it there is no reference
    newest = {name: value for row in run.rows for name, value in row.items()}
    expected = {measure.exported: newest[measure.column] for measure in MEASURES}
    assert scraped("shown", "grpo", expected) == expected
    assert (newest["engines_working"], newest["requests_resent"]) == (1, 0)
    assert newest["gap"] > 0
