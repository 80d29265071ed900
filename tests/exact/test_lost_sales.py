"""One store with lost sales: cases worked out by hand; test_reference.py has the test bed of Zipkin (2008)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hmarl
from hmarl.errors import InputError
from hmarl.exact import lost_sales
from hmarl.network import Network
from hmarl.policies import make_policy, simulate
from tests.reference.rows import LOST_SALES


def store(values: list[float], probabilities: list[float], **changes: Any) -> Network:
    """A store whose demand takes few values; holding 1 a unit and day, 4 a unit short."""
    demand = {"distribution": "discrete", "values": values, "probabilities": probabilities}
    node = {"holding_cost": 1, "shortage_cost": 4, "lead_time": 1, "demand": demand, **changes.pop("node", {})}
    return Network.model_validate({"warmup": 0, "nodes": {"store": node}, **changes})


def test_demand_0_or_1_by_hand() -> None:
    # stock after the order 0: 4 x 1/2 a day. 1: a third of the days begin empty (cost 4/2), the others with 1 (1/2)
    assert hmarl.optimal_cost(store([0, 1], [0.5, 0.5])).cost == pytest.approx(1, abs=1e-6)
    # lead time 0: up to 1 every day
    optimum = hmarl.optimal_cost(store([0, 1], [0.5, 0.5], node={"lead_time": 0}))
    assert optimum.cost == pytest.approx(0.5)
    assert optimum.proof.tolerance == 0


def test_even_demand_with_an_order_cost_is_the_economic_order_quantity() -> None:
    # 5 a day, 20 an order: 15 every third day leave 10, 5 and 0
    network = store([5], [1], node={"order_cost": 20, "shortage_cost": 50})
    assert hmarl.optimal_cost(network).cost == pytest.approx((20 + 10 + 5 + 0) / 3, abs=1e-6)


def test_even_demand_without_an_order_cost_costs_nothing() -> None:
    assert 0 <= hmarl.optimal_cost(store([5], [1], node={"lead_time": 3})).cost < 1e-6


def test_where_a_lost_sale_costs_nothing_nothing_is_ordered() -> None:
    network = store([3], [1], node={"shortage_cost": 0, "lead_time": 2})
    assert hmarl.optimal_cost(network).cost == pytest.approx(0, abs=1e-6)
    assert simulate(network, make_policy("optimal", network), days=20).mean("ordered") == 0


@pytest.mark.parametrize(
    "demand",
    [
        {"distribution": "uniform", "low": 1, "high": 6},
        {"distribution": "uniform", "low": 0, "high": 3.5},
        {"distribution": "normal", "mean": 3, "std": 2},
        {"distribution": "geometric", "mean": 1},
        {"distribution": "discrete", "values": [0, 2.6, 4], "probabilities": [0.2, 0.5, 0.3]},
    ],
    ids=lambda demand: str(demand["distribution"]),
)
def test_every_demand_is_the_one_that_the_simulator_draws(demand: dict[str, Any]) -> None:
    network = store([1], [1], node={"demand": demand})
    paths = simulate(network, make_policy("optimal", network), days=1020, warmup=20, replications=500)
    costs = paths.metrics["cost"]
    expected = hmarl.optimal_cost(network).cost
    assert costs.mean() == pytest.approx(expected, abs=3.5 * costs.std() / 500**0.5)


def test_larger_tables_have_the_same_optimum() -> None:
    network = LOST_SALES[5].network
    problem = lost_sales.problem_of(network)
    low, high, _, _ = lost_sales.iterate(problem, order_cap=30, stock_cap=60)
    assert low - 1e-6 < hmarl.optimal_cost(network).cost < high + 1e-6


def test_caps_that_are_too_small_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_sales, "first_caps", lambda problem: (2, 3))
    optimum = hmarl.optimal_cost(LOST_SALES[4].network)
    assert optimum.cost == pytest.approx(4.3953, abs=1e-4)
    assert optimum.proof.bounds["order"] > 9


def test_stock_beyond_the_table_orders_nothing_until_it_is_sold() -> None:
    network = store([1], [1], node={"opening_stock": 500, "lead_time": 2})
    policy = make_policy("optimal", network)
    paths = simulate(network, policy, days=520, replications=1, record=[0])
    ordered = paths.trace["ordered"][:, 0, 0, 0]
    assert ordered[:400].sum() == 0
    assert np.all(ordered[510:] == 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantities": "real"}, "quantities are real"),
        ({"skus": ["a", "b"]}, "there are 2 SKUs"),
        ({"finite": True}, "the horizon ends"),
        ({"node": {"lead_time": {"low": 1, "high": 2}}}, "the lead time of store varies"),
        ({"node": {"order_capacity": 3}}, "orders of store are limited"),
        ({"node": {"order_lead_time": 1}}, "orders of store take days to be heard"),
        ({"node": {"outages": [{"first": 1, "last": 2}]}}, "the source of store cannot always deliver"),
        ({"node": {"case_pack": 6}}, "orders of store have a minimum or come in case packs"),
        ({"node": {"holding_cost": 0}}, "holding stock costs nothing at store"),
        ({"node": {"demand": None}}, "store has no demand"),
        ({"node": {"demand": {"distribution": "poisson", "mean": 0}}}, "the demand of store is 0"),
        ({"node": {"demand": {"distribution": "path", "values": [1]}}}, "the demand of store is a path"),
        ({"node": {"demand": {"distribution": "poisson", "mean": 3, "trend": 0.1}}}, r"from day to day \(trend\)"),
        ({"node": {"lead_time": 0, "order_cost": 3}}, "an order costs something and arrives at once"),
        ({"node": {"lead_time": 365}}, r"too large: 10\^\d+.* a sweep of the value iteration, at most 10\^9.9"),
        ({"node": {"demand": {"distribution": "poisson", "mean": 1e4}}}, "too large"),
        (
            {"node": {"demand": {"distribution": "poisson", "mean": 1e6}}},
            "reaches 1,010,000 units a day, at most 1,000,000",
        ),
    ],
    ids=str,
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hmarl.optimal_cost(store([0, 9], [0.5, 0.5], **changes))


def test_the_optimal_policy_takes_no_parameters() -> None:
    with pytest.raises(InputError, match="policy optimal: level: it has none"):
        make_policy("optimal", LOST_SALES[0].network, level=3)
