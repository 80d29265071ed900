"""Stores behind a warehouse, and behind a supplier: what holds beside the tables' rows (test_reference.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hmarl
from hmarl.errors import InputError
from hmarl.exact import warehouse
from hmarl.network import Network, load_network
from hmarl.policies import make_policy, simulate
from hmarl.roles import Chain
from tests.reference.rows import SUPPLIER, WAREHOUSE, Row


def test_the_optimal_fill_rates_of_the_table() -> None:
    table = json.loads((Path(__file__).parents[1] / "reference" / "networks.json").read_text())
    for row, values in zip(WAREHOUSE, table["warehouse_and_two_stores"]["rows"], strict=True):
        paths = simulate(row.network, make_policy("optimal", row.network), days=1020, warmup=20, replications=500)
        assert paths.mean("fill_rate") == pytest.approx(values[4], abs=2e-3), row.name


@pytest.mark.parametrize("network", [WAREHOUSE[0].network, SUPPLIER[0].network], ids=lambda n: n.name)
def test_the_policy_never_asks_for_more_than_its_source_has(network: Network) -> None:
    chain, policy = Chain(network, 50), make_policy("optimal", network)
    for _ in range(60):
        outcome = chain.step(policy.orders(chain))
        assert np.array_equal(outcome.filled, outcome.ordered)


def test_sharing_and_owing_do_not_matter_where_nothing_is_short() -> None:
    network = WAREHOUSE[2].network
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
    network = WAREHOUSE[2].network
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
    network = SUPPLIER[1].network
    known = warehouse.tree_of(network)
    low, high, *_ = warehouse.iterate(known, warehouse.Caps(7, 6, 19, 19))
    assert low - 1e-6 < hmarl.optimal_cost(network).cost < high + 1e-6


@pytest.mark.parametrize("row", [WAREHOUSE[2], SUPPLIER[1]], ids=str)
def test_caps_that_are_too_small_are_raised(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse, "first_caps", lambda t: warehouse.Caps(2, 2, 0 if t.supplier is None else 4, 4))
    small = hmarl.optimal_cost(row.network)
    monkeypatch.undo()
    assert small.cost == pytest.approx(hmarl.optimal_cost(row.network).cost, abs=2e-6)


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
        ({"mean_demand": [40, 40]}, r"too large: .* multiplications a sweep"),
        ({"unmet_demand": "backorder"}, "it is none of one node, nodes in a row with backorders, stores behind a ware"),
        ({"store_1.lead_time": 2}, "every lead time must be 1, that of store_1 is 2"),
        ({"warehouse.order_cost": 5}, "an order of warehouse costs something"),
        ({"warehouse.order_capacity": 5}, "orders of warehouse are limited"),
        ({"skus": ["a", "b"]}, "there are 2 SKUs"),
        ({"warehouse.demand": {"distribution": "poisson", "mean": 1}}, "warehouse has demand of its own"),
    ],
    ids=str,
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hmarl.optimal_cost(load_network("one_warehouse", **changes))


def test_other_trees_are_refused() -> None:
    with pytest.raises(InputError, match="it is none of one node, nodes in a row"):
        hmarl.optimal_cost(load_network("serial", unmet_demand="lost", quantities="integer"))


def test_much_opening_stock_is_kept_where_it_is_cheap() -> None:
    network = load_network("one_warehouse", **{"warehouse.opening_stock": 200})
    trace = simulate(network, make_policy("optimal", network), days=30, replications=5, record=range(5)).trace
    stores = trace["on_hand"][:, :, [network.node_names.index(f"store_{i}") for i in (1, 2)], 0]
    assert stores.max() <= warehouse.first_caps(warehouse.tree_of(network)).store_1
