"""The three instances whose demand or supply changes: their numbers, and that their rival knows the calendar."""

from __future__ import annotations

import numpy as np
import pytest

from hmarl.network import Network, load_network
from hmarl.policies import make_policy
from hmarl.policies.validation import check_network
from hmarl.roles import Chain

NAMES = ["weekday_store", "season_spikes", "unreliable_supply"]


@pytest.mark.parametrize("name", NAMES)
def test_an_instance_passes_every_check(name: str) -> None:
    assert [check for check in check_network(load_network(name)) if not check.ok] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_missed_sale_costs_its_margin(name: str) -> None:
    network = load_network(name)
    (store,) = network.nodes.values()
    assert network.unmet_demand == "lost"
    assert store.shortage_cost == store.price - store.unit_cost
    assert network.role_settings("store").reward == "cost"


def levels(network: Network, first: int, last: int) -> list[float]:
    """What the forecast-driven rule orders up to, its safety stock left out."""
    policy, chain, out = make_policy("forecast", network, safety_factor=0), Chain(network), []
    for _ in range(last):
        out.append(float(policy.levels(chain).item()))
        chain.step(policy.orders(chain))
    return out[first:]


def test_the_rule_covers_the_four_weekdays_that_an_order_must_last_for() -> None:
    demand = load_network("weekday_store").nodes["store"].demand
    network = load_network(
        "weekday_store",
        quantities="real",
        **{"store.demand": {"distribution": "constant", "mean": 20, "weekday": demand.weekday}},
    )
    # Monday to Thursday 0.7 + 0.7 + 0.8 + 0.9 = 3.1 times 20, and so on
    assert levels(network, 70, 77) == pytest.approx([62, 74, 92, 96, 92, 80, 64])


def test_the_rule_follows_the_year() -> None:
    season = load_network("season_spikes").nodes["kiosk"].demand.season.model_dump()
    network = load_network(
        "season_spikes",
        quantities="real",
        **{"kiosk.demand": {"distribution": "constant", "mean": 30, "season": season}},
    )
    found = levels(network, 0, 300)
    # three days around the peak on day 91 and around the trough on day 273
    assert found[90] == pytest.approx(3 * 30 * 1.4, rel=1e-3)
    assert found[272] == pytest.approx(3 * 30 * 0.6, rel=1e-3)


def test_the_textbook_level_allows_for_uncertain_lead_times() -> None:
    network = load_network("unreliable_supply")
    mean, variance = network.lead_time_moments("store")
    assert (mean, variance) == pytest.approx((2, 0.54))
    # m P + z sqrt(P sigma^2 + m^2 var L) with P = 2 + 1 weeks
    expected = 96.83 * 3 + 1.6449 * (3 * 38.48**2 + 96.83**2 * 0.54) ** 0.5
    assert make_policy("base_stock", network).level.item() == pytest.approx(expected, rel=1e-4)


def test_drawn_demand_is_the_article_that_it_was_fitted_to() -> None:
    chain = Chain(load_network("unreliable_supply"), 64)
    drawn = np.array([chain.step(np.zeros(chain.simulator.shape)).demand[:, 0, 0].copy() for _ in range(300)])
    centred = drawn - drawn.mean()
    lag_1 = (centred[1:] * centred[:-1]).mean() / centred.var()
    assert (drawn.mean(), drawn.std(), lag_1) == pytest.approx((96.83, 38.48, 0.652), rel=0.02)


def test_one_order_in_ten_is_lost() -> None:
    network = load_network("unreliable_supply")
    chain = Chain(network, 256)
    heard = [chain.step(np.full(chain.simulator.shape, 10.0)).heard[:, 0, 0] > 0 for _ in range(40)]
    assert np.mean(heard) == pytest.approx(0.9, abs=0.01)
