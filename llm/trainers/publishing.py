"""The trainer's weights, gathered and made ready for the engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from llm.rollout.engine import Fingerprint, Weights
from llm.rollout.weights import adapter_weights, merged_weights
from llm.trainers.sharding import full_state, whole

_FINGERPRINT = 32  # tokens


def weights_of(
    model: Any,
    kind: Literal["adapter", "merged"],
    *,
    version: int,
    step: int,
    dtype: str,
    fingerprint: Fingerprint | None,
) -> Weights:
    """A version of the weights; all workers must call it, and rank 0's is whole.

    Parameters
    ----------
    model
        Trained: adapters (PEFT), or all weights.
    kind
        What the engines serve.
    """
    options: Any = {"version": version, "step": step, "dtype": dtype, "fingerprint": fingerprint}
    if not hasattr(model, "peft_config"):
        return merged_weights(full_state(model, trained_only=False), **options)
    if kind == "merged":
        return merged_weights(merged(model), **options)
    tensors = {name.replace(".default.", "."): tensor for name, tensor in full_state(model, trained_only=True).items()}
    held = model.peft_config["default"]
    config = {"r": held.r, "lora_alpha": held.lora_alpha, "use_rslora": held.use_rslora}
    return adapter_weights(tensors, config, **options)


def merged(model: Any) -> dict[str, Tensor]:
    """The weights that adapters change, with what they add; the model stays as it is."""
    from peft.tuners.lora import LoraLayer

    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for path, layer in model.named_modules():
            if not isinstance(layer, LoraLayer) or "default" not in layer.lora_A:
                continue
            parameter = getattr(layer, "parameter_name", "weight")
            base = layer.get_param() if hasattr(layer, "get_param") else layer.get_base_layer().weight
            name = f"{path.removeprefix('base_model.model.').replace('.base_layer', '')}.{parameter}"
            found[name] = whole(base) + whole(layer.get_delta_weight("default"))
    return found


def fingerprint(model: Any, ids: Sequence[int], tolerance: float) -> Fingerprint:
    """What the model thinks of fixed tokens, temperature 1; all workers must call it.

    Parameters
    ----------
    ids
        A prompt: its last tokens are scored, given those before.
    tolerance
        See :class:`Fingerprint`.
    """
    kept = list(ids)
    count = min(_FINGERPRINT, len(kept) // 2)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([kept], device=device), use_cache=False).logits[0].float()
    model.train(training)
    scored = logits.log_softmax(-1)[len(kept) - count - 1 : -1]
    logprobs = scored.gather(1, torch.tensor(kept[-count:], device=device)[:, None])[:, 0]
    return Fingerprint(tuple(kept[:-count]), tuple(kept[-count:]), tuple(logprobs.tolist()), tolerance)
