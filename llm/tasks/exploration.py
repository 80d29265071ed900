"""Which states training sees: those around no rule in particular."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmarl.policies import ByRole, Policy
from hmarl.roles import ROLES, Chain

Array = NDArray[np.float64]

_HEURISTIC = 1 / 3  # of the paths
_SLIP, _SLIP_MOST = 0.4, 2.8  # share of random orders on these; the largest, in mean demands of a review period
_MOST, _NOISE = 1.8, 0.6  # of a path's steady order, in the same measure; of an order's distance from it
_RAREST = 0.4  # least share of the days on which a path orders


@dataclass(frozen=True)
class Mixture:
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
        random = rng.uniform(0.0, _SLIP_MOST, shape) * scale
        rough = np.where(rng.random(shape) < _SLIP, random, self.heuristic.orders(chain))
        return np.clip(np.where(self.steady, steady, rough), 0.0, self.highest)


def make_mixture(
    role: str, others: Policy, heuristic: Policy, highest: float, paths: int, rng: np.random.Generator
) -> Policy:
    """The mixture for the agents of a role, another policy for all others."""
    shape = (paths, 1, 1)
    mixture = Mixture(
        heuristic,
        rng,
        highest,
        steady=rng.random(shape) >= _HEURISTIC,
        mean=rng.uniform(0.0, _MOST, shape),
        often=rng.uniform(_RAREST, 1.0, shape),
    )
    return deciding(role, mixture, others)


def deciding(role: str, policy: Policy, others: Policy) -> Policy:
    """One policy for the agents of a role, another for all others."""
    return ByRole({**dict.fromkeys(ROLES, others), role: policy}, name=policy.name)
