"""What is asked in each step of reinforcement learning: the task's states, and those that the model itself meets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.tasks.task import Prompt, Task

Own = Callable[[int, int], Sequence[Prompt]]
"""``(n, seed)`` -> `n` prompts from episodes that the model plays with the weights it has now."""

Place = tuple[int, int]
"""Epoch and number of a prompt: what the ledger counts."""


@dataclass(frozen=True)
class Plan:
    """Which prompts each generation asks; plain arithmetic.

    Attributes
    ----------
    groups
        Prompts of a generation.
    episodes
        Prompts of an epoch, numbered from 0.
    refresh
        Generations of a round: its prompts are made together when it begins.
    own
        Share of a round's prompts that come from the model's own episodes.
    """

    groups: int
    episodes: int
    refresh: int
    own: float

    def places(self, generation: int) -> list[Place]:
        """Epoch and number of each prompt of a generation."""
        first = generation * self.groups
        return [divmod(index, self.episodes) for index in range(first, first + self.groups)]

    def round_of(self, number: int) -> int:
        """The round in which a prompt is made."""
        return number // (self.groups * self.refresh)

    def numbers(self, round_: int) -> range:
        """The prompts of a round."""
        size = self.groups * self.refresh
        return range(round_ * size, min((round_ + 1) * size, self.episodes))

    def from_own(self, number: int) -> bool:
        """Whether a prompt comes from the model's own episodes; they are spread evenly over each generation."""
        return int((number + 1) * self.own) > int(number * self.own)


class PromptSource:
    """Makes the prompts of a round when it begins, and keeps them for as long as they are asked.

    A function of the seed, the round and the model's weights; what it holds is plain data and part of checkpoints.

    Parameters
    ----------
    epochs
        With more than one all rounds are kept, else the current one and the one after.
    """

    def __init__(self, task: Task, plan: Plan, epochs: int, seed: int, own: Own) -> None:
        self.task, self.plan, self.epochs, self.seed, self.own = task, plan, epochs, seed, own
        self._rounds: dict[int, dict[int, Prompt]] = {}

    def prompts(self, generation: int) -> list[Prompt]:
        """Of a generation."""
        asked = []
        for _, number in self.plan.places(generation):
            round_ = self.plan.round_of(number)
            if round_ not in self._rounds:
                self._begin(round_)
            asked.append(self._rounds[round_][number])
        return asked

    def _begin(self, round_: int) -> None:
        numbers = self.plan.numbers(round_)
        own = [number for number in numbers if self.plan.from_own(number)]
        others = [number for number in numbers if not self.plan.from_own(number)]
        seed = int(np.random.SeedSequence((self.seed, round_)).generate_state(1)[0])
        made = dict(zip(own, self.own(len(own), seed), strict=True)) if own else {}
        made |= dict(zip(others, self.task.prompts(len(others), seed), strict=True)) if others else {}
        if self.epochs == 1:
            self._rounds = {kept: prompts for kept, prompts in self._rounds.items() if kept >= round_ - 1}
        self._rounds[round_] = {number: dataclasses.replace(made[number], number=number) for number in numbers}

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {
            str(round_): [[prompt.number, prompt.messages, prompt.state] for prompt in prompts.values()]
            for round_, prompts in self._rounds.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with what :meth:`state` gave."""
        self._rounds = {
            int(round_): {number: Prompt(number, messages, held) for number, messages, held in rows}
            for round_, rows in state.items()
        }
