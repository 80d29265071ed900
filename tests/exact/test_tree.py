"""Stores behind a warehouse, and behind a supplier: the reference rows, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hmarl
from hmarl.errors import InputError
from hmarl.exact import tree
from hmarl.network import Network, load_network
from hmarl.policies import make_policy, simulate
from hmarl.roles import Chain

_REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "networks.json").read_text())


def rows(kind: str) -> list[dict[str, Any]]:
    return [dict(zip(_REFERENCE[kind]["columns"], row, strict=True)) for row in _REFERENCE[kind]["rows"]]


WAREHOUSE, SUPPLIER = rows("warehouse_and_two_stores"), rows("supplier_warehouse_and_two_stores")


def row_id(row: dict[str, Any]) -> str:
    return f"m{row['mean_demand'][0]}-p{row['penalty']}"


def one_warehouse(row: dict[str, Any]) -> Network:
    return load_network("one_warehouse", **{key: row[key] for key in ("mean_demand", "penalty", "warehouse_holding")})


def one_supplier(row: dict[str, Any]) -> Network:
    keys = ("mean_demand", "penalty", "warehouse_holding", "supplier_holding")
    return load_network("one_supplier", **{key: row[key] for key in keys})


@pytest.mark.parametrize("row", WAREHOUSE, ids=row_id)
def test_a_warehouse_with_two_stores(row: dict[str, Any]) -> None:
    network = one_warehouse(row)
    optimum = hmarl.optimal_cost(network)
    assert optimum.cost == pytest.approx(row["optimal_cost"], abs=1e-4)
    assert optimum.proof.tolerance < 1e-6
    paths = simulate(network, optimum.policy, days=1020, warmup=20, replications=500)
    costs, error = paths.metrics["cost"], 3.5 / 500**0.5
    assert costs.mean() == pytest.approx(optimum.cost, abs=error * costs.std())
    assert paths.mean("fill_rate") == pytest.approx(row["optimal_fill_rate"], abs=2e-3)


@pytest.mark.parametrize("row", SUPPLIER, ids=row_id)
def test_a_supplier_a_warehouse_and_two_stores(row: dict[str, Any]) -> None:
    network = one_supplier(row)
    optimum = hmarl.optimal_cost(network)
    assert optimum.cost == pytest.approx(row["optimal_cost"], abs=1e-4)
    assert optimum.proof.tolerance < 1e-6
    costs = simulate(network, optimum.policy, days=1020, warmup=20, replications=500).metrics["cost"]
    assert costs.mean() == pytest.approx(optimum.cost, abs=3.5 * costs.std() / 500**0.5)


@pytest.mark.parametrize("network", [one_warehouse(WAREHOUSE[0]), one_supplier(SUPPLIER[0])], ids=lambda n: n.name)
def test_the_policy_never_asks_for_more_than_its_source_has(network: Network) -> None:
    chain, policy = Chain(network, 50), make_policy("optimal", network)
    for _ in range(60):
        outcome = chain.step(policy.orders(chain))
        assert np.array_equal(outcome.filled, outcome.ordered)


def test_sharing_and_owing_do_not_matter_where_nothing_is_short() -> None:
    network = one_warehouse(WAREHOUSE[2])
    other = network.model_copy(update={"unfilled_orders": "keep", "shortage": "proportional"})
    assert hmarl.optimal_cost(other).cost == hmarl.optimal_cost(network).cost


def test_a_warehouse_that_need_not_keep_anything_by_hand() -> None:
    # both stores sell 1 every day: 2 pass through the warehouse each day, nothing is left anywhere
    network = load_network("one_warehouse", mean_demand=[1, 1])
    even = {"distribution": "constant", "mean": 1}
    nodes = {
        name: node if node.demand is None else node.model_copy(update={"demand": type(node.demand)(**even)})
        for name, node in network.nodes.items()
    }
    assert hmarl.optimal_cost(network.model_copy(update={"nodes": nodes})).cost == pytest.approx(0, abs=1e-6)


def test_costs_of_the_sku_override_those_of_the_node() -> None:
    network = one_warehouse(WAREHOUSE[2])
    dear = load_network(
        "one_warehouse", mean_demand=[1, 1], penalty=9, **{"warehouse.skus": {"sku_1": {"holding_cost": 2}}}
    )
    also = load_network("one_warehouse", mean_demand=[1, 1], penalty=9, warehouse_holding=2)
    assert hmarl.optimal_cost(dear).cost == hmarl.optimal_cost(also).cost > hmarl.optimal_cost(network).cost


def test_one_store_behind_a_free_warehouse_has_its_lead_time_and_the_warehouses() -> None:
    # stock at the warehouse costs next to nothing: the store can be filled up every morning, lead time 1
    network = load_network("one_warehouse", mean_demand=[3], penalty=4, warehouse_holding=1e-6)
    alone = load_network("lost_sales", mean=3, lead_time=1, penalty=4)
    assert hmarl.optimal_cost(network).cost == pytest.approx(hmarl.optimal_cost(alone).cost, abs=1e-4)


def test_larger_tables_have_the_same_optimum() -> None:
    network = one_supplier(SUPPLIER[1])
    known = tree.tree_of(network)
    low, high, *_ = tree.iterate(known, tree.Caps(7, 6, 19, 19))
    assert low - 1e-6 < hmarl.optimal_cost(network).cost < high + 1e-6


@pytest.mark.parametrize("make", [one_warehouse, one_supplier])
def test_caps_that_are_too_small_are_raised(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = SUPPLIER[1]
    monkeypatch.setattr(tree, "first_caps", lambda t: tree.Caps(2, 2, 0 if t.supplier is None else 4, 4))
    small = hmarl.optimal_cost(make(row))
    monkeypatch.undo()
    assert small.cost == pytest.approx(hmarl.optimal_cost(make(row)).cost, abs=2e-6)


def test_stores_that_differ_are_told_apart() -> None:
    network = load_network("one_warehouse", mean_demand=[1, 3], penalty=4)
    turned = load_network("one_warehouse", mean_demand=[3, 1], penalty=4)
    assert hmarl.optimal_cost(network).cost == pytest.approx(hmarl.optimal_cost(turned).cost, abs=2e-6)
    costs = simulate(network, make_policy("optimal", network), days=1020, warmup=20, replications=300).metrics["cost"]
    assert costs.mean() == pytest.approx(hmarl.optimal_cost(network).cost, abs=3.5 * costs.std() / 300**0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean_demand": [1, 1, 1]}, "too large: 3 stores, at most 2"),
        ({"mean_demand": [40, 40]}, r"too large: .* products a sweep"),
        ({"unmet_demand": "backorder"}, "unmet demand is backordered"),
        ({"store_1.lead_time": 2}, "the lead time of store_1 is 2, this method is for 1"),
        ({"warehouse.order_cost": 5}, "an order of warehouse costs 5, this method is for none"),
        ({"warehouse.order_capacity": 5}, "warehouse: no method takes order_capacity into account"),
        ({"skus": ["a", "b"]}, "2 SKUs, this method is for one"),
        ({"warehouse.demand": {"distribution": "poisson", "mean": 1}}, "warehouse has demand of its own"),
    ],
    ids=str,
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hmarl.optimal_cost(load_network("one_warehouse", **changes))


def test_other_trees_are_refused() -> None:
    with pytest.raises(InputError, match="stores behind one warehouse, at most behind one supplier"):
        hmarl.optimal_cost(load_network("serial", unmet_demand="lost", quantities="integer"))


def test_much_opening_stock_is_kept_where_it_is_cheap() -> None:
    network = load_network("one_warehouse", **{"warehouse.opening_stock": 200})
    trace = simulate(network, make_policy("optimal", network), days=30, replications=5, record=range(5)).trace
    stores = trace["on_hand"][:, :, [network.node_names.index(f"store_{i}") for i in (1, 2)], 0]
    assert stores.max() <= tree.first_caps(tree.tree_of(network)).store_1
