"""Multi-agent reinforcement learning for supply chains.

>>> import hmarl
>>> network = hmarl.load_network("two_store")

The names below are loaded when they are first used: ``import hmarl`` imports neither Ray nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hmarl.errors import InputError
    from hmarl.exact import Bound, Optimum, lower_bound, optimal_cost, policy_cost
    from hmarl.learning.run import Run, train
    from hmarl.network import Network, load_network
    from hmarl.report import Evaluation, evaluate
    from hmarl.simulator import Simulator

__version__ = "0.1.0"
__all__ = [
    "Bound",
    "Evaluation",
    "InputError",
    "Network",
    "Optimum",
    "Run",
    "Simulator",
    "evaluate",
    "load_network",
    "lower_bound",
    "optimal_cost",
    "policy_cost",
    "train",
]

_HOME = {
    "Bound": "hmarl.exact",
    "Evaluation": "hmarl.report",
    "InputError": "hmarl.errors",
    "Network": "hmarl.network",
    "Optimum": "hmarl.exact",
    "Run": "hmarl.learning.run",
    "Simulator": "hmarl.simulator",
    "evaluate": "hmarl.report",
    "load_network": "hmarl.network",
    "lower_bound": "hmarl.exact",
    "optimal_cost": "hmarl.exact",
    "policy_cost": "hmarl.exact",
}


def __getattr__(name: str) -> Any:
    if name == "train":  # the module: the command `python -m hmarl.train`, and callable as `hmarl.train(...)`
        return importlib.import_module("hmarl.train")
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hmarl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
