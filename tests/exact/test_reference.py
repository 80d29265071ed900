"""Every row of the reference tables: its optimum, its policy, its best rules."""

from __future__ import annotations

import functools

import pytest

import hmarl
from hmarl.exact import Optimum
from hmarl.policies import make_policy
from hmarl.policies.rules import BaseStock, ReorderUpTo
from tests.exact.played import played
from tests.reference.rows import BACKORDERS, LOST_SALES, ROWS, S_S, SERIAL, SUPPLIER, WAREHOUSE, WITH_EXACT_COSTS, Row


@functools.cache
def solved(name: str) -> Optimum:
    return hmarl.optimal_cost(next(row.network for row in ROWS if row.name == name))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_optimal_cost(row: Row) -> None:
    assert solved(row.name).cost == pytest.approx(row.optimum, abs=row.tolerance)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_no_bound_is_above_the_optimum(row: Row) -> None:
    bound = hmarl.lower_bound(row.network)
    assert bound is not None
    assert 0 < bound.value <= solved(row.name).cost


@pytest.mark.parametrize("row", [*LOST_SALES, *BACKORDERS, *S_S, *WAREHOUSE, *SUPPLIER], ids=str)
def test_the_proof_is_as_good_as_it_says(row: Row) -> None:
    assert solved(row.name).proof.tolerance < 1e-6


@pytest.mark.parametrize("row", WITH_EXACT_COSTS, ids=str)
def test_the_optimal_policy_costs_in_its_markov_chain_what_is_proven(row: Row) -> None:
    optimum = solved(row.name)
    assert hmarl.policy_cost(row.network, optimum.policy) == pytest.approx(optimum.cost, abs=1e-5)


@pytest.mark.parametrize("row", [LOST_SALES[8], BACKORDERS[3], S_S[0], WAREHOUSE[1], SUPPLIER[1], *SERIAL], ids=str)
def test_the_optimal_policy_costs_in_long_runs_what_is_proven(row: Row) -> None:
    cost, tolerance = played(row.network, solved(row.name).policy), solved(row.name).proof.tolerance
    assert cost.low - tolerance < solved(row.name).cost < cost.high + tolerance


@pytest.mark.parametrize("row", BACKORDERS, ids=str)
def test_the_newsvendors_level(row: Row) -> None:
    policy = solved(row.name).policy
    assert isinstance(policy, BaseStock)
    assert policy.level.item() == row.rules["base_stock"][1]["level"]


@pytest.mark.parametrize("row", S_S, ids=str)
def test_the_levels_of_zheng_and_federgruen(row: Row) -> None:
    policy = solved(row.name).policy
    assert isinstance(policy, ReorderUpTo)
    assert {"reorder_point": policy.reorder_point, "order_up_to": policy.order_up_to} == row.rules["s_S"][1]


@pytest.mark.parametrize("row", [row for row in WITH_EXACT_COSTS if row not in SUPPLIER], ids=str)
def test_rules_cost_exactly_what_the_table_says(row: Row) -> None:
    for name, (cost, parameters) in row.rules.items():
        policy = make_policy(name, row.network, **parameters)
        assert hmarl.policy_cost(row.network, policy) == pytest.approx(cost, abs=row.tolerance), name


@pytest.mark.parametrize("row", SUPPLIER, ids=str)
def test_echelon_levels_cost_exactly_what_is_simulated_in_the_table(row: Row) -> None:
    cost, parameters = row.rules["echelon_base_stock"]
    policy = make_policy("echelon_base_stock", row.network, **parameters)
    assert hmarl.policy_cost(row.network, policy) == pytest.approx(cost, rel=0.001)


@pytest.mark.parametrize("row", [LOST_SALES[0], LOST_SALES[8], LOST_SALES[12], *WAREHOUSE, *SUPPLIER], ids=str)
def test_simulated_base_stock_costs_what_the_table_says(row: Row) -> None:
    name = "base_stock" if row in LOST_SALES else "echelon_base_stock"
    cost, parameters = row.rules[name]
    assert played(row.network, make_policy(name, row.network, **parameters)).mean == pytest.approx(cost, rel=0.005)
