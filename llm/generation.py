"""A pool of engines as what policies ask: conversations in, texts out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llm.chat import completion_text, prompt_ids, stop_token_ids
from llm.rollout.engine import Request, Sampling
from llm.tasks.task import Message

if TYPE_CHECKING:
    from llm.rollout.pool import Pool

Conversation = Sequence[Message]


class Generate(Protocol):
    """What answers conversations."""

    tokens: int  # generated so far, over all answers

    def __call__(self, conversations: Sequence[Conversation]) -> list[str]:
        """The model's turn in each."""


class PoolGenerate:
    """Answers of a pool's model.

    Parameters
    ----------
    pool
        The engines.
    tokenizer
        The model's.
    max_tokens
        Longest answer, reasoning included.
    temperature
        0: the likeliest token; equal conversations are then asked once.
    seed
        Of sampling. Every answer has a seed of its own: the n-th answer of equal seeds is the same.
    pattern
        Regular expression that answers are held to.
    version
        Of the weights.
    """

    def __init__(
        self,
        pool: Pool,
        tokenizer: Any,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        pattern: str | None = None,
        version: int = 0,
    ) -> None:
        self._pool, self._tokenizer, self._version = pool, tokenizer, version
        self._seeds = np.random.default_rng(seed)
        self._sampling = Sampling(max_tokens, temperature, stop_token_ids=stop_token_ids(tokenizer), pattern=pattern)
        self.tokens = 0

    def __call__(self, conversations: Sequence[Conversation]) -> list[str]:
        """The model's turn in each, its markup kept."""
        prompts = [tuple(prompt_ids(self._tokenizer, messages)) for messages in conversations]
        asked = prompts if self._sampling.temperature else list(dict.fromkeys(prompts))
        seeds = self._seeds.integers(2**31, size=len(asked)).tolist()
        requests = [Request(ids, seed) for ids, seed in zip(asked, seeds, strict=True)]
        answers = [answer for (answer,) in self._pool.generate(requests, self._sampling, self._version)]
        if not self._sampling.temperature:
            by_prompt = dict(zip(asked, answers, strict=True))
            answers = [by_prompt[ids] for ids in prompts]
        self.tokens += sum(len(answer.token_ids) for answer in answers)
        return [completion_text(self._tokenizer, answer.token_ids) for answer in answers]
