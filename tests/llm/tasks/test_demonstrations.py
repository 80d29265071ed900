"""Examples: what is in them, and what a data file must look like."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hmarl.errors import InputError
from llm.tasks.demonstrations import Example, demonstrate, read_examples, summary, write_examples
from llm.tasks.situations import Situation
from llm.tasks.supply_chain import SupplyChainTask


def orders(task: SupplyChainTask, examples: list[Example]) -> np.ndarray:
    return np.array([task.parse(example.response) for example in examples])


def test_a_rule_without_random_orders_is_shown_as_it_is() -> None:
    task = SupplyChainTask("corner_shop", economics=False)
    examples = demonstrate(task, task.heuristic, 4, random=0)
    assert len(examples) == 4 * 29
    for example in examples:
        words = example.prompt[0]["content"].split()
        stock, pending = (int(words[words.index(name) + 1].rstrip(".")) for name in ("Stock", "Pending"))
        assert example.response == f"Decision: Order {50 if stock + pending < 40 else 0} units"
    assert np.mean([example.reward for example in examples]) < 0  # order up to 80 is better


def test_a_share_of_the_orders_is_random_and_played() -> None:
    task = SupplyChainTask("corner_shop", economics=False)
    examples = demonstrate(task, task.heuristic, 60, random=0.3, seed=1)
    found = orders(task, examples)
    assert set(found) == set(range(0, 51, 5))
    other = ~np.isin(found, (0, 50))
    assert abs(other.mean() - 0.3 * 9 / 11) < 4 * (0.25 * 0.75 / len(found)) ** 0.5
    for example, following in pairwise(examples):
        state = Situation(**following.state or {})
        if state.day:
            assert state.orders[-1] == [task.parse(example.response)]
    assert demonstrate(task, task.heuristic, 2, seed=1) == demonstrate(task, task.heuristic, 2, seed=1)


def test_every_agent_of_a_role_is_shown_in_every_scenario() -> None:
    task = SupplyChainTask("two_store", scenarios=["normal", "demand_spike"])
    examples = demonstrate(task, task.continuation, 3, random=0)
    assert len(examples) == 3 * 90 * 2
    assert [example.reward for example in examples] == pytest.approx([0] * len(examples), abs=1e-9)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    task = SupplyChainTask("corner_shop")
    examples = demonstrate(task, task.heuristic, 1)
    assert read_examples(write_examples(tmp_path / "examples.jsonl", examples)) == examples
    assert "29 examples, mean reward -" in summary(examples)


def test_conversations_of_others_are_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Stock 3?"}, {"role": "assistant", "thinking": "Low.", "content": "Order."}]
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({"messages": turns}) + "\n\n")
    assert read_examples(path) == [Example(turns[:1], "Order.", thinking="Low.")]
    assert summary(read_examples(path)).startswith("1 examples. One of them:\n  user: Stock 3?")


GOOD = '{"prompt": [{"role": "user", "content": "a"}], "response": "b"}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON: Expecting property name"),
        ("[1]", r"\[1\]: an object with prompt and response, or with messages"),
        ("{}", "prompt is missing: prompt and response, or messages"),
        ('{"prompt": [{"role": "user", "content": "a"}]}', "response is missing"),
        ('{"prompt": "a", "response": "b"}', "prompt: 'a': a list of messages"),
        ('{"prompt": [], "response": "b"}', r"prompt: \[\]: a list of messages"),
        ('{"prompt": ["a"], "response": "b"}', "prompt: message 1: 'a': an object with role and content"),
        ('{"prompt": [{"role": "robot", "content": "a"}], "response": "b"}', "message 1: role: 'robot': one of system"),
        ('{"prompt": [{"role": "user"}], "response": "b"}', "prompt: message 1: content is missing"),
        ('{"prompt": [{"role": "user", "content": 3}], "response": "b"}', "message 1: content: 3: text"),
        (GOOD.replace('"b"', "3"), "response: 3: text"),
        (GOOD.replace('"b"', '"b", "reward": "high"'), "reward: 'high': a number"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "messages: a conversation of at least two turns"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "messages: a conversation of at least two turns"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(InputError, match=f"data.jsonl: line 2: .*{message}"):
        read_examples(path)


def test_no_file_and_no_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_examples(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no line"):
        read_examples(tmp_path / "empty.jsonl")
