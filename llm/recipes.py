"""What the built-in models change in the defaults: they begin with random weights, so all of them are trained, fast."""

from __future__ import annotations

from typing import Any

BUILT_IN = ("tiny", "tiny-qwen3-moe", "tiny-gpt-oss")

_BOTH: dict[str, Any] = {
    "use_lora": False,
    "gradient_checkpointing": False,
    "gradient_accumulation_steps": 1,
    "economics": False,
    "threads": 1,
}
_SFT = {**_BOTH, "learning_rate": 4e-3, "batch_size": 128, "steps": 300, "max_grad_norm": 1.0}
_GRPO = {
    **_BOTH,
    "demonstrations": 400,
    "learning_rate": 3e-3,
    "adam_beta2": 0.95,
    "max_grad_norm": 0.02,  # the usual norm: no state of a step outweighs the others
    "margin": 0.1,
    "batch_size": 1536,
    "num_generations": 16,
    "episodes": 14_400,
    "refresh": 10,
    "max_prompt_length": 96,
    "max_completion_length": 16,
}
_QUICK: dict[str, dict[str, Any]] = {
    "sft": {"steps": 60, "demonstrations": 20, "compare_episodes": 20},
    "grpo": {"episodes": 64, "evaluation_episodes": 20, "compare_episodes": 20},
}
_QUICK_BUILT_IN: dict[str, dict[str, Any]] = {"sft": {}, "grpo": {"demonstrations": 20, "batch_size": 64}}


def recipe(algorithm: str, model: str, quick: bool) -> dict[str, Any]:
    """Defaults of a training that differ from those of the settings' fields."""
    built_in = model in BUILT_IN
    found = {"sft": _SFT, "grpo": _GRPO}[algorithm] if built_in else {}
    if not quick:
        return found
    return found | _QUICK[algorithm] | (_QUICK_BUILT_IN[algorithm] if built_in else {})
