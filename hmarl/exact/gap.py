"""How far a policy is above the proven optimum, both costs exact."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from hmarl.errors import InputError
from hmarl.exact.policy_evaluation import policy_cost
from hmarl.exact.proof import Optimum
from hmarl.exact.solve import optimal_cost
from hmarl.network.config import Network

if TYPE_CHECKING:
    from hmarl.policies import Policy


@dataclass(frozen=True)
class Gap:
    """A policy's cost and the optimal one, money a day, neither of them an estimate."""

    cost: float
    optimal_cost: float

    @property
    def share(self) -> float:
        """How far the cost is above the optimum, 0.01 is 1 %."""
        return self.cost / self.optimal_cost - 1

    def to_json(self) -> dict[str, float]:
        """Plain numbers."""
        return {"cost": self.cost, "optimal_cost": self.optimal_cost, "gap": self.share}


def known_optimum(network: Network) -> Optimum | None:
    """The proven optimum of a network; None where none is in reach."""
    return _known_optimum(network.model_dump_json())


@lru_cache(maxsize=8)
def _known_optimum(network: str) -> Optimum | None:
    try:
        return optimal_cost(Network.model_validate_json(network))
    except InputError:
        return None


def gap(network: Network, policy: Policy) -> Gap | None:
    """How far a policy is above the optimum; None where the optimum is not in reach, or nothing.

    Raises
    ------
    InputError
        If the policy's exact cost is not in reach: it looks at more than the stock, or orders more than is ever sold.
    """
    optimum = known_optimum(network)
    if optimum is None or optimum.cost <= optimum.proof.tolerance:
        return None
    return Gap(policy_cost(network, policy), optimum.cost)
