"""Small models with random weights, made here in seconds: the same classes, engines and losses as the real ones.

Their tokenizer is trained on the texts of the task: every whole number up to 400 is one token, and so is every phrase
that stands between two numbers. Any other text is cut into smaller pieces, at worst into bytes.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hmarl.network.config import WEEKDAYS
from llm.quiet import quiet

Shape = Literal["qwen3", "qwen3_moe", "gpt_oss"]


@dataclass(frozen=True)
class Size:
    """How large a transformer is.

    Attributes
    ----------
    hidden, layers, heads, kv_heads
        Width, depth, query heads and key-value heads.
    intermediate
        Width of the feed-forward network, or of one expert.
    experts, experts_per_token
        Of a mixture of experts.
    positions
        Tokens of the longest sequence.
    """

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 128
    experts: int = 4
    experts_per_token: int = 2
    positions: int = 2048


_MIXTURE = Size(intermediate=64)
MODELS: dict[str, tuple[Shape, Size]] = {
    "tiny": ("qwen3", Size()),
    "tiny-qwen3-moe": ("qwen3_moe", _MIXTURE),
    "tiny-gpt-oss": ("gpt_oss", _MIXTURE),
}
BENCHMARK_SIZES = {  # parameters -> the size of a dense model that has them
    "0.5M": Size(hidden=128, intermediate=256),
    "15M": Size(hidden=384, layers=8, heads=6, intermediate=1216),
    "85M": Size(hidden=768, layers=12, heads=12, kv_heads=4, intermediate=2336),
}

_SEED = 1
_SPECIAL = {  # gpt-oss's names
    "bos_token": "<|startoftext|>",
    "pad_token": "<|endoftext|>",
    "eos_token": "<|return|>",
}
_MARKUP = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>")
_HIGHEST_NUMBER = 400
_CHAT_TEMPLATE = """
{%- for message in messages -%}
    {{- "<|start|>" + message.role -}}
    {%- if message.role != "assistant" -%}
        {{- "<|message|>" + message.content + "<|end|>" -}}
    {%- elif not loop.last or add_generation_prompt -%}
        {{- "<|channel|>final<|message|>" + message.content + "<|end|>" -}}
    {%- elif message.thinking -%}
        {%- generation -%}
        {{- "<|channel|>analysis<|message|>" + message.thinking + "<|end|>" -}}
        {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|return|>" -}}
        {%- endgeneration -%}
    {%- else -%}
        {{- "<|channel|>final<|message|>" -}}
        {%- generation -%}
        {{- message.content + "<|return|>" -}}
        {%- endgeneration -%}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- "<|start|>assistant" -}}
    {%- if not enable_thinking -%}
        {{- "<|channel|>final<|message|>" -}}
    {%- endif -%}
{%- endif -%}
"""


def tiny_model(name: str) -> Path:
    """The folder of a built-in model, which is made where it is not there yet.

    Parameters
    ----------
    name
        A key of :data:`MODELS`.

    Notes
    -----
    It lies in the user's cache (``XDG_CACHE_HOME``, or ``~/.cache``) under the digest of what makes it. Processes that
    make it at once do not disturb one another: the first to finish wins.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hmarl" / "models"
    folder = cache / f"{name}-{_digest()}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=cache))
        try:
            make_model(temporary, *MODELS[name])
            _rename(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def make_model(folder: Path, shape: Shape, size: Size, seed: int = _SEED) -> int:
    """Write a model with random weights (float32) and the task's tokenizer.

    Parameters
    ----------
    folder
        Where to; ``AutoModelForCausalLM`` and vLLM load it.
    shape
        The architecture.
    size
        Its widths; of a mixture of experts `hidden` and `intermediate` are multiples of 32 (vLLM on a CPU).
    seed
        Of the weights.

    Returns
    -------
    int
        Parameters.
    """
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = make_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(_config(shape, size, tokenizer), dtype=torch.float32)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.num_parameters()


def make_tokenizer() -> Any:
    """The tokenizer of the built-in models, with a chat template in the form of harmony (gpt-oss).

    The template opens the final channel for the model; with ``enable_thinking=True`` the model opens the channel
    itself, and a last message's ``thinking`` is its analysis channel.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\d+"), "isolated"), byte_level])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,  # more than the texts have: merging ends when each of their phrases is one token
        special_tokens=[*_SPECIAL.values(), *_MARKUP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_texts(), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, extra_special_tokens=list(_MARKUP), padding_side="left", **_SPECIAL
    )
    tokenizer.chat_template = _CHAT_TEMPLATE.strip()
    return tokenizer


def _texts() -> Iterator[str]:
    """What the tokenizer is trained on: the numbers, the words of the chat template, the sentences of llm.tasks."""
    yield from map(str, range(_HIGHEST_NUMBER + 1))
    yield from ("system", "user", "assistant", "analysis", "final", "Decision: Order 1 units")
    for weekday in WEEKDAYS:
        yield f"Day 1 of 30, {weekday.capitalize()}. Stock 1"
        yield f"Day 1, {weekday.capitalize()}. Stock 1"
    yield from ("Week 1 of 30. Stock 1", "Week 1. Stock 1")
    yield "1. Arriving in 1 day 1, in 2 days 1, in 3 days 1. Pending 1. Last demand 1. Order?"
    yield "1. Arriving in 1 week 1, in 2 weeks 1, in 3 weeks 1. Pending 1. Last demand 1. Order?"
    yield "1. Pending 1. Of this not shipped 1. Owed to others 1. Last demand 1. Base-stock orders 1. Order?"
    yield "1. Pending 1. Owed to others 1. Of this not shipped 1. Last demand 1. Order?"


def _config(shape: Shape, size: Size, tokenizer: Any) -> Any:
    from transformers import AutoConfig

    options: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": max(32, size.hidden // size.heads),
        "intermediate_size": size.intermediate,
        "max_position_embeddings": size.positions,
        "tie_word_embeddings": False,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if shape == "qwen3_moe":
        options |= {
            "moe_intermediate_size": size.intermediate,
            "num_experts": size.experts,
            "num_experts_per_tok": size.experts_per_token,
            "norm_topk_prob": True,
        }
    if shape == "gpt_oss":
        kinds = itertools.cycle(("sliding_attention", "full_attention"))
        options |= {
            "num_local_experts": size.experts,
            "num_experts_per_tok": size.experts_per_token,
            "sliding_window": 64,
            "layer_types": list(itertools.islice(kinds, size.layers)),
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 150_000.0,
                "factor": 2.0,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "truncate": False,
                "original_max_position_embeddings": size.positions // 2,
            },
        }
    return AutoConfig.for_model(shape, **options)


@functools.cache
def _digest() -> str:
    """Of all that makes a built-in model: this file and the libraries that draw, merge and write."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers")}
    made_by = Path(__file__).read_bytes() + json.dumps(versions).encode()
    return hashlib.blake2b(made_by, digest_size=8).hexdigest()


def _rename(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError:
        if not folder.exists():  # nobody else made it meanwhile
            raise
