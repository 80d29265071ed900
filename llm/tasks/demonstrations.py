"""Examples to learn from: how a rule answers, with some random orders mixed in; reading and writing them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmarl.errors import InputError, show
from hmarl.files import write_atomic
from hmarl.policies import Policy
from hmarl.roles import Chain
from llm.tasks.answers import decision
from llm.tasks.exploration import deciding
from llm.tasks.situations import play
from llm.tasks.supply_chain import SupplyChainTask
from llm.tasks.task import Message

_ROLES = ("system", "user", "assistant", "developer", "tool")


@dataclass(frozen=True)
class Example:
    """A conversation and the answer to learn.

    Attributes
    ----------
    prompt
        The conversation up to the answer.
    response
        The answer.
    thinking
        The reasoning before it, where the data has some.
    reward
        What the task says of the answer; None where nobody asked.
    state
        What the prompt was made from; None for data of others.
    """

    prompt: list[Message]
    response: str
    thinking: str = ""
    reward: float | None = None
    state: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """A line of a data file."""
        thinking = {"thinking": self.thinking} if self.thinking else {}
        own = {"prompt": self.prompt, "response": self.response}
        return own | thinking | {"reward": self.reward, "state": self.state}


@dataclass(frozen=True)
class WithRandomOrders:
    """A policy whose orders are random multiples of a step, up to half the highest, with some probability each."""

    policy: Policy
    share: float
    step: float
    highest: float
    rng: np.random.Generator
    name: str = "with_random_orders"

    def orders(self, chain: Chain) -> NDArray[np.float64]:
        own = np.minimum(self.policy.orders(chain), self.highest)
        random = self.step * self.rng.integers(int(self.highest / 2 // self.step) + 1, size=own.shape)
        return np.where(self.rng.random(own.shape) < self.share, random, own)


def demonstrate(
    task: SupplyChainTask, policy: Policy, episodes: int, *, random: float = 0.3, seed: int = 0
) -> list[Example]:
    """Every decision of some training episodes in which a policy decides for the task's role.

    Parameters
    ----------
    policy
        Decides for all roles.
    random
        Share of the role's orders that are random instead, multiples of five (of more where orders are large) up to
        half the largest order, so that a model knows that other answers exist. Such an order is played and is the
        answer of its example.
    seed
        Of the random orders and of the training paths.
    """
    rng = np.random.default_rng((seed, 2))
    step = 5.0 * np.ceil(task.highest / 200)
    mixed = WithRandomOrders(policy, random, step, task.highest, rng)
    situations, answers = [], []
    scenarios = np.array_split(np.arange(episodes), len(task.scenarios))
    for (scenario, network), ids in zip(task.scenarios.items(), scenarios, strict=True):
        if not len(ids):
            continue
        chain = Chain(network, len(ids), seed, split="train", ids=ids)
        record = play(chain, deciding(task.role, mixed, policy), network.days, scenario)
        for path in range(len(ids)):
            for day in range(network.days):
                for agent, place in task.agents.items():
                    if task.decides(agent, day):
                        situations.append(record.situation(path, day, agent))
                        answers.append(decision(record.orders[day, path, *place]))
    prompts = task.prompts_of(situations)
    rewards = task.judge(prompts, answers).rewards.tolist()
    return [
        Example(prompt.messages, answer, reward=reward, state=prompt.state)
        for prompt, answer, reward in zip(prompts, answers, rewards, strict=True)
    ]


def summary(examples: Sequence[Example]) -> str:
    """How many, their mean reward, and one of them."""
    rewards = [example.reward for example in examples if example.reward is not None]
    judged = f", mean reward {np.mean(rewards):+.3f} (0: the continuation's own orders)" if rewards else ""
    sample = examples[int(np.random.default_rng(len(examples)).integers(len(examples)))]
    turns = [f"  {message['role']}: {message['content']}" for message in sample.prompt]
    paid = "" if sample.reward is None else f" (reward {sample.reward:+.3f})"
    return "\n".join(
        [f"{len(examples):,} examples{judged}. One of them:", *turns, f"  assistant: {sample.response}{paid}"]
    )


def write_examples(path: str | Path, examples: Sequence[Example]) -> Path:
    """Write a JSONL file, one example a line."""
    return write_atomic(path, "".join(json.dumps(example.to_json()) + "\n" for example in examples))


def read_examples(path: str | Path) -> list[Example]:
    """The examples of a JSONL file: lines as :func:`write_examples` writes them (``prompt``, ``response``), or
    ``{"messages": [...]}`` that end with the assistant's turn.

    Raises
    ------
    InputError
        If the file cannot be read or is empty, or a line is malformed: its number and what is wrong.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    examples = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            examples.append(_example(line, f"{path}: line {number}"))
    if not examples:
        raise InputError(f"{path}: no line; an example is a line")
    return examples


def _example(line: str, place: str) -> Example:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(row, dict):
        raise InputError(f"{place}: {show(row)}: an object with prompt and response, or with messages")
    if "messages" in row:
        turns = _messages(row["messages"], f"{place}: messages")
        if turns[-1]["role"] != "assistant" or len(turns) < 2:
            raise InputError(f"{place}: messages: a conversation of at least two turns that ends with the assistant's")
        last = turns[-1]
        return Example(turns[:-1], last["content"], thinking=last.get("thinking", ""))
    if "prompt" not in row or "response" not in row:
        missing = "prompt" if "prompt" not in row else "response"
        raise InputError(f"{place}: {missing} is missing: prompt and response, or messages")
    prompt, response, reward = _messages(row["prompt"], f"{place}: prompt"), row["response"], row.get("reward")
    texts = {"response": response, "thinking": row.get("thinking", "")}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InputError(f"{place}: {name}: {show(text)}: text")
    if not isinstance(reward, int | float | None) or isinstance(reward, bool):
        raise InputError(f"{place}: reward: {show(reward)}: a number")
    return Example(prompt, reward=reward, state=row.get("state"), **texts)


def _messages(value: Any, place: str) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{place}: {show(value)}: a list of messages")
    for number, message in enumerate(value, 1):
        if not isinstance(message, dict):
            raise InputError(f"{place}: message {number}: {show(message)}: an object with role and content")
        if message.get("role") not in _ROLES:
            raise InputError(
                f"{place}: message {number}: role: {show(message.get('role'))}: one of {', '.join(_ROLES)}"
            )
        for key, text in message.items():
            if not isinstance(text, str):
                raise InputError(f"{place}: message {number}: {key}: {show(text)}: text")
        if "content" not in message:
            raise InputError(f"{place}: message {number}: content is missing")
    return value
