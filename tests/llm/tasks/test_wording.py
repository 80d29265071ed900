"""What a model is told, against states worked out by hand."""

from __future__ import annotations

import numpy as np

from hmarl.network import Network, load_network
from hmarl.roles import Chain
from llm.tasks.supply_chain import SupplyChainTask


def say(task: SupplyChainTask, chain: Chain, agent: str) -> str:
    return task.messages(chain, np.array([0]), [agent])[0][-1]["content"]


def test_the_corner_shop_sees_the_evening_before() -> None:
    task = SupplyChainTask("corner_shop", economics=False)
    chain = Chain(task.network)
    assert say(task, chain, "shop/goods") == (
        "Day 1 of 30, Monday. Stock 50. Arriving in 1 day 0, in 2 days 0, in 3 days 0. Pending 0. Last demand 0. Order?"
    )
    stock, demands = 50, [12, 17, 20, 25, 30]
    for day, (order, demand) in enumerate(zip([14, 45, 53, 20, 30], demands, strict=True)):
        arrived = [0, 0, 0, 14, 45][day]
        chain.simulator.set_demand(np.full((1, 1, 1), float(demand)))
        chain.step(np.full((1, 1, 1), float(order)))
        stock = max(0, stock + arrived - demand)
    # the evening of the shop's day 6, a Saturday; next morning the 53 arrive
    assert stock == 15
    assert say(task, chain, "shop/goods") == (
        "Day 6 of 30, Saturday. Stock 15. Arriving in 1 day 53, in 2 days 20, in 3 days 30. Pending 103. "
        "Last demand 30. Order?"
    )


def test_stock_of_the_evening_leaves_out_what_overflowed_in_the_morning() -> None:
    task = SupplyChainTask("corner_shop", economics=False)
    chain = Chain(task.network)
    for _ in range(4):
        chain.simulator.set_demand(np.zeros((1, 1, 1)))
        chain.step(np.full((1, 1, 1), 100.0))
    # 150 on hand in the evening; next morning 100 arrive and 50 find no room
    assert chain.simulator.state.on_hand.item() == 200
    assert "Stock 150. Arriving in 1 day 100, in 2 days 100, in 3 days 100. Pending 300." in say(
        task, chain, "shop/goods"
    )


def test_a_store_of_a_chain_is_told_more() -> None:
    task = SupplyChainTask("two_store", show_recommendation=True)
    chain = Chain(task.network)
    demand = np.zeros((1, 4, 1))
    for units in (70.0, 80.0):
        demand[0, 2:] = units
        chain.simulator.set_demand(demand)
        chain.step(np.array([0.0, 0.0, 64.0, 33.0]).reshape(1, 4, 1))
    system, user = task.messages(chain, np.array([0]), ["store_2/coffee"])[0]
    # 250 - 70 - 80 = 100 in the evening; 33 arrive in the morning, 33 the day after
    # the warehouse shipped 97 twice; forecast: five days of the mean 50 and two seen
    assert user["content"].startswith(
        "store_2/coffee. Day 3, Tuesday. Stock 100. Arriving in 1 day 33, in 2 days 33. Pending 66. "
        "Of this not shipped 0. Last demand 80. Inventory position 166. Demand of the last 2 days: 70, 80. "
        "Forecast 57.1 a day, give or take"
    )
    level = 3 * 50 + 1.644854 * 15 * 3**0.5
    assert user["content"].endswith(
        f"The warehouse holds 806. Base-stock orders {level - 166:.0f}. How many units do you order?"
    )
    assert "a unit sold brings 24.99, a unit is worth 12.5, a unit of demand not met costs 10" in system["content"]
    assert system["content"].endswith("End with: Decision: Order N units")


def test_a_warehouse_hears_of_the_stores_below() -> None:
    task = SupplyChainTask("two_store", "warehouse")
    chain = Chain(task.network)
    text = say(task, chain, "warehouse/coffee")
    assert "Owed to others 0." in text
    assert "Stock of the 2 below lasts 5 days at least, 5 on average." in text  # 300 / 60, 250 / 50
    chain.step(np.array([0.0, 0.0, 800.0, 900.0]).reshape(1, 4, 1))
    assert "Owed to others 700." in say(task, chain, "warehouse/coffee")
    assert "Of this not shipped" in say(SupplyChainTask("two_store"), chain, "store_1/coffee")


def test_weeks_and_late_orders() -> None:
    task = SupplyChainTask("beer_game", economics=False)
    chain = Chain(task.network)
    chain.step(np.full(chain.simulator.shape, 6.0))
    text = say(task, chain, next(iter(task.agents)))
    assert text.startswith("Week 2. Stock ")
    assert "Pending 6. Of this not shipped 6." in text


def test_real_units_have_a_digit_and_no_lead_time_no_arrivals() -> None:
    node = {"lead_time": 0, "opening_stock": 7.25, "demand": {"distribution": "constant", "mean": 2.5}}
    network = Network.model_validate({"quantities": "real", "nodes": {"shop": node}})
    task = SupplyChainTask(network, economics=False)
    assert say(task, Chain(network), "shop/sku_1") == ("Day 1, Sunday. Stock 7.2. Pending 0. Last demand 0. Order?")


def test_corner_shop_economics_name_the_weekend() -> None:
    task = SupplyChainTask(load_network("corner_shop"))
    system = task.messages(Chain(task.network), np.array([0]), ["shop/goods"])[0][0]
    assert system["role"] == "system"
    for fact in ("Friday 15, Saturday 25, Sunday 25", "arrives in 4 days", "At most 200 units", "Order 0 to 100 units"):
        assert fact in system["content"]
