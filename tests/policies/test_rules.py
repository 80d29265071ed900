"""Levels and orders worked out by hand."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.network import Network, load_network
from hmarl.policies import POLICIES, RULES, ByRole, make_policy, rule_from_json, rule_to_json, simulate
from hmarl.policies.rules import BaseStock, CappedBaseStock, ReorderQuantity, ReorderUpTo
from hmarl.roles import Chain


def shop(**changes: Any) -> Network:
    """One shop, 20 units on hand, lead time 2; it sells 4 and then 6 a day."""
    node = {
        "lead_time": 2,
        "opening_stock": 20,
        "demand": {"distribution": "path", "values": [4, 6], "mean": 5, "std": 2},
        **changes.pop("node", {}),
    }
    return Network.model_validate({"warmup": 0, "days": 28, "nodes": {"shop": node}, **changes})


def first_orders(network: Network, policy: Any, days: int = 1) -> list[float]:
    """A lone shop's orders of the first days."""
    chain, out = Chain(network), []
    for _ in range(days):
        orders = policy.orders(chain)
        out.append(float(orders.item()))
        chain.step(orders)
    return out


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        # positions of the mornings: 20; 20 + order 0 - 4; that + order 1 - 6
        ("no_order", {}, [0, 0, 0]),
        ("constant", {"quantity": 7}, [7, 7, 7]),
        ("base_stock", {"level": 30}, [10, 4, 6]),
        ("capped_base_stock", {"level": 30, "cap": 5}, [5, 5, 5]),
        ("s_S", {"reorder_point": 16, "order_up_to": 35}, [0, 19, 0]),
        ("s_S", {"reorder_point": 20, "order_up_to": 35}, [15, 0, 0]),
        ("s_Q", {"reorder_point": 16, "quantity": 3}, [0, 3, 3]),
        ("echelon_base_stock", {"level": 30}, [10, 4, 6]),
    ],
)
def test_orders_of_the_first_days(name: str, parameters: dict[str, float], expected: list[float]) -> None:
    assert first_orders(shop(), make_policy(name, shop(), **parameters), 3) == expected


def test_textbook_levels_of_two_store() -> None:
    # store_1: mean 60, sigma 15, P = 2 + 1; EOQ = sqrt(2 x 25 x 60 / 0.5)
    # warehouse: mean 110, sigma sqrt(15^2 + 15^2), P = 3 + 1; EOQ = sqrt(2 x 25 x 110 / 0.25)
    policy = make_policy("s_S", load_network("two_store"))
    assert isinstance(policy, ReorderUpTo)
    z = 1.6448536
    store, warehouse = 180 + z * 15 * 3**0.5, 440 + z * 450**0.5 * 2
    nodes = load_network("two_store").node_names
    point, up_to = policy.reorder_point[:, 0], policy.order_up_to[:, 0]
    assert point[nodes.index("store_1")] == pytest.approx(store, rel=1e-6)
    assert point[nodes.index("warehouse")] == pytest.approx(warehouse, rel=1e-6)
    assert up_to[nodes.index("store_1")] == pytest.approx(store + 77.45967, rel=1e-6)
    assert up_to[nodes.index("warehouse")] == pytest.approx(warehouse + 148.32397, rel=1e-6)


def test_a_lead_time_that_varies_adds_to_the_safety_stock() -> None:
    # supplier of tight_supply: L uniform on 4..8, mean 6, variance 2; P = 7
    network = load_network("tight_supply")
    policy = make_policy("base_stock", network)
    assert isinstance(policy, BaseStock)
    expected = 7 * 110 + 1.6448536 * (7 * 450 + 110**2 * 2) ** 0.5
    assert policy.level[network.node_names.index("supplier"), 0] == pytest.approx(expected, rel=1e-6)


def test_review_period_and_the_orders_own_way_lengthen_the_interval() -> None:
    node = {"review_period": 7, "order_lead_time": 1, "target_service": 0.5}
    policy = make_policy("base_stock", shop(node=node))
    assert isinstance(policy, BaseStock)
    assert policy.level.item() == pytest.approx(5 * (2 + 1 + 7))


def test_s_q_orders_the_economic_quantity_or_a_review_periods_demand() -> None:
    network = shop(node={"order_cost": 10, "holding_cost": 1})
    policy = make_policy("s_Q", network)
    assert isinstance(policy, ReorderQuantity)
    assert policy.quantity.item() == pytest.approx(10)  # sqrt(2 x 10 x 5 / 1)
    free = make_policy("s_Q", shop())
    assert isinstance(free, ReorderQuantity)
    assert free.quantity.item() == pytest.approx(5)


def test_cap_is_what_a_day_asks_for_at_most() -> None:
    policy = make_policy("capped_base_stock", shop())
    assert isinstance(policy, CappedBaseStock)
    assert policy.cap.item() == pytest.approx(5 + 1.6448536 * 2)


def test_newsvendor_is_the_quantile_of_the_protection_interval() -> None:
    # Poisson(10) over L + 1 = 2 days: P(X <= 12) = 0.7916, P(X <= 13) = 0.8645; p / (p + h) = 0.8
    network = load_network("lost_sales", demand="poisson", mean=5, lead_time=1, penalty=4)
    policy = make_policy("newsvendor", network)
    assert isinstance(policy, BaseStock)
    assert policy.level.item() == 13


def test_textbook_levels_of_lost_sales_aim_at_the_critical_ratio() -> None:
    # 15 + 0.8416 x sqrt(15), P = 2 + 1 days of Poisson(5), p / (p + h) = 0.8
    network = load_network("lost_sales", demand="poisson", mean=5, lead_time=2, penalty=4)
    assert make_policy("base_stock", network).level.item() == pytest.approx(18.2595, abs=1e-4)  # type: ignore[attr-defined]
    assert load_network("lost_sales", penalty=0).nodes["store"].target_service == 0.95


def test_newsvendor_reproduces_the_exact_backorder_levels() -> None:
    from pathlib import Path

    data = json.loads((Path(__file__).parents[1] / "reference" / "backorders.json").read_text())
    for lead_time, penalty, _, level in data["rows"]:
        network = load_network(
            "lost_sales",
            demand="poisson",
            mean=5,
            lead_time=lead_time,
            penalty=penalty,
            unmet_demand="backorder",
        )
        assert make_policy("newsvendor", network).level.item() == level  # type: ignore[attr-defined]


def test_newsvendor_counts_the_lost_margin_and_sums_of_geometric_demand() -> None:
    # 3 days of geometric demand of mean 5: negative binomial of size 3, p = 1/6
    # underage 4 + (10 - 8), overage 1: quantile 6/7 = 0.857; P(X <= 24) = 0.8512, P(X <= 25) = 0.8682
    network = load_network("lost_sales", demand="geometric", mean=5, lead_time=2, penalty=4, price=10, unit_cost=8)
    assert make_policy("newsvendor", network).level.item() == 25  # type: ignore[attr-defined]


def test_newsvendor_upstream_aims_at_the_target_service() -> None:
    network = load_network("two_store")
    level = make_policy("newsvendor", network).level  # type: ignore[attr-defined]
    n = network.node_names.index("warehouse")
    assert level[n, 0] == np.ceil(440 + 1.6448536 * 450**0.5 * 2)


def test_echelon_levels_reach_down_to_the_stores() -> None:
    network = load_network("one_warehouse", mean_demand=[2, 2])
    level = make_policy("echelon_base_stock", network).level[:, 0]  # type: ignore[attr-defined]
    z = 1.6448536
    # a store: 2 days of 2; the warehouse: its lead time 1, the stores' 1 and a review day, of 4
    assert level == pytest.approx([12 + z * 12**0.5, 4 + z * 2, 4 + z * 2], rel=1e-6)


def test_echelon_orders_count_the_stock_below() -> None:
    network = load_network("one_warehouse", mean_demand=[2, 2])  # opening stock 8, 4 and 4
    policy = make_policy("echelon_base_stock", network, level=[[20], [7], [3]])
    assert policy.orders(Chain(network))[0, :, 0].tolist() == [4, 3, 0]


def test_levels_may_differ_by_replication() -> None:
    policy = BaseStock(np.array([25.0, 30.0, 40.0]).reshape(3, 1, 1))
    assert policy.orders(Chain(shop(), 3))[:, 0, 0].tolist() == [5, 10, 20]


def test_random_orders_depend_on_nothing_but_their_key() -> None:
    network = load_network("two_store")
    policy = make_policy("random", network, high=9)
    chain = Chain(network, 2000, seed=3)
    orders = policy.orders(chain)
    assert set(np.unique(orders)) == set(range(10))
    assert orders.mean() == pytest.approx(4.5, abs=0.15)
    assert np.array_equal(orders, policy.orders(chain))
    row = Chain(network, 1, seed=3, ids=np.array([7]))
    assert np.array_equal(policy.orders(row)[0], orders[7])
    chain.step(orders)
    assert not np.array_equal(orders, policy.orders(chain))


def weekend_shop(**changes: Any) -> Network:
    """10 a day, 20 on Saturdays and Sundays, exactly."""
    demand = {"distribution": "constant", "mean": 10, "weekday_add": [0, 0, 0, 0, 0, 10, 10]}
    return shop(node={"lead_time": 1, "opening_stock": 100, "demand": demand}, **changes)


def forecast_levels(network: Network, days: int, **parameters: float) -> list[float]:
    policy, chain, out = make_policy("forecast", network, **parameters), Chain(network), []
    for _ in range(days):
        orders = policy.orders(chain)
        out.append(float((chain.simulator.inventory_position() + orders).item()))
        chain.step(orders)
    return out


def test_forecast_levels_follow_the_weekday() -> None:
    # P = 2: from the second week on today's and tomorrow's demand, Monday first
    levels = forecast_levels(weekend_shop(quantities="real"), 28, safety_factor=0)
    assert levels[14:21] == pytest.approx([20, 20, 20, 20, 30, 40, 30])


def test_forecast_levels_follow_learned_weekdays() -> None:
    network = weekend_shop(quantities="real", forecast={"method": "seasonal"})
    levels = forecast_levels(network, 210, safety_factor=0)
    assert levels[203:210] == pytest.approx([20, 20, 20, 20, 30, 40, 30], rel=0.03)


@pytest.mark.parametrize("method", ["moving_average", "exponential"])
def test_forecast_levels_follow_the_season(method: str) -> None:
    demand = {"distribution": "constant", "mean": 50, "season": {"amplitude": 0.4, "period": 30}}
    network = shop(
        node={"lead_time": 2, "opening_stock": 500, "demand": demand},
        quantities="real", days=90, forecast={"method": method},
    )  # fmt: skip
    season = 50 * (1 + 0.4 * np.sin(2 * np.pi * np.arange(300) / 30))
    expected = [season[t : t + 3].sum() for t in range(150, 200)]
    assert forecast_levels(network, 200, safety_factor=0)[150:] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("method", "error"), [("moving_average", 1e-6), ("seasonal", 0.03)])
def test_a_forecasts_cap_follows_the_days_that_an_order_serves(method: str, error: float) -> None:
    network = weekend_shop(quantities="real", forecast={"method": method})
    policy = make_policy("capped_forecast", network, safety_factor=1000, cap=9)
    # mean demand is 90 / 7; an order of Friday serves Saturday's 20, of Saturday Sunday's
    expected = [9 * demand / (90 / 7) for demand in (10, 10, 10, 10, 20, 20, 10)]
    assert first_orders(network, policy, 210)[203:] == pytest.approx(expected, rel=error)


def test_a_forecast_without_need_of_its_cap_is_the_plain_one() -> None:
    network = shop(node={"lead_time": {"low": 1, "high": 2}, "review_period": 3}, forecast={"method": "seasonal"})
    capped = make_policy("capped_forecast", network, cap=10_000)
    assert first_orders(network, capped, 28) == first_orders(network, make_policy("forecast", network), 28)


def test_forecast_safety_stock_grows_with_the_errors() -> None:
    # on the first morning: f = 5, u = 2, P = 3
    assert forecast_levels(shop(), 1, safety_factor=2)[0] == pytest.approx(15 + 2 * 2 * 3**0.5)
    varying = shop(node={"lead_time": {"low": 1, "high": 3}})  # variance 2/3
    assert forecast_levels(varying, 1, safety_factor=2)[0] == pytest.approx(15 + 2 * (3 * 4 + 25 * 2 / 3) ** 0.5)


def test_warehouses_expect_the_season_one_lead_time_earlier() -> None:
    # constant seasonal demand: the store's base-stock order of day t is the demand of day t + 2
    demand = {"distribution": "constant", "mean": 50, "season": {"amplitude": 0.4, "period": 30}}
    network = Network.model_validate(
        {
            "quantities": "real", "warmup": 0,
            "nodes": {
                "warehouse": {"lead_time": 1, "opening_stock": 50_000},
                "store": {"upstream": "warehouse", "lead_time": 2, "opening_stock": 200, "demand": demand},
            },
        }
    )  # fmt: skip
    policy, chain, levels, orders = make_policy("forecast", network, safety_factor=0), Chain(network), [], []
    for _ in range(160):
        levels.append(policy.levels(chain)[0, 0, 0])  # type: ignore[attr-defined]
        order = policy.orders(chain)
        orders.append(order[0, 1, 0])
        chain.step(order)
    season = 50 * (1 + 0.4 * np.sin(2 * np.pi * np.arange(162) / 30))
    assert orders[90:160] == pytest.approx(season[92:162], rel=1e-4)
    # the warehouse's interval: two days of the store's orders
    assert levels[90:159] == pytest.approx(season[92:161] + season[93:162], rel=1e-4)


def test_forecast_orders_nothing_that_comes_after_the_end() -> None:
    network = shop(finite=True, days=6)  # lead time 2: the order of day 3 serves day 5, the last
    policy = make_policy("forecast", network, safety_factor=5)
    orders = first_orders(network, policy, 6)
    assert orders[3] > 0
    assert orders[4:] == [0, 0]
    assert first_orders(shop(days=6), make_policy("forecast", shop(days=6), safety_factor=5), 6)[4] > 0


def test_by_role_takes_each_roles_own_orders() -> None:
    network = load_network("two_store")
    five, nine = (make_policy("constant", network, quantity=q) for q in (5, 9))
    policy = ByRole({"store": five, "supplier": nine})
    roles = [network.role_of(name) for name in network.node_names]
    expected = [{"store": 5, "warehouse": 0, "supplier": 9}[role] for role in roles]
    assert policy.orders(Chain(network, 2))[:, :, 0].tolist() == [expected] * 2
    with pytest.raises(InputError, match=r"shop.*did you mean|shop.*one of store, supplier, warehouse"):
        ByRole({"shop": make_policy("no_order", network)})


@pytest.mark.parametrize("name", [name for name in RULES if name != "myopic"])
def test_every_rule_but_the_myopic_plays_every_kind_of_network(name: str) -> None:
    for preset in ("three_store", "beer_game", "serial"):
        network = load_network(preset)
        paths = simulate(network, make_policy(name, network), days=12, warmup=2, replications=3)
        assert np.isfinite(paths.metrics["cost"]).all()


def test_rules_are_listed_and_can_be_pickled() -> None:
    assert {"tuned_s_S", "tuned_base_stock", "newsvendor"} < set(POLICIES)
    for name in RULES:
        network = load_network("lost_sales") if name == "myopic" else shop()
        policy = pickle.loads(pickle.dumps(make_policy(name, network)))
        assert policy.name == name
        assert first_orders(network, policy) == first_orders(network, make_policy(name, network))


@pytest.mark.parametrize("name", list(RULES))
def test_rules_can_be_written_down(name: str) -> None:
    network = load_network("lost_sales" if name == "myopic" else "three_store")
    policy = make_policy(name, network)
    again = rule_from_json(json.loads(json.dumps(rule_to_json(policy))), network, network)
    chain = Chain(network, 2)
    assert again.name == name
    assert np.array_equal(again.orders(chain), policy.orders(chain))


def test_a_rule_keeps_its_days_of_demand_on_another_network() -> None:
    old, new = load_network("two_store"), load_network("one_supplier", mean_demand=[1, 2, 3])
    by_role = {"supplier": 9.0, "warehouse": 7.0, "store": 4.0}
    days = np.array([[by_role[old.role_of(name)]] for name in old.node_names])
    means = Chain(old).mean_demand
    moved = rule_from_json(rule_to_json(make_policy("base_stock", old, level=days * means)), old, new)
    assert moved.level[:, 0] == pytest.approx([9 * 6, 7 * 6, 4, 8, 12])  # type: ignore[attr-defined]
    factor = rule_from_json(rule_to_json(make_policy("forecast", old, safety_factor=-0.5)), old, new)
    assert factor.safety_factor[:, 0] == pytest.approx([-0.5] * 5)  # type: ignore[attr-defined]


def test_myopic_orders_by_hand() -> None:
    # demand 0, 1, 2 with 1/4, 1/2, 1/4; nothing on hand. Day 0: P(D <= 1) = 3/4 < 0.8: order 2.
    # Day 1: the day after next, (2 - D)+ is left of these: 2, 1, 0 with 1/4, 1/2, 1/4. Enough with z more:
    # z = 0: 1/4 + 1/2 x 3/4 + 1/4 x 1/4 = 0.6875; z = 1: 1/4 + 1/2 + 1/4 x 3/4 = 0.9375
    demand = {"distribution": "discrete", "values": [0, 1, 2], "probabilities": [0.25, 0.5, 0.25]}
    network = shop(node={"demand": demand, "opening_stock": 0})
    assert first_orders(network, make_policy("myopic", network, critical_ratio=0.8), 2) == [2, 1]
    assert first_orders(network, make_policy("myopic", network, critical_ratio=0.65)) == [1]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (load_network("two_store"), "two_store: there are 4 nodes"),
        (load_network("lost_sales", unmet_demand="backorder"), "unmet demand is backordered"),
        (load_network("lost_sales", demand="normal"), "quantities are real"),
        (shop(), "the demand of shop is a path"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_myopic_is_for_one_store_with_lost_sales(network: Network, message: str) -> None:
    with pytest.raises(InputError, match=f"policy myopic: .*{message}.*; it is for one store with lost sales"):
        make_policy("myopic", network)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("s_s", {}, "policy: 's_s': unknown, did you mean s_S"),
        ("base_stock", {"levle": 3}, "policy base_stock: 'levle': unknown, did you mean level?"),
        ("no_order", {"level": 3}, "policy no_order: level: it has none"),
        ("base_stock", {"level": -1}, "policy base_stock: level: -1: a finite number, at least 0"),
        ("base_stock", {"level": float("nan")}, "policy base_stock: level: nan: a finite number, at least 0"),
        (
            "base_stock",
            {"level": "much"},
            "policy base_stock: level: 'much': a number, or numbers by node and SKU",
        ),
        ("base_stock", {"level": [1, 2, 3]}, "shape (3,): a number, or one by (node, SKU) (1, 1)"),
        ("newsvendor", {"critical_ratio": 1}, "policy newsvendor: critical_ratio: 1: above 0 and below 1"),
    ],
)
def test_bad_input_is_named(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        make_policy(name, shop(), **parameters)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
