"""(s, S) with a fixed order cost: by hand, by search, by simulation; test_reference.py has the textbook's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hmarl.exact import newsvendor
from hmarl.exact.distribution import day_demand, over_days
from hmarl.exact.s_S import refusal, solve
from hmarl.network import Demand, Network, load_network
from hmarl.policies.rules import ReorderUpTo
from tests.exact.played import played


def store(**arguments: Any) -> Network:
    return load_network("lost_sales", unmet_demand="backorder", **arguments)


def test_demand_of_one_a_day_by_hand() -> None:
    # order up to n when at 0: K every n days, n - 1, ..., 1, 0 left: 8 / n + (n - 1) / 2 is least at 4
    network = store(lead_time=0, penalty=100, order_cost=8, **{"store.demand": {"distribution": "constant", "mean": 1}})
    optimum = solve(network)
    assert optimum.cost == pytest.approx(8 / 4 + 1.5)
    assert (optimum.policy.reorder_point.item(), optimum.policy.order_up_to.item()) == (0, 4)


def stationary_cost(
    s: int, S: int, day: np.ndarray, served: np.ndarray, h: float, p: float, order_cost: float
) -> float:
    """The cost of (s, S) from the stationary distribution of the position after ordering, S down to s + 1."""
    size = S - s
    moves = np.zeros((size, size))
    for i in range(size):
        for d, probability in enumerate(day):
            moves[i, i + d if i + d < size else 0] += probability
    orders = np.array([day[size - i :].sum() for i in range(size)])
    share = np.linalg.solve(np.vstack([moves.T - np.eye(size), np.ones(size)])[1:], np.eye(size)[-1])
    left = np.arange(S, s, -1)[:, None] - np.arange(len(served))
    costs = (h * np.maximum(left, 0) + p * np.maximum(-left, 0)) @ served
    return float(share @ (costs + order_cost * orders))


def test_no_other_s_and_S_is_better() -> None:
    optimum = solve(store(mean=2, lead_time=1, penalty=3, order_cost=7))
    day = day_demand(Demand(distribution="poisson", mean=2), True, 1.0)
    served = over_days(day, 2)
    costs = {(s, S): stationary_cost(s, S, day, served, 1, 3, 7) for s in range(-3, 8) for S in range(s + 1, 20)}
    assert optimum.cost == pytest.approx(min(costs.values()), abs=1e-9)
    found = int(optimum.policy.reorder_point.item()), int(optimum.policy.order_up_to.item())
    assert costs[found] == pytest.approx(optimum.cost, abs=1e-9)


@pytest.mark.parametrize(
    "arguments",
    [
        {"demand": "geometric", "lead_time": 3, "penalty": 9, "order_cost": 30},
        {"demand": "normal", "mean": 8, "std": 3, "penalty": 2, "order_cost": 30, "quantities": "integer"},
        {"mean": 0.3, "lead_time": 3, "penalty": 0.2, "order_cost": 30},
        {"mean": 6, "penalty": 4, "order_cost": 5, "store.order_lead_time": 1},
    ],
    ids=["geometric", "rounded-normal", "slow-mover", "orders-heard-late"],
)
def test_the_simulator_finds_the_same_cost_and_none_lower_beside_it(arguments: dict[str, Any]) -> None:
    network = store(**arguments)
    assert refusal(network) is None
    optimum = solve(network)
    found = played(network, optimum.policy)
    assert found.low <= optimum.cost <= found.high
    s, S = optimum.policy.reorder_point, optimum.policy.order_up_to
    for other in (ReorderUpTo(s - 3, S), ReorderUpTo(s, S + 5)):
        assert played(network, other).mean > found.mean


def test_without_an_order_cost_it_is_the_newsvendor() -> None:
    network = store(lead_time=2, penalty=9)
    optimum = solve(network)
    assert optimum.cost == pytest.approx(newsvendor.solve(network).cost)
    assert optimum.policy.order_up_to == newsvendor.solve(network).policy.level
    assert optimum.policy.reorder_point == optimum.policy.order_up_to - 1


def test_a_dear_order_of_a_fast_mover_is_found() -> None:
    # 1,000 a day: s and S are thousands apart from where the search begins
    optimum = solve(store(mean=1000, lead_time=3, penalty=2, order_cost=3000))
    assert optimum.cost == pytest.approx(np.sqrt(2 * 3000 * 1000 * 2 / 3), rel=0.01)  # the EOQ with backorders


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"demand": "normal"}, "not in whole units"),
        ({"store.minimum_order": 5}, "a minimum"),
        ({"store.review_period": 7}, "some days only"),
    ],
)
def test_refusals_say_why(arguments: dict[str, Any], reason: str) -> None:
    network = load_network("lost_sales", **{"unmet_demand": "backorder", "order_cost": 5, **arguments})
    assert reason in (refusal(network) or "not refused")
