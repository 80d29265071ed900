"""Loading and saving language models: precision, LoRA, quantisation, offload."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hmarl.errors import InputError
from hmarl.files import replace_folder, write_atomic
from llm.adapters import LoraSettings, add_adapters, attention, check_form, recompute
from llm.quiet import quiet
from llm.tiny import MODELS, tiny_model
from llm.trainers.sharding import shard_plan

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
ADAPTER_CONFIG = "adapter_config.json"
_SNAPSHOT = re.compile(r"models--(?P<name>[^/]+)/snapshots/(?P<revision>[0-9a-f]{40})")
_EFFORT = re.compile(r"^\{%- set reasoning_effort = reasoning_effort [^%]*-%\}")
_DATE = "2025-08-05"  # gpt-oss's template writes today's date: the same prompt must have the same tokens every day


class Parameters(NamedTuple):
    """How many there are."""

    trainable: int
    total: int


def resolve(name: str, revision: str | None = None) -> Path:
    """The folder of a model: built in, a folder, or downloaded from the Hugging Face hub (or cached before).

    Raises
    ------
    InputError
        If it is none of these, or the hub cannot be reached.
    """
    if name in MODELS:
        return tiny_model(name)
    if name and Path(name).is_dir():
        folder = Path(name).resolve()
        if not any((folder / file).exists() for file in ("config.json", ADAPTER_CONFIG)):
            raise InputError(f"model: {name}: a folder without config.json or {ADAPTER_CONFIG}")
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    kinds = f"one of {', '.join(MODELS)}, a folder, or a name on the Hugging Face hub"
    try:
        with quiet():
            return Path(snapshot_download(name, revision=revision, ignore_patterns=["original/*", "metal/*", "*.gguf"]))
    except HFValidationError as error:
        raise InputError(f"model: {name!r}: no such folder; {kinds}") from error
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"model: {name!r}: {kinds}; neither here nor from the hub: {reason}") from error


def origin_of(path: Path, name: str) -> str:
    """What every node can have a model by: its name, built in or of the hub; empty where it lies in a folder alone."""
    return name if not Path(name).is_dir() and resolve(name) == path else ""


def on_this_node(path: str | Path, origin: str) -> Path:
    """The folder of a model that another node named: itself where this node sees it, else had by its origin.

    Raises
    ------
    InputError
        If this node has neither.
    """
    if Path(path).is_dir():
        return Path(path)
    if not origin:
        raise InputError(f"model: {path}: not seen on node {socket.gethostname()}: all nodes must see the folder")
    return resolve(origin)


def base_of(path: Path) -> tuple[Path, Path | None]:
    """The folders of the base model and of the adapter; the second is None where `path` is a whole model."""
    config = path / ADAPTER_CONFIG
    if not config.exists():
        return path, None
    adapter = json.loads(config.read_text())
    return resolve(adapter["base_model_name_or_path"], adapter.get("revision")), path


def load_tokenizer(path: Path, reasoning_effort: str = "low") -> Any:
    """The tokenizer of a model.

    Parameters
    ----------
    path
        Folder of a model or adapter.
    reasoning_effort
        How long gpt-oss reasons: low, medium or high. Its template is told so, and a fixed date.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    if tokenizer.chat_template is None:
        raise InputError(f"model: {path}: its tokenizer has no chat template: an instruction-tuned model is needed")
    template = re.sub(r"strftime_now\([^)]*\)", f'"{_DATE}"', tokenizer.chat_template)
    template = _EFFORT.sub("", template)
    if "reasoning_effort" in template:
        template = f'{{%- set reasoning_effort = reasoning_effort | default("{reasoning_effort}") -%}}{template}'
    tokenizer.chat_template = template
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    path: Path,
    *,
    dtype: Dtype = "auto",
    lora: LoraSettings | None = None,
    gradient_checkpointing: bool = False,
    load_in_8bit: bool = False,
    load_in_4bit: bool = False,
    device_map: str | dict[str, Any] | None = None,
    offload_folder: Path | None = None,
    workers: int = 1,
) -> Any:
    """A model that can be trained.

    Parameters
    ----------
    path
        Folder of a model or of an adapter (:func:`resolve`). An adapter goes on being trained where `lora` is given
        (and must be of its form); otherwise it is merged into its base, and all weights are trained.
    dtype
        Of the weights; auto is that of the checkpoint. MXFP4 weights become bfloat16: they cannot be trained.
    lora
        Train adapters (kept in float32), and nothing else.
    gradient_checkpointing
        Compute activations again in the backward pass.
    load_in_8bit, load_in_4bit
        Hold the frozen weights so (bitsandbytes).
    device_map, offload_folder
        As ``from_pretrained`` takes them.
    workers
        Processes that share the weights out, all of which call this; see :mod:`llm.trainers.sharding`.

    Raises
    ------
    InputError
        If the model cannot be quantised so, a target is no layer of it, or an adapter's form is another one.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    if lora:
        check_form(lora)
    base, adapter = base_of(path)
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    options: dict[str, Any] = {
        "device_map": device_map,
        "offload_folder": offload_folder,
        **shard_plan(workers),
        **attention(config),
    }
    quantised = load_in_8bit or load_in_4bit
    if quantised:
        options["quantization_config"] = _bitsandbytes(config, load_in_4bit)
    elif getattr(config, "quantization_config", {}).get("quant_method") == "mxfp4":
        options["quantization_config"] = _dequantised()
        dtype = "bfloat16"
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, trust_remote_code=False, **options)
        if quantised:
            from peft import prepare_model_for_kbit_training

            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        recompute(model, gradient_checkpointing)
        return _with_adapter(model, adapter, lora)


def parameter_counts(model: Any) -> Parameters:
    """Of a model, adapters included."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return Parameters(sum(size for size, trainable in sizes if trainable), sum(size for size, _ in sizes))


def export(
    model: Any, tokenizer: Any, folder: Path, *, merge: bool = False, state_dict: Mapping[str, Any] | None = None
) -> None:
    """Write a model and its tokenizer, whole or not at all.

    ``AutoModelForCausalLM`` loads what is written; an adapter, which names its base, ``AutoPeftModelForCausalLM`` too.

    Parameters
    ----------
    model
        With adapters only these are written.
    tokenizer
        Written beside it, with its chat template.
    folder
        Replaced where it is there.
    merge
        Add the adapters to the weights of `model` (which has none any more) and write these.
    state_dict
        The gathered weights of a sharded model.
    """
    if merge:
        model = model.merge_and_unload()
    adapters = getattr(model, "peft_config", None)
    only_adapters = {"save_embedding_layers": False, "selected_adapters": ["default"]} if adapters else {}

    def write(target: Path) -> None:
        model.save_pretrained(target, state_dict=state_dict, **only_adapters)
        tokenizer.save_pretrained(target)
        if adapters:
            _name_base(target / ADAPTER_CONFIG)

    model.config.use_cache = True
    with quiet():
        replace_folder(folder, write)
    model.config.use_cache = False


def _with_adapter(model: Any, adapter: Path | None, lora: LoraSettings | None) -> Any:
    from peft import PeftModel

    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter, is_trainable=lora is not None)
        if lora is None:
            return model.merge_and_unload().requires_grad_(True)
        _check_same(adapter, model.peft_config["default"], lora)
        return model
    if lora is None:
        return model
    return add_adapters(model, lora)


def _check_same(adapter: Path, held: Any, lora: LoraSettings) -> None:
    """An adapter goes on in the form it has."""
    for name, there, here in (("lora_r", held.r, lora.r), ("lora_alpha", held.lora_alpha, lora.alpha)):
        if there != here:
            raise InputError(f"{name}: {here}: the adapter in {adapter} that training starts from has {there}")


def _bitsandbytes(config: Any, four: bool) -> Any:
    """The options of weights in 8 or 4 bits, refused where they cannot be."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    bits = 4 if four else 8
    with torch.device("meta"):
        shapes = AutoModelForCausalLM.from_config(config)
    if any(parameter.ndim == 3 for parameter in shapes.parameters()):
        raise InputError(
            f"load_in_{bits}bit: {config.model_type}: bitsandbytes quantises linear layers; the experts of this model "
            "are fused into one weight a layer"
        )
    if not torch.cuda.is_available():
        raise InputError(f"load_in_{bits}bit: bitsandbytes needs a GPU, and this machine has none")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(f"load_in_{bits}bit: bitsandbytes is not installed: pip install 'hmarl[gpu]'")
    if four:
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    return BitsAndBytesConfig(load_in_8bit=True)


def _dequantised() -> Any:
    from transformers import Mxfp4Config

    return Mxfp4Config(dequantize=True)


def _name_base(path: Path) -> None:
    """Have an adapter name the base on the hub rather than the place where this machine caches it."""
    config = json.loads(path.read_text())
    found = _SNAPSHOT.search(os.fspath(config["base_model_name_or_path"]))
    if found:
        config["base_model_name_or_path"] = found["name"].replace("--", "/")
        config["revision"] = found["revision"]
        write_atomic(path, json.dumps(config, indent=2, sort_keys=True))
