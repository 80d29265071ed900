"""That a training shows what it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hmarl
from hmarl.gauges import MEASURES
from hmarl.learning.phases import plan
from hmarl.learning.settings import PPOSettings
from hmarl.learning.training import PhaseTraining
from hmarl.policies import make_policy
from hmarl.progress import Reporter
from hmarl.runs import read_rows


def test_prometheus_reads_what_metrics_jsonl_has_at_the_last_step(
    small: dict[str, Any], scraped: Callable[..., dict[str, float]], tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"lead_time": 1, "penalty": 4, "unmet_demand": "backorder"}  # its optimum is known
    network = hmarl.load_network("lost_sales", **arguments, **small["set"])
    phase, folder = plan(network)[0][0], tmp_path / "shown"
    folder.mkdir()
    training = PhaseTraining(
        phase=phase,
        network=network,
        ppo=PPOSettings.model_validate(small["ppo_set"]),
        folder=folder / phase.name,
        before=None,
        rule=make_policy("base_stock", network),
        start={},
        started_from="nothing",
        steps=small["steps"],
        evaluate_every=small["steps"] // 4,
        evaluation_episodes=8,
        patience=0,
        objective="reward",
        seed=0,
        stages=[],
        reporter=Reporter(folder / "train.log", quiet=True),
    )
    training.run()
    rows = read_rows(training.folder / "metrics.jsonl")
    newest = {name: value for row in rows for name, value in row.items()}  # validations are older than the last row
    expected = {measure.exported: newest[measure.column] for measure in MEASURES}
    assert scraped("shown", phase.name, expected) == expected
