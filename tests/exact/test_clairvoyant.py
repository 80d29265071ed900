"""What foresight would earn: worked by hand, equal to trying all orders, above every rule on every path."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmarl.errors import InputError
from hmarl.exact import clairvoyant_profit
from hmarl.network import Network, load_network
from hmarl.policies import make_policy, simulate
from hmarl.simulator import Simulator
from hmarl.simulator.costs import day_costs
from tests.simulator.networks import random_networks

SHOP = {"lead_time": 1, "opening_stock": 2, "price": 10, "unit_cost": 4, "holding_cost": 1, "shortage_cost": 3}


def asked(*days: float) -> dict:
    return {"distribution": "path", "values": list(days)}


def shop(days: int = 3, unmet: str = "lost", **node) -> Network:
    return Network.model_validate(
        {"days": days, "warmup": 0, "finite": True, "unmet_demand": unmet, "nodes": {"shop": {**SHOP, **node}}}
    )


def bound(network: Network, *days: float) -> float:
    """Of a single shop's demand path."""
    return float(clairvoyant_profit(network, np.array(days, float).reshape(1, -1, 1, 1))[0])


def test_a_shop_of_three_days_by_hand():
    # 3 asked for: 2 sold, 1 short: 20 - 3. Then 0 and 4: the 4 ordered on the second day cost 16 and sell for 40
    assert bound(shop(), 3, 0, 4) == pytest.approx(17 + 0 + 24)
    # at most 3 a day: the fourth is ordered a day earlier and kept for a night: 1 less
    assert bound(shop(order_capacity=3), 3, 0, 4) == pytest.approx(40)
    # room for 3 alone: one is short, 3, and not bought for 4 and sold for 10: 9 less
    assert bound(shop(storage_capacity=3), 3, 0, 4) == pytest.approx(32)
    # an order takes another day to be heard: what serves the third day is ordered on the first
    assert bound(shop(order_lead_time=1), 3, 0, 4) == pytest.approx(41)
    assert bound(shop(order_lead_time=2), 3, 0, 4) == pytest.approx(17 - 12)


def test_demand_that_waits_by_hand():
    # one waits a night, 3, is then served by the first order: 20 - 3 + 6 + 24
    assert bound(shop(unmet="backorder"), 3, 0, 4) == pytest.approx(47)


def test_the_warm_up_counts_for_nothing():
    demand = np.array([3.0, 0, 4]).reshape(1, 3, 1, 1)
    assert clairvoyant_profit(shop(), demand, warmup=2) == pytest.approx(40)
    # bought for nothing on the first day, the 4 units are kept for one night that counts
    assert clairvoyant_profit(shop(), demand, warmup=1) == pytest.approx(36)


def best_by_trial(network: Network, demand: np.ndarray, most: int) -> float:
    """The highest profit of all orders of 0 to `most` units of every node on every day, played by the simulator."""
    days, nodes, skus = demand.shape
    orders = np.array(list(product(range(most + 1), repeat=days * nodes)), float)
    simulator = Simulator(network, len(orders))
    profit = np.zeros(len(orders))
    for day in range(days):
        simulator.set_demand(np.broadcast_to(demand[day], simulator.shape))
        outcome = simulator.step(orders.reshape(-1, days, nodes, skus)[:, day])
        profit += day_costs(simulator.params, outcome).profit.sum((1, 2))
    return float(profit.max())


@pytest.mark.parametrize("unmet", ["lost", "backorder"])
@pytest.mark.parametrize(
    "node", [{}, {"storage_capacity": 3}, {"order_capacity": 2}, {"lead_time": 0}, {"lead_time": 2, "holding_cost": 0}]
)
def test_whole_orders_reach_it_where_orders_are_free(unmet, node):
    network = shop(4, unmet, **{"demand": asked(1), **node})
    for days in ((3, 0, 4, 1), (0, 1, 5, 0), (1, 1, 1, 6)):
        demand = np.array(days, float).reshape(4, 1, 1)
        assert bound(network, *days) == pytest.approx(best_by_trial(network, demand, 6))


def test_a_warehouse_and_its_shop():
    warehouse = {"lead_time": 1, "opening_stock": 3, "unit_cost": 4, "holding_cost": 0.5, "order_capacity": 3}
    store = {**SHOP, "upstream": "warehouse", "demand": asked(1)}
    network = Network.model_validate(
        {"days": 3, "warmup": 0, "finite": True, "nodes": {"warehouse": warehouse, "store": store}}
    )
    for days in ((3, 1, 4), (0, 0, 5), (1, 4, 1)):
        demand = np.zeros((3, 2, 1))
        demand[:, 1, 0] = days
        found = clairvoyant_profit(network, demand[None])
        assert found == pytest.approx(best_by_trial(network, demand, 4))


def test_an_order_cost_is_left_out_of_the_bound():
    network = shop(order_cost=5, demand=asked(1))
    assert bound(network, 3, 0, 4) == pytest.approx(41)
    assert best_by_trial(network, np.array([3.0, 0, 4]).reshape(3, 1, 1), 6) == pytest.approx(36)


@pytest.mark.parametrize(
    ("name", "days"), [("corner_shop", 29), ("two_store", 20), ("three_store", 15), ("beer_game", 20)]
)
def test_no_rule_earns_more_on_any_path(name, days):
    network, paths = load_network(name), 8
    for rule in ("no_order", "random", "base_stock", "s_S"):
        played = simulate(
            network, make_policy(rule, network), days=days, warmup=2, replications=paths, record=range(paths)
        )
        found = clairvoyant_profit(network, played.trace["demand"].swapaxes(0, 1), warmup=2)
        assert (found >= played.metrics["profit"] * (days - 2) - 1e-6).all()


_CERTAIN = {"reliability": 1, "order_loss": 0, "shipment_loss": 0, "outages": [], "price": 7, "unit_cost": 3,
            "holding_cost": 1, "shortage_cost": 2, "order_cost": 1}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(random_networks(), st.integers(0, 4), st.integers(0, 2**31))
def test_no_orders_earn_more_on_any_tree(network, lead_time, seed):
    """Storage and order capacity, minimum orders, packs, reviews, delays, late orders, several SKUs, warm-up."""
    data = network.model_dump()
    nodes = {name: {**node, **_CERTAIN, "lead_time": lead_time} for name, node in data["nodes"].items()}
    network = Network.model_validate({**data, "nodes": nodes})
    days, warmup, paths = 9, 3, 4
    simulator, rng = Simulator(network, paths, seed), np.random.default_rng(seed)
    demand, profit = np.zeros((paths, days, *simulator.shape[1:])), np.zeros(paths)
    for day in range(days):
        orders = rng.uniform(0, 40, simulator.shape) * (rng.random(simulator.shape) < 0.6)
        outcome = simulator.step(orders)
        demand[:, day] = outcome.demand
        if day >= warmup:
            profit += day_costs(simulator.params, outcome).profit.sum((1, 2))
    assert (clairvoyant_profit(network, demand, warmup) >= profit - 1e-6).all()


def test_paths_do_not_meet():
    network = load_network("corner_shop")
    played = simulate(network, make_policy("no_order", network), replications=60, record=range(60))
    demand = played.trace["demand"].swapaxes(0, 1)
    together = clairvoyant_profit(network, demand)
    assert together == pytest.approx([clairvoyant_profit(network, path[None])[0] for path in demand])
    assert together.std() > 50


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({"lead_time": {"low": 1, "high": 2}}, "the lead time of shop varies"),
        ({"reliability": 0.9}, "the source of shop cannot always deliver"),
        ({"shipment_loss": 0.1}, "shipments to shop get lost"),
        ({"order_loss": 0.1}, "orders of shop get lost"),
    ],
)
def test_chance_beyond_demand_is_refused(node, reason):
    with pytest.raises(InputError, match=f"network: no clairvoyant bound: {reason}; only demand may be left to chance"):
        bound(shop(**node), 3, 0, 4)
