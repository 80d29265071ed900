"""Stages in series: Clark and Scarf's levels against the textbook and the simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmarl.exact import distribution, newsvendor
from hmarl.exact.serial import fits, refusal, solve
from hmarl.network import Network, load_network
from hmarl.policies.rules import EchelonBaseStock
from tests.exact.played import played
from tests.reference.rows import SERIAL

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "serial.json").read_text())


def test_snyder_shen_example_6_1() -> None:
    row = REFERENCE["foundations_of_supply_chain_theory_example_6_1"]
    optimum = solve(SERIAL[0].network)
    assert optimum.cost + 30 == pytest.approx(row["cost_with_transit_holding"], abs=row["tolerance"])
    assert optimum.policy.level[::-1, 0] == pytest.approx(row["echelon_base_stock"], abs=0.006)


def test_four_echelon_levels() -> None:
    network, levels = SERIAL[1].network, SERIAL[1].rules["echelon_base_stock"][1]["level"]
    optimum = solve(network)
    assert optimum.policy.level == pytest.approx(levels, abs=0.2)
    assert played(network, optimum.policy).mean < played(network, EchelonBaseStock(levels)).mean + 1e-3


SERIES: dict[str, dict[str, Any]] = {
    "example-6-1": {"std": 1, "lead_times": [0, 1, 2], "holding_costs": [7, 4, 2], "penalty": 37.12},
    "four-echelons": {},
    "poisson": {"store.demand": {"distribution": "poisson", "mean": 5}},
    "rounded-normal": {
        "lead_times": [1, 0, 3],
        "holding_costs": [1, 0.5, 0.2],
        "quantities": "integer",
        "store.demand": {"distribution": "normal", "mean": 2, "std": 3},
    },
    "clipped-normal": {
        "lead_times": [1, 0, 3],
        "holding_costs": [1, 0.5, 0.2],
        "store.demand": {"distribution": "normal", "mean": 2, "std": 3},
    },
    "no-value-added": {
        "lead_times": [1, 1, 3],
        "holding_costs": [1, 1, 0.2],
        "store.demand": {"distribution": "uniform", "low": 1, "high": 7.3},
        "supplier.order_lead_time": 1,
    },
    "two-stages-at-once": {"lead_times": [0, 0], "holding_costs": [1, 0.5]},
}


@pytest.mark.parametrize("arguments", SERIES.values(), ids=SERIES)
def test_the_simulator_finds_the_same_cost_and_none_lower_beside_it(arguments: dict[str, Any]) -> None:
    network = load_network("serial", **arguments)
    assert refusal(network) is None
    optimum = solve(network)
    found = played(network, optimum.policy)
    assert found.low - optimum.proof.tolerance <= optimum.cost <= found.high + optimum.proof.tolerance
    for node in (0, -1):
        other = optimum.policy.level.copy()
        other[node] -= 2
        assert played(network, EchelonBaseStock(other)).mean > found.mean


def test_one_stage_is_a_newsvendor() -> None:
    demand = {"distribution": "geometric", "mean": 5}
    series = load_network("serial", lead_times=[2], holding_costs=[1], **{"store.demand": demand})
    store = load_network("lost_sales", demand="geometric", lead_time=2, penalty=9, unmet_demand="backorder")
    assert solve(series).cost == pytest.approx(newsvendor.solve(store).cost, abs=1e-8)
    assert np.array_equal(solve(series).policy.level, newsvendor.solve(store).policy.level)


def test_stages_that_hold_at_the_same_cost_are_one() -> None:
    # where waiting above saves nothing, stock goes to the store at once: lead time 4 in all
    halves = load_network("serial", lead_times=[2, 2], holding_costs=[1, 1], std=1)
    whole = load_network("serial", lead_times=[4], holding_costs=[1], std=1)
    tolerance = solve(halves).proof.tolerance + solve(whole).proof.tolerance
    assert solve(halves).cost == pytest.approx(solve(whole).cost, abs=tolerance)


def test_the_tolerance_covers_what_a_finer_grid_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = solve(load_network("serial"))
    monkeypatch.setattr(distribution, "_POINTS_A_DEVIATION", 1600)
    fine = solve(load_network("serial"))
    assert fine.cost < coarse.cost < fine.cost + coarse.proof.tolerance
    assert coarse.proof.tolerance < 1e-4 * coarse.cost


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"penalty": 0}, "a shortage costs nothing"),
        ({"holding_costs": [1, 2, 0.2, 0.1]}, "holding stock costs less at store than at warehouse_1"),
        ({"holding_costs": [1, 0.5, 0.2, 0]}, "holding stock costs nothing at supplier"),
        ({"supplier.order_cost": 5}, "an order of supplier costs something"),
        ({"store.order_lead_time": 1}, "orders of store take days to be heard"),
        ({"supplier.order_capacity": 9}, "orders of supplier are limited"),
        ({"supplier.demand": {"distribution": "poisson", "mean": 1}}, "supplier has demand of its own"),
    ],
)
def test_refusals_say_why(arguments: dict[str, Any], reason: str) -> None:
    assert reason in (refusal(load_network("serial", **arguments)) or "not refused")


@pytest.mark.parametrize("name", ["one_warehouse", "two_store", "one_supplier"])
def test_trees_are_no_series(name: str) -> None:
    assert not fits(load_network(name, unmet_demand="backorder"))


def test_two_stores_side_by_side_are_no_series() -> None:
    one = load_network("lost_sales", unmet_demand="backorder").model_dump()
    both = one | {"nodes": {"a": one["nodes"]["store"], "b": one["nodes"]["store"]}}
    assert not fits(Network.model_validate(both))
