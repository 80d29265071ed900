"""The interface of everything that generates: token ids in, token ids and log-probabilities out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from hmarl.errors import Failed

Kind = Literal["auto", "vllm", "transformers"]


class EngineError(Failed):
    """Engines cannot do what they are asked: the message says what happened to them."""


class EnginesAway(EngineError):
    """None of the engines works now; they may come back."""


class WeightsMismatch(EngineError):
    """An engine does not hold the weights it should: the run must stop."""


@dataclass(frozen=True)
class Request:
    """A prompt to be answered `n` times.

    The same request (seed included) to an engine of the same kind and weights gives the same answers, whichever
    engine, and whatever else it is asked beside it (in fp32, up to the rounding of sums).
    """

    prompt_ids: tuple[int, ...]
    seed: int
    n: int = 1


@dataclass(frozen=True)
class Sampling:
    """How to sample. Temperature 0 takes the likeliest token."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop_token_ids: tuple[int, ...] = ()
    pattern: str | None = None  # regular expression that the text is held to


@dataclass(frozen=True)
class Completion:
    """An answer: the token that stopped it included."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]  # of each token, of the distribution it was sampled from (temperature, top-p)
    finish: Literal["stop", "length"]


@dataclass(frozen=True)
class Manifest:
    """What a version of the weights is.

    Attributes
    ----------
    version
        0 is the model as the engine was started with; training publishes 1, 2, ...
    kind
        "adapter": a LoRA adapter beside the base model; "merged": weights of the model itself, all of them or those
        that training changes (the same names in every version).
    digest
        :func:`llm.rollout.weights.digest` of the tensors.
    step
        Optimiser steps that made it.
    fingerprint
        Fixed tokens that an engine must score as the trainer does. None: not checked.
    board
        Name of the actor that has the tensors, once they are there.
    """

    version: int
    kind: Literal["adapter", "merged"]
    digest: str
    step: int
    fingerprint: Fingerprint | None = None
    board: str = ""


@dataclass(frozen=True)
class Fingerprint:
    """Fixed tokens and their log-probabilities (temperature 1) by the trainer's weights."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    tolerance: float  # of :meth:`difference`

    def difference(self, scored: Sequence[float]) -> float:
        """Of an engine's log-probabilities: the median absolute one, NaN where any is NaN.

        The median, since in bf16 a token whose experts are chosen otherwise by a hair may differ by 1 and more, while
        other weights move most tokens.
        """
        apart = [abs(a - b) for a, b in zip(scored, self.logprobs, strict=True)]
        return math.nan if any(map(math.isnan, apart)) else statistics.median(apart)


@dataclass(frozen=True)
class Weights:
    """A version of the weights on its way: tensors by the names transformers (or PEFT) gives them.

    Made by :func:`llm.rollout.weights.merged_weights` and :func:`llm.rollout.weights.adapter_weights`.
    """

    manifest: Manifest
    tensors: Mapping[str, Any] | None  # torch tensors on the CPU, in the type that engines hold
    path: str | None = None  # a safetensors file instead, for what is too large to pass through memory
    config: Mapping[str, Any] = field(default_factory=dict)  # adapter_config.json of an adapter


@dataclass(frozen=True)
class EngineSettings:
    """How engines are started.

    Attributes
    ----------
    model
        A folder, or a Hugging Face name.
    kind
        What generates; "auto": vLLM where it is installed.
    dtype
        "float32", "bfloat16" or "float16".
    max_model_len
        Tokens of the longest prompt and its answer.
    max_sequences
        Answers that are generated side by side.
    tensor_parallel
        GPUs of an engine.
    adapters
        Versions of a LoRA adapter held at once; 0: merged weights are published.
    max_lora_rank
        Of these.
    max_batched_tokens
        Prompt tokens read at once on a CPU.
    kv_cache_gb
        Memory for keys and values on a CPU, GiB; on a GPU vLLM takes what is left.
    origin
        Name that a node has the model by where it does not see the folder.
    warm_tokens
        Prompt tokens and answer tokens of the generation that an engine warms up with.
    """

    model: str
    kind: Kind = "auto"
    dtype: str = "float32"
    max_model_len: int = 1024
    max_sequences: int = 256
    tensor_parallel: int = 1
    adapters: int = 0
    max_lora_rank: int = 16
    max_batched_tokens: int = 4096
    kv_cache_gb: float = 0.25
    origin: str = ""
    warm_tokens: tuple[int, int] = (32, 4)


@dataclass(frozen=True)
class Reply:
    """What an engine answered, and with which weights."""

    completions: list[list[Completion]]
    version: int
    digest: str
    seconds: float  # of generating, any loading of weights before it left out
    tokens: int


@dataclass(frozen=True)
class Loaded:
    """What an engine holds after it took a version."""

    version: int
    digest: str
    seconds: float


class Engine(Protocol):
    """What holds a model and generates with it."""

    version: int
    digest: str  # of the tensors that it holds; of an engine for adapters: of the adapter's (version 0 has none)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        """Answers of each request, `n` each."""

    def score(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of each completion token at temperature 1."""

    def load(self, weights: Weights) -> str:
        """Take a new version; returns the digest of the tensors that are held now.

        Raises
        ------
        WeightsMismatch
            If they are not those of the manifest, or the fingerprint differs.
        """
