"""Stores that see their own stock alone: what they reach, and that the simulator agrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hmarl
from hmarl.errors import InputError
from hmarl.exact import warehouse
from hmarl.exact.decentralised import Search, best_decentralised
from hmarl.network import load_network
from hmarl.policies import simulate
from hmarl.roles import Chain
from tests.reference.rows import WAREHOUSE, Row


class Decentralised:
    """The stores order by their tables, the warehouse for tomorrow's best stock; who gets what is the simulator's."""

    name = "decentralised"

    def __init__(self, search: Search, tables: Any) -> None:
        self.tables, self.shipments, self.next_stock = tables, search.shipments, search.next_stock[1]

    def orders(self, chain: Chain) -> Any:
        warehouse, *stores = chain.simulator.state.on_hand[:, :, 0].astype(int).T
        index = (*stores, np.zeros_like(warehouse), warehouse)
        shipped = self.shipments[:, *index].sum(0)
        orders = [self.next_stock[index] - (warehouse - shipped), *(self.tables[i][stores[i]] for i in range(2))]
        return np.stack(orders, 1)[:, :, None].astype(float)


@pytest.mark.parametrize("row", WAREHOUSE, ids=str)
def test_not_seeing_each_other_costs_less_than_one_per_cent(row: Row) -> None:
    assert 1.004 * row.optimum < best_decentralised(row.network) < 1.009 * row.optimum


@pytest.mark.parametrize("shortage", ["equal_shortfall", "proportional"])
def test_the_tables_cost_in_the_simulator_what_is_computed(shortage: str) -> None:
    network = load_network("one_warehouse", shortage=shortage)
    search = Search(network, warehouse.tree_of(network))
    tables = search.capped_base_stock(level=5, cap=4)
    cost = search.cost(tables)
    found = simulate(network, Decentralised(search, tables), days=1020, warmup=20, replications=500).metrics["cost"]
    assert found.mean() == pytest.approx(cost, abs=3.5 * found.std() / 500**0.5)


def test_a_neighbour_never_helps_in_the_end() -> None:
    network = load_network("one_warehouse", mean_demand=[1, 1], penalty=9)
    search = Search(network, warehouse.tree_of(network))
    start = search.capped_base_stock(level=3, cap=3)
    cost, tables = search.improved(start)
    assert cost < search.cost(start)
    lower = tables.copy()
    lower[:, 0] -= 1
    assert search.cost(lower) > cost


def test_a_table_for_each_store_costs_less() -> None:
    network = load_network("one_warehouse", mean_demand=[1, 1], penalty=9)
    optimum = hmarl.optimal_cost(network).cost
    assert optimum < best_decentralised(network, shared=False) < best_decentralised(network) - 1e-3


def test_a_supplier_behind_the_warehouse() -> None:
    network = load_network("one_supplier", mean_demand=[1, 1], penalty=4)
    optimum = hmarl.optimal_cost(network).cost
    assert 1.001 * optimum < best_decentralised(network) < 1.005 * optimum


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="unfilled orders are kept, they must be cancelled"):
        best_decentralised(load_network("one_warehouse", unfilled_orders="keep"))
    with pytest.raises(InputError, match="it is not stores behind a warehouse with lost sales"):
        best_decentralised(load_network("lost_sales"))
