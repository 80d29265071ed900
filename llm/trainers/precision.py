"""The type of the weights."""

from __future__ import annotations

import json
from pathlib import Path

from llm.settings import TrainingSettings


def weights_type(settings: TrainingSettings, path: Path) -> str:
    """Of the model that is trained and of the engines: "float32", "bfloat16" or "float16".

    Left open, gpt-oss and whatever runs on a GPU has bfloat16.

    Parameters
    ----------
    path
        Of the model or adapter.
    """
    import torch

    if settings.fp16:
        return "float32"  # computed in float16, kept exact
    if settings.bf16 is None:
        return "bfloat16" if torch.cuda.is_available() or _is_gpt_oss(path) else "float32"
    return "bfloat16" if settings.bf16 else "float32"


def _is_gpt_oss(path: Path) -> bool:
    from llm.models import base_of

    return json.loads((base_of(path)[0] / "config.json").read_text())["model_type"] == "gpt_oss"
