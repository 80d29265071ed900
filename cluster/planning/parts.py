"""A model by its configuration alone: parameters by part, and what a token costs."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmarl.errors import InputError
from llm.adapters import LoraSettings, add_adapters, attention
from llm.quiet import quiet
from llm.recipes import BUILT_IN as TINY

BF16 = 2  # bytes
_MXFP4 = 4.25 / 8  # bytes: four bits, and a scale of eight for each 32
_GPT_OSS: dict[str, Any] = {"model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4"}}
BUILT_IN: dict[str, dict[str, Any]] = {
    "openai/gpt-oss-20b": {**_GPT_OSS, "num_hidden_layers": 24, "num_local_experts": 32},
    "openai/gpt-oss-120b": _GPT_OSS,  # transformers' defaults
}
PARTS = ("attention", "experts", "router", "feed-forward", "embeddings", "head", "norms", "adapter")


def load_config(name: str) -> dict[str, Any]:
    """A model's configuration, as ``config.json`` has it. Nothing is downloaded.

    Parameters
    ----------
    name
        A key of :data:`BUILT_IN`, one of hmarl's tiny models, a folder or file with a configuration, or a name whose
        configuration the Hugging Face cache holds.

    Raises
    ------
    InputError
        If it is none of these, or no language model that transformers knows.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = _path(name)
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"--model: {path}: cannot be read as JSON: {error}") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise InputError(f"--model: {path}: a configuration of transformers has model_type")
    return config


def _path(name: str) -> Path:
    if name in TINY:
        from llm.tiny import tiny_model

        return tiny_model(name) / "config.json"
    path = Path(name)
    if name and path.is_file():
        return path
    if name and (path / "config.json").is_file():
        return path / "config.json"
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        cached = None
    if isinstance(cached, str):
        return Path(cached)
    raise InputError(
        f"--model: {name!r}: one of {', '.join((*BUILT_IN, *TINY))}, a folder or file with a configuration, or a "
        "Hugging Face name that is in the cache (nothing is downloaded)"
    )


def transformers_config(config: dict[str, Any]) -> Any:
    """The same for transformers; weights are planned as trained, not quantised."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    options = {name: value for name, value in config.items() if name not in ("model_type", "quantization_config")}
    kind = config["model_type"]
    if kind not in KNOWN:
        raise InputError(f"--model: model_type {kind!r}: no language model that transformers knows")
    return AutoConfig.for_model(kind, **options)


def skeleton(config: dict[str, Any], lora: LoraSettings | None) -> Any:
    """The model without weights, on torch's meta device.

    Raises
    ------
    InputError
        If adapters are asked for where it has no such layers.
    """
    import torch

    with quiet(), torch.device("meta"):
        model = untrained(config)
        return add_adapters(model, lora) if lora else model


def untrained(config: dict[str, Any]) -> Any:
    """A model as the trainers load it, in bfloat16, with random weights."""
    import torch
    from transformers import AutoModelForCausalLM

    made = transformers_config(config)
    return AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16, **attention(made))


@dataclass(frozen=True)
class Tensor:
    """A parameter: which part of the model it is of, its shape."""

    part: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Numbers."""
        return math.prod(self.shape)

    def shard(self, workers: int) -> int:
        """Numbers of the largest part that FSDP2 cuts it into, along its first axis."""
        return math.ceil(self.shape[0] / workers) * math.prod(self.shape[1:])


@dataclass(frozen=True)
class Model:
    """What planning knows of a model.

    Attributes
    ----------
    tensors
        Its parameters and those of its adapter.
    layers, heads, kv_heads, head_dim
        Of its attention.
    windows
        Tokens that each layer attends to; None: all.
    experts, experts_per_token
        Of a mixture; 1 and 1 without.
    eager
        Whether attention keeps its scores in memory.
    mxfp4
        Whether the experts are shipped and served in MXFP4.
    """

    tensors: tuple[Tensor, ...]
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    windows: tuple[int | None, ...]
    experts: int
    experts_per_token: int
    eager: bool
    mxfp4: bool

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by part."""
        counted: Counter[str] = Counter()
        for tensor in self.tensors:
            counted[tensor.part] += tensor.size
        return {part: counted[part] for part in PARTS if counted[part]}

    @property
    def base(self) -> int:
        """Parameters, adapters left out."""
        return sum(self.parts.values()) - self.adapter

    @property
    def adapter(self) -> int:
        """Parameters of the adapter."""
        return self.parts.get("adapter", 0)

    @property
    def active(self) -> float:
        """Parameters that a token is multiplied with, those of the head and of adapters left out."""
        parts = self.parts
        used = parts.get("experts", 0) * self.experts_per_token / self.experts
        return used + sum(parts.get(part, 0) for part in ("attention", "router", "feed-forward"))

    @property
    def head(self) -> int:
        """Parameters that an answer's token is multiplied with to score it; tied ones are the embeddings."""
        parts = self.parts
        return parts.get("head") or parts["embeddings"]

    @property
    def served(self) -> float:
        """Bytes of the weights as engines hold them."""
        experts = self.parts.get("experts", 0)
        return self.base * BF16 - (experts * (BF16 - _MXFP4) if self.mxfp4 else 0)

    def kv_bytes(self, tokens: int) -> int:
        """Of the keys and values of a sequence."""
        held = sum(min(tokens, window or tokens) for window in self.windows)
        return held * 2 * self.kv_heads * self.head_dim * BF16


def read_model(config: dict[str, Any], lora: LoraSettings | None) -> Model:
    """Count a model by its configuration.

    Raises
    ------
    InputError
        See :func:`load_config` and :func:`skeleton`.
    """
    model = skeleton(config, lora)
    made = model.config.get_text_config()
    layers = made.num_hidden_layers
    experts = _first(made, "num_local_experts", "num_experts", "n_routed_experts")
    window = getattr(made, "sliding_window", None)
    kinds = getattr(made, "layer_types", None) or ["full_attention"] * layers
    return Model(
        tensors=tuple(_tensors(model)),
        layers=layers,
        heads=made.num_attention_heads,
        kv_heads=getattr(made, "num_key_value_heads", None) or made.num_attention_heads,
        head_dim=getattr(made, "head_dim", None) or made.hidden_size // made.num_attention_heads,
        windows=tuple(window if kind == "sliding_attention" else None for kind in kinds),
        experts=experts or 1,
        experts_per_token=made.num_experts_per_tok if experts else 1,
        eager=bool(attention(made)),
        mxfp4=(config.get("quantization_config") or {}).get("quant_method") == "mxfp4",
    )


def _first(config: Any, *names: str) -> int | None:
    return next((value for name in names if (value := getattr(config, name, None))), None)


def _tensors(model: Any) -> Iterator[Tensor]:
    embeddings, head = (id(module.weight) for module in (model.get_input_embeddings(), model.get_output_embeddings()))
    for name, parameter in model.named_parameters():
        known = {head: "head", embeddings: "embeddings"}
        yield Tensor(known.get(id(parameter)) or _part(name), tuple(parameter.shape))


def _part(name: str) -> str:
    if "lora_" in name:
        return "adapter"
    words = name.removesuffix(".weight").removesuffix(".bias").split(".")
    if "norm" in words[-1] or words[-1].startswith("ln_"):
        return "norms"
    if "experts" in words:
        return "experts"
    if "router" in words or words[-1] == "gate":
        return "router"
    return "attention" if any("attn" in word or word == "attention" for word in words) else "feed-forward"
