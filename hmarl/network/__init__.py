"""What a supply chain is: typed configuration, presets, demand, scenarios, curricula, sales history."""

from hmarl.network.config import ROLES, Item, Network, Node, Role, RoleSettings
from hmarl.network.curriculum import Stage, load_curriculum, stage_network
from hmarl.network.demand import Demand
from hmarl.network.presets import PRESETS, load_network
from hmarl.network.scenarios import SCENARIOS, apply_scenario

__all__ = [
    "PRESETS",
    "ROLES",
    "SCENARIOS",
    "Demand",
    "Item",
    "Network",
    "Node",
    "Role",
    "RoleSettings",
    "Stage",
    "apply_scenario",
    "load_curriculum",
    "load_network",
    "stage_network",
]
