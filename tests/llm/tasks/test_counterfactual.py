"""What orders are worth, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hmarl.network import Network, load_network
from hmarl.policies import make_policy
from hmarl.roles import Chain
from llm.tasks.counterfactual import Counterfactual
from llm.tasks.situations import MOST_REPLICATIONS, Situation
from llm.tasks.supply_chain import SupplyChainTask

PLACE = np.array([[0, 0]])


def shop(**changes: object) -> Network:
    """Ten units asked for every day, ten on hand; price 10, unit cost 4, holding 1; an order takes a day."""
    node = {
        "lead_time": 1,
        "opening_stock": 10,
        "price": 10,
        "unit_cost": 4,
        "holding_cost": 1,
        "demand": {"distribution": "constant", "mean": 10},
    }
    return Network.model_validate({"days": 3, "finite": True, "warmup": 0, "nodes": {"shop": node}} | changes)


def gains(network: Network, orders: list[float], days: int, continuation: str = "no_order") -> list[float]:
    rollout = Counterfactual(make_policy(continuation, network), days, futures=2)
    found, bonus = rollout.gains(Chain(network), "store", PLACE, np.zeros(len(orders), np.int64), np.array(orders))
    assert not bonus.any()
    return found.tolist()


def test_the_best_order_is_twenty_where_two_days_are_left() -> None:
    # Nothing: the ten on hand are sold today. q arrive tomorrow: ten sold at 10 - 4 each; the next ten at 10 - 4 - 1 on
    # the last day; each beyond costs 4, and 1 for two nights.
    worth = {0: 0, 5: 30, 10: 60, 15: 85, 20: 110, 21: 104, 25: 80}
    assert gains(shop(), list(worth), days=3) == pytest.approx(list(worth.values()))
    assert gains(shop(), [20, 21], days=9) == pytest.approx([110, 104])  # the days are over after three


def test_stock_left_is_worth_its_cost_where_the_network_goes_on() -> None:
    # two days: 20 sells ten at 10 - 4, the other ten pay for one night and are worth what they cost
    assert gains(shop(finite=False), [10, 20], days=2) == pytest.approx([60, 50])
    # one day: what is in transit is worth what it cost
    assert gains(shop(finite=False), [0, 10, 20], days=1) == pytest.approx([0, 0, 0])


def test_customers_who_wait_still_pay() -> None:
    # day 1 finds no stock: its ten wait, and their price less the unit's cost is still to come
    assert gains(shop(finite=False, unmet_demand="backorder"), [0, 10], days=2) == pytest.approx([0, 0])


def test_the_gain_is_over_the_continuations_own_order() -> None:
    # base-stock at two days of demand and the position 10: it orders ten itself
    network = shop()
    rollout = Counterfactual(make_policy("base_stock", network, level=20), 2, futures=1)
    states, orders = np.zeros(3, np.int64), np.array([10.0, 10.0, 4.0])
    found, _ = rollout.gains(Chain(network), "store", PLACE, states, orders)
    assert found == pytest.approx([0, 0, -6 * 6])  # six fewer sold; tomorrow's order is six larger, and these are left


def test_only_the_agents_order_changes() -> None:
    network = load_network("two_store")
    policy = make_policy("base_stock", network)
    chain = Chain(network, 3, 5)
    for _ in range(6):
        chain.step(policy.orders(chain))
    own = np.rint(policy.orders(chain))
    places = np.array([[2, 0], [3, 0], [2, 0]])
    found, _ = Counterfactual(policy, 6, 4).gains(
        chain, "store", places, np.arange(3), own[np.arange(3), places[:, 0], 0]
    )
    assert found == pytest.approx([0, 0, 0], abs=1e-9)


@pytest.mark.parametrize(
    ("preset", "role"), [("corner_shop", "store"), ("two_store", "warehouse"), ("beer_game", None)]
)
def test_groups_are_worth_the_same_together_and_alone(preset: str, role: str | None) -> None:
    task = SupplyChainTask(preset, role, scenarios=["normal", "seasonal"])
    prompts = [prompt for prompt in task.prompts(6, 3) for _ in range(3)]
    answers = [f"Decision: Order {k % 7 * 2} units" for k in range(len(prompts))]
    together = task.judge(prompts, answers)
    shuffled = np.random.default_rng(0).permutation(len(prompts))
    mixed = task.judge([prompts[k] for k in shuffled], [answers[k] for k in shuffled])
    np.testing.assert_allclose(mixed.rewards, together.rewards[shuffled], rtol=1e-12, atol=1e-12)
    for k in range(0, len(prompts), 3):
        alone = task.judge(prompts[k : k + 3], answers[k : k + 3])
        np.testing.assert_allclose(alone.rewards, together.rewards[k : k + 3], rtol=1e-12, atol=1e-12)


def test_many_answers_are_cut_into_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    task = SupplyChainTask("corner_shop")
    prompts = [prompt for prompt in task.prompts(4, 0) for _ in range(5)]
    answers = [f"Decision: Order {3 * k} units" for k in range(20)]
    whole = task.judge(prompts, answers).rewards
    monkeypatch.setattr("llm.tasks.counterfactual._SIDE_BY_SIDE", 24)
    np.testing.assert_allclose(task.judge(prompts, answers).rewards, whole, rtol=1e-12)


def test_a_gain_is_the_mean_over_futures_that_anybody_can_play() -> None:
    task = SupplyChainTask("corner_shop", futures=5, days=29)
    situation = Situation("normal", 3, "train", 8, "shop/goods", [])
    gain = task.judge(task.prompts_of([situation]), ["Decision: Order 33 units"]).gains[0]
    ids = 8 + np.arange(1, 6) * MOST_REPLICATIONS
    profits = []
    for order in (33.0, None):
        chain = Chain(task.network, 5, 3, split="train", ids=ids)
        profit = np.zeros(5)
        for day in range(29):
            orders = task.continuation.orders(chain)
            if day == 0 and order is not None:
                orders[:] = order
            outcome = chain.step(orders)
            profit += (10 * outcome.sold - 5 * outcome.unmet - 2 * outcome.left - outcome.ordered)[:, 0, 0]
        profits.append(profit.mean())
    assert gain == pytest.approx(profits[0] - profits[1])
