"""What a run measures, shown while it runs: gauges and counters of Ray's, which each node offers to Prometheus.

They take their values from the rows of metrics.jsonl where those are written. Ray is read when the first row is shown.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

TAGS = ("run", "phase")
_NAMESPACE = "ray_"  # that Ray puts before every name
_REPEAT = 5.0  # seconds


@dataclass(frozen=True)
class Measure:
    """A figure of a run.

    Attributes
    ----------
    name
        Of the gauge or counter.
    column
        Of metrics.jsonl, where its values are. That of a counter holds the sum so far.
    text
        What it is, and its unit.
    panel
        The chart that it is drawn in.
    unit
        Grafana's name of the unit.
    """

    name: str
    column: str
    text: str
    panel: str
    unit: str = "none"
    kind: Literal["gauge", "counter"] = "gauge"

    @property
    def exported(self) -> str:
        """Its name in Prometheus."""
        return f"{_NAMESPACE}{self.name}{'_total' if self.kind == 'counter' else ''}"


SHARE = "percentunit"  # Grafana's name of a unit

MEASURES = (
    Measure("hmarl_reward", "reward_mean", "reward a day in training, all agents that learn", "Reward"),
    Measure("hmarl_validation_reward", "validation_reward_all", "reward a day on validation, all agents", "Reward"),
    Measure("hmarl_service_level", "service_level", "share of a day's demand met, on validation", "Service", SHARE),
    Measure("hmarl_fill_rate", "fill_rate", "share of all demand met, on validation", "Service", SHARE),
    Measure("hmarl_gap", "gap", "cost above the optimal policy's on the same demand", "Gap to the optimum", SHARE),
    Measure("hmarl_steps_per_second", "steps_per_second", "agent-steps a second, learning included", "Speed"),
    Measure("hmarl_agent_steps", "steps", "agent-steps done", "Agent-steps", kind="counter"),
    Measure("hmarl_entropy", "entropy", "of the actors' choices, nats", "Entropy and divergence"),
    Measure("hmarl_kl", "kl", "divergence of an update, nats", "Entropy and divergence"),
    Measure("hmarl_explained_variance", "explained_variance", "of returns, by the critics", "Critic", SHARE),
)
"""Of the agents' training."""


class Gauges:
    """Shows the rows of a phase, inside the block.

    Parameters
    ----------
    measures
        What is shown of them.
    run, phase
        Names that tell the values from those of others on the same cluster.

    Notes
    -----
    Ray forgets a gauge that was not set for 20 s (two of its reports), and a validation is older than that: the values
    are set again and again.
    """

    def __init__(self, measures: Sequence[Measure], run: str, phase: str) -> None:
        self._measures, self._tags = measures, dict(zip(TAGS, (run, phase), strict=True))
        self._made: dict[str, Any] = {}
        self._values: dict[str, float] = {}
        self._ended = threading.Event()
        self._repeating = threading.Thread(target=self._repeat, name="gauges", daemon=True)

    def __enter__(self) -> Self:
        self._repeating.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._repeating.join()

    def show(self, row: Mapping[str, Any]) -> None:
        """Take a row's values. What it has none of, or no number, stays as it was shown last."""
        for measure in self._measures:
            value = row.get(measure.column)
            if value is not None and math.isfinite(value):
                self._set(measure, float(value))

    def _set(self, measure: Measure, value: float) -> None:
        if measure.name not in self._made:
            self._made[measure.name] = self._make(measure)
        before, self._values[measure.name] = self._values.get(measure.name, 0.0), value
        if measure.kind == "gauge":
            self._made[measure.name].set(value, self._tags)
        elif value > before:
            self._made[measure.name].inc(value - before, self._tags)

    def _make(self, measure: Measure) -> Any:
        from ray.util import metrics

        kind = metrics.Gauge if measure.kind == "gauge" else metrics.Counter
        return kind(measure.name, measure.text, TAGS)

    def _repeat(self) -> None:
        gauges = [measure.name for measure in self._measures if measure.kind == "gauge"]
        while not self._ended.wait(_REPEAT):
            for name in gauges:
                if name in self._values:
                    self._made[name].set(self._values[name], self._tags)
