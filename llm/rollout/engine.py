"""The interface of everything that generates: token ids in, token ids and log-probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Request:
    """A prompt to be answered `n` times.

    The same request (seed included) to an engine of the same weights gives the same answers, whichever engine, and
    whatever else it is asked beside it (in fp32, up to the rounding of sums).
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
        "adapter": a LoRA adapter beside the base model; "merged": all weights of the model (or those that changed).
    digest
        sha256 over the names, types, shapes and bytes of the tensors, sorted by name.
    step
        Optimiser steps that made it.
    fingerprint
        Token ids and the trainer's log-probabilities of them; an engine's must agree to `tolerance`. None: not checked.
    """

    version: int
    kind: Literal["adapter", "merged"]
    digest: str
    step: int
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True)
class Fingerprint:
    """Fixed tokens and their log-probabilities by the trainer's weights."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    tolerance: float


@dataclass(frozen=True)
class Weights:
    """A version of the weights on its way: tensors by the names transformers (or PEFT) gives them."""

    manifest: Manifest
    tensors: Mapping[str, Any] | None  # torch tensors on the CPU
    path: str | None = None  # a safetensors file instead, for what is too large to pass through memory
    config: Mapping[str, Any] = field(default_factory=dict)  # adapter_config.json of an adapter


class Engine(Protocol):
    """What holds a model and generates with it."""

    version: int
    digest: str  # of the tensors that it holds

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


class WeightsMismatch(RuntimeError):
    """An engine does not hold the weights it should: the run must stop."""
