"""Forecasts, observations, actions and rewards by hand-worked examples."""

import pickle
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hmarl.network import Network, load_network
from hmarl.roles import Chain

Z = stats.norm.ppf(0.95)


def path(*values: float) -> dict[str, Any]:
    return {"distribution": "path", "values": list(values)}


def small(**settings: Any) -> Network:
    """Two stores (mean demand 10 and 5 over two days) behind a warehouse behind a supplier."""
    store = {"upstream": "w", "lead_time": 1, "opening_stock": 12, "holding_cost": 0.5, "shortage_cost": 4}
    nodes = {
        "a": {**store, "unit_cost": 2, "demand": path(8, 12)},
        "b": {**store, "unit_cost": 2, "demand": path(5)},
        "w": {"upstream": "s", "lead_time": 2, "opening_stock": 6, "holding_cost": 0.2, "unit_cost": 2},
        "s": {"lead_time": 3, "opening_stock": 30, "holding_cost": 0.1, "unit_cost": 2, "order_capacity": 20},
    }
    return Network.model_validate({"nodes": nodes, "days": 2, "warmup": 0, **settings})


def orders(*values: float) -> np.ndarray:
    return np.array(values, float).reshape(1, -1, 1)


def observed(chain: Chain, role: str, agent: int = 0) -> dict[str, float]:
    return dict(zip(chain.roles[role].features, chain.observe(role)[0, agent].tolist(), strict=True))


def test_roles_and_agents_follow_the_tree():
    chain = Chain(small())
    assert {role: agents.agents for role, agents in chain.roles.items()} == {
        "store": ("a/sku_1", "b/sku_1"),
        "warehouse": ("w/sku_1",),
        "supplier": ("s/sku_1",),
    }
    assert chain.mean_demand.ravel().tolist() == [10, 5, 15, 15]
    assert chain.cost_rate.ravel().tolist() == [2, 2, 2, 2]


def test_a_store_sees_the_first_morning():
    seen = observed(Chain(small()), "store")
    # the path 8, 12 has variance 4 around its mean
    assert seen == pytest.approx(
        {
            "stock": 1.2,
            "forecast": 1.0,
            "uncertainty": 0.2,
            "days_of_cover": 0.12,
            "stocked_out_yesterday": 0,
            "warehouse_stock": 6 / 15 / 10,
            "service_level_7_days": 1,
        }
    )


def test_a_store_sees_a_day_later():
    chain = Chain(small())
    chain.step(orders(5, 10, 7, 9))
    # the warehouse had 6 for orders of 5 and 10: 2 and 4; 3 and 6 are owed
    seen = observed(chain, "store")
    forecast = 10 + (8 - 10) / 7
    assert seen["stock"] == pytest.approx((12 - 8 + 2) / 10)
    assert seen["forecast"] == pytest.approx(forecast / 10)
    assert seen["uncertainty"] == pytest.approx(np.sqrt(4 + (4 - 4) / 28) / 10)
    assert seen["days_of_cover"] == pytest.approx((6 + 3) / forecast / 10, rel=1e-6)
    second = observed(chain, "store", 1)
    assert second["stock"] == pytest.approx((12 - 5 + 4) / 5)
    warehouse = observed(chain, "warehouse")
    assert warehouse["orders_yesterday"] == pytest.approx(1)
    assert warehouse["stock"] == pytest.approx(-9 / 15)
    assert warehouse["inbound"] == pytest.approx(7 / 15)
    assert warehouse["lowest_cover_of_stores"] == pytest.approx(9 / forecast / 10, rel=1e-6)
    assert warehouse["mean_cover_of_stores"] == pytest.approx((9 / forecast + (11 + 6) / 5) / 2 / 10, rel=1e-6)
    supplier = observed(chain, "supplier")
    assert supplier["orders_yesterday"] == pytest.approx(7 / 15)
    assert supplier["in_production"] == pytest.approx(9 / 15)
    assert supplier["capacity_left"] == pytest.approx(11 / 15)
    assert supplier["lead_time"] == pytest.approx(0.3)
    assert supplier["fill_rate_7_days"] == pytest.approx(1)


def test_rewards_of_a_day():
    chain = Chain(small())
    chain.step(orders(5, 10, 7, 9))
    # store a: 4 left of 12, all met: 0.4 days of stock; the buffer is far above 4
    # store b: 7 left: 1.4 days; its buffer is 5 + z x 0 (its path does not vary) -> excess 2
    expected = [10 - 0.1 * 4 / 10, 10 - 0.1 * 7 / 5 - 0.05 * 2 / 5]
    assert chain.rewards("store")[0].tolist() == pytest.approx(expected)
    assert chain.rewards("warehouse")[0, 0] == pytest.approx(5 - 0.05 * 0)
    assert chain.rewards("supplier")[0, 0] == pytest.approx(2 - 0.05 * 23 / 15)
    chain.step(orders(0, 0, 0, 40))
    # store a: 6 + nothing arrived today; demand 12: 6 short, 3 owed still
    # store b: 11 - 5 = 6 left, buffer 5
    first, second = chain.rewards("store")[0]
    assert first == pytest.approx(10 * 0.5 - 5 * 6 / 10)
    assert second == pytest.approx(10 - 0.1 * 6 / 5 - 0.05 * 1 / 5)
    assert chain.rewards("warehouse")[0, 0] == pytest.approx(5 * 0.75 - 3 * 0.5)
    # the supplier was asked for nothing and shipped nothing: fill rate 1, nothing late
    assert chain.rewards("supplier")[0, 0] == pytest.approx(2 - 0.05 * 23 / 15)
    assert chain.simulator.outcome.ordered.ravel().tolist() == [0, 0, 0, 20]


def test_late_deliveries_of_a_supplier():
    chain = Chain(small())
    chain.step(orders(0, 0, 40, 0))  # 30 of 40 are shipped, 10 owed
    assert chain.known.service[0, 3, 0] == pytest.approx(0.75)
    assert chain.known.late[0, 3, 0] == 0
    assert chain.rewards("supplier")[0, 0] == pytest.approx(2 * 0.75)
    chain.step(orders(0, 0, 5, 20))
    assert chain.known.service[0, 3, 0] == 0
    assert chain.known.late[0, 3, 0] == 1  # something is owed and nothing was shipped
    for _ in range(3):
        chain.step(orders(0, 0, 0, 0))
    # the 20 came on day 4: 15 owed are shipped, all of them late, none of today's because none was ordered
    assert chain.known.late[0, 3, 0] == 1
    assert chain.known.service[0, 3, 0] == 1


@pytest.mark.parametrize(
    ("action", "choice", "expected"),
    [
        ({"kind": "multiples"}, 3, 1.5 * 10),
        ({"kind": "quantity", "high": 20, "step": 4}, 2, 8),
        ({"kind": "order_up_to", "values": [0, 2.5]}, 1, 25 - 12),
        ({"kind": "order_up_to", "values": [0, 2.5]}, 0, 0),
        # base stock: 10 x 2 + z x 2 x sqrt 2, plus half a day's demand, less the 12 on hand
        ({"kind": "correction", "values": [0, 0.5]}, 1, 20 + Z * 2 * np.sqrt(2) + 5 - 12),
    ],
)
def test_actions_are_quantities(action, choice, expected):
    chain = Chain(small(roles={"store": {"action": action}}))
    assert chain.orders("store", np.array([[choice, 0]]))[0, 0] == pytest.approx(expected)


KINDS: list[dict[str, Any]] = [
    {"kind": "multiples"},
    {"kind": "quantity", "high": 20, "step": 4},
    {"kind": "order_up_to", "values": [2.5, 0, 4]},  # in any order
    {"kind": "correction"},
]


@pytest.mark.parametrize("action", KINDS, ids=lambda action: action["kind"])
def test_continuous_actions_at_the_listed_values_are_the_discrete_ones(action):
    discrete = Chain(small(roles={"store": {"action": action}}))
    continuous = Chain(small(roles={"store": {"action": {**action, "continuous": True}}}))
    values = np.array(action.get("values", discrete.roles["store"].settings.action.model_dump().get("values", [])))
    values = values if len(values) else np.arange(0.0, 21, 4)
    numbers = 2 * (values - values.min()) / np.ptp(values) - 1
    for chain in (discrete, continuous):
        chain.step(orders(5, 10, 7, 9))
    for choice, number in enumerate(numbers):
        expected = discrete.orders("store", np.array([[choice, choice]]))
        asked = continuous.orders("store", np.array([[[number], [number]]], np.float32))
        assert asked == pytest.approx(expected, rel=1e-6, abs=1e-6)
        np.testing.assert_array_equal(continuous.orders("store", np.array([[number, number]], np.float32)), asked)


@pytest.mark.parametrize("action", KINDS, ids=lambda action: action["kind"])
def test_continuous_actions_outside_the_range_are_its_ends(action):
    chain = Chain(small(roles={"store": {"action": {**action, "continuous": True}}}))
    ends, outside = (chain.orders("store", np.array([[-x, x]])) for x in (1.0, 7.5))
    np.testing.assert_array_equal(outside, ends)


def test_the_ends_of_the_range_are_exact():
    action = {"kind": "quantity", "high": 0.7, "step": 0.2, "continuous": True}
    chain = Chain(small(roles={"store": {"action": action}}))
    # any quantity up to 0.7, though 0.6 is the highest of the list
    assert chain.orders("store", np.array([[-1.0, 1.0]]))[0].tolist() == [0, 0.7]
    assert chain.orders("store", np.array([[0.0, 0.5]]))[0].tolist() == pytest.approx([0.35, 0.525])


def test_whole_units_are_ordered_where_the_network_has_them():
    action = {"kind": "quantity", "high": 20, "continuous": True}
    chain = Chain(small(roles={"store": {"action": action}}))
    asked = chain.orders("store", np.array([[0.23, -0.9]]))
    assert asked[0].tolist() == pytest.approx([12.3, 1])
    chain.step(np.concatenate([asked, [[0, 0]]], axis=1).reshape(1, 4, 1))
    assert chain.simulator.outcome.ordered.ravel().tolist() == [12, 1, 0, 0]


def test_an_echelon_level_counts_the_stock_below():
    action = {"kind": "order_up_to", "values": [0, 5], "echelon": True}
    chain = Chain(small(roles={"warehouse": {"action": action}}))
    # 5 days of 15 a day, less 6 at the warehouse and 12 at each store
    assert chain.orders("warehouse", np.array([[1]]))[0, 0] == pytest.approx(75 - 30)


def test_the_pipeline_observation_sees_forecast_echelon_and_season():
    season = {"season": {"amplitude": 0.5, "period": 4}}
    store = {
        "upstream": "w",
        "lead_time": 1,
        "opening_stock": 12,
        "demand": {"distribution": "constant", "mean": 10, **season},
    }
    nodes = {"a": store, "w": {"lead_time": 2, "opening_stock": 6}}
    role = {"observation": "pipeline"}
    chain = Chain(Network.model_validate({"nodes": nodes, "days": 4, "roles": {"store": role, "supplier": role}}))
    seen = observed(chain, "supplier")
    assert (seen["own_forecast"], seen["own_uncertainty"]) == (1, 0)
    assert seen["echelon_position"] == pytest.approx(18 / 10 / 10)
    # 1 + 0.5 sin(pi t / 2): 1 on day 0, 1.5 on day 1, 1 on day 2
    assert (seen["season_today"], seen["season_ahead"]) == pytest.approx((1, 1))
    assert observed(chain, "store")["season_ahead"] == pytest.approx(1.5)


def test_the_pipeline_observation_adds_arrivals_costs_and_the_calendar():
    chain = Chain(small(roles={"store": {"observation": "pipeline"}}))
    chain.step(orders(5, 10, 7, 9))
    seen = observed(chain, "store")
    assert seen["arrives_in_1_days"] == 0
    assert seen["owed_by_source"] == pytest.approx(0.3)
    assert (seen["holding_cost"], seen["shortage_cost"]) == pytest.approx((0.25, 2))
    assert seen["days_left"] == pytest.approx(1 / 14)
    assert [seen[f"weekday_{k}"] for k in range(7)] == [0, 1, 0, 0, 0, 0, 0]


def test_a_store_with_the_pipeline_sees_yesterdays_demand():
    role = {"observation": "pipeline"}
    chain = Chain(small(roles={"store": role, "warehouse": role}))
    assert observed(chain, "store")["demand_yesterday"] == 1  # nothing but the mean is known before the first day
    chain.step(orders(5, 10, 7, 9))
    assert observed(chain, "store")["demand_yesterday"] == pytest.approx(0.8)
    assert observed(chain, "store", 1)["demand_yesterday"] == 1
    assert "demand_yesterday" not in observed(chain, "warehouse")


def test_the_last_day_told_apart_holds_all_later_arrivals():
    role = {"observation": "pipeline", "pipeline_days": 1}
    chain = Chain(small(roles={"supplier": role, "warehouse": {"observation": "pipeline"}}))
    chain.step(orders(0, 0, 3, 6))
    chain.step(orders(0, 0, 0, 9))
    seen = observed(chain, "supplier")
    assert seen["arrives_in_1_days"] == pytest.approx((6 + 9) / 15)
    assert "arrives_in_2_days" not in seen
    assert observed(chain, "warehouse")["arrives_in_1_days"] == 0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cost", -(0.5 * 4) / 20),
        ("profit", -(0.5 * 4) / 20),
        # holding 2, 3.5 at the stores, 0 and 2.3 above, 18 paid for production; the stores' scale is 20 + 10
        ("chain_cost", -(2 + 3.5 + 2.3) / 30),
        ("chain_profit", -(2 + 3.5 + 2.3 + 18) / 30),
    ],
)
def test_money_rewards(kind, expected):
    chain = Chain(small(roles={"store": {"reward": kind}}))
    chain.step(orders(5, 10, 7, 9))
    assert chain.rewards("store")[0, 0] == pytest.approx(expected)


def test_shaping():
    def reward(**shaping: float) -> float:
        chain = Chain(small(roles={"store": {"shaping": shaping}}))
        chain.step(orders(50, 0, 0, 0))
        return chain.rewards("store")[0, 0]

    planned = 10 * 2 + Z * np.sqrt(2) * 2
    assert reward(target_stock=1) - reward() == pytest.approx(1 - abs(62 - planned) / planned)
    assert reward(extreme_orders=2) - reward() == pytest.approx(-2 * (5 - 3))
    assert reward(anticipation=1) == reward()  # nothing peaks on the calendar


def test_exponential_and_seasonal_forecasts():
    weekly = [10.0, 10, 10, 10, 10, 20, 0] * 30
    node = {"lead_time": 0, "demand": path(*weekly)}
    network = {"nodes": {"shop": node}, "days": 210, "warmup": 0}
    exponential = Chain(Network.model_validate({**network, "forecast": {"method": "exponential", "smoothing": 0.5}}))
    exponential.step(np.zeros((1, 1, 1)))
    assert exponential.forecast[0, 0, 0] == pytest.approx(10)
    seasonal = Chain(Network.model_validate({**network, "forecast": {"method": "seasonal"}}))
    for _ in range(196):
        seasonal.step(np.zeros((1, 1, 1)))
    predicted = []
    for _ in range(7):
        predicted.append(seasonal.forecast[0, 0, 0])
        seasonal.step(np.zeros((1, 1, 1)))
    assert predicted == pytest.approx(weekly[:7], abs=1.5)


def test_a_clone_and_a_row_know_the_same():
    network = load_network("three_store")
    batch, alone = Chain(network, 4, 7), Chain(network, 1, 7, ids=np.array([2]))
    rng = np.random.default_rng(0)
    for _ in range(20):
        order = rng.integers(0, 120, batch.simulator.shape).astype(float)
        batch.step(order)
        alone.step(order[2:3])
    clone = batch.clone()
    for role in batch.roles:
        np.testing.assert_array_equal(batch.observe(role)[2], alone.observe(role)[0])
        np.testing.assert_array_equal(batch.rewards(role)[2], alone.rewards(role)[0])
    order = np.full(batch.simulator.shape, 30.0)
    batch.step(order)
    clone.step(order)
    for role in batch.roles:
        np.testing.assert_array_equal(batch.observe(role), clone.observe(role))


def test_rows_taken_know_and_see_what_they_did():
    network = load_network("three_store")
    chain = Chain(network, 4, 7)
    rows = np.array([2, 2, 0, 3, 1, 0])
    order = np.full(chain.simulator.shape, 30.0)
    for _ in range(9):
        chain.step(order)
    taken = chain.take(rows)
    for _ in range(9):
        for role in chain.roles:
            np.testing.assert_array_equal(taken.observe(role), chain.observe(role)[rows])
            np.testing.assert_array_equal(taken.rewards(role), chain.rewards(role)[rows])
        chain.step(order)
        taken.step(order[rows])
    one = taken.take(np.array([5]), np.array([3]))
    one.step(order[:1])
    assert one.observe("store").shape == (1, *chain.observe("store").shape[1:])


def test_observations_and_rewards_fill_a_given_array():
    chain = Chain(small(roles={"store": {"observation": "pipeline"}, "supplier": {"reward": "profit"}}), 3)
    chain.step(np.full(chain.simulator.shape, 8.0))
    for role, agents in chain.roles.items():
        block = np.full((2, 3, len(agents.agents), len(agents.features)), 99, np.float32)
        chain.observe(role, block[1])
        np.testing.assert_array_equal(block[1], chain.observe(role))
        assert (block[0] == 99).all()
        paid = np.full((2, 3, len(agents.agents)), 99.0)
        chain.rewards(role, paid[0])
        np.testing.assert_array_equal(paid[0], chain.rewards(role))
        assert (paid[1] == 99).all()


def test_what_was_observed_stays_as_it_was():
    chain = Chain(small())
    seen, paid = chain.observe("store"), chain.rewards("store")
    kept = seen.copy(), paid.copy()
    chain.step(orders(5, 10, 7, 9))
    chain.observe("store")
    chain.rewards("store")
    np.testing.assert_array_equal(seen, kept[0])
    np.testing.assert_array_equal(paid, kept[1])


def test_a_pickled_chain_goes_on_alone():
    chain = Chain(small(), 2)
    chain.step(np.full(chain.simulator.shape, 8.0))
    other = pickle.loads(pickle.dumps(chain))
    forecast = chain.forecast.copy()
    other.step(np.full(chain.simulator.shape, 3.0))
    np.testing.assert_array_equal(chain.forecast, forecast)
    chain.step(np.full(chain.simulator.shape, 3.0))
    for role in chain.roles:
        np.testing.assert_array_equal(chain.observe(role), other.observe(role))
        np.testing.assert_array_equal(chain.rewards(role), other.rewards(role))


def test_reset_rows_forget():
    chain = Chain(load_network("two_store"), 2)
    fresh = chain.observe("store").copy()
    for _ in range(5):
        chain.step(np.zeros(chain.simulator.shape))
    chain.reset(np.array([True, False]))
    np.testing.assert_array_equal(chain.observe("store")[0], fresh[0])
    assert (chain.observe("store")[1] != fresh[1]).any()


def test_observations_stay_within_bounds():
    chain = Chain(load_network("two_store"), 3)
    for _ in range(60):
        chain.step(np.full(chain.simulator.shape, 5000.0))
        for role in chain.roles:
            seen = chain.observe(role)
            assert np.isfinite(seen).all()
            assert np.abs(seen).max() <= 100


def test_the_stock_observation_sees_what_there_is_and_what_is_on_its_way():
    stock = {"observation": "stock"}
    chain = Chain(small(roles={"store": stock, "warehouse": stock}))
    chain.step(orders(7, 2, 5, 0))  # the warehouse's 6 do not do for 9: 4 and 2 arrive, 3 stay owed to a
    chain.step(orders(0, 0, 4, 0))
    state, position = chain.simulator.state, chain.simulator.inventory_position()[0, :, 0]
    owed, on_the_way = state.owed[0, :2, 0], state.in_transit[0, :, 0]
    store, warehouse = observed(chain, "store"), observed(chain, "warehouse")
    assert list(store) == ["stock", "arrives_in_1_days", "owed_by_source"]
    assert store["stock"] == pytest.approx(state.on_hand[0, 0, 0] / 10)
    assert store["owed_by_source"] == pytest.approx(owed[0] / 10)
    assert warehouse["stock"] == pytest.approx((state.on_hand[0, 2, 0] - owed.sum()) / 15)
    assert warehouse["arrives_in_1_days"] == pytest.approx(on_the_way[2].sum() / 15)
    assert warehouse["echelon_position"] == pytest.approx(position[:3].sum() / 15)
    assert warehouse["lowest_position_of_stores"] == pytest.approx(min(position[0] / 10, position[1] / 5))
    assert warehouse["highest_position_of_stores"] == pytest.approx(max(position[0] / 10, position[1] / 5))
    assert owed.sum() > 0 < on_the_way[2].sum()


@pytest.mark.parametrize("observation", ["default", "pipeline", "stock"])
def test_agents_with_an_identity_see_which_node_of_their_role_they_are(observation):
    plain = Chain(small(roles={"store": {"observation": observation}}))
    chain = Chain(small(roles={"store": {"observation": observation, "identity": True}}))
    seen, without = chain.observe("store"), plain.observe("store")
    assert chain.roles["store"].features == (*plain.roles["store"].features, "identity")
    np.testing.assert_array_equal(seen[..., :-1], without)
    assert seen[0, :, -1].tolist() == [-1, 1]
