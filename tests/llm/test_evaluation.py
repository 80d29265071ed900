"""Evaluations of models whose answers are known: a rule in words, one that cannot be read, one that draws lots."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.network import load_network
from hmarl.policies import simulate
from llm.evaluation import Evaluation, evaluate, play
from llm.tasks.answers import decision
from llm.tasks.rules import named_policy
from llm.tasks.supply_chain import SupplyChainTask

EPISODES = 12


class Scripted:
    """Answers by a function of stock, pending and day; three tokens each."""

    def __init__(self, answer: Callable[[int, int, int], str]) -> None:
        self.answer, self.tokens = answer, 0

    def __call__(self, conversations: Sequence[list[dict[str, str]]]) -> list[str]:
        self.tokens += 3 * len(conversations)
        return [self.answer(*_facts(messages[-1]["content"])) for messages in conversations]


def _facts(prompt: str) -> tuple[int, int, int]:
    found = (re.search(rf"{word} (\d+)", prompt) for word in ("Stock", "Pending", "Day"))
    stock, pending, day = (int(match[1]) for match in found if match)
    return stock, pending, day


def up_to_80(stock: int, pending: int, day: int) -> str:
    return decision(max(80 - stock - pending, 0) if day < 27 else 0)


@pytest.fixture(scope="module")
def task() -> SupplyChainTask:
    return SupplyChainTask("corner_shop", economics=False)


@pytest.fixture(scope="module")
def rules() -> dict:
    network = load_network("corner_shop")
    return {name: named_policy(network, name) for name in ("random", "heuristic", "order_up_to:80")}


@pytest.fixture(scope="module")
def found(task, rules) -> Evaluation:
    return evaluate(
        task,
        Scripted(up_to_80),
        episodes=EPISODES,
        compare=rules,
        continuation="order_up_to:80",
        sampled=Scripted(up_to_80),
        repeats=2,
        paths=3,
        states=5,
    )


def test_a_rule_in_words_earns_what_the_rule_earns(found, rules):
    network = load_network("corner_shop")
    assert list(found.rows) == ["model", "random", "heuristic", "order_up_to:80"]
    model, rule = found.rows["model"], found.rows["order_up_to:80"]
    assert model.ahead is None
    assert model.profit == rule.profit
    assert rule.ahead == (0, 0, 0, EPISODES)
    profit = 29 * simulate(network, rules["heuristic"], replications=EPISODES).metrics["profit"]
    assert found.rows["heuristic"].profit.mean == pytest.approx(profit.mean())
    assert found.rows["heuristic"].ahead.mean == pytest.approx(model.profit.mean - profit.mean())
    assert found.rows["random"].ahead.low > 0


def test_the_bound_is_above_all(found):
    assert found.bound.mean > max(row.profit.mean for row in found.rows.values())
    assert found.behind.mean == pytest.approx(found.bound.mean - found.rows["model"].profit.mean)
    assert found.behind.low > 0
    assert found.no_bound == ""


def test_decisions_are_counted(found, task):
    assert found.decisions == EPISODES * 29
    assert found.parse_failures == 0
    assert found.tokens_a_decision == 3
    assert sum(found.orders.values()) == found.decisions
    assert found.orders["0"] >= 3 * EPISODES


def test_a_model_that_answers_the_same_does_not_vary(found):
    v = found.variation
    assert (v.within, v.changed, v.spread) == (0, 0, 0)
    assert (v.repeats, v.paths, v.states, v.profit.n) == (2, 3, 5, 3)
    assert v.between > 0


def test_answers_that_cannot_be_read_order_nothing(task, rules):
    found = evaluate(
        task,
        Scripted(lambda stock, pending, day: "Hm." if day < 11 else decision(20)),
        episodes=2,
        compare={"earlier": play(task.network, rules["heuristic"], 2)},
    )
    assert found.parse_failures == 2 * 10
    assert found.failed == pytest.approx(10 / 29)
    assert found.orders == {"20": 2 * 19}
    assert found.variation is None
    assert found.rows["earlier"].profit.mean == play(task.network, rules["heuristic"], 2).profit.mean()


def test_variation_is_that_of_the_answers(task):
    """Answers that order 10 or 30 by turns where the likeliest is 10: half of them change, s = 20 / sqrt(2)."""
    turns = iter(range(10**6))
    found = evaluate(
        task,
        Scripted(lambda *facts: decision(10)),
        episodes=4,
        compare={},
        sampled=Scripted(lambda *facts: decision(10 + 20 * (next(turns) % 2))),
        repeats=2,
        paths=2,
        states=6,
    )
    v = found.variation
    assert v.changed == 0.5
    assert v.spread == pytest.approx(20 / np.sqrt(2))
    # on a day the first of two repeats orders 10, the second 30: profits of two constant orders on each path
    each = [29 * simulate(task.network, named_policy(task.network, f"constant:{q}"), replications=2).metrics["profit"]
            for q in (10, 30)]  # fmt: skip
    assert v.within == pytest.approx(np.sqrt(np.var(each, axis=0, ddof=1).mean()))
    assert v.between == pytest.approx(np.mean(each, axis=0).std(ddof=1))
    assert v.profit.mean == pytest.approx(np.mean(each))


def test_json_and_back(found, tmp_path):
    path = found.save(tmp_path / "evaluation.json")
    assert Evaluation.load(path) == found
    assert json.loads(path.read_text())["rows"]["random"]["ahead"]["n"] == EPISODES
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match=r"not an evaluation\.json"):
        Evaluation.load(tmp_path / "other.json")
    with pytest.raises(InputError, match="cannot be read"):
        Evaluation.load(tmp_path / "none.json")


def test_one_episode_is_refused(task):
    with pytest.raises(InputError, match="episodes: 1: at least 2"):
        evaluate(task, Scripted(up_to_80), episodes=1, compare={})


def test_a_network_without_a_bound_says_why():
    network = load_network("two_store", **{"store.lead_time": {"low": 1, "high": 2}, "days": 10})
    task = SupplyChainTask(network, economics=False)
    found = evaluate(task, Scripted(lambda *facts: decision(50)), episodes=2, compare={})
    assert found.bound is None
    assert "lead time of store_1 varies" in found.no_bound
    assert found.decisions == 2 * 10 * 2
    assert "lead time of store_1 varies" in str(found.table().caption)


def test_the_table_says_what_was_found(found):
    from rich.console import Console

    console = Console(width=160, record=True, highlight=False)
    console.print(found.table())
    text = " ".join(console.export_text().split())
    for said in (
        "corner_shop: 12 episodes of 29 days",
        "order_up_to:80 (continuation)",
        "clairvoyant bound",
        "348 decisions: 0 could not be read (0.0 %)",
        "3.0 tokens each",
        "asked again in 5 states 0.0 % of its orders are others than the likeliest",
    ):
        assert said in text
