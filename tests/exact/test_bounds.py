"""Bounds lie below every optimum that is known, and below what policies cost where none is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmarl.exact import newsvendor, serial
from hmarl.exact.bounds import lower_bound
from hmarl.network import PRESETS, Network, load_network
from hmarl.policies import make_policy
from hmarl.policies.rules import EchelonBaseStock
from tests.exact.played import played

REFERENCE = Path(__file__).parents[1] / "reference"
LOST_SALES = json.loads((REFERENCE / "lost_sales.json").read_text())["rows"]
NETWORKS = json.loads((REFERENCE / "networks.json").read_text())
TREES = [
    *(
        ("one_warehouse", dict(zip(("mean_demand", "penalty", "warehouse_holding"), row[:3], strict=True)), row[3])
        for row in NETWORKS["warehouse_and_two_stores"]["rows"]
    ),
    *(
        (
            "one_supplier",
            dict(zip(("mean_demand", "penalty", "warehouse_holding", "supplier_holding"), row[:4], strict=True)),
            row[4],
        )
        for row in NETWORKS["supplier_warehouse_and_two_stores"]["rows"]
    ),
]


def value(network: Network) -> float:
    bound = lower_bound(network)
    assert bound is not None
    return bound.value


@pytest.mark.parametrize("row", LOST_SALES, ids=[f"{row[0]}-L{row[1]}-p{row[2]}" for row in LOST_SALES])
def test_backorders_bound_lost_sales(row: list[Any]) -> None:
    bound = lower_bound(load_network("lost_sales", demand=row[0], lead_time=row[1], penalty=row[2]))
    assert bound is not None
    assert "Janakiraman" in bound.source
    assert 1.09 * bound.value < row[3] < 1.35 * bound.value


@pytest.mark.parametrize(
    ("family", "arguments", "optimum"),
    TREES,
    ids=[f"{family}-{arguments['mean_demand']}-p{arguments['penalty']}" for family, arguments, _ in TREES],
)
def test_stores_alone_bound_lost_sales_behind_a_warehouse(
    family: str, arguments: dict[str, Any], optimum: float
) -> None:
    bound = lower_bound(load_network(family, **arguments))
    assert bound is not None
    assert bound.name == "each store alone with a source that always delivers"
    assert 0.95 * optimum < bound.value < optimum


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
        load_network("lost_sales", unmet_demand="backorder", demand="geometric"),
        load_network("lost_sales", unmet_demand="backorder", demand="uniform", quantities="real"),
    ],
    ids=["geometric", "uniform"],
)
def test_one_node_with_backorders_is_its_own_bound(network: Network) -> None:
    optimum = newsvendor.solve(network)
    assert optimum.cost - 4 * optimum.proof.tolerance < value(network) < optimum.cost


def test_a_series_with_backorders_is_its_own_bound() -> None:
    optimum = serial.solve(load_network("serial"))
    assert optimum.cost - 1.1 * optimum.proof.tolerance < value(load_network("serial")) < optimum.cost


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
