"""Scenarios change what they say and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.network import PRESETS, SCENARIOS, Demand, Network, apply_scenario, load_network
from hmarl.network.config import Delay, Window
from hmarl.simulator import Simulator


def demands(network: Network) -> list[Demand]:
    items = [network.item(node, sku) for node in network.nodes for sku in network.skus]
    return [item.demand for item in items if item.demand is not None]


def shop(**demand: object) -> Network:
    return load_network("corner_shop", **{"shop.demand": demand})


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_scenario_makes_a_valid_network_and_leaves_the_old_one_as_it_was(preset: str, scenario: str) -> None:
    network = load_network(preset)
    before = network.model_dump()
    if network.period == "week" and scenario == "high_demand_weekend":
        with pytest.raises(InputError, match=r"scenario: 'high_demand_weekend': for a network of period 'day'"):
            apply_scenario(network, scenario)
        return
    changed = apply_scenario(network, scenario)
    assert Network.model_validate(changed.model_dump()) == changed
    assert (changed == network) is (scenario == "normal")
    assert network.model_dump() == before


def test_an_unknown_scenario() -> None:
    with pytest.raises(InputError, match=r"scenario: 'disruptions': unknown, did you mean disruption?"):
        apply_scenario(load_network("two_store"), "disruptions")


def test_weekends_multiply_what_was_there() -> None:
    network = apply_scenario(
        shop(distribution="poisson", mean=5, weekday=[1, 1, 1, 1, 1, 2, 0.5]), "high_demand_weekend"
    )
    assert demands(network)[0].weekday == [1, 1, 1, 1, 1, 3, 0.75]
    assert [d.weekday for d in demands(apply_scenario(load_network("three_store"), "high_demand_weekend"))] == [
        [1, 1, 1, 1, 1, 1.5, 1.5]
    ] * 9


def test_seasonal_is_a_month_or_a_year() -> None:
    for preset, period in (("two_store", 30), ("beer_game", 52)):
        for demand in demands(apply_scenario(load_network(preset), "seasonal")):
            assert demand.season is not None
            assert (demand.season.amplitude, demand.season.period) == (0.5, period)


def test_spikes_are_drawn_anew_and_raise_the_mean() -> None:
    network = apply_scenario(shop(distribution="constant", mean=100), "demand_spike")
    simulator = Simulator(network, replications=400)
    days = []
    for _ in range(60):
        days.append(simulator.step(np.zeros(simulator.shape)).demand[:, 0, 0].copy())
    drawn = np.array(days)
    assert set(np.unique(drawn)) == {100, 250}
    assert np.mean(drawn[2:] == 250) == pytest.approx(1 - 0.95**2, abs=0.01)


def test_supply_changes_meet_the_shipments_of_suppliers() -> None:
    network = apply_scenario(load_network("two_store"), "supplier_delay")
    assert network.nodes["warehouse"].delays == [Delay(first=30, last=59, days=3)]
    assert [n.delays for name, n in network.nodes.items() if name != "warehouse"] == [[], [], []]
    network = apply_scenario(load_network("two_store"), "disruption")
    assert network.nodes["warehouse"].outages == [Window(first=30, last=39)]
    assert apply_scenario(load_network("beer_game"), "disruption").nodes["distributor"].outages == [
        Window(first=12, last=13)
    ]


def test_without_suppliers_they_meet_what_comes_from_outside() -> None:
    assert apply_scenario(load_network("corner_shop"), "supplier_delay").nodes["shop"].delays == [
        Delay(first=9, last=18, days=3)
    ]
    network = apply_scenario(load_network("one_warehouse"), "disruption")
    assert [bool(node.outages) for node in network.nodes.values()] == [True, False, False]


def test_delays_and_outages_add_to_those_of_the_network() -> None:
    network = load_network("two_store", **{"warehouse.outages": [{"first": 1, "last": 2}]})
    assert apply_scenario(network, "disruption").nodes["warehouse"].outages == [
        Window(first=1, last=2), Window(first=30, last=39),
    ]  # fmt: skip


def test_during_a_disruption_nothing_leaves_the_supplier() -> None:
    simulator = Simulator(apply_scenario(load_network("two_store", days=30), "disruption"))
    filled = []
    for _ in range(25):
        outcome = simulator.step(np.full(simulator.shape, 100.0))
        filled.append(outcome.filled[0, 1, 0])
    assert [day for day, units in enumerate(filled) if units == 0] == list(range(10, 20))


@pytest.mark.parametrize(
    "demand",
    [
        {"distribution": "normal", "mean": 50, "std": 4},
        {"distribution": "poisson", "mean": 5},
        {"distribution": "geometric", "mean": 5},
        {"distribution": "discrete", "values": [4, 5, 6], "probabilities": [0.25, 0.5, 0.25]},
        {"distribution": "history", "values": [9, 10, 11, 10]},
    ],
)
def test_high_variability_keeps_the_mean_and_doubles_the_deviation(demand: dict) -> None:
    before = demands(shop(**demand))[0]
    after = demands(apply_scenario(shop(**demand), "high_variability"))[0]
    assert after.base_mean == pytest.approx(before.base_mean, rel=1e-6)
    assert after.base_variance(True) == pytest.approx(4 * before.base_variance(True), rel=1e-5)


def test_high_variability_of_what_cannot_spread_that_far_or_did_not_vary() -> None:
    uniform = demands(apply_scenario(shop(distribution="uniform", low=1, high=9), "high_variability"))[0]
    assert (uniform.low, uniform.high) == (0, 10)
    constant = demands(apply_scenario(shop(distribution="constant", mean=7), "high_variability"))[0]
    assert (constant.distribution, constant.low, constant.high) == ("uniform", 4, 10)
    nothing = demands(apply_scenario(shop(distribution="constant", mean=0), "high_variability"))[0]
    assert nothing.base_mean == 0
    sparse = {"distribution": "discrete", "values": [0, 10], "probabilities": [0.5, 0.5]}
    assert demands(apply_scenario(shop(**sparse), "high_variability"))[0].base_mean == 5
