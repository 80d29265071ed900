"""Demand fitted to histories whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.network.config import Network
from hmarl.network.fit import fit_demand, network_on_path, network_with_sales, whole_weeks
from hmarl.network.sales import SalesHistory
from hmarl.simulator import Simulator

PROFILE = np.array([0.6, 0.8, 0.9, 1.0, 1.2, 1.6, 0.9])


def history(units: np.ndarray, period: str = "day", first: str = "2024-01-01") -> SalesHistory:
    """One store, one SKU; 2024-01-01 is a Monday."""
    step = 1 if period == "day" else 7
    dates = np.datetime64(first) + np.arange(len(units)) * np.timedelta64(step, "D")
    grid = np.asarray(units, float)[:, None, None]
    return SalesHistory(dates, ("north",), ("tea",), grid, np.ones_like(grid, bool), period, True, "x.csv")  # type: ignore[arg-type]


def network(**fields) -> Network:
    return Network.model_validate(
        {
            "skus": ["tea"],
            "nodes": {
                "supplier": {"opening_stock": 1000},
                "north": {
                    "upstream": "supplier",
                    "opening_stock": 100,
                    "holding_cost": 1,
                    "shortage_cost": 9,
                },
            },
            **fields,
        }
    )


def fitted(units: np.ndarray, period: str = "day"):
    return fit_demand(history(units, period), "distribution")["north", "tea"]


def test_bootstrap_replays_the_past_by_weekday():
    past = history(np.tile(np.arange(7) * 10, 6)[2:])  # begins on a "Monday" that sold 20
    demand = fit_demand(past)["north", "tea"]
    assert demand.distribution == "history"
    assert len(demand.values) == 35  # five whole weeks of 40 days
    used = network_with_sales(network(), past, fraction=1)
    simulator = Simulator(used, replications=20)
    played = np.stack([simulator.step(np.zeros((20, 2, 1))).demand[:, 1, 0].copy() for _ in range(30)])
    expected = np.resize(demand.values[:7], 30)
    np.testing.assert_array_equal(played, np.tile(expected, (20, 1)).T)


def test_whole_weeks_leave_out_the_first_days():
    assert whole_weeks(history(np.arange(40))).dates[0] == np.datetime64("2024-01-06")


def test_poisson_with_a_weekday_profile():
    rng = np.random.default_rng(1)
    demand = fitted(rng.poisson(np.resize(20 * PROFILE, 280)))
    assert demand.distribution == "poisson"
    assert demand.mean == pytest.approx(20, rel=0.04)
    np.testing.assert_allclose(demand.weekday, PROFILE, atol=0.08)
    assert demand.trend == 0


def test_flat_demand_has_no_profile_no_trend_no_autocorrelation():
    rng = np.random.default_rng(2)
    plain = [fitted(rng.poisson(20, 140)) for _ in range(50)]
    assert sum(d.weekday is None for d in plain) >= 45
    assert sum(d.trend == 0 for d in plain) >= 45
    assert sum(d.autocorrelation == 0 for d in plain) >= 45


def test_normal_with_its_spread():
    rng = np.random.default_rng(3)
    demand = fitted(np.round(rng.normal(200, 30, 210)))
    assert demand.distribution == "normal"
    assert demand.std == pytest.approx(30, rel=0.15)


def test_overdispersed_counts_keep_mean_and_variance():
    rng = np.random.default_rng(4)
    units = rng.negative_binomial(2, 2 / (2 + 10), 400)  # mean 10, variance 60
    demand = fitted(units)
    assert demand.distribution == "discrete"
    assert demand.base_mean == pytest.approx(units.mean(), rel=0.03)
    assert demand.base_variance(True) == pytest.approx(units.var(), rel=0.15)


def test_trend_goes_on_from_the_end_of_the_history():
    rng = np.random.default_rng(5)
    units = rng.poisson(50 + 0.5 * np.arange(140))  # 120 at its end
    demand = fitted(units)
    assert demand.mean == pytest.approx(120, rel=0.05)
    assert demand.trend == pytest.approx(0.5 / 120, rel=0.25)
    assert demand.trend_days == 28


def test_yearly_season_in_phase():
    rng = np.random.default_rng(6)
    t = np.arange(2 * 52 + 13)
    demand = fitted(rng.poisson(100 * (1 + 0.4 * np.sin(2 * np.pi * t / 52))), "week")
    assert demand.season is not None
    assert demand.season.amplitude == pytest.approx(0.4, abs=0.05)
    assert demand.season.phase == pytest.approx(13, abs=1)  # week 117 is a quarter into its year
    assert demand.base_mean == pytest.approx(100, rel=0.05)


def test_a_closed_weekday_stays_closed():
    rng = np.random.default_rng(7)
    units = rng.poisson(20, 210)
    units[6::7] = 0
    used = network_with_sales(network(), history(units), fraction=1, method="distribution")
    simulator = Simulator(used, replications=50)
    played = np.stack([simulator.step(np.zeros((50, 2, 1))).demand[:, 1, 0].copy() for _ in range(14)])
    assert used.first_weekday == "monday"  # the day after 30 weeks that began on one
    assert (played[[6, 13]] == 0).all()
    assert played[:6].mean() == pytest.approx(20, rel=0.05)


def test_a_series_that_never_sold():
    assert fitted(np.zeros(50)).base_mean == 0


def test_fit_on_the_first_part_only():
    units = np.r_[np.full(70, 10), np.full(30, 99)]
    used = network_with_sales(network(), history(units))
    assert set(used.item("north", "tea").demand.values) == {10}


def test_path_plays_the_end_of_the_past_and_the_future_and_expects_the_past():
    past, future = history(np.arange(70) + 100).split(0.9)
    used = network_on_path(network(), past, future, warmup=5)
    assert (used.days, used.warmup, used.first_weekday) == (12, 5, "wednesday")
    simulator = Simulator(used)
    played = [simulator.step(np.zeros((1, 2, 1))).demand[0, 1, 0] for _ in range(12)]
    np.testing.assert_array_equal(played, np.arange(58, 70) + 100)
    assert simulator.params.mean_demand[1, 0] == pytest.approx(131)  # of 100 ... 162
    assert simulator.params.mean_demand[0, 0] == pytest.approx(131)
    assert simulator.params.demand_std[1, 0] == pytest.approx(np.arange(63).std())


def test_names_on_either_side_must_match():
    past = history(np.arange(70))
    with pytest.raises(InputError, match=r"x\.csv: store 'north': the network's stores are shop"):
        network_with_sales(network(nodes={"shop": {}}), past)
    with pytest.raises(InputError, match=r"no sales of store 'shop'"):
        network_with_sales(network(nodes={"shop": {}, "north": {}}), past)
    with pytest.raises(InputError, match=r"sku 'tea': the network's SKUs are coffee"):
        network_with_sales(network(skus=["coffee"]), past)
    with pytest.raises(InputError, match=r"no sales of sku 'coffee'"):
        network_with_sales(network(skus=["tea", "coffee"]), past)
    with pytest.raises(InputError, match="set period: day"):
        network_with_sales(network(period="week"), past)


def test_unknown_method():
    with pytest.raises(InputError, match="bootstrap or distribution"):
        fit_demand(history(np.arange(70)), "guess")  # type: ignore[arg-type]
