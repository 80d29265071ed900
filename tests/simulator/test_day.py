"""The order of a day by hand-worked examples."""

from typing import Any

import numpy as np
import pytest

from hmarl.network.config import Network
from hmarl.simulator import Simulator, day_costs
from tests.simulator.networks import path, shop


def play(network: Network, *orders: Any) -> list[dict[str, np.ndarray]]:
    """Outcome of each day for replication 0, ``(N, S)`` arrays squeezed; `orders` by day, by node."""
    simulator = Simulator(network)
    days = []
    for order in orders:
        outcome = simulator.step(np.broadcast_to(np.array(order, float).reshape(-1, 1), simulator.shape[1:])[None])
        days.append({k: v[0].squeeze().copy() for k, v in outcome._asdict().items()})
    return days


def test_an_order_with_lead_time_0_serves_todays_demand():
    (day,) = play(shop(demand=path(7)), 5)
    assert (day["received"], day["sold"], day["unmet"], day["left"]) == (5, 5, 2, 0)


def test_an_order_with_lead_time_2_serves_the_demand_of_the_day_after_tomorrow():
    days = play(shop(demand=path(3), lead_time=2, opening_stock=4), 6, 0, 0)
    assert [float(d["sold"]) for d in days] == [3, 1, 3]
    assert [float(d["received"]) for d in days] == [0, 0, 6]
    assert [float(d["left"]) for d in days] == [1, 0, 3]


def test_backorders_are_served_before_todays_demand():
    days = play(shop(demand=path(5, 2, 2), unmet_demand="backorder", opening_stock=3, shortage_cost=4), 0, 3, 9)
    assert [float(d["unmet"]) for d in days] == [2, 1, 0]
    assert [float(d["short"]) for d in days] == [2, 1, 0]
    assert [float(d["sold"]) for d in days] == [3, 3, 3]
    assert [float(d["left"]) for d in days] == [0, 0, 6]


def test_costs_of_a_day():
    network = shop(
        demand=path(7), opening_stock=5, holding_cost=0.5, shortage_cost=4, order_cost=25, price=10, unit_cost=3
    )
    simulator = Simulator(network)
    simulator.step(np.full((1, 1, 1), 1.0))
    costs = day_costs(simulator.params, simulator.outcome)
    assert [float(x.squeeze()) for x in costs] == [0, 4, 25, 3, 60]
    assert float(costs.cost.squeeze()) == 29
    assert float(costs.profit.squeeze()) == 60 - 3 - 29


def warehouse(stores: int = 2, **settings: Any) -> Network:
    stock = settings.pop("stock", 10)
    nodes: dict[str, Any] = {"w": {"opening_stock": stock, "lead_time": 0}}
    for i in range(stores):
        nodes[f"s{i}"] = {"upstream": "w", "lead_time": 0, "demand": path(0)}
    return Network.model_validate({"nodes": nodes, **settings})


@pytest.mark.parametrize(
    ("rule", "asked", "filled"),
    [
        ("proportional", (12, 4), (8, 2)),  # 7.5 and 2.5: one odd unit, to the lowest index
        ("proportional", (4, 12), (3, 7)),  # 2.5 and 7.5: the same
        ("proportional", (3, 4), (3, 4)),
        ("equal_shortfall", (12, 4), (9, 1)),  # 6 short: 3 each
        ("equal_shortfall", (12, 2), (10, 0)),  # 4 short: 2 each
        ("equal_shortfall", (18, 1), (10, 0)),  # 9 short: all of the second's 1, 8 of the first's
        ("equal_shortfall", (8, 5), (7, 3)),  # 3 short: the odd unit to the lowest index
    ],
)
def test_a_shortage_is_shared(rule, asked, filled):
    (day,) = play(warehouse(shortage=rule), (0, *asked))
    assert tuple(day["filled"][1:]) == filled
    assert day["left"][0] == 10 - sum(filled)


def test_real_quantities_are_shared_exactly():
    (day,) = play(warehouse(shortage="proportional", quantities="real"), (0, 12, 4))
    assert tuple(day["filled"][1:]) == (7.5, 2.5)
    (day,) = play(warehouse(3, shortage="equal_shortfall", quantities="real"), (0, 8, 5, 0.5))
    assert tuple(day["filled"][1:]) == (6.5, 3.5, 0)


@pytest.mark.parametrize(("setting", "later"), [("keep", 4), ("cancel", 0)])
def test_what_is_not_filled_is_kept_or_cancelled(setting, later):
    days = play(warehouse(1, unfilled_orders=setting, stock=6), (5, 10), (0, 0))
    # 5 arrive at the warehouse at once (lead time 0) and go on to the store: 11 - 10 = 1 is left
    assert days[0]["filled"].tolist() == [5, 10]
    days = play(warehouse(1, unfilled_orders=setting, stock=6), (0, 10), (9, 0))
    assert days[0]["filled"].tolist() == [0, 6]
    assert days[1]["filled"].tolist() == [9, later]


def test_an_order_lead_time_delays_the_hearing():
    network = shop(order_lead_time=2, lead_time=1)
    days = play(network, 7, 0, 0, 0)
    assert [float(d["heard"]) for d in days] == [0, 0, 7, 0]
    assert [float(d["received"]) for d in days] == [0, 0, 0, 7]


@pytest.mark.parametrize(
    ("node", "asked", "accepted"),
    [
        ({"case_pack": 6}, 8, 6),
        ({"case_pack": 6}, 9.5, 12),
        ({"minimum_order": 10}, 6, 10),
        ({"minimum_order": 10}, 4, 0),
        ({"minimum_order": 10, "case_pack": 4}, 6, 12),
        ({"order_capacity": 5}, 8, 5),
        ({"order_capacity": 5, "case_pack": 2}, 8, 4),
        ({}, 2.6, 3),
        ({"quantities": "real"}, 2.6, 2.6),
        ({}, -3, 0),
    ],
)
def test_orders_are_rounded_to_what_a_node_may_order(node, asked, accepted):
    (day,) = play(shop(**node), asked)
    assert float(day["ordered"]) == accepted


def test_capacity_is_shared_by_the_skus_in_proportion():
    network = shop(order_capacity=10, skus=["a", "b"])
    simulator = Simulator(network)
    assert simulator.step(np.array([[[15.0, 5.0]]])).ordered.ravel().tolist() == [7, 2]


def test_orders_between_reviews_are_not_placed():
    days = play(shop(review_period=3), 5, 5, 5, 5)
    assert [float(d["ordered"]) for d in days] == [5, 0, 0, 5]


def test_what_finds_no_room_is_split_in_proportion_and_lost():
    network = shop(storage_capacity=10, lead_time=1, skus=["a", "b"], opening_stock=2)
    simulator = Simulator(network)
    simulator.step(np.array([[[9.0, 6.0]]]))
    # 4 + 15 = 19 units, 9 too many: 9 x 9/15 = 5.4 and 9 x 6/15 = 3.6; the odd unit to the lowest index
    assert simulator.state.overflow.ravel().tolist() == [6, 3]
    assert simulator.state.on_hand.ravel().tolist() == [5, 5]


def test_outages_and_delays_of_a_window():
    network = shop(lead_time=1, outages=[{"first": 1, "last": 1}], delays=[{"first": 2, "last": 2, "days": 2}])
    days = play(network, 4, 5, 0, 6, 0, 0, 0)
    # day 0: 4, arrive on day 1; day 1: none, owed; day 2: the 5, three days late on day 5; day 3: 6, on day 4
    assert [float(d["filled"]) for d in days] == [4, 0, 5, 6, 0, 0, 0]
    assert [float(d["received"]) for d in days] == [0, 4, 0, 0, 6, 5, 0]


def test_losses_reliability_and_lead_times_happen_as_often_as_they_should():
    network = shop(
        lead_time={"days": [1, 3], "probabilities": [0.25, 0.75]},
        order_loss=0.2, shipment_loss=0.1, reliability=0.5, unfilled_orders="cancel",
    )  # fmt: skip
    simulator = Simulator(network, 20_000)
    outcome = simulator.step(np.full(simulator.shape, 8.0))
    assert (outcome.heard > 0).mean() == pytest.approx(0.8, abs=0.012)
    assert (outcome.filled > 0).mean() == pytest.approx(0.8 * 0.5, abs=0.015)
    assert (outcome.lost > 0).mean() == pytest.approx(0.8 * 0.5 * 0.1, abs=0.006)
    transit = simulator.state.in_transit
    arrived = simulator.state.received > 0
    assert arrived.sum() / (arrived.sum() + (transit > 0).sum()) == pytest.approx(0.25, abs=0.02)


def test_positions_of_a_tree():
    simulator = Simulator(warehouse(1, stock=6, unfilled_orders="keep"))
    simulator.step(np.array([[[0.0], [10.0]]]))
    # the store got 6 of 10 and is owed 4; the warehouse holds nothing and owes 4
    assert simulator.inventory_position()[0].ravel().tolist() == [-4, 10]
    assert simulator.echelon_position()[0].ravel().tolist() == [6, 10]
