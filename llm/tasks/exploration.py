"""Which states training sees: around rules where one judges the answers, around none where the model itself does."""

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

_HEURISTIC = 1 / 3  # of the paths
_RANDOM, _RANDOM_MOST = 0.4, 2.8  # share of random orders on these; the largest, in mean demands of a review period
_MOST, _NOISE = 1.8, 0.6  # of a path's steady order, in the same measure; of an order's distance from it
_RAREST = 0.4  # least share of the days on which a path orders


@dataclass(frozen=True)
class AroundRules:
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


@dataclass(frozen=True)
class AroundNone:
    """Some paths go by the heuristic with many random orders between; the others order about the same each time, some
    of them not every day, too little or too much.

    Attributes
    ----------
    rng
        Draws the kinds, the quantities and the noise.
    highest
        Largest order, units.
    """

    heuristic: Policy
    rng: np.random.Generator
    highest: float
    steady: NDArray[np.bool_]  # (B, 1, 1) which paths order about the same each time
    mean: Array  # (B, 1, 1) of their orders, in mean demands of a review period
    often: Array  # (B, 1, 1) share of their days with an order
    name: str = "mixture"

    def orders(self, chain: Chain) -> Array:
        rng, shape, params = self.rng, chain.simulator.shape, chain.simulator.params
        scale = params.mean_demand * params.review_period[:, None]
        noise = rng.uniform(-_NOISE, _NOISE, shape)
        steady = np.where(rng.random(shape) < self.often, self.mean / self.often + noise, 0.0) * scale
        random = rng.uniform(0.0, _RANDOM_MOST, shape) * scale
        rough = np.where(rng.random(shape) < _RANDOM, random, self.heuristic.orders(chain))
        return np.clip(np.where(self.steady, steady, rough), 0.0, self.highest)


def make_mixture(
    role: str,
    continuation: Policy,
    heuristic: Policy,
    highest: float,
    paths: int,
    rng: np.random.Generator,
    around_rules: bool,
) -> Policy:
    """The mixture for the agents of a role, the continuation for all others."""
    mixture: Policy
    shape = (paths, 1, 1)
    if around_rules:
        kinds = rng.choice(len(_SHARES), paths, p=list(_SHARES.values()))
        mixture = AroundRules(continuation, heuristic, rng, highest, kinds, rng.uniform(*_LEVELS, shape))
    else:
        mixture = AroundNone(
            heuristic,
            rng,
            highest,
            steady=rng.random(shape) >= _HEURISTIC,
            mean=rng.uniform(0.0, _MOST, shape),
            often=rng.uniform(_RAREST, 1.0, shape),
        )
    return deciding(role, mixture, continuation)


def deciding(role: str, policy: Policy, others: Policy) -> Policy:
    """One policy for the agents of a role, another for all others."""
    return ByRole({**dict.fromkeys(ROLES, others), role: policy}, name=policy.name)
