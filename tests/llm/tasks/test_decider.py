"""A model as a policy: one that reads its prompt and reckons well does what the rule does."""

from __future__ import annotations

import re

import numpy as np

from hmarl.network import load_network
from hmarl.policies import make_policy, simulate
from hmarl.roles import Chain
from llm.tasks.answers import decision
from llm.tasks.decider import LanguageModelPolicy
from llm.tasks.supply_chain import SupplyChainTask
from llm.tasks.task import Message


def up_to_80(conversations: list[list[Message]]) -> list[str]:
    """Order up to 80 from the words alone, nothing from the evening of day 27 on."""
    answers = []
    for conversation in conversations:
        text = conversation[-1]["content"]
        day, stock, pending = (
            int(re.search(f"{word} ([0-9]+)", text)[1])  # type: ignore[index]
            for word in ("Day", "Stock", "Pending")
        )
        answers.append(decision(0 if day >= 27 else max(80 - stock - pending, 0)))
    return answers


def test_words_hold_all_that_the_rule_needs() -> None:
    task = SupplyChainTask("corner_shop", economics=False)
    model = LanguageModelPolicy(task, up_to_80)
    found = simulate(task.network, model, replications=20).metrics["profit"]
    expected = simulate(task.network, make_policy("order_up_to", task.network, level=80), replications=20)
    np.testing.assert_array_equal(found, expected.metrics["profit"])
    assert (model.decisions, model.parse_failures) == (20 * 29, 0)


def test_others_order_by_the_continuation_and_silence_orders_nothing() -> None:
    task = SupplyChainTask("two_store", continuation="constant:7")
    answers = iter(["Decision: Order 40 units", "I would rather not say"])
    model = LanguageModelPolicy(task, lambda conversations: [next(answers) for _ in conversations])
    assert model.orders(Chain(load_network("two_store"))).ravel().tolist() == [7, 7, 40, 0]
    assert (model.decisions, model.parse_failures) == (2, 1)
