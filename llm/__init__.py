"""Language models that make and explain the decisions of a supply chain.

>>> import llm
>>> model = llm.train_grpo(llm.GRPOSettings(quick=True))
>>> model.generate_response([{"role": "user", "content": "..."}])

The names below are loaded when they are first used: ``import llm`` imports neither Ray nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm.job import train_grpo, train_sft
    from llm.settings import GRPOSettings, SFTSettings
    from llm.trained import TrainedModel

__all__ = ["GRPOSettings", "SFTSettings", "TrainedModel", "train_grpo", "train_sft"]

_HOME = {
    "GRPOSettings": "llm.settings",
    "SFTSettings": "llm.settings",
    "TrainedModel": "llm.trained",
    "train_grpo": "llm.job",
    "train_sft": "llm.job",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'llm' has no attribute {name!r}")
