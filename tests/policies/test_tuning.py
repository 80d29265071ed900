"""Tuned rules against exact levels and costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.exact.evaluation import policy_cost
from hmarl.network import Network, load_network
from hmarl.policies import TUNABLE, make_policy, simulate, tune, tuning
from hmarl.policies.rules import ReorderUpTo

REFERENCE = Path(__file__).parents[1] / "reference"
_TEST_BED = json.loads((REFERENCE / "lost_sales.json").read_text())
LOST_SALES = [dict(zip(_TEST_BED["columns"], row, strict=True)) for row in _TEST_BED["rows"]]
_BACKORDERS = json.loads((REFERENCE / "backorders.json").read_text())
BACKORDERS = [dict(zip(_BACKORDERS["columns"], row, strict=True)) for row in _BACKORDERS["rows"]]
NETWORKS = json.loads((REFERENCE / "networks.json").read_text())
SERIAL = json.loads((REFERENCE / "serial.json").read_text())
LONG: dict[str, Any] = {"days": 1020, "warmup": 20, "replications": 1000}


def lost_sales(row: dict[str, Any]) -> Network:
    return load_network("lost_sales", demand=row["demand"], mean=5, lead_time=row["lead_time"], penalty=row["penalty"])


def cost(network: Network, policy: Any) -> float:
    return simulate(network, policy, **LONG).mean("cost")


def row_name(row: dict[str, Any]) -> str:
    return f"{row['demand']}-L{row['lead_time']}-p{row['penalty']}"


@pytest.mark.parametrize("row", [LOST_SALES[4], LOST_SALES[8]], ids=row_name)
def test_tuned_rules_come_within_half_a_per_cent_of_the_best(row: dict[str, Any]) -> None:
    network = lost_sales(row)
    base_stock = cost(network, make_policy("tuned_base_stock", network, objective="cost"))
    capped = cost(network, make_policy("tuned_capped_base_stock", network, objective="cost"))
    assert base_stock == pytest.approx(row["best_base_stock_cost"], rel=0.005)
    assert capped == pytest.approx(row["capped_base_stock_cost"], rel=0.005)


@pytest.mark.parametrize("objective", ["cost", "reward"])
@pytest.mark.parametrize("row", LOST_SALES, ids=row_name)
def test_tuned_rules_of_the_test_bed_are_its_best(row: dict[str, Any], objective: Any) -> None:
    network = lost_sales(row)
    base_stock, s_s = tune("base_stock", network, objective), tune("s_S", network, objective)
    capped = tune("capped_base_stock", network, objective)
    assert base_stock.level.item() == row["best_base_stock_level"]  # type: ignore[attr-defined]
    assert policy_cost(network, s_s) == pytest.approx(row["best_base_stock_cost"], abs=1e-4)
    assert policy_cost(network, capped) == pytest.approx(row["capped_base_stock_cost"], abs=1e-4)


@pytest.mark.parametrize("row", LOST_SALES, ids=row_name)
def test_a_tuned_constant_order_is_the_best(row: dict[str, Any]) -> None:
    network = lost_sales(row)
    costs = [policy_cost(network, make_policy("constant", network, quantity=z)) for z in range(8)]
    assert tune("constant", network).quantity.item() == np.argmin(costs)  # type: ignore[attr-defined]


@pytest.mark.parametrize("row", BACKORDERS, ids=lambda row: f"L{row['lead_time']}-p{row['penalty']}")
def test_tuned_base_stock_is_the_newsvendors(row: dict[str, Any]) -> None:
    network = load_network("lost_sales", lead_time=row["lead_time"], penalty=row["penalty"], unmet_demand="backorder")
    assert tune("base_stock", network).level.item() == row["optimal_base_stock"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("row", SERIAL["s_S"]["rows"], ids=str)
def test_tuned_s_S_is_that_of_zheng_and_federgruen(row: list[float]) -> None:
    mean, holding, penalty, fixed, point, up_to, _ = row
    costs = {"holding_cost": holding, "penalty": penalty, "order_cost": fixed}
    network = load_network("lost_sales", mean=mean, lead_time=0, unmet_demand="backorder", **costs)
    policy = tune("s_S", network)
    assert isinstance(policy, ReorderUpTo)
    assert (policy.reorder_point.item(), policy.order_up_to.item()) == (point, up_to)


@pytest.mark.parametrize("row", LOST_SALES[:2] + LOST_SALES[-1:], ids=lambda row: f"{row['demand']}-{row['penalty']}")
def test_base_stock_costs_what_is_proven(row: dict[str, Any]) -> None:
    network = lost_sales(row)
    policy = make_policy("base_stock", network, level=row["best_base_stock_level"])
    assert cost(network, policy) == pytest.approx(row["best_base_stock_cost"], rel=0.005)


@pytest.mark.parametrize("row", NETWORKS["warehouse_and_two_stores"]["rows"], ids=str)
def test_tuned_echelon_levels_of_a_warehouse_are_its_best(row: list[Any]) -> None:
    means, penalty, holding, _, _, expected, warehouse, stores = row
    network = load_network("one_warehouse", mean_demand=means, penalty=penalty, warehouse_holding=holding)
    policy = tune("echelon_base_stock", network)
    assert policy.level[:, 0].tolist() == [warehouse, *stores]  # type: ignore[attr-defined]
    assert cost(network, policy) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("row", NETWORKS["supplier_warehouse_and_two_stores"]["rows"], ids=str)
def test_tuned_echelon_levels_of_three_echelons_are_their_best(row: list[Any]) -> None:
    means, penalty, at_warehouse, at_supplier, _, expected, supplier, warehouse, store = row
    network = load_network(
        "one_supplier",
        mean_demand=means,
        penalty=penalty,
        warehouse_holding=at_warehouse,
        supplier_holding=at_supplier,
    )
    policy = tune("echelon_base_stock", network)
    assert policy.level[:, 0].tolist() == [supplier, warehouse, store, store]  # type: ignore[attr-defined]
    assert cost(network, policy) == pytest.approx(expected, rel=0.005)


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


def test_tuned_echelon_levels_of_example_6_1() -> None:
    example = SERIAL["foundations_of_supply_chain_theory_example_6_1"]
    network = load_network("serial", std=1, lead_times=[0, 1, 2], holding_costs=[7, 4, 2], penalty=37.12)
    policy = tune("echelon_base_stock", network)
    assert cost(network, policy) == pytest.approx(example["cost_without_transit_holding"], rel=0.005)


def test_a_reward_that_is_not_cost_is_judged_by_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_ExactJudge", None)
    tune("base_stock", load_network("lost_sales", days=34, **{"roles.store.reward": "default"}))
    tune("base_stock", load_network("one_warehouse", days=34, **{"roles.warehouse.reward": "cost"}))
    tune("base_stock", load_network("lost_sales", days=34), "profit")
    tune("base_stock", load_network("lost_sales", days=34, **{"roles.store.shaping.target_stock": 1}))
    with pytest.raises(TypeError):
        tune("base_stock", load_network("lost_sales", days=34))


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
