"""What happens to a cluster while a phase trains on it: runners go and come back, nodes are about to be taken away."""

from __future__ import annotations

import time
from typing import Any

from hmarl.errors import Failed
from hmarl.nodes import leaving
from hmarl.progress import Reporter

_EVERY = 1.0  # seconds between two questions to Ray


class Watch:
    """Tells of each change once.

    Parameters
    ----------
    runners
        Remote ones that were asked for; 0: the learner samples itself.
    wait
        Seconds for one of them to sample, where all are gone.
    """

    def __init__(self, runners: int, wait: float, reporter: Reporter) -> None:
        self._runners, self._wait, self._reporter = runners, wait, reporter
        self._left, self._leaving, self._asked = runners, frozenset[str](), 0.0
        self._sampled = time.monotonic()

    def runners(self, group: Any, steps: int, sampled: bool) -> int:
        """How many sample now.

        Parameters
        ----------
        group
            RLlib's EnvRunnerGroup.
        steps
            Agent-steps done.
        sampled
            Whether there are new ones.

        Raises
        ------
        Failed
            If there were none for too long.
        """
        now = time.monotonic()
        left: int = group.num_healthy_remote_workers()
        if left != self._left:
            self._left = left
            self._reporter.warn(f"{left} of {self._runners} runners sample from {steps:,} agent-steps on")
        if sampled:
            self._sampled = now
        elif now - self._sampled > self._wait:
            raise Failed(f"no runner has sampled for {now - self._sampled:.0f} s: no node has room for one")
        return left

    def notice(self) -> bool:
        """Whether another node is about to be taken away, since this was asked last."""
        if time.monotonic() - self._asked < _EVERY:
            return False
        self._asked = time.monotonic()
        before, self._leaving = self._leaving, leaving()
        return bool(self._leaving - before)
