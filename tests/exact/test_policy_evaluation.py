"""Exact costs by hand and by long simulations; test_reference.py has those of the tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.exact import policy_evaluation
from hmarl.exact.policy_evaluation import policy_cost
from hmarl.network import Network, load_network
from hmarl.policies import ByRole, LearnedPolicy, make_policy, simulate
from hmarl.roles import Chain


def shop(values: list[float], probabilities: list[float], **changes: Any) -> Network:
    """One store with holding cost 1 and shortage cost 4 a unit; demand by hand."""
    demand = {"distribution": "discrete", "values": values, "probabilities": probabilities}
    store = {"lead_time": 1, "holding_cost": 1, "shortage_cost": 4, "demand": demand, **changes.pop("store", {})}
    return Network.model_validate({"warmup": 0, "nodes": {"store": store}, **changes})


def test_base_stock_by_hand() -> None:
    # level 1, demand 0 or 1: with 1 on hand the day costs 1/2 and leads to 0 with 1/2; with none, 4/2, and to 1
    network = shop([0, 1], [0.5, 0.5])
    cost = policy_cost(network, make_policy("base_stock", network, level=1))
    assert cost == pytest.approx(2 / 3 * 0.5 + 1 / 3 * 2, abs=1e-6)


def test_a_cycle_by_hand() -> None:
    # demand 1, lead time 0: 3 on hand every third day, for 6; 2, 1 and 0 are left
    network = shop([1], [1.0], store={"lead_time": 0, "order_cost": 6})
    policy = make_policy("s_S", network, reorder_point=0, order_up_to=3)
    assert policy_cost(network, policy) == pytest.approx((6 + 2 + 1 + 0) / 3, abs=1e-6)


def test_a_constant_order_by_hand() -> None:
    # demand 0 or 3, order 1: stock rises by 1 or falls by 2; P(stock = k) falls by r each, r^2 + r = 1
    network = shop([0, 3], [0.5, 0.5])
    r = (math.sqrt(5) - 1) / 2
    cost = policy_cost(network, make_policy("constant", network, quantity=1))
    assert cost == pytest.approx(r / (1 - r) + 4 * 0.5, abs=1e-9)


def test_a_constant_order_of_the_mean_demand_piles_up_stock() -> None:
    network = shop([0, 4], [0.5, 0.5])
    assert policy_cost(network, make_policy("constant", network, quantity=2)) == math.inf


@pytest.mark.parametrize("demand", ["poisson", "geometric", "uniform"])
@pytest.mark.parametrize("quantity", [0, 2, 4])
def test_a_constant_order_costs_what_it_costs_in_the_long_run(demand: str, quantity: int) -> None:
    network = load_network("lost_sales", demand=demand, lead_time=3)
    policy = make_policy("constant", network, quantity=quantity)
    costs = simulate(network, policy, days=1500, warmup=500, replications=200).metrics["cost"]
    assert abs(costs.mean() - policy_cost(network, policy)) < 4 * costs.std() / 200**0.5


@pytest.mark.parametrize("quantity", [1, 4])
@pytest.mark.parametrize("demand", ["poisson", "geometric"])
def test_stock_without_a_limit_is_followed_as_far_as_it_matters(demand: str, quantity: int) -> None:
    network = load_network("lost_sales", demand=demand)
    policy = make_policy("constant", network, quantity=quantity)
    roomy = load_network("lost_sales", demand=demand, **{"store.storage_capacity": 1e6})  # so states are listed
    assert policy_cost(roomy, policy) == pytest.approx(policy_cost(network, policy), abs=2e-6)


def learned(network: Network) -> LearnedPolicy:
    """An actor of random weights for each role."""
    rng, actors = np.random.default_rng(1), {}
    for role, agents in Chain(network).roles.items():
        sizes = [(8, len(agents.features)), (agents.n_actions, 8)]
        weights = {f"layers.{i}.weight": rng.normal(size=size) for i, size in enumerate(sizes)}
        biases = {f"layers.{i}.bias": rng.normal(size=size[0]) for i, size in enumerate(sizes)}
        actors[role] = {name: array.astype(np.float32) for name, array in (weights | biases).items()}
    return LearnedPolicy(network, actors)


@pytest.mark.parametrize("family", ["lost_sales", "one_warehouse"])
def test_a_learned_policy_costs_what_it_costs_in_the_long_run(family: str) -> None:
    network = load_network(family, **{"store.storage_capacity": 12})
    policy = learned(network)
    if family == "one_warehouse":
        policy = ByRole({"store": policy, "warehouse": make_policy("echelon_base_stock", network, level=12)})
    costs = simulate(network, policy, days=1100, warmup=100, replications=200).metrics["cost"]
    assert abs(costs.mean() - policy_cost(network, policy)) < 4 * costs.std() / 200**0.5


def test_stock_owed_and_orders_not_yet_heard_are_part_of_the_state() -> None:
    changes = {"unfilled_orders": "keep", "warehouse.order_lead_time": 1, "warehouse.order_capacity": 3}
    network = load_network("one_warehouse", mean_demand=[0.5, 1], **changes)
    policy = make_policy("base_stock", network, level=[[4], [2], [3]])
    costs = simulate(network, policy, days=1100, warmup=100, replications=400).metrics["cost"]
    assert abs(costs.mean() - policy_cost(network, policy)) < 4 * costs.std() / 400**0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantities": "real"}, "quantities are real"),
        ({"finite": True}, "the horizon ends"),
        ({"store.lead_time": {"low": 1, "high": 2}}, "the lead time of store varies"),
        ({"store.review_period": 7}, "store orders on some days only"),
        ({"store.order_loss": 0.1}, "orders of store get lost"),
        ({"store.demand.autocorrelation": 0.5}, r"the demand of store depends on the days before \(autocorrelation\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_networks_without_an_exact_cost_are_refused(changes: dict[str, Any], message: str) -> None:
    network = load_network("lost_sales", **changes)
    with pytest.raises(InputError, match=f"network lost_sales: its policies have no exact cost: {message}"):
        policy_cost(network, make_policy("base_stock", network))


@pytest.mark.parametrize("name", ["random", "forecast"])
def test_policies_that_look_at_more_than_stock_are_refused(name: str) -> None:
    network = load_network("lost_sales")
    with pytest.raises(InputError, match=f"policy '{name}': its orders depend on more than stock"):
        policy_cost(network, make_policy(name, network))


def test_a_learned_policy_that_sees_the_past_is_refused() -> None:
    network = load_network("lost_sales", **{"roles.store.observation": "pipeline"})
    with pytest.raises(InputError, match="its orders depend on more than stock"):
        policy_cost(network, learned(network))


def test_too_many_states_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_network("lost_sales")
    policy = make_policy("base_stock", network, level=16)
    with pytest.raises(InputError, match=r"more than 35 states, each with 28 demands a day"):
        policy_cost(network, policy, most_transitions=1000)
    with pytest.raises(InputError, match=r"different demands a day, an exact cost takes 1,000,000"):
        policy_cost(load_network("one_warehouse", mean_demand=[2] * 8), policy)
    roomy = load_network("lost_sales", **{"store.storage_capacity": 1e6})
    with pytest.raises(InputError, match=r"policy 'constant': more than 2,840 units pile up"):
        policy_cost(roomy, make_policy("constant", network, quantity=6))
    monkeypatch.setattr(policy_evaluation, "MOST_STATES", 20)
    with pytest.raises(InputError, match=r"more than 20 states"):
        policy_cost(network, policy)


class ByTable:
    """Orders by what is on hand, else nothing."""

    name = "by_table"

    def __init__(self, orders: dict[int, float]) -> None:
        self.table = orders

    def orders(self, chain: Chain) -> np.ndarray:
        return np.vectorize(lambda units: self.table.get(int(units), 0.0))(chain.simulator.state.on_hand)


def test_a_cost_that_depends_on_luck_is_none() -> None:
    # 2 on hand, demand 0 or 2. Sold: nothing is ever ordered again, 4 a day. Not sold: 3 and 5 on hand in turn, 3 a day
    network = shop([0, 2], [0.5, 0.5], store={"opening_stock": 2})
    with pytest.raises(
        InputError, match="policy 'by_table': a cost between 3 and 4 a day: it depends on how it begins"
    ):
        policy_cost(network, ByTable({2: 1, 3: 2}))
    again = shop([0, 2], [0.5, 0.5], store={"opening_stock": 3})
    assert policy_cost(again, ByTable({2: 1, 3: 2})) == pytest.approx(3, abs=1e-6)
