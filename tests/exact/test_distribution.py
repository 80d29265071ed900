"""Demand on a grid is the demand that the simulator draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hmarl.exact.distribution import Array, add, day_demand, grid_step, is_counted, mean_of, over_days, surplus
from hmarl.network import Demand, Network
from hmarl.simulator import Simulator

COUNTED: list[dict[str, Any]] = [
    {"distribution": "poisson", "mean": 5},
    {"distribution": "geometric", "mean": 3},
    {"distribution": "normal", "mean": 4, "std": 3},
    {"distribution": "uniform", "low": 2, "high": 7.5},
    {"distribution": "uniform", "low": 0.6, "high": 3.2},
    {"distribution": "discrete", "values": [0, 2.6, 9], "probabilities": [0.5, 0.3, 0.2]},
    {"distribution": "constant", "mean": 4.4},
]
MEASURED: list[dict[str, Any]] = [
    {"distribution": "normal", "mean": 4, "std": 3},
    {"distribution": "normal", "mean": 5, "std": 0.4},
    {"distribution": "uniform", "low": 1.21, "high": 3.46},
    {"distribution": "poisson", "mean": 0.7},
]


def drawn(demand: dict[str, Any], quantities: str) -> Array:
    """200,000 days of the simulator's demand."""
    nodes = {"shop": {"lead_time": 0, "demand": demand}}
    simulator = Simulator(Network.model_validate({"nodes": nodes, "quantities": quantities}), 2000, seed=3)
    days = [simulator.step(np.zeros(simulator.shape)).demand[:, 0, 0].copy() for _ in range(100)]
    return np.concatenate(days)


@pytest.mark.parametrize(
    ("data", "quantities"),
    [*((d, "integer") for d in COUNTED), *((d, "real") for d in MEASURED)],
    ids=lambda value: value if isinstance(value, str) else value["distribution"],
)
def test_mean_stock_left_after_a_day(data: dict[str, Any], quantities: str) -> None:
    demand, integer = Demand.model_validate(data), quantities == "integer"
    step = grid_step([demand], integer)
    assert step == 1 if is_counted(demand, integer) else step < 0.02
    pmf = day_demand(demand, integer, step)
    assert pmf.min() >= 0
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    draws = drawn(data, quantities)
    for k in range(1, len(pmf), max(1, len(pmf) // 8)):
        left = np.maximum(k * step - draws, 0)
        error = max(4 * float(left.std()) / np.sqrt(len(left)), 1e-9)
        assert surplus(pmf, step, len(pmf))[k] == pytest.approx(left.mean(), abs=error), k


def test_a_grid_keeps_the_mean_of_clipped_normal_demand() -> None:
    # E max(D, 0) of N(1, 1) is 1 + phi(1) - (1 - Phi(1))
    demand = Demand(distribution="normal", mean=1, std=1)
    step = grid_step([demand], integer=False)
    assert mean_of(day_demand(demand, False, step), step) == pytest.approx(1.0833155, abs=1e-7)


def test_two_dice() -> None:
    die = np.array([0, *[1 / 6] * 6])
    assert add(die, die)[7] == pytest.approx(6 / 36)
    assert over_days(die, 3)[3:6] == pytest.approx([1 / 216, 3 / 216, 6 / 216])
    assert over_days(die, 0) == pytest.approx([1])


def test_thirteen_days_of_poisson_demand_are_poisson() -> None:
    day, total = (day_demand(Demand(distribution="poisson", mean=m), True, 1.0) for m in (2, 26))
    found = over_days(day, 13)
    shared = min(len(found), len(total))
    assert found[:shared] == pytest.approx(total[:shared], abs=1e-12)


def test_whole_units_on_a_finer_grid_stay_what_they_are() -> None:
    demand = Demand(distribution="discrete", values=[1, 3], probabilities=[0.25, 0.75])
    assert np.array_equal(day_demand(demand, False, 0.5), [0, 0, 0.25, 0, 0, 0, 0.75])


def test_steps_divide_a_unit_and_are_not_too_many() -> None:
    wide, narrow = (Demand(distribution="normal", mean=60, std=std) for std in (15, 0.001))
    assert grid_step([wide], False) == 1 / 14
    assert grid_step([wide, narrow], False) == 1 / 334
    assert grid_step([wide, narrow], True) == 1
