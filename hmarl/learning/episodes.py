"""Lengths and returns of the episodes that a runner plays, under RLlib's names."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ray.rllib.utils.metrics import (
    EPISODE_AGENT_RETURN_MEAN,
    EPISODE_AGENT_STEPS,
    EPISODE_DURATION_SEC_MEAN,
    EPISODE_LEN_MAX,
    EPISODE_LEN_MEAN,
    EPISODE_LEN_MIN,
    EPISODE_MODULE_RETURN_MEAN,
    EPISODE_RETURN_MAX,
    EPISODE_RETURN_MEAN,
    EPISODE_RETURN_MIN,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

REWARD_MEAN = "module_reward_mean"
"""Mean reward of an agent-step by module, of the last rollout: there from the first iteration on."""


@dataclass(frozen=True)
class _Episode:
    days: int
    seconds: float
    returns: NDArray[np.float64]  # of all agents, role by role


class Episodes:
    """The running and the last finished episodes of B replications.

    Parameters
    ----------
    agents
        Names of the agents that learn, by role.
    replications
        B.
    smoothing
        How many finished episodes the means are over.
    """

    def __init__(self, agents: Mapping[str, tuple[str, ...]], replications: int, smoothing: int) -> None:
        self._agents = dict(agents)
        self._names = [name for names in agents.values() for name in names]
        self._finished: deque[_Episode] = deque(maxlen=smoothing)
        self._new = 0
        self.days = np.zeros(replications, np.int64)
        self._returns = np.zeros((replications, len(self._names)))
        self._began = np.zeros(replications)
        self.begin(np.ones(replications, bool))

    def begin(self, rows: NDArray[np.bool_]) -> None:
        """Start counting anew in these replications, ``(B,)`` booleans."""
        self.days[rows] = 0
        self._returns[rows] = 0
        self._began[rows] = time.perf_counter()

    def add(self, rewards: list[NDArray[np.float64]]) -> None:
        """A day's rewards, ``(B, agents)`` for each role."""
        self.days += 1
        self._returns += np.concatenate(rewards, axis=1)

    def finish(self, rows: NDArray[np.bool_]) -> None:
        """Book the episodes of these replications and start anew."""
        now = time.perf_counter()
        for row in np.flatnonzero(rows):
            episode = _Episode(int(self.days[row]), now - self._began[row], self._returns[row].copy())
            self._finished.append(episode)
        self._new += int(rows.sum())
        self.begin(rows)

    def log(self, metrics: MetricsLogger) -> None:
        """Log the means over the last finished episodes, where any finished since the last time."""
        if not self._new:
            return
        days = np.array([episode.days for episode in self._finished])
        by_agent = np.mean([episode.returns for episode in self._finished], axis=0)
        totals = np.array([episode.returns.sum() for episode in self._finished])
        splits = np.cumsum([len(names) for names in self._agents.values()])[:-1]
        by_module = [part.sum() for part in np.split(by_agent, splits)]
        metrics.log_dict(
            {
                EPISODE_LEN_MEAN: days.mean(),
                EPISODE_LEN_MIN: days.min(),
                EPISODE_LEN_MAX: days.max(),
                EPISODE_RETURN_MEAN: totals.mean(),
                EPISODE_RETURN_MIN: totals.min(),
                EPISODE_RETURN_MAX: totals.max(),
                EPISODE_DURATION_SEC_MEAN: np.mean([episode.seconds for episode in self._finished]),
                EPISODE_AGENT_RETURN_MEAN: dict(zip(self._names, by_agent, strict=True)),
                EPISODE_AGENT_STEPS: dict.fromkeys(self._names, days.mean()),
                EPISODE_MODULE_RETURN_MEAN: dict(zip(self._agents, by_module, strict=True)),
            },
            window=1,
        )
        metrics.log_value(NUM_EPISODES, self._new, reduce="sum")
        metrics.log_value(NUM_EPISODES_LIFETIME, self._new, reduce="lifetime_sum")
        self._new = 0
