"""Which prompts are asked when."""

from __future__ import annotations

import json
from collections import Counter

from llm.tasks.task import Prompt
from llm.trainers.prompts import Plan, PromptSource


class _Task:
    """Prompts that say where they come from."""

    def prompts(self, n: int, seed: int) -> list[Prompt]:
        return [Prompt(k, [{"role": "user", "content": f"task {seed} {k}"}], {"k": k}) for k in range(n)]


class _Own:
    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, n: int, seed: int) -> list[Prompt]:
        self.asked.append(n)
        return [Prompt(k, [{"role": "user", "content": f"own {seed} {k}"}], {}) for k in range(n)]


def _source(own: _Own, share: float = 0.5) -> PromptSource:
    return PromptSource(_Task(), Plan(4, 20, 2, share), 1, 7, own)  # type: ignore[arg-type]


def test_places_by_hand() -> None:
    plan = Plan(groups=3, episodes=5, refresh=1, own=0)
    assert plan.places(0) == [(0, 0), (0, 1), (0, 2)]
    assert plan.places(1) == [(0, 3), (0, 4), (1, 0)]
    assert [*plan.numbers(1)] == [3, 4]


def test_each_prompt_once_an_epoch() -> None:
    plan = Plan(groups=4, episodes=6, refresh=2, own=0.5)
    places = Counter(place for generation in range(3) for place in plan.places(generation))
    assert places == Counter((epoch, number) for epoch in range(2) for number in range(6))


def test_a_round_is_made_when_it_begins_half_of_it_from_the_model() -> None:
    own = _Own()
    source = _source(own)
    first = source.prompts(0)
    assert own.asked == [4]  # of 8 prompts of two generations
    assert [prompt.number for prompt in first] == [0, 1, 2, 3]
    assert sum(prompt.messages[0]["content"].startswith("own") for prompt in first) == 2
    source.prompts(1)
    assert own.asked == [4]
    source.prompts(2)
    assert own.asked == [4, 4]


def test_a_restored_source_asks_the_same_without_making_it_again() -> None:
    source, own = _source(_Own()), _Own()
    source.prompts(0)
    restored = _source(own)
    restored.restore(json.loads(json.dumps(source.state())))
    assert restored.prompts(1) == source.prompts(1)
    assert own.asked == []


def test_a_second_epoch_asks_the_same_prompts() -> None:
    own = _Own()
    source = PromptSource(_Task(), Plan(4, 8, 1, 0.5), 2, 7, own)
    first = [prompt for generation in (0, 1) for prompt in source.prompts(generation)]
    assert [prompt for generation in (2, 3) for prompt in source.prompts(generation)] == first
    assert own.asked == [2, 2]


def test_without_own_states_the_model_plays_no_episode() -> None:
    own = _Own()
    _source(own, 0).prompts(0)
    assert own.asked == []
