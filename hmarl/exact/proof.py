"""What is proven about a network: its optimal cost, or a bound on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hmarl.policies import Policy


@dataclass(frozen=True)
class Proof:
    """Why an optimum is one.

    Attributes
    ----------
    method
        In words: "relative value iteration on the joint state".
    tolerance
        The optimal cost differs from the one given by at most this, money a day.
    bounds
        Largest values of what was searched, by name in words (on hand at store_1, order of the warehouse), units.
    source
        Publication of the method, and of what proves that nothing outside the bounds is better.
    """

    method: str
    tolerance: float
    bounds: Mapping[str, float] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Optimum:
    """The lowest long-run average cost of a network, of all policies that see its whole state.

    Attributes
    ----------
    cost
        Holding, shortage and order cost of all nodes, money a day.
    policy
        One that has it.
    """

    cost: float
    policy: Policy
    proof: Proof


@dataclass(frozen=True)
class Bound:
    """A cost that no policy can stay below, money a day in the long run."""

    value: float
    name: str
    source: str
