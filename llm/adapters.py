"""LoRA adapters, and how a model computes while it is trained: no library but PEFT is needed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hmarl.errors import InputError, unknown


@dataclass(frozen=True)
class LoraSettings:
    """Which adapters are trained.

    Attributes
    ----------
    r, alpha
        Rank; an adapter's product counts alpha / r times.
    dropout
        Share of its inputs dropped in training; 0 with `expert_targets`.
    target_modules
        Names of linear layers; ``("all-linear",)`` are all of them but the last.
    expert_targets
        Names of fused expert weights, ``mlp.experts.gate_up_proj`` or, of one layer, ``7.mlp.experts.down_proj``.
    """

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    expert_targets: tuple[str, ...] = ()


def attention(config: Any) -> dict[str, str]:
    """What a model is made with so that its attention is right: others than eager leave out gpt-oss's sinks."""
    return {"attn_implementation": "eager"} if config.model_type == "gpt_oss" else {}


def recompute(model: Any, gradient_checkpointing: bool) -> None:
    """Have a model keep nothing for generation, and activations for the backward pass only where asked."""
    model.config.use_cache = False
    if gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})


def add_adapters(model: Any, lora: LoraSettings) -> Any:
    """The model with new adapters, which alone are trained (PEFT).

    Raises
    ------
    InputError
        If a target is none of its layers.
    """
    from peft import LoraConfig as PeftLora
    from peft import TaskType, get_peft_model

    check_form(lora)
    _check_targets(model, lora)
    every = lora.target_modules == ("all-linear",)
    return get_peft_model(
        model,
        PeftLora(
            task_type=TaskType.CAUSAL_LM,
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules="all-linear" if every else list(lora.target_modules),
            target_parameters=list(lora.expert_targets) or None,
        ),
    )


def check_form(lora: LoraSettings) -> None:
    """Refuse what adapters cannot be."""
    if lora.expert_targets and lora.dropout:
        raise InputError(f"lora_dropout: {lora.dropout:g}: 0 with expert_targets: fused weights have no dropout")


def _check_targets(model: Any, lora: LoraSettings) -> None:
    import torch

    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    fused = [name for name, parameter in model.named_parameters() if parameter.ndim == 3]
    wanted = [("target_modules", target, linear) for target in lora.target_modules if target != "all-linear"]
    for field, target, names in [*wanted, *(("expert_targets", target, fused) for target in lora.expert_targets)]:
        if not any(f".{name}".endswith(f".{target}") for name in names):
            raise unknown(field, target, _short(names))


def _short(names: Iterable[str]) -> list[str]:
    """Names without the layer they are of."""
    return sorted({re.sub(r"^(.*\.)?\d+\.", "", name).removeprefix("self_attn.") for name in names})
