"""The task: its prompts, its judgement, and what trainers call."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.network import Network, load_network
from hmarl.network.config import Shaping
from hmarl.policies import make_policy, simulate
from llm.tasks.answers import decision
from llm.tasks.decider import LanguageModelPolicy
from llm.tasks.demonstrations import demonstrate
from llm.tasks.situations import Situation
from llm.tasks.supply_chain import SupplyChainTask, dataset_row, reward_function, reward_unparsed


@pytest.mark.parametrize(
    ("preset", "role", "agents"),
    [
        ("corner_shop", None, ["shop/goods"]),
        ("two_store", None, ["store_1/coffee", "store_2/coffee"]),
        ("two_store", "supplier", ["supplier/coffee"]),
        ("beer_game", "warehouse", ["wholesaler/beer", "distributor/beer"]),
    ],
)
def test_prompts_are_the_same_for_the_same_seed(preset: str, role: str | None, agents: list[str]) -> None:
    task = SupplyChainTask(preset, role)
    prompts = task.prompts(20, 4)
    assert [prompt.number for prompt in prompts] == list(range(20))
    assert prompts == task.prompts(20, 4)
    assert prompts != task.prompts(20, 5)
    assert sorted(task.agents) == sorted(agents)
    assert {prompt.state["agent"] for prompt in prompts} <= set(agents)
    assert {prompt.state["split"] for prompt in prompts} == {"train"}
    again = task.prompts_of([Situation(**json.loads(json.dumps(prompt.state))) for prompt in prompts])
    assert again == prompts


def test_prompts_come_from_every_scenario() -> None:
    task = SupplyChainTask("two_store", scenarios=["normal", "disruption", "seasonal"])
    assert [p.state["scenario"] for p in task.prompts(7, 0)] == 3 * ["normal"] + 2 * ["disruption"] + 2 * ["seasonal"]
    assert len(task.prompts(1, 0)) == 1


def test_situations_of_a_policy_are_those_it_visits() -> None:
    task = SupplyChainTask("corner_shop")
    found = task.situations_of(task.heuristic, episodes=3, seed=2, n=40)
    assert len({(s.replication, s.day) for s in found}) == 40
    assert {order for s in found for (order,) in s.orders} == {0, 50}
    assert len(task.situations_of(task.heuristic, episodes=1, seed=2, n=40)) == 40  # some of them twice


def test_answers_that_cannot_be_parsed_are_worse_than_the_worst() -> None:
    rewards, unparsed = reward_unparsed(
        np.array([1.0, np.nan, -2.0, np.nan, np.nan]), np.array([0, 0, 0, 1, 1]), margin=0.5
    )
    assert rewards.tolist() == [1.0, -2.5, -2.0, 0.0, 0.0]
    assert unparsed == 1


def test_judgement() -> None:
    task = SupplyChainTask("corner_shop", margin=0.25)
    first, second = task.prompts(2, 0)
    judged = task.judge(
        [first, first, first, second, second],
        ["Decision: Order 20 units", "Order 20", "Decision: Order 90 units", "what?", ""],
    )
    assert judged.actions == [20, None, 90, None, None]
    assert np.isnan(judged.gains).tolist() == [False, True, False, True, True]
    np.testing.assert_allclose(judged.rewards[[0, 2]], judged.gains[[0, 2]] / task.reward_scale)
    assert judged.rewards[1] == min(judged.rewards[0], judged.rewards[2]) - 0.25
    assert judged.rewards[3:].tolist() == [0, 0]
    assert judged.unparsed_groups == 1
    assert np.isfinite(judged.rewards).all()


def test_shaping_is_added_as_the_role_defines_it() -> None:
    plain = SupplyChainTask("corner_shop", economics=False)
    shaped = SupplyChainTask("corner_shop", economics=False, shaping=Shaping(extreme_orders=0.5))
    (prompt,) = plain.prompts(1, 0)
    answers = [decision(q) for q in (0, 40, 70, 100)]
    bonus = shaped.judge([prompt] * 4, answers).rewards - plain.judge([prompt] * 4, answers).rewards
    mean = (21 * 15 + 8 * 25) / 29  # of 29 days eight are on weekends; three days of it are 53.3
    expected = [-0.5 * max(q / mean - 3, 0) for q in (0, 40, 70, 100)]
    np.testing.assert_allclose(bonus - bonus[0], expected, atol=1e-9)


def test_trl_gets_one_float_a_completion() -> None:
    task = SupplyChainTask("corner_shop")
    rows = [dataset_row(prompt) for prompt in task.prompts(2, 0) for _ in range(2)]
    columns = {name: [row[name] for row in rows] for name in ("number", "state")}
    texts = [decision(q) for q in (10, 20, 30, 40)]
    turns = [[{"role": "assistant", "content": text}] for text in texts]
    prompts = [row["prompt"] for row in rows]
    found = reward_function(task)(prompts=prompts, completions=turns, completion_ids=[[1]] * 4, **columns)
    assert [type(value) for value in found] == [float] * 4
    expected = task.judge([prompt for prompt in task.prompts(2, 0) for _ in range(2)], texts).rewards
    assert found == expected.tolist()
    assert found == reward_function(task)(prompts=prompts, completions=texts, **columns)


def test_orders_go_up_to_what_the_role_may_order() -> None:
    assert SupplyChainTask("corner_shop").highest == 100
    assert re.fullmatch(SupplyChainTask("corner_shop").pattern, "Decision: Order 100 units")
    assert SupplyChainTask("two_store").highest == 450  # twice 3 * 60 + 1.645 * 15 * sqrt(3) = 222.7, in tens
    assert SupplyChainTask("two_store", highest=90).parse("Decision: Order 90 units") == 90


def test_the_horizon_reaches_the_customers() -> None:
    assert SupplyChainTask("corner_shop").rollout.days == 6
    assert SupplyChainTask("two_store").rollout.days == 5
    assert SupplyChainTask("two_store", "supplier").rollout.days == 4 + 3 + 2 + 1 + 2


def test_another_continuation_judges_and_the_task_stays() -> None:
    task = SupplyChainTask("corner_shop")
    (prompt,) = task.prompts(1, 0)
    other = task.with_continuation(make_policy("constant", task.network, quantity=20))
    before = task.judge([prompt], ["Decision: Order 20 units"]).gains
    assert other.judge([prompt], ["Decision: Order 20 units"]).gains == [0]
    assert (other.continuation_name, task.continuation_name) == ("constant", "order_up_to:80")
    assert task.judge([prompt], ["Decision: Order 20 units"]).gains == before != 0


def test_only_review_days_are_decisions() -> None:
    task = SupplyChainTask("two_store", role="store", continuation="base_stock")
    weekly = SupplyChainTask(load_network("two_store", **{"store.review_period": 7}))
    assert {len(s.state["orders"]) % 7 for s in weekly.prompts(30, 0)} == {0}
    assert {s.day % 7 for s in weekly.situations_of(weekly.heuristic, 3, 0, 30)} == {0}
    assert len({len(s.state["orders"]) % 7 for s in task.prompts(30, 0)}) > 3
    assert len(demonstrate(weekly, weekly.heuristic, 1)) == 2 * 13  # days 0, 7, ... 84
    asked: list[int] = []
    model = LanguageModelPolicy(weekly, lambda c: asked.append(len(c)) or ["Decision: Order 9 units"] * len(c))  # type: ignore[func-returns-value]
    simulate(weekly.network, model, days=15, warmup=0, replications=4)
    assert asked == [8, 8, 8]


def test_bad_input_is_one_line() -> None:
    with pytest.raises(InputError, match="role of corner_shop: 'warehouse': unknown; it is one of store"):
        SupplyChainTask("corner_shop", "warehouse")
    with pytest.raises(InputError, match="futures: 0: 1 to 2047"):
        SupplyChainTask("corner_shop", futures=0)
    with pytest.raises(InputError, match="scenario: 'storm'"):
        SupplyChainTask("corner_shop", scenarios=["storm"])
    with pytest.raises(InputError, match=r"policy: 'order_upto'.*did you mean order_up_to"):
        SupplyChainTask("corner_shop", continuation="order_upto")


def test_real_quantities_are_parsed_as_such() -> None:
    node = {"demand": {"distribution": "constant", "mean": 2.5}}
    task = SupplyChainTask(Network.model_validate({"quantities": "real", "nodes": {"shop": node}}))
    assert task.parse("Decision: Order 2.5 units") == 2.5
