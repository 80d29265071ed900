"""Versions of the weights: made from a trainer's tensors, and proved to be what an engine holds."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llm.rollout.engine import Fingerprint, Kind, Manifest, Weights, WeightsMismatch

if TYPE_CHECKING:
    from torch import Tensor

Score = Callable[[Sequence[Sequence[int]], Sequence[Sequence[int]]], list[list[float]]]

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")  # in a configuration of transformers


def serves_adapters(config: Any, device: str, kind: Kind = "auto") -> bool:
    """Whether engines can serve a LoRA adapter beside this model; else merged weights are published.

    Parameters
    ----------
    config
        The model's configuration (transformers).
    device
        "cpu" or "cuda". vLLM has no kernels for mixtures of experts with adapters on a CPU.
    kind
        Of the engines; only vLLM serves adapters.
    """
    if installed_kind(kind) == "transformers":
        return False
    return device != "cpu" or not any(getattr(config, name, None) for name in _EXPERTS)


def installed_kind(kind: Kind) -> Literal["vllm", "transformers"]:
    """What "auto" stands for here."""
    if kind == "auto":
        return "vllm" if importlib.util.find_spec("vllm") else "transformers"
    return kind


def digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over the names, types, shapes and bytes of tensors, sorted by name; -0 counts as 0."""
    import torch

    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu")
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update((tensor + 0.0).flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def merged_weights(
    tensors: Mapping[str, Tensor], *, version: int, step: int, dtype: str, fingerprint: Fingerprint | None = None
) -> Weights:
    """A version from the model's own tensors (``model.state_dict()``, or those that training changes).

    Parameters
    ----------
    tensors
        By the names of transformers' model, adapters merged into them.
    version, step, fingerprint
        See :class:`Manifest`.
    dtype
        Type that the engines hold, "float32" or "bfloat16".
    """
    held = _copied(tensors, dtype)
    return Weights(Manifest(version, "merged", digest(held), step, fingerprint), held)


def adapter_weights(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    version: int,
    step: int,
    dtype: str,
    fingerprint: Fingerprint | None = None,
) -> Weights:
    """A version from a LoRA adapter (``peft.get_peft_model_state_dict``) and its ``adapter_config.json``.

    The factor alpha / r (alpha / sqrt(r) with ``use_rslora``) is multiplied into B, so that engines hold exactly
    the tensors that are sent.
    """
    rank = config["r"]
    scaling = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    scaled = {name: tensor * scaling if ".lora_B." in name else tensor for name, tensor in tensors.items()}
    held = _copied(scaled, dtype)
    plain = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "bias": "none",
        "target_modules": sorted({name.rpartition(".lora_")[0].rpartition(".")[2] for name in tensors}),
    }
    return Weights(Manifest(version, "adapter", digest(held), step, fingerprint), held, config=plain)


def tensors_of(weights: Weights) -> Mapping[str, Tensor]:
    """The tensors, read from the file where they are in one."""
    if weights.tensors is not None:
        return weights.tensors
    from safetensors.torch import load_file

    return load_file(str(weights.path))


def check(weights: Weights, held: str, score: Score) -> None:
    """Compare what an engine holds with the manifest.

    Parameters
    ----------
    weights
        What it was given.
    held
        Digest of the tensors read back from it.
    score
        The engine's.

    Raises
    ------
    WeightsMismatch
    """
    manifest = weights.manifest
    if held != manifest.digest:
        raise WeightsMismatch(
            f"version {manifest.version}: the engine holds tensors of digest {held[:12]}, "
            f"published were {manifest.digest[:12]}"
        )
    expected = manifest.fingerprint
    if expected is None:
        return
    (scored,) = score([expected.prompt_ids], [expected.completion_ids])
    difference = expected.difference(scored)
    if not difference <= expected.tolerance:  # NaN is not
        raise WeightsMismatch(
            f"version {manifest.version}: the engine's log-probabilities of the fingerprint differ from the trainer's "
            f"by {difference:.3g}, allowed are {expected.tolerance:.3g}"
        )


def _copied(tensors: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """Their own memory: a trainer goes on changing its tensors, and tied ones share theirs."""
    import torch

    kind = getattr(torch, dtype)
    return {name: tensor.detach().to("cpu", kind, copy=True).contiguous() for name, tensor in tensors.items()}
