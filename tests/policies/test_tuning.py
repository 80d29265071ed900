"""Tuned rules against exact levels and costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.exact import policy_cost
from hmarl.network import Network, load_network
from hmarl.policies import TUNABLE, make_policy, simulate, tune, tuning
from hmarl.policies.rules import ReorderUpTo
from hmarl.policies.tuning import _cost_alone_counts
from tests.reference.rows import LOST_SALES, ROWS, WITH_EXACT_COSTS, Row

LONG: dict[str, Any] = {"days": 1020, "warmup": 20, "replications": 1000}
BEST = [(row, rule) for row in ROWS for rule in row.rules if rule in TUNABLE]


def cost(network: Network, policy: Any) -> float:
    return simulate(network, policy, **LONG).mean("cost")


@pytest.mark.parametrize(("row", "rule"), BEST, ids=str)
def test_tuned_rules_are_the_best_of_the_table(row: Row, rule: str) -> None:
    policy, (expected, parameters) = tune(rule, row.network), row.rules[rule]
    if row in WITH_EXACT_COSTS:
        found, best = (policy_cost(row.network, p) for p in (policy, make_policy(rule, row.network, **parameters)))
        assert found <= best + 1e-6
    else:
        found = cost(row.network, policy)
    assert found == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("row", LOST_SALES, ids=str)
def test_myopic_orders_are_near_those_of_the_table(row: Row) -> None:
    found = cost(row.network, make_policy("myopic", row.network))
    assert found == pytest.approx(row.rules["myopic"][0], rel=0.005)


@pytest.mark.parametrize("row", [LOST_SALES[4], LOST_SALES[8]], ids=str)
def test_tuned_rules_cost_in_long_runs_what_the_table_says(row: Row) -> None:
    for rule in ("base_stock", "capped_base_stock"):
        assert cost(row.network, tune(rule, row.network, "cost")) == pytest.approx(row.rules[rule][0], rel=0.005)


@pytest.mark.parametrize("row", LOST_SALES, ids=str)
def test_tuned_s_S_of_orders_that_cost_nothing_is_base_stock(row: Row) -> None:
    found = policy_cost(row.network, tune("s_S", row.network))
    assert found == pytest.approx(row.rules["base_stock"][0], abs=row.tolerance)


@pytest.mark.parametrize("row", LOST_SALES, ids=str)
def test_a_tuned_constant_order_is_the_best(row: Row) -> None:
    costs = [policy_cost(row.network, make_policy("constant", row.network, quantity=z)) for z in range(8)]
    assert tune("constant", row.network).quantity.item() == np.argmin(costs)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", TUNABLE)
def test_tuning_gains_on_the_textbook_on_other_paths(name: str) -> None:
    network = load_network("two_store", days=40, warmup=10)
    tuned, textbook = make_policy(f"tuned_{name}", network, replications=40), make_policy(name, network)
    assert tuned.name == f"tuned_{name}"
    gain = np.subtract(*(simulate(network, p, replications=300).metrics["reward"] for p in (tuned, textbook)))
    assert gain.mean() > 3 * gain.std() / 300**0.5


@pytest.mark.parametrize(
    ("family", "changes", "objective", "exact"),
    [
        ("lost_sales", {}, "reward", True),
        ("one_warehouse", {}, "reward", True),
        ("two_store", {}, "cost", True),
        ("lost_sales", {}, "profit", False),
        ("lost_sales", {"roles.store.reward": "default"}, "reward", False),
        ("lost_sales", {"roles.store.shaping.target_stock": 1}, "reward", False),
        ("one_warehouse", {"roles.warehouse.reward": "cost"}, "reward", False),
    ],
)
def test_exact_cost_decides_where_nothing_but_the_cost_of_all_counts(
    family: str, changes: dict[str, Any], objective: Any, exact: bool
) -> None:
    assert _cost_alone_counts(load_network(family, **changes), objective) == exact


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
