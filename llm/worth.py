"""What one answer of a language model was worth, beside what else could have been ordered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.tasks.answers import decision, final_text
from llm.tasks.rules import named_policy
from llm.tasks.situations import Situation, replay
from llm.tasks.task import ParseError, Prompt

if TYPE_CHECKING:
    from llm.tasks.supply_chain import SupplyChainTask

_STEPS = 20  # orders tried between 0 and the largest, about
_REASONING = re.compile(
    r"<\|channel\|>analysis<\|message\|>(.*?)(?:<\|end\|>|\Z)|<think>(.*?)(?:</think>|\Z)", re.DOTALL
)


@dataclass(frozen=True)
class Worth:
    """An answer, the order in it, and what orders would have earned.

    Attributes
    ----------
    prompt
        What the model was asked.
    text, reasoning, answer
        What it generated; of that the reasoning, and what it said to us.
    order, error
        The order read; or None and why there is none.
    gain
        Money that the order earns beyond the continuation's own order within `days`, mean over `futures`; None
        without an order. 0 is the continuation's.
    gains
        The same of each order tried: some between nothing and the most, and those of the model and the rules.
    rules
        What rules would have ordered.
    continuation
        The rule that orders on after each.
    """

    prompt: Prompt
    text: str
    reasoning: str
    answer: str
    order: float | None
    error: str
    gain: float | None
    gains: dict[float, float]
    rules: dict[str, float]
    continuation: str
    days: int
    futures: int

    @property
    def best(self) -> float:
        """The order of those tried that earns most."""
        return max(self.gains, key=self.gains.__getitem__)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **vars(self),
            "prompt": {"messages": self.prompt.messages, "state": self.prompt.state},
            "gains": {f"{order:g}": gain for order, gain in self.gains.items()},
            "best": self.best,
        }


def judge_answer(task: SupplyChainTask, prompt: Prompt, text: str, rules: Sequence[str]) -> Worth:
    """Judge an answer and what else could have been ordered, all on the same futures.

    Parameters
    ----------
    rules
        Specs of :func:`llm.tasks.rules.named_policy`, to be asked in the same state.

    Raises
    ------
    InputError
        An unknown rule.
    """
    order, answer, error = None, "", ""
    try:
        answer = final_text(text).strip()
        order = task.parse(text)
    except ParseError as reason:
        error = str(reason)
    others = {spec: _order_of(task, prompt, spec) for spec in dict.fromkeys([task.continuation_name, *rules])}
    tried = sorted({*_grid(task.highest), *others.values(), *([] if order is None else [order])})
    found = task.judge([prompt] * len(tried), [decision(quantity) for quantity in tried])
    gains = dict(zip(tried, found.gains.tolist(), strict=True))
    return Worth(
        prompt=prompt,
        text=text,
        reasoning="\n".join((a or b).strip() for a, b in _REASONING.findall(text)),
        answer=answer,
        order=order,
        error=error,
        gain=None if order is None else gains[order],
        gains=gains,
        rules=others,
        continuation=task.continuation_name,
        days=task.rollout.days,
        futures=task.rollout.futures,
    )


def _grid(highest: float) -> list[float]:
    """Even steps of 1, 2 or 5 times a power of ten from 0 on."""
    size = 10.0 ** np.floor(np.log10(highest / _STEPS))
    step = next(size * k for k in (1, 2, 5, 10) if size * k * _STEPS >= highest)
    step = max(step, 1.0)
    return [float(order) for order in np.arange(0, highest + step / 2, step) if order <= highest]


def _order_of(task: SupplyChainTask, prompt: Prompt, spec: str) -> float:
    """What a rule orders in the prompt's state, within what the agent may."""
    situation = Situation(**prompt.state)
    network = task.scenarios[situation.scenario]
    policy = task.continuation if spec == task.continuation_name else named_policy(network, spec)
    order = float(policy.orders(replay(network, [situation]))[0, *task.agents[situation.agent]])
    order = float(np.rint(order)) if task.whole else order
    return min(max(order, 0.0), float(task.highest))
