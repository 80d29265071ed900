"""Which states training sees: those that a mixture of rules visits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmarl.policies import ByRole, Policy
from hmarl.roles import ROLES, Chain
from hmarl.roles.plan import base_stock_level

Array = NDArray[np.float64]

_SHARES = {"continuation": 0.25, "heuristic": 0.15, "base_stock": 0.4, "random": 0.2}  # of the paths
_LEVELS = 0.3, 1.5  # of the textbook's base-stock level, or of half the largest order
_SLIP = 0.15  # probability that a base-stock order is a random one instead


@dataclass(frozen=True)
class Mixture:
    """Each path goes by the continuation, by a heuristic, by a base-stock level of its own with random slips, or at
    random.

    Attributes
    ----------
    rng
        Draws the kinds, the levels and the random orders.
    highest
        Largest order, units.
    """

    continuation: Policy
    heuristic: Policy
    rng: np.random.Generator
    highest: float
    kinds: NDArray[np.int64]  # (B,) of each path
    levels: Array  # (B, 1, 1) share of the textbook's level; on random paths of half the largest order
    name: str = "mixture"

    def orders(self, chain: Chain) -> Array:
        shape = chain.simulator.shape
        level = self.levels * base_stock_level(chain.simulator.params)
        missing = np.clip(level - chain.simulator.inventory_position(), 0.0, self.highest)
        slip = self.rng.random(shape) < _SLIP
        random = self.rng.random(shape) * self.highest / 2 * self.levels
        return np.choose(
            self.kinds[:, None, None],
            [
                self.continuation.orders(chain),
                np.minimum(self.heuristic.orders(chain), self.highest),
                np.where(slip, random, missing),
                random,
            ],
        )


def make_mixture(
    role: str, continuation: Policy, heuristic: Policy, highest: float, paths: int, rng: np.random.Generator
) -> Policy:
    """The mixture for the agents of a role, the continuation for all others."""
    kinds = rng.choice(len(_SHARES), paths, p=list(_SHARES.values()))
    levels = rng.uniform(*_LEVELS, (paths, 1, 1))
    return deciding(role, Mixture(continuation, heuristic, rng, highest, kinds, levels), continuation)


def deciding(role: str, policy: Policy, others: Policy) -> Policy:
    """One policy for the agents of a role, another for all others."""
    return ByRole({**dict.fromkeys(ROLES, others), role: policy}, name=policy.name)
