"""The corner shop's rules against an independent simulation of them (reference/corner_shop.json)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hmarl.network import load_network
from hmarl.policies import Policy, make_policy, simulate

REFERENCE = Path(__file__).parents[1] / "reference" / "corner_shop.json"
EXPECTED = json.loads(REFERENCE.read_text())["mean_episode_reward"]
STANDARD_ERROR = 12.0  # of the reference, at most
NETWORK = load_network("corner_shop")

POLICIES: tuple[Policy, ...] = (
    make_policy("random", NETWORK, high=100),
    make_policy("random", NETWORK, high=50),
    make_policy("s_Q", NETWORK, reorder_point=39, quantity=50),
    make_policy("constant", NETWORK, quantity=15),
    make_policy("order_up_to", NETWORK, level=80),
    make_policy("cover", NETWORK, margin=6),
)


@pytest.mark.parametrize(("case", "policy"), zip(EXPECTED, POLICIES, strict=True))
def test_mean_profit_of_an_episode(case: str, policy: Policy) -> None:
    paths = simulate(NETWORK, policy, days=29, warmup=0, replications=20_000)
    profit = 29 * paths.metrics["profit"]
    error = np.hypot(STANDARD_ERROR, profit.std() / len(profit) ** 0.5)
    assert abs(profit.mean() - EXPECTED[case]) < 3 * error
