"""The corner shop's rules against an independent simulation of them (reference/corner_shop.json)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hmarl.network import load_network
from hmarl.policies import Policy, make_policy, simulate
from hmarl.roles import Chain

REFERENCE = Path(__file__).parents[1] / "reference" / "corner_shop.json"
EXPECTED = json.loads(REFERENCE.read_text())["mean_episode_reward"]
STANDARD_ERROR = 12.0  # of the reference, at most
NETWORK = load_network("corner_shop")
LAST_ORDER = 26  # the first day of ours (the shop's day 28) on which nothing is ordered any more


class UpTo80:
    name = "up_to_80"

    def orders(self, chain: Chain) -> np.ndarray:
        order = np.maximum(80 - chain.simulator.inventory_position(), 0)
        return np.where(chain.simulator.state.day[:, None, None] >= LAST_ORDER, 0, order)


class Cover:
    """Mean demand of the four days that the order must cover, plus 6; 25 on the shop's days 6, 7, 13, ...,
    else 15."""

    name = "cover"

    def orders(self, chain: Chain) -> np.ndarray:
        days = chain.simulator.state.day[:, None] + 2 + np.arange(4)
        level = np.where(np.isin(days % 7, (6, 0)), 25, 15).sum(1)[:, None, None] + 6
        order = np.maximum(level - chain.simulator.inventory_position(), 0)
        return np.where(chain.simulator.state.day[:, None, None] >= LAST_ORDER, 0, order)


POLICIES: tuple[Policy, ...] = (
    make_policy("random", NETWORK, high=100),
    make_policy("random", NETWORK, high=50),
    make_policy("s_Q", NETWORK, reorder_point=39, quantity=50),
    make_policy("constant", NETWORK, quantity=15),
    UpTo80(),
    Cover(),
)


@pytest.mark.parametrize(("case", "policy"), zip(EXPECTED, POLICIES, strict=True))
def test_mean_profit_of_an_episode(case: str, policy: Policy) -> None:
    paths = simulate(NETWORK, policy, days=29, warmup=0, replications=20_000)
    profit = 29 * paths.metrics["profit"]
    error = np.hypot(STANDARD_ERROR, profit.std() / len(profit) ** 0.5)
    assert abs(profit.mean() - EXPECTED[case]) < 3 * error
