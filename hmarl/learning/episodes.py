"""Lengths and returns of the episodes that a runner plays, under RLlib's names."""

from __future__ import annotations

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
    days
        Of an episode; what ends sooner, because it began later, is not booked.
    smoothing
        How many finished episodes the means are over; None: all since they were last logged.
    """

    def __init__(
        self, agents: Mapping[str, tuple[str, ...]], replications: int, days: int, smoothing: int | None
    ) -> None:
        self._agents = dict(agents)
        self._names = [name for names in agents.values() for name in names]
        self._length, self._smoothing = days, smoothing
        self._finished: deque[_Episode] = deque(maxlen=smoothing)
        self._new = 0
        self.days = np.zeros(replications, np.int64)
        self._returns = np.zeros((replications, len(self._names)))
        self._seconds = np.zeros(replications)

    def begin(self, rows: NDArray[np.bool_]) -> None:
        """Start counting anew in these replications, ``(B,)`` booleans."""
        self.days[rows] = 0
        self._returns[rows] = 0
        self._seconds[rows] = 0

    def add(self, rewards: NDArray[np.floating], ends: NDArray[np.bool_], seconds: float) -> None:
        """Count a rollout.

        Parameters
        ----------
        rewards
            ``(T, B, agents)`` of all roles.
        ends
            ``(T, B)`` whether an episode ended with the day.
        seconds
            How long it took.
        """
        begin, a_day = 0, seconds / len(ends)
        for end in np.union1d(np.flatnonzero(ends.any(1)), len(ends) - 1) + 1:
            self.days += end - begin
            self._seconds += (end - begin) * a_day
            self._returns += rewards[begin:end].sum(0, np.float64)
            self._finish(ends[end - 1])
            begin = end

    def _finish(self, rows: NDArray[np.bool_]) -> None:
        for row in np.flatnonzero(rows & (self.days == self._length)):
            self._finished.append(_Episode(self._seconds[row], self._returns[row].copy()))
            self._new += 1
        self.begin(rows)

    def log(self, metrics: MetricsLogger) -> None:
        """Log the means over the last finished episodes, where there are any."""
        if self._finished:
            by_agent = np.mean([episode.returns for episode in self._finished], axis=0)
            totals = np.array([episode.returns.sum() for episode in self._finished])
            splits = np.cumsum([len(names) for names in self._agents.values()])[:-1]
            by_module = [part.sum() for part in np.split(by_agent, splits)]
            means = {
                EPISODE_LEN_MEAN: self._length,
                EPISODE_RETURN_MEAN: totals.mean(),
                EPISODE_DURATION_SEC_MEAN: np.mean([episode.seconds for episode in self._finished]),
                EPISODE_AGENT_RETURN_MEAN: dict(zip(self._names, by_agent, strict=True)),
                EPISODE_AGENT_STEPS: dict.fromkeys(self._names, self._length),
                EPISODE_MODULE_RETURN_MEAN: dict(zip(self._agents, by_module, strict=True)),
            }
            metrics.log_dict(means, window=1)
            lowest = {EPISODE_LEN_MIN: self._length, EPISODE_RETURN_MIN: totals.min()}
            metrics.log_dict(lowest, reduce="min", window=1)
            highest = {EPISODE_LEN_MAX: self._length, EPISODE_RETURN_MAX: totals.max()}
            metrics.log_dict(highest, reduce="max", window=1)
        if self._new:
            metrics.log_value(NUM_EPISODES, self._new, reduce="sum")
            metrics.log_value(NUM_EPISODES_LIFETIME, self._new, reduce="lifetime_sum")
        self._new = 0
        if self._smoothing is None:
            self._finished.clear()
