"""Tuned rules against exact levels and costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.network import Network, load_network
from hmarl.policies import TUNABLE, make_policy, simulate, tune, tuning
from hmarl.policies.rules import ReorderUpTo

REFERENCE = Path(__file__).parents[1] / "reference"
_TEST_BED = json.loads((REFERENCE / "lost_sales.json").read_text())
LOST_SALES = [dict(zip(_TEST_BED["columns"], row, strict=True)) for row in _TEST_BED["rows"]]
NETWORKS = json.loads((REFERENCE / "networks.json").read_text())
SERIAL = json.loads((REFERENCE / "serial.json").read_text())
LONG: dict[str, Any] = {"days": 1020, "warmup": 20, "replications": 1000}


def lost_sales(row: dict[str, Any]) -> Network:
    return load_network("lost_sales", demand=row["demand"], mean=5, lead_time=row["lead_time"], penalty=row["penalty"])


def cost(network: Network, policy: Any) -> float:
    return simulate(network, policy, **LONG).mean("cost")


@pytest.mark.parametrize("row", [LOST_SALES[4], LOST_SALES[8]], ids=["poisson-2-4", "poisson-4-4"])
def test_tuned_rules_come_within_half_a_per_cent_of_the_best(row: dict[str, Any]) -> None:
    network = lost_sales(row)
    base_stock = cost(network, make_policy("tuned_base_stock", network, objective="cost"))
    capped = cost(network, make_policy("tuned_capped_base_stock", network, objective="cost"))
    assert base_stock == pytest.approx(row["best_base_stock_cost"], rel=0.005)
    assert capped == pytest.approx(row["capped_base_stock_cost"], rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("row", LOST_SALES, ids=lambda row: f"{row['demand']}-{row['lead_time']}-{row['penalty']}")
def test_every_row_of_the_test_bed(row: dict[str, Any]) -> None:
    network = lost_sales(row)
    level, cap = row["capped_base_stock_level"], row["capped_base_stock_cap"]
    exact = {
        "base_stock": (row["best_base_stock_cost"], {"level": row["best_base_stock_level"]}),
        "capped_base_stock": (row["capped_base_stock_cost"], {"level": level, "cap": cap}),
    }
    for name, (expected, parameters) in exact.items():
        assert cost(network, make_policy(name, network, **parameters)) == pytest.approx(expected, rel=0.005)
        assert cost(network, tune(name, network, "cost")) < 1.006 * expected


@pytest.mark.parametrize("row", LOST_SALES[:2] + LOST_SALES[-1:], ids=lambda row: f"{row['demand']}-{row['penalty']}")
def test_base_stock_costs_what_is_proven(row: dict[str, Any]) -> None:
    network = lost_sales(row)
    policy = make_policy("base_stock", network, level=row["best_base_stock_level"])
    assert cost(network, policy) == pytest.approx(row["best_base_stock_cost"], rel=0.005)


@pytest.mark.parametrize("row", NETWORKS["warehouse_and_two_stores"]["rows"], ids=str)
def test_a_warehouse_with_stores_costs_what_is_proven(row: list[Any]) -> None:
    means, penalty, holding, _, _, expected, warehouse, stores = row
    network = load_network("one_warehouse", mean_demand=means, penalty=penalty, warehouse_holding=holding)
    levels = np.array([[warehouse], *[[level] for level in stores]])
    assert cost(network, make_policy("echelon_base_stock", network, level=levels)) == pytest.approx(expected, rel=0.005)
    assert cost(network, tune("echelon_base_stock", network, "cost")) < 1.006 * expected


@pytest.mark.parametrize("row", NETWORKS["supplier_warehouse_and_two_stores"]["rows"], ids=str)
def test_three_echelons_cost_what_is_simulated_elsewhere(row: list[Any]) -> None:
    means, penalty, at_warehouse, at_supplier, _, expected, supplier, warehouse, store = row
    network = load_network(
        "one_supplier",
        mean_demand=means,
        penalty=penalty,
        warehouse_holding=at_warehouse,
        supplier_holding=at_supplier,
    )
    levels = np.array([[supplier], [warehouse], [store], [store]])
    assert cost(network, make_policy("echelon_base_stock", network, level=levels)) == pytest.approx(expected, rel=0.005)


def test_tuned_echelon_levels_reach_the_four_echelon_optimum() -> None:
    network = load_network("serial")
    expected = SERIAL["four_echelon_serial"]["cost"]
    assert cost(network, tune("echelon_base_stock", network, "cost")) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("name", TUNABLE)
def test_tuning_gains_on_the_textbook_on_other_paths(name: str) -> None:
    network = load_network("two_store", days=40, warmup=10)
    tuned, textbook = make_policy(f"tuned_{name}", network, replications=40), make_policy(name, network)
    assert tuned.name == f"tuned_{name}"
    gain = np.subtract(*(simulate(network, p, replications=300).metrics["reward"] for p in (tuned, textbook)))
    assert gain.mean() > 3 * gain.std() / 300**0.5


def test_levels_are_whole_where_quantities_are() -> None:
    network = load_network("two_store", days=20)
    policy = tune("s_S", network, replications=16)
    assert isinstance(policy, ReorderUpTo)
    for levels in (policy.reorder_point, policy.order_up_to):
        assert np.array_equal(levels, np.rint(levels))
    assert (policy.order_up_to >= policy.reorder_point).all()


def test_many_places_share_their_levels_in_days_of_demand() -> None:
    network = load_network("three_store", days=12, warmup=4)
    policy = tune("base_stock", network, replications=8)
    textbook = make_policy("base_stock", network)
    stores = [n for n, name in enumerate(network.node_names) if network.role_of(name) == "store"]
    moved = policy.level[stores] - np.rint(textbook.level[stores])  # type: ignore[attr-defined]
    coffee = moved[:, 0] / np.array([60, 50, 75])
    assert np.ptp(coffee) < 1 / 50
    assert abs(coffee.mean()) > 0.05


def test_tuning_plays_the_validation_paths_and_keeps_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    splits, real = [], tuning.Chain

    def spy(*args: Any, **kwargs: Any) -> Any:
        splits.append(kwargs["split"])
        return real(*args, **kwargs)

    monkeypatch.setattr(tuning, "Chain", spy)
    network = load_network("lost_sales", days=33, warmup=3)
    first = tune("base_stock", network, "cost", seed=11)
    assert set(splits) == {"validation"}
    count = len(splits)
    assert tune("base_stock", load_network("lost_sales", days=33, warmup=3), "cost", seed=11) is first
    assert len(splits) == count
    tune("base_stock", network, "profit", seed=11)
    assert len(splits) > count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "newsvendor"}, "tune: 'newsvendor': unknown"),
        ({"name": "s_S", "objective": "costs"}, "objective: 'costs': unknown, did you mean cost?"),
        ({"name": "s_S", "days": 20}, "days: 20: more than the 20 days of warm-up"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        tune(network=load_network("lost_sales"), **arguments)
