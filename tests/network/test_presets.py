"""Presets and families hold the design's numbers; what they do not know they refuse in one line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from hmarl.errors import InputError
from hmarl.network import PRESETS, Network, load_network
from hmarl.network.config import Correction, Multiples
from hmarl.network.families import FAMILIES
from hmarl.network.presets import FOLDER


def test_every_preset_is_there_and_every_file_is_a_preset() -> None:
    files = {path.stem for path in FOLDER.glob("*.yaml")}
    assert files | set(FAMILIES) == set(PRESETS)
    for name in PRESETS:
        assert load_network(name).name == name


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_network_survives_yaml(name: str, tmp_path: Path) -> None:
    network = load_network(name)
    file = tmp_path / "copy.yaml"
    file.write_text(yaml.safe_dump(network.model_dump(mode="json")))
    assert load_network(file) == network


def test_two_store_in_numbers() -> None:
    network = load_network("two_store")
    assert (network.period, network.days, network.warmup, network.quantities) == ("day", 90, 7, "integer")
    assert (network.unmet_demand, network.unfilled_orders) == ("lost", "keep")
    assert [network.role_of(name) for name in network.nodes] == ["supplier", "warehouse", "store", "store"]
    expected = {
        "supplier": (None, 4, 1000, 0.10, 180),
        "warehouse": ("supplier", 3, 1000, 0.25, None),
        "store_1": ("warehouse", 2, 300, 0.50, None),
        "store_2": ("warehouse", 2, 250, 0.50, None),
    }
    for name, numbers in expected.items():
        node = network.nodes[name]
        assert (
            node.upstream,
            node.lead_time,
            node.opening_stock,
            node.holding_cost,
            node.order_capacity,
        ) == numbers
        assert (node.unit_cost, node.order_cost) == (12.50, 25)
    for name, mean in (("store_1", 60), ("store_2", 50)):
        item = network.item(name, "coffee")
        assert (item.price, item.shortage_cost, item.target_service) == (24.99, 10, 0.95)
        assert item.demand is not None
        assert item.demand.season is not None
        assert (item.demand.distribution, item.demand.mean, item.demand.std) == ("normal", mean, 15)
        assert (item.demand.season.amplitude, item.demand.season.period) == (0.3, 30)


def test_tight_supply_is_two_store_but_for_its_production_and_roles() -> None:
    tight = load_network("tight_supply", roles={}).model_dump()
    changes = {
        "supplier.order_capacity": 120,
        "supplier.lead_time": {"low": 4, "high": 8},
        "name": "tight_supply",
    }
    assert load_network("two_store", **changes).model_dump() == tight


def test_three_store_adds_a_store_and_two_skus_under_one_roof() -> None:
    network = load_network("three_store")
    assert network.nodes_of("store") == ["store_1", "store_2", "store_3"]
    means = [
        [demand.mean for sku in network.skus if (demand := network.item(store, sku).demand)]
        for store in network.nodes_of("store")
    ]
    assert means == [[60, 20, 8], [50, 20, 8], [75, 20, 8]]
    for store in network.nodes_of("store"):
        capacity = network.nodes[store].storage_capacity
        assert capacity is not None
        assert sum(network.item(store, sku).opening_stock for sku in network.skus) <= capacity


def test_corner_shop_demand_is_the_sum_of_two_uniform_draws() -> None:
    network = load_network("corner_shop")
    shop = network.nodes["shop"]
    counts: dict[int, int] = {}
    for first in range(10, 21):
        for second in range(-5, 6):
            counts[first + second] = counts.get(first + second, 0) + 1
    assert shop.demand is not None
    assert shop.demand.values == sorted(counts)
    assert shop.demand.probabilities == pytest.approx([counts[v] / 121 for v in sorted(counts)], abs=1e-11)
    assert (network.days, network.warmup, shop.lead_time, shop.storage_capacity, shop.opening_stock) == (
        29, 0, 3, 200, 50,
    )  # fmt: skip
    assert (shop.price, shop.shortage_cost, shop.holding_cost, shop.unit_cost) == (10, 5, 2, 1)


def test_corner_shop_peaks_where_t_modulo_7_is_6_or_0() -> None:
    import numpy as np

    demand = load_network("corner_shop").nodes["shop"].demand
    assert demand is not None
    addition = demand.levels(np.arange(29), first_weekday=1)[1]  # Tuesday
    assert [t for t in range(2, 31) if addition[t - 2] == 10] == [t for t in range(2, 31) if t % 7 in (6, 0)]
    assert set(addition) == {0, 10}


def test_beer_game_has_four_seats_and_orders_that_are_heard_late() -> None:
    network = load_network("beer_game")
    assert [network.role_of(name) for name in network.nodes] == [
        "supplier",
        "warehouse",
        "warehouse",
        "store",
    ]
    assert {node.order_lead_time for node in network.nodes.values()} == {1}
    demand = network.nodes["retailer"].demand
    assert demand is not None
    assert demand.values == [4, 4, 4, 4, 8]
    assert (network.period, network.unmet_demand) == ("week", "backorder")


def test_lost_sales_takes_its_arguments() -> None:
    network = load_network("lost_sales", demand="geometric", mean=5, lead_time=2, penalty=9)
    store = network.nodes["store"]
    assert (store.lead_time, store.shortage_cost, store.holding_cost) == (2, 9, 1)
    assert store.demand is not None
    assert (store.demand.distribution, store.demand.mean) == ("geometric", 5)
    assert network.unmet_demand == "lost"
    assert network.role_of("store") == "store"
    assert network.role_settings("store").reward == "cost"
    backorders = load_network("lost_sales", demand="normal", mean=5, std=1.6, unmet_demand="backorder", lead_time=0)
    assert (backorders.unmet_demand, backorders.quantities) == ("backorder", "real")
    assert backorders.nodes["store"].lead_time == 0


def test_serial_counts_stages_from_the_store() -> None:
    network = load_network("serial", lead_times=[0, 1, 2], holding_costs=[7, 4, 2], penalty=37.12, mean=5, std=1)
    assert network.node_names == ["supplier", "warehouse", "store"]
    assert [node.upstream for node in network.nodes.values()] == [None, "supplier", "warehouse"]
    assert [node.lead_time for node in network.nodes.values()] == [2, 1, 0]
    assert [node.holding_cost for node in network.nodes.values()] == [2, 4, 7]
    assert (network.unmet_demand, network.quantities, network.nodes["store"].shortage_cost) == (
        "backorder", "real", 37.12,
    )  # fmt: skip
    assert load_network("serial").node_names == ["supplier", "warehouse_2", "warehouse_1", "store"]
    assert load_network("serial", lead_times=[1], holding_costs=[1]).node_names == ["store"]


def test_one_warehouse_and_one_supplier_are_the_exact_tables_settings() -> None:
    network = load_network("one_warehouse", mean_demand=[1, 2], penalty=9, warehouse_holding=0.3)
    assert (network.unfilled_orders, network.shortage, network.unmet_demand, network.quantities) == (
        "cancel", "equal_shortfall", "lost", "integer",
    )  # fmt: skip
    assert [network.role_of(name) for name in network.nodes] == ["warehouse", "store", "store"]
    assert {node.lead_time for node in network.nodes.values()} == {1}
    demands = [network.nodes[name].demand for name in ("store_1", "store_2")]
    assert [(d.distribution, d.mean) for d in demands if d] == [("poisson", 1), ("poisson", 2)]
    assert network.nodes["warehouse"].holding_cost == 0.3
    network = load_network("one_supplier", mean_demand=[1, 1], penalty=4, supplier_holding=0.1)
    assert [network.role_of(name) for name in network.nodes] == ["supplier", "warehouse", "store", "store"]
    assert [node.holding_cost for node in network.nodes.values()] == [0.1, 0.3, 1, 1]
    assert network.nodes["store_1"].shortage_cost == 4


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nnodes:\n  kiosk:\n    demand: {distribution: poisson, mean: 3}\n")
    network = load_network(file, days=10)
    assert (network.name, network.days, network.node_names) == ("mine", 10, ["kiosk"])
    assert isinstance(load_network(str(file)), Network)


def test_overrides_in_every_form() -> None:
    network = load_network(
        "two_store",
        **{
            "days": 30,
            "nodes.store_1.lead_time": 5,
            "store_2.price": 30,
            "warehouse.lead_time": {"low": 1, "high": 3},
            "holding_cost": 0.7,
            "store.reward": "profit",
            "roles.warehouse.action": {"kind": "quantity", "high": 400, "step": 20},
            "demand.std": 5,
            "store_1.demand.season": None,
            "forecast.method": "seasonal",
        },
    )
    nodes = network.nodes
    assert network.days == 30
    assert (nodes["store_1"].lead_time, nodes["store_2"].lead_time) == (5, 2)
    assert (nodes["store_1"].price, nodes["store_2"].price) == (24.99, 30)
    assert network.lead_time_moments("warehouse") == pytest.approx((2, 2 / 3))
    assert {node.holding_cost for node in nodes.values()} == {0.7}
    assert network.role_settings("store").reward == "profit"
    assert network.role_settings("warehouse").action.kind == "quantity"
    demands = [nodes["store_1"].demand, nodes["store_2"].demand]
    assert [(d.std, d.season is None) for d in demands if d] == [(5, True), (5, False)]
    assert nodes["warehouse"].demand is None
    assert network.forecast.method == "seasonal"
    assert load_network("two_store").days == 90


def test_a_value_for_every_node_reaches_the_skus_that_had_their_own() -> None:
    network = load_network("three_store", opening_stock=50, **{"store.target_service": 0.9})
    assert {network.item(node, sku).opening_stock for node in network.nodes for sku in network.skus} == {50}
    assert network.item("store_3", "tea").target_service == 0.9
    assert network.item("warehouse", "tea").target_service == 0.95


def test_a_demand_for_every_store_replaces_those_by_sku() -> None:
    network = load_network("three_store", demand={"distribution": "poisson", "mean": 2})
    for store in network.nodes_of("store"):
        for sku in network.skus:
            demand = network.item(store, sku).demand
            assert demand is not None
            assert (demand.distribution, demand.mean) == ("poisson", 2)
    assert network.item("warehouse", "tea").demand is None


@pytest.mark.parametrize("name", ["store.action.continuous", "roles.store.action.continuous"])
def test_actions_are_made_continuous_by_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    roles = "roles: {store: {action: {kind: multiples, continuous: true}}}"
    file.write_text(f"{(FOLDER / 'two_store.yaml').read_text()}\n{roles}\n")
    network = load_network("two_store", **{name: True})
    assert network.model_dump() == load_network(file).model_dump()
    assert network.role_settings("store").action == Multiples(continuous=True)
    assert not network.role_settings("warehouse").action.continuous
    other = load_network("lost_sales", **{name: True}).role_settings("store").action
    assert (other.kind, other.continuous) == ("quantity", True)
    kind = load_network("two_store", **{name: True, name.replace("continuous", "kind"): "correction"})
    assert kind.role_settings("store").action == Correction(continuous=True)


@pytest.mark.parametrize(
    ("name", "overrides", "line"),
    [
        ("two_stor", {}, "network: 'two_stor': unknown, did you mean two_store? one of beer_game,"),
        ("nowhere.yaml", {}, "nowhere.yaml: cannot be read: No such file or directory"),
        ("two_store", {"dayz": 3}, "override: 'dayz': unknown, did you mean days"),
        ("two_store", {"store.leadtime": 3},
         "override: 'store.leadtime': unknown, did you mean store.lead_time"),
        ("two_store", {"lead_time": -1}, "two_store: nodes.supplier.lead_time: -1: at least 0"),
        ("two_store", {"store_1.price": -2}, "two_store: nodes.store_1.price: -2: at least 0"),
        ("two_store", {"holding_cost": "x"}, "two_store: nodes.supplier.holding_cost: 'x': a number"),
        ("two_store", {"price": math.nan}, "two_store: nodes.supplier.price: nan: a finite number"),
        ("two_store", {"store.lead_time": {"low": 2, "hi": 3}},
         "two_store: nodes.store_1.lead_time.hi: unknown, did you mean high? one of high, low"),
        ("two_store", {"nodes.store_3.price": 1}, "nodes: 'store_3': unknown, did you mean store_2?"),
        ("two_store", {"nodes.store_1.prise": 1},
         "two_store: nodes.store_1.prise: unknown, did you mean price"),
        ("two_store", {"store_1.upstream": "depot"},
         "two_store: nodes.store_1.upstream: 'depot': one of supplier"),
        ("two_store", {"supplier.upstream": "store_1"},
         "two_store: nodes.supplier.upstream: supplier -> store_1 -> warehouse -> supplier: a cycle"),
        ("two_store", {"store.reward": "profits"},
         "two_store: roles.store.reward: 'profits': unknown, did you mean"),
        ("two_store", {"store.action": {"kind": "qty"}},
         "two_store: roles.store.action: kind: 'qty': unknown"),
        ("two_store", {"store.action": {"high": 3}}, "two_store: roles.store.action: kind is missing"),
        ("two_store", {"store.action.continuous": "maybe"},
         "two_store: roles.store.action.continuous: 'maybe': true or false"),
        ("two_store", {"roles.store.action.continous": True},
         "two_store: roles.store.action.continous: unknown, did you mean continuous? one of continuous,"),
        ("two_store", {"roles": {"shop": {}}}, "two_store: roles.shop: 'shop': unknown; it is one of store,"),
        ("two_store", {"nodes": {"<b>": {}}}, "two_store: nodes.<b>: '<b>': a name is up to 64 letters"),
        ("two_store", {"skus": []}, "two_store: skus: []: at least 1 values, not 0"),
        ("two_store", {"demand": {"distribution": "normal", "mean": 3}},
         "two_store: nodes.store_1.demand: a normal demand takes mean and std; std is missing"),
        ("two_store", {"store_1.price.x": 1}, "store_1.price.x: 1: price is 24.99, which has no parts"),
        ("two_store", {"days": 0, "warmup": -1}, "two_store: days: 0: at least 1 (and 1 more)"),
        ("corner_shop", {"warehouse.lead_time": 1}, "warehouse.lead_time: corner_shop has no warehouse"),
        ("lost_sales", {"demand": "poison"}, "lost_sales: demand: 'poison': unknown, did you mean poisson?"),
        ("lost_sales", {"penalty": -4}, "lost_sales: penalty: -4: at least 0"),
        ("lost_sales", {"std": 2}, "lost_sales: std: 2.0: a normal demand takes one"),
        ("serial", {"lead_times": [1, 2]}, "serial: holding_costs: 4 of them: as many as lead_times"),
        ("one_warehouse", {"mean_demand": [2, -2]}, "one_warehouse: mean_demand.1: -2: above 0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_line(name: str, overrides: dict, line: str) -> None:
    with pytest.raises(InputError) as caught:
        load_network(name, **overrides)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("nodes:\n  a:\n   b: [", "line 3, column 8: not valid YAML"),
        ("- 1\n- 2", "[1, 2]: a mapping with at least `nodes`"),
        ("", "None: a mapping with at least `nodes`"),
        ("name: x", "nodes: is missing"),
        ("nodes: {a: {}}\nnodez: 3", "nodez: unknown, did you mean nodes"),
        ("nodes: {a: {}, a: {}}", "'a' occurs twice"),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path: Path, content: str, line: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"^[^\n]*$") as caught:
        load_network(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert line in str(caught.value)
