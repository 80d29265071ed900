"""Engines as what policies ask: conversations in, texts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from llm.chat import completion_texts, prompt_ids, stop_token_ids
from llm.rollout.engine import Completion, Request, Sampling
from llm.tasks.task import Message

Conversation = Sequence[Message]


class Generate(Protocol):
    """What answers conversations."""

    tokens: int  # generated so far, over all answers

    def __call__(self, conversations: Sequence[Conversation]) -> list[str]:
        """The model's turn in each."""


class EngineGenerate:
    """Answers of the model that engines hold.

    Parameters
    ----------
    ask
        ``generate`` of an :class:`llm.rollout.engine.Engine`, or a pool's.
    tokenizer
        The model's.
    max_tokens
        Longest answer, reasoning included.
    temperature
        0: the likeliest token; equal conversations are then asked once.
    seed
        Of sampling: the n-th answer of equal seeds is the same.
    pattern
        Regular expression that answers are held to.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Request], Sampling], list[list[Completion]]],
        tokenizer: Any,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        pattern: str | None = None,
    ) -> None:
        self._ask, self._tokenizer = ask, tokenizer
        self._seeds = np.random.default_rng(seed)
        self._sampling = Sampling(max_tokens, temperature, stop_token_ids=stop_token_ids(tokenizer), pattern=pattern)
        self.tokens = 0

    def __call__(self, conversations: Sequence[Conversation]) -> list[str]:
        """The model's turn in each, its markup kept."""
        prompts = [tuple(prompt_ids(self._tokenizer, messages)) for messages in conversations]
        asked = prompts if self._sampling.temperature else list(dict.fromkeys(prompts))
        seeds = self._seeds.integers(2**31, size=len(asked)).tolist()
        requests = [Request(ids, seed) for ids, seed in zip(asked, seeds, strict=True)]
        answers = [answer for (answer,) in self._ask(requests, self._sampling)]
        if not self._sampling.temperature:
            by_prompt = dict(zip(asked, answers, strict=True))
            answers = [by_prompt[ids] for ids in prompts]
        self.tokens += sum(len(answer.token_ids) for answer in answers)
        return completion_texts(self._tokenizer, [answer.token_ids for answer in answers])
