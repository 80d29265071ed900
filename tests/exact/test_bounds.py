"""Bounds lie below every optimum that is known, and below what policies cost where none is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hmarl
from hmarl.exact import newsvendor
from hmarl.exact.bounds import lower_bound
from hmarl.network import PRESETS, Network, load_network
from hmarl.policies import make_policy
from hmarl.policies.rules import EchelonBaseStock
from tests.exact.played import played
from tests.reference.rows import BACKORDERS, LOST_SALES, NORMAL_BACKORDERS, S_S, SERIAL, SUPPLIER, WAREHOUSE, Row


def value(network: Network) -> float:
    bound = lower_bound(network)
    assert bound is not None
    return bound.value


@pytest.mark.parametrize("row", LOST_SALES, ids=str)
def test_backorders_bound_lost_sales(row: Row) -> None:
    bound = lower_bound(row.network)
    assert bound is not None
    assert "Janakiraman" in bound.source
    assert 1.09 * bound.value < row.optimum < 1.35 * bound.value


@pytest.mark.parametrize("row", [*WAREHOUSE, *SUPPLIER], ids=str)
def test_stores_alone_bound_lost_sales_behind_a_warehouse(row: Row) -> None:
    bound = lower_bound(row.network)
    assert bound is not None
    assert bound.name == "each store alone with a source that always delivers"
    assert 0.95 * row.optimum < bound.value < row.optimum


@pytest.mark.parametrize("row", S_S, ids=str)
def test_without_its_order_cost_a_store_costs_less(row: Row) -> None:
    assert 0.1 * row.optimum < value(row.network) < row.optimum


def test_stores_too_large_to_solve_are_bounded_alone() -> None:
    network = load_network("one_warehouse", mean_demand=[200, 300], **{"store.lead_time": 5})
    alone = [load_network("lost_sales", mean=mean, lead_time=5) for mean in (200, 300)]
    assert value(network) == pytest.approx(sum(value(store) for store in alone))


def test_without_a_lead_time_a_lost_sale_is_a_day_of_backorder() -> None:
    arguments = {"lead_time": 0, "penalty": 9}
    owed = newsvendor.solve(load_network("lost_sales", unmet_demand="backorder", **arguments))
    assert value(load_network("lost_sales", **arguments)) == pytest.approx(owed.cost, abs=1e-7)


@pytest.mark.parametrize(
    "network",
    [
        *(row.network for row in BACKORDERS),
        load_network("lost_sales", unmet_demand="backorder", demand="geometric"),
        load_network("lost_sales", unmet_demand="backorder", demand="uniform", quantities="real"),
    ],
    ids=[*map(str, BACKORDERS), "geometric", "uniform"],
)
def test_one_node_with_backorders_is_its_own_bound(network: Network) -> None:
    optimum = newsvendor.solve(network)
    assert optimum.cost - 4 * optimum.proof.tolerance < value(network) < optimum.cost


@pytest.mark.parametrize("row", [*SERIAL, *NORMAL_BACKORDERS], ids=str)
def test_the_bound_of_real_demand_is_within_the_tolerance_of_the_optimum(row: Row) -> None:
    optimum = hmarl.optimal_cost(row.network)
    assert optimum.cost - 1.1 * optimum.proof.tolerance < value(row.network) < optimum.cost


@pytest.mark.parametrize(
    ("arguments", "levels", "away"),
    [
        ({}, [16, 6, 6], 0.005),
        ({"mean_demand": [5, 1, 2]}, [31, 13, 4, 6], 0.02),
        ({"mean_demand": [3] * 8, "penalty": 19, "warehouse.lead_time": 4}, [185, *[11] * 8], 0.005),
    ],
    ids=["two-stores", "three-stores", "eight-stores"],
)
def test_the_balance_relaxation_is_near_with_backorders(
    arguments: dict[str, Any], levels: list[float], away: float
) -> None:
    network = load_network("one_warehouse", unmet_demand="backorder", **arguments)
    bound = lower_bound(network)
    assert bound is not None
    assert bound.name == "stock moves freely between the nodes below a node"
    cost = played(network, EchelonBaseStock(np.array(levels, float)[:, None]))
    assert bound.value < cost.high
    assert cost.mean < (1 + away) * bound.value


def test_three_levels_of_backorders() -> None:
    network = load_network("one_supplier", unmet_demand="backorder", mean_demand=[1, 2])
    cost = played(network, EchelonBaseStock(np.array([[19.0], [15.0], [4.0], [7.0]])))
    assert 0.995 * cost.mean < value(network) < cost.high


RESTRICTIONS: dict[str, dict[str, Any]] = {
    "capacity": {"warehouse.order_capacity": 6},
    "case-packs": {"warehouse.case_pack": 4, "store.minimum_order": 2},
    "order-cost": {"order_cost": 3},
    "review": {"store.review_period": 2},
    "unreliable": {"warehouse.reliability": 0.8, "store.reliability": 0.9},
    "orders-lost": {"store.order_loss": 0.1},
    "late-from-outside": {"warehouse.lead_time": {"low": 1, "high": 3}},
    "lost-from-outside": {"warehouse.shipment_loss": 0.2},
}


@pytest.mark.parametrize("unmet_demand", ["lost", "backorder"])
@pytest.mark.parametrize("restriction", RESTRICTIONS.values(), ids=RESTRICTIONS)
def test_what_restricts_orders_leaves_the_bound(restriction: dict[str, Any], unmet_demand: str) -> None:
    plain = load_network("one_warehouse", unmet_demand=unmet_demand)
    restricted = load_network("one_warehouse", unmet_demand=unmet_demand, **restriction)
    assert value(restricted) == pytest.approx(value(plain), rel=1e-9)
    assert played(restricted, make_policy("base_stock", restricted)).low > value(restricted)


def test_orders_heard_late_by_the_outermost_source_count_as_lead_time() -> None:
    late = load_network("one_warehouse", unmet_demand="backorder", **{"warehouse.order_lead_time": 2})
    longer = load_network("one_warehouse", unmet_demand="backorder", **{"warehouse.lead_time": 3})
    assert value(late) == pytest.approx(value(longer))


def test_two_skus_cost_what_each_does() -> None:
    one = load_network("lost_sales")
    two = Network.model_validate(one.model_dump() | {"skus": ["a", "b"]})
    assert value(two) == pytest.approx(2 * value(one))


def test_stock_that_costs_less_at_a_store_may_as_well_wait_there() -> None:
    cheap, even = (load_network("one_warehouse", unmet_demand="backorder", warehouse_holding=h) for h in (5, 1))
    assert value(cheap) == pytest.approx(value(even))


@pytest.mark.parametrize(
    "arguments",
    [
        {"store.storage_capacity": 20},
        {"finite": True},
        {"store.demand.season": {"amplitude": 0.3, "period": 7}},
        {"store.demand": {"distribution": "path", "values": [4, 8]}},
        {"unmet_demand": "backorder", "store.lead_time": {"low": 1, "high": 3}},
        {"unmet_demand": "backorder", "store.shipment_loss": 0.1},
        {"unmet_demand": "backorder", "warehouse.demand": {"distribution": "poisson", "mean": 1}},
        {"penalty": 0},
    ],
)
def test_no_useful_bound(arguments: dict[str, Any]) -> None:
    assert lower_bound(load_network("one_warehouse", **arguments)) is None


@pytest.mark.parametrize("name", ["two_store", "three_store", "tight_supply", "corner_shop", "beer_game"])
def test_no_bound_of_a_preset_whose_demand_changes_from_day_to_day(name: str) -> None:
    assert name in PRESETS
    assert lower_bound(load_network(name)) is None
