"""The simulator behind the standard interfaces: PettingZoo, RLlib, Gymnasium.

Importing this registers ``hmarl/CornerShop-v0`` with Gymnasium. RLlib is imported only when
`MultiAgentSupplyChain` is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium

from hmarl.envs.gym import CornerShop
from hmarl.envs.parallel import SupplyChain, aec_env, parallel_env
from hmarl.envs.seats import Seats
from hmarl.envs.vector import RoleVectorEnv

if TYPE_CHECKING:
    from hmarl.envs.rllib import MultiAgentSupplyChain

__all__ = [
    "CornerShop",
    "MultiAgentSupplyChain",
    "RoleVectorEnv",
    "Seats",
    "SupplyChain",
    "aec_env",
    "parallel_env",
]

gymnasium.register(id="hmarl/CornerShop-v0", entry_point="hmarl.envs.gym:CornerShop")


def __getattr__(name: str) -> Any:
    if name == "MultiAgentSupplyChain":
        from hmarl.envs.rllib import MultiAgentSupplyChain

        return MultiAgentSupplyChain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
