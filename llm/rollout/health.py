"""What a client knows of an engine: states and what leads from one to another, without Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["healthy", "stale", "suspect", "restarting", "dead"]
Event = Literal["answered", "loaded", "published", "silent", "lost", "ended"]

WORKS: frozenset[State] = frozenset({"healthy", "stale"})
"""States in which an engine is given requests: a stale one loads the weights asked for before it serves."""


def after(state: State, event: Event) -> State:
    """The state that an event leads to.

    Parameters
    ----------
    state
        healthy: answers, with the newest weights; stale: answers, may hold older weights; suspect: alive for all that
        is known, but silent; restarting: its process has ended and Ray starts another; dead: for good.
    event
        answered: any sign of life; loaded: it showed that it holds the newest weights; published: there are newer
        weights; silent: no answer for too long; lost: its process ended; ended: so, and will not come back.
    """
    if state == "dead" or event == "ended":
        return "dead"
    if event == "loaded":
        return "healthy"
    if event == "lost":
        return "restarting"
    if event == "answered":
        return "stale" if state in ("suspect", "restarting") else state
    if event == "published":
        return "stale" if state == "healthy" else state
    return "suspect" if state in WORKS else state


@dataclass
class Member:
    """An engine as a client sees it."""

    name: str
    state: State = "healthy"
    error: str = ""  # the last that was heard of it

    def tell(self, event: Event, error: str = "") -> None:
        """Take note of an event."""
        self.state = after(self.state, event)
        self.error = error or self.error

    @property
    def works(self) -> bool:
        return self.state in WORKS
