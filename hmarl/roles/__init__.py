"""What a store, a warehouse and a supplier see, may do and are paid."""

from hmarl.network.config import ROLES
from hmarl.roles.chain import Chain, RoleAgents
from hmarl.roles.critic import critic_features, critic_view

__all__ = ["ROLES", "Chain", "RoleAgents", "critic_features", "critic_view"]
