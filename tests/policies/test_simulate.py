"""Figures of an episode, worked out by hand."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from hmarl.network import Network, load_network
from hmarl.policies import make_policy, simulate
from hmarl.roles import Chain
from hmarl.simulator import day_costs


def shop(*demand: float, **node: Any) -> Network:
    """One shop: 10 units on hand, lead time 0, price 5, holding 1, 3 a unit short."""
    node = {"lead_time": 0, "opening_stock": 10, "price": 5, "holding_cost": 1, "shortage_cost": 3, **node}
    path = {"distribution": "path", "values": list(demand)}
    return Network.model_validate({"warmup": 0, "days": len(demand), "nodes": {"shop": {**node, "demand": path}}})


def figures(network: Network, name: str, warmup: int = 0, **parameters: float) -> dict[str, float]:
    paths = simulate(network, make_policy(name, network, **parameters), warmup=warmup, replications=2)
    return {metric: float(values[1]) for metric, values in paths.metrics.items()}


def test_three_days_without_orders() -> None:
    # sells 4, 6 of 8, 0 of 2; 6 left, then none
    found = figures(shop(4, 8, 2), "no_order")
    assert found["cost"] == pytest.approx((6 + 2 * 3 + 2 * 3) / 3)
    assert found["holding_cost"] == pytest.approx(2)
    assert found["profit"] == pytest.approx((10 * 5 - 18) / 3)
    assert found["service_level"] == pytest.approx((1 + 0.75 + 0) / 3)
    assert found["fill_rate"] == pytest.approx(10 / 14)
    assert found["stockout_days"] == pytest.approx(2 / 3)
    assert found["stock"] == pytest.approx(2)
    assert found["ordered"] == 0
    assert found["bullwhip"] == 0


def test_warm_up_days_do_not_count() -> None:
    found = figures(shop(4, 8, 2), "no_order", warmup=1)
    assert found["service_level"] == pytest.approx(0.75 / 2)
    assert found["fill_rate"] == pytest.approx(6 / 10)
    assert found["cost"] == pytest.approx((6 + 6) / 2)


def test_orders_and_their_variance() -> None:
    # base-stock 10 orders yesterday's demand: 0, 4, 8 against demand 4, 8, 2; all is met
    found = figures(shop(4, 8, 2, order_cost=7, unit_cost=2), "base_stock", level=10)
    assert found["bullwhip"] == pytest.approx(np.var([0, 4, 8]) / np.var([4, 8, 2]))
    assert found["ordered"] == pytest.approx(4)
    assert found["cost"] == pytest.approx((6 + 2 + 8 + 2 * 7) / 3)
    assert found["profit"] == pytest.approx((14 * 5 - 12 * 2 - 30) / 3)
    assert found["service_level"] == 1


def test_a_day_without_demand_is_served() -> None:
    found = figures(shop(0, 20), "no_order")
    assert found["service_level"] == pytest.approx((1 + 0.5) / 2)
    assert found["stockout_days"] == pytest.approx(0.5)


def test_bullwhip_of_even_demand_is_not_a_number() -> None:
    assert np.isnan(figures(shop(4, 4, 4), "no_order")["bullwhip"])


def test_backorders_of_a_day_are_not_met() -> None:
    network = shop(14, 0, 4).model_copy(update={"unmet_demand": "backorder"})
    found = figures(network, "base_stock", level=10)
    # day 0: 4 short, owed until day 1's 14 arrive; day 2 is met
    assert found["service_level"] == pytest.approx((10 / 14 + 1 + 1) / 3)
    assert found["fill_rate"] == pytest.approx(14 / 18)


def test_the_beer_game_with_steady_orders_of_four() -> None:
    # weeks 0 to 5: retailer 8, 4, 0, 0, then 4 and 8 owed; the others 12, 8, 4, 4, 4, 4 each
    network = load_network("beer_game")
    cost = simulate(network, make_policy("constant", network, quantity=4), days=6, replications=2).metrics["cost"]
    assert cost == pytest.approx([(22 + 14 + 6 + 6 + 10 + 14) / 6] * 2)


def test_rewards_are_summed_over_all_agents() -> None:
    network = load_network("three_store")
    policy = make_policy("base_stock", network)
    paths = simulate(network, policy, days=6, warmup=2, replications=4, seed=5, split="validation")
    chain = Chain(network, 4, 5, split="validation")
    rewards, costs = {role: np.zeros(4) for role in chain.roles}, np.zeros(4)
    for day in range(6):
        chain.step(policy.orders(chain))
        if day >= 2:
            costs += day_costs(chain.simulator.params, chain.simulator.outcome).cost.sum((1, 2)) / 4
            for role in rewards:
                rewards[role] += chain.rewards(role).sum(1) / 4
    assert paths.metrics["reward"] == pytest.approx(sum(rewards.values()))
    assert paths.metrics["cost"] == pytest.approx(costs)
    for role, reward in rewards.items():
        assert paths.metrics[f"reward_{role}"] == pytest.approx(reward)


def test_all_policies_meet_the_same_demand() -> None:
    network = load_network("two_store")
    traces = [
        simulate(network, make_policy(name, network), days=20, replications=3, record=[2]).trace["demand"]
        for name in ("random", "base_stock")
    ]
    assert traces[0].shape == (20, 1, 4, 1)
    assert traces[0].sum() > 0
    assert np.array_equal(*traces)


def test_rows_of_equal_ids_are_equal_and_the_batch_does_not_matter() -> None:
    network = load_network("two_store")
    policy = make_policy("s_S", network)
    tiled = simulate(network, policy, replications=6, ids=np.array([0, 1, 2, 0, 1, 2])).metrics
    plain = simulate(network, policy, replications=3).metrics
    for name, values in plain.items():
        assert np.array_equal(tiled[name], np.tile(values, 2)), name


def test_batches_cut_the_counted_days_of_each_replication_into_equal_stretches() -> None:
    network = load_network("three_store")
    policy = make_policy("base_stock", network)
    cut = simulate(network, policy, days=47, warmup=5, replications=3, batches=4)  # 42 days: 4 of 10, 2 left over
    assert cut.warmup == 7
    for end, batch in zip((17, 27, 37, 47), range(4), strict=True):
        alone = simulate(network, policy, days=end, warmup=end - 10, replications=3).metrics
        for name, values in alone.items():
            assert cut.metrics[name][batch::4] == pytest.approx(values, rel=1e-12, nan_ok=True), name


def test_money_of_a_tree_of_several_skus_is_that_of_day_costs() -> None:
    network = load_network("three_store")
    policy = make_policy("s_S", network)
    paths = simulate(network, policy, days=30, warmup=0, replications=4)
    chain = Chain(network, 4)
    profit, holding, stock = np.zeros(4), np.zeros(4), np.zeros(4)
    for _ in range(30):
        outcome = chain.step(policy.orders(chain))
        costs = day_costs(chain.simulator.params, outcome)
        profit += costs.profit.sum((1, 2)) / 30
        holding += costs.holding.sum((1, 2)) / 30
        stock += outcome.left[:, chain.roles["store"].nodes].sum((1, 2)) / 30
    assert paths.metrics["profit"] == pytest.approx(profit)
    assert paths.metrics["holding_cost"] == pytest.approx(holding)
    assert paths.metrics["stock"] == pytest.approx(stock)


def test_a_trace_adds_up() -> None:
    network = load_network("two_store")
    trace = simulate(network, make_policy("s_S", network), days=30, replications=5, record=[0, 4]).trace
    store = network.node_names.index("store_2")
    on_hand, left = trace["on_hand"][:, :, store], trace["left"][:, :, store]
    assert np.array_equal(on_hand - trace["sold"][:, :, store], left)
    assert np.array_equal(on_hand[1:], left[:-1] + trace["received"][1:, :, store])


def test_a_warm_up_that_leaves_no_day_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup: 3: 0 to 2"):
        simulate(shop(4, 8, 2), make_policy("no_order", shop(4)), warmup=3)
    with pytest.raises(ValueError, match="batches: 3: 1 to 2"):
        simulate(shop(4, 8, 2), make_policy("no_order", shop(4)), warmup=1, batches=3)


def test_a_thousand_episodes_take_less_than_a_second() -> None:
    network = load_network("two_store")
    policy = make_policy("base_stock", network)
    simulate(network, policy, replications=2)
    began = time.process_time()
    simulate(network, policy, days=90, warmup=7, replications=1024)
    assert time.process_time() - began < 1.0
