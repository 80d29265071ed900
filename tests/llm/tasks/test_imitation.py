"""The copy of a slow policy: like it, the same each time, plain data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hmarl.network import load_network
from hmarl.policies import make_policy, simulate
from hmarl.roles import Chain
from llm.tasks.imitation import Decisions, Imitation, Observed, features, imitate
from llm.tasks.rules import named_policy
from llm.tasks.supply_chain import SupplyChainTask


@pytest.fixture(scope="module")
def task() -> SupplyChainTask:
    return SupplyChainTask("corner_shop", economics=False)


def observed(task: SupplyChainTask, spec: str, share: float = 0.15) -> Decisions:
    """Of 64 episodes of a rule."""
    policy = Observed(task, named_policy(task.network, spec), share, seed=1)
    task.situations_of(policy, 64, seed=2, n=1)
    return policy.decisions()


@pytest.fixture(scope="module")
def decisions(task: SupplyChainTask) -> Decisions:
    return observed(task, "base_stock:80")


@pytest.fixture(scope="module")
def copy(task: SupplyChainTask, decisions: Decisions) -> Imitation:
    return imitate(task, decisions, seed=3)


def test_an_order_up_to_level_is_copied_to_the_unit(
    task: SupplyChainTask, decisions: Decisions, copy: Imitation
) -> None:
    rule = named_policy(task.network, "base_stock:80")
    chain = Chain(task.network, 200, seed=4, split="validation")
    apart = []
    for _ in range(task.network.days):
        orders = copy.orders(chain)
        apart.append(np.abs(orders - rule.orders(chain)))
        chain.step(orders)
    assert np.mean(np.array(apart) <= 1) > 0.9
    assert copy.agreement(decisions) > 0.95


def test_it_earns_what_the_copied_rule_earns(task: SupplyChainTask, copy: Imitation) -> None:
    ours, theirs = (
        simulate(task.network, policy, replications=200, split="validation").mean("profit")
        for policy in (copy, named_policy(task.network, "base_stock:80"))
    )
    assert ours == pytest.approx(theirs, rel=0.02)


def test_it_is_the_same_again_and_as_plain_data(task: SupplyChainTask, decisions: Decisions, copy: Imitation) -> None:
    again = imitate(task, decisions, seed=3)
    back = Imitation.from_json(task, json.loads(json.dumps(copy.to_json())))
    for other in (again, back):
        for ours, theirs in zip(copy.layers, other.layers, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_what_is_written_down_is_what_it_decided_itself(task: SupplyChainTask) -> None:
    rule = named_policy(task.network, "base_stock:80")
    policy = Observed(task, rule, 0.5, seed=1)
    chain = Chain(task.network, 1000)
    played, decided = policy.orders(chain), rule.orders(chain)
    seen = policy.decisions()
    mean = chain.simulator.params.mean_demand[0, 0]
    assert (seen.orders == 30 / mean).all()
    assert (seen.features == features(task, chain)[:, 0]).all()
    assert np.mean(played != decided) == pytest.approx(0.5, abs=0.06)  # a near one may be the same
    assert np.abs(played - decided).max() == 18  # a day's demand is 17.9
    assert (played == np.rint(played)).all()


def test_features_by_hand(task: SupplyChainTask) -> None:
    chain = Chain(task.network)
    chain.step(np.full((1, 1, 1), 20.0))
    chain.step(np.full((1, 1, 1), 30.0))
    mean = chain.simulator.params.mean_demand.item()
    sold = chain.simulator.state.on_hand.item()
    stock, today, tomorrow, later, unshipped, position = features(task, chain)[0, 0, :6] * (2 * mean) + 2 * mean
    assert (stock, today, tomorrow, later, unshipped) == pytest.approx((sold, 0, 20, 30, 0), abs=1e-4)
    assert position == pytest.approx(sold + 50)
    weekday = features(task, chain)[0, 0, 6:13]
    assert weekday.tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert not features(task, chain)[0, 0, 13:].any()
    for _ in range(26):
        chain.step(np.zeros((1, 1, 1)))
    assert features(task, chain)[0, 0, 13:].tolist() == [1, 0, 0, 0, 0, 0]  # the last day


@pytest.mark.parametrize("role", ["store", "warehouse"])
def test_others_order_by_the_usual_rule(role: str) -> None:
    network = load_network("three_store")
    task = SupplyChainTask(network, role)
    policy = Observed(task, make_policy("s_S", network), 0.1, seed=0)
    task.situations_of(policy, 4, seed=0, n=1)
    copy = imitate(task, policy.decisions(), seed=0)
    chain = Chain(network, 3)
    for _ in range(10):
        chain.step(task.continuation.orders(chain))
    orders, usual = copy.orders(chain), task.continuation.orders(chain)
    own = np.zeros(orders.shape[1:], bool)
    for place in task.agents.values():
        own[place] = True
    assert (orders[:, ~own] == usual[:, ~own]).all()
    assert not (orders[:, own] == usual[:, own]).all()
    assert (orders[:, own] >= 0).all()
    assert (orders[:, own] <= task.highest).all()
