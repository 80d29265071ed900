"""How many episodes are played, how long ones are cut into batches, and when a precision is reached."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from hmarl.errors import InputError
from hmarl.network.config import Network

EPISODES = 200
"""Played where nobody says how many, of episodes short enough."""

BATCHES = 20
"""Of an episode, where episodes are few."""

_MANY = 30  # episodes from which on each counts as one value
_FEWEST = 10  # episodes, however long; batches of a single one
_DAYS = 2_000_000  # of all episodes of a policy, where nobody says how many
_MOST_PLACE_DAYS = 100_000_000  # the same for a precision, times places (nodes x SKUs)
_MARGIN = 1.1  # more episodes than the last round makes expect
_SHORTEST, _SEASONS = 500, 10  # of a batch: periods, and whole seasons


@dataclass(frozen=True)
class Plan:
    """What is played of every policy.

    Attributes
    ----------
    days, warmup
        Of an episode, and how many at its start do not count.
    replications
        Episodes.
    batches
        Stretches of an episode that count as a value each. Where episodes are fewer than 30 they are 20 or, each at
        least 500 periods and 10 seasons long, as many as there is room for: batch means, Law, Simulation Modeling
        and Analysis, section 9.5.3. Else 1: independent replications, section 9.4.1. A ratio (fill rate, bullwhip) is
        averaged over these values: it is that of a stretch of such length, which a long one differs little from.
    """

    days: int
    warmup: int
    replications: int
    batches: int

    @property
    def length(self) -> int:
        """Periods of a batch; those left over count as warm-up."""
        return (self.days - self.warmup) // self.batches


class Precision(NamedTuple):
    """What ``--precision`` asked for and what came of it: half of an interval over its mean."""

    goal: float
    reached: float  # by the policy that is furthest off
    policy: str
    metric: str

    @property
    def met(self) -> bool:
        """Whether every policy is within the adjusted goal, see :func:`more_replications`."""
        return self.reached <= adjusted(self.goal)

    def to_json(self) -> dict[str, Any]:
        """Plain values; None for a precision that no interval tells."""
        return {**self._asdict(), "reached": self.reached if math.isfinite(self.reached) else None, "met": self.met}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Precision:
        """The reverse of :meth:`to_json`."""
        reached = math.inf if data["reached"] is None else data["reached"]
        return cls(data["goal"], reached, data["policy"], data["metric"])


def make_plan(
    network: Network, days: int | None = None, warmup: int | None = None, replications: int | None = None
) -> Plan:
    """What to play, the network's days and warm-up where left out.

    Episodes left out are 200, fewer where they are long: 2 million periods in all, but at least 10 episodes.

    Raises
    ------
    InputError
        If no day is left to count, or no interval can be given.
    """
    days = network.days if days is None else days
    warmup = network.warmup if warmup is None else warmup
    if days < 1:
        raise InputError(f"days: {days}: at least 1")
    if not 0 <= warmup < days:
        raise InputError(f"warmup: {warmup}: 0 to {days - 1}, below the {days} {network.period}s of an episode")
    if replications is None:
        replications = min(EPISODES, max(_FEWEST, _DAYS // days))
    shortest = max([_SHORTEST, *(math.ceil(_SEASONS * season) for season in _seasons(network))])
    room = max(1, min(BATCHES, (days - warmup) // shortest))
    if replications < 2 and room < _FEWEST:
        raise InputError(
            f"episodes: {replications}: at least 2, or there is no interval "
            f"(1 where there are {_FEWEST} batches of {shortest:,} {network.period}s: --days {warmup + 10 * shortest})"
        )
    return Plan(days, warmup, replications, room if replications < _MANY else 1)


def in_words(replications: int, days: int, batches: int, period: str) -> str:
    """``10 episodes of 200,000 days in 20 batches each``."""
    each = f" in {batches} batches each" if batches > 1 else ""
    return f"{replications:,} episode{'' if replications == 1 else 's'} of {days:,} {period}s{each}"


def most_replications(network: Network, days: int) -> int:
    """Episodes of so many days that a precision may take where nobody says how many: 100 million days and places."""
    return max(EPISODES, _MOST_PLACE_DAYS // (days * len(network.nodes) * len(network.skus)))


def adjusted(goal: float) -> float:
    """What half of an interval over the *estimated* mean must be for a relative error of `goal` of the true one."""
    return goal / (1 + goal)


def more_replications(have: int, reached: float, goal: float, most: int) -> int:
    """How many episodes the next round of a sequential procedure is to end with; `have` where it stops.

    It stops where the half width over the mean is at most ``goal / (1 + goal)``. A round ends with a tenth more
    episodes than the last one makes expect, and with at least twice as many as it began with: the fewer looks, the
    less the stopping bends the interval.

    Parameters
    ----------
    have, most
        Episodes played, and allowed.
    reached
        Half of the widest interval over its mean, after those; infinite where there is no interval yet.

    References
    ----------
    Law and Carson (1979), "A sequential procedure for determining the length of a steady-state simulation", Operations
    Research 27; Law, Simulation Modeling and Analysis, section 9.4.1.
    """
    if reached <= adjusted(goal) or have >= most:
        return have
    expected = _MARGIN * have * (reached / adjusted(goal)) ** 2
    return min(most, max(2 * have, math.ceil(expected) if math.isfinite(expected) else 0))


def _seasons(network: Network) -> Iterable[float]:
    for name in network.nodes:
        for sku in network.skus:
            demand = network.item(name, sku).demand
            if demand is not None and demand.season is not None:
                yield demand.season.period
