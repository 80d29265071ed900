"""One node with backorders: the newsvendor over L + 1 days; test_reference.py has the rows of the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hmarl.exact.newsvendor import fits, normal_optimum, refusal, solve
from hmarl.network import Network, load_network
from hmarl.policies import make_policy
from tests.exact.played import played


def store(**arguments: Any) -> Network:
    return load_network("lost_sales", unmet_demand="backorder", **arguments)


def test_normal_demand_by_hand() -> None:
    # Phi(1.2816) = 0.9, phi(1.2816) = 0.17550: 10 x 2 x 0.17550
    assert normal_optimum(5, 1, 4, 1, 9) == pytest.approx((20 + 2 * 1.281552, 3.50997), abs=1e-5)


def test_demand_of_0_or_10_by_hand() -> None:
    # order up to 10: 10 left every other day; up to 0: 10 short every other day
    demand = {"distribution": "discrete", "values": [0, 10], "probabilities": [0.5, 0.5]}
    network = store(lead_time=0, penalty=4, **{"store.demand": demand})
    assert solve(network).cost == pytest.approx(5)
    assert solve(network).policy.level.item() == 10


@pytest.mark.parametrize(
    "arguments",
    [
        {"demand": "geometric", "lead_time": 3, "penalty": 9},
        {"demand": "uniform", "mean": 4, "lead_time": 1, "penalty": 2},
        {"demand": "uniform", "mean": 4, "lead_time": 2, "penalty": 2, "quantities": "real"},
        {"demand": "normal", "mean": 2, "std": 3, "lead_time": 1, "penalty": 6},
        {"demand": "normal", "mean": 5, "std": 1.6, "lead_time": 4, "penalty": 9},
        {"demand": "normal", "mean": 2, "std": 3, "lead_time": 1, "penalty": 6, "quantities": "integer"},
        {"lead_time": 1, "penalty": 9, "store.order_lead_time": 2},
    ],
    ids=["geometric", "uniform", "uniform-real", "clipped-normal", "normal", "rounded-normal", "orders-heard-late"],
)
def test_the_simulator_finds_the_same_cost_and_none_lower_beside_it(arguments: dict[str, Any]) -> None:
    network = store(**arguments)
    assert refusal(network) is None
    optimum = solve(network)
    found = played(network, optimum.policy)
    assert found.low - optimum.proof.tolerance <= optimum.cost <= found.high + optimum.proof.tolerance
    for away in (-1.0, 1.0):
        other = make_policy("base_stock", network, level=optimum.policy.level + away)
        assert played(network, other).mean > found.mean


def test_a_grid_agrees_with_the_closed_form_where_nothing_is_clipped() -> None:
    # N(40, 4) in whole units differs from the normal distribution by its rounding alone: variance 16 + 1/12
    closed = solve(store(demand="normal", mean=40, std=4, lead_time=3, penalty=9))
    rounded = solve(store(demand="normal", mean=40, std=4, lead_time=3, penalty=9, quantities="integer"))
    assert "closed form" in closed.proof.method
    assert rounded.cost == pytest.approx(closed.cost, rel=0.005)
    assert closed.proof.tolerance < 1e-9


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"penalty": 0}, "a shortage costs nothing"),
        ({"holding_cost": 0}, "holding stock costs nothing at store"),
        ({"store.lead_time": {"low": 1, "high": 3}}, "the lead time of store varies"),
        ({"store.delays": [{"first": 3, "last": 9, "days": 2}]}, "the lead time of store varies"),
        ({"store.demand.season": {"amplitude": 0.3, "period": 7}}, "changes from day to day (season)"),
        ({"store.demand.autocorrelation": 0.5}, "depends on the days before (autocorrelation)"),
        ({"store.demand": {"distribution": "path", "values": [4, 8]}}, "not drawn anew"),
        ({"store.demand": None}, "store has no demand"),
        ({"store.storage_capacity": 30}, "the storage of store is limited"),
        ({"store.order_capacity": 30}, "orders of store are limited"),
        ({"store.review_period": 7}, "store orders on some days only"),
        ({"store.reliability": 0.9}, "the source of store cannot always deliver"),
        ({"store.order_loss": 0.1}, "orders of store get lost"),
        ({"store.shipment_loss": 0.1}, "shipments to store get lost"),
        ({"store.case_pack": 6}, "case packs"),
        ({"finite": True}, "the horizon ends"),
        ({"quantities": "real", "store.demand": {"distribution": "constant", "mean": 2.5}}, "lumps"),
        ({"demand": "normal", "std": 0}, "lumps"),
    ],
)
def test_refusals_say_why(arguments: dict[str, Any], reason: str) -> None:
    network = store(**arguments)
    assert fits(network)
    assert reason in (refusal(network) or "not refused")


@pytest.mark.parametrize(
    "network",
    [load_network("lost_sales"), store(order_cost=5), load_network("serial")],
    ids=["lost-sales", "order-cost", "four-nodes"],
)
def test_what_is_no_newsvendor(network: Network) -> None:
    assert not fits(network)


def test_levels_are_by_node_and_sku() -> None:
    assert np.array_equal(solve(store()).policy.level, [[18.0]])
