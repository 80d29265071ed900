"""The protocol between a task and who trains or judges a model on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": ...}


class ParseError(ValueError):
    """An answer that decides nothing: the message says why."""


@dataclass(frozen=True)
class Prompt:
    """What a model is asked.

    Attributes
    ----------
    number
        Tells prompts apart: answers to prompts of equal number are one group.
    messages
        The conversation up to the model's turn.
    state
        What the task judges answers by; plain data (``json.dumps`` takes it).
    """

    number: int
    messages: list[Message]
    state: dict[str, Any]


@dataclass(frozen=True)
class Judgement:
    """What the answers to prompts were worth, one entry an answer.

    Attributes
    ----------
    rewards
        ``(n,)`` finite: what training is told.
    gains
        ``(n,)`` money until the horizon more than the reference decision made; NaN where that could not be parsed.
    actions
        Parsed; None where that failed.
    unparsed_groups
        Groups without a single answer that could be parsed: all their rewards are 0.
    """

    rewards: np.ndarray
    gains: np.ndarray
    actions: list[int | float | None]
    unparsed_groups: int


class Task(Protocol):
    """Prompts, the reading of answers, and their reward."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def pattern(self) -> str:
        """Regular expression that engines may hold answers to."""

    def prompts(self, n: int, seed: int) -> list[Prompt]:
        """`n` prompts, numbered 0 to n - 1; the same for the same seed."""

    def parse(self, text: str) -> int | float:
        """The action that an answer decides on.

        Raises
        ------
        ParseError
        """

    def judge(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Judgement:
        """What each answer is worth; `prompts` holds one prompt an answer, those of a group repeated."""
