"""A situation is all there is to know: what is replayed from it is the state itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hmarl.network import load_network
from hmarl.policies import make_policy
from hmarl.roles import Chain
from llm.tasks.situations import Situation, play, replay


@pytest.mark.parametrize("preset", ["corner_shop", "three_store", "tight_supply", "beer_game", "unreliable_supply"])
def test_a_replayed_state_is_the_one_it_was(preset: str) -> None:
    network = load_network(preset)
    ids = np.array([4, 9, 2])
    record = play(Chain(network, 3, 7, split="train", ids=ids), make_policy("random", network), 20, "normal")
    days = [(0, 0), (1, 20), (2, 7), (0, 13), (2, 7)]
    stored = json.dumps([record.situation(row, day, "anybody").to_json() for row, day in days])
    chain = replay(network, [Situation(**state) for state in json.loads(stored)])
    policy = make_policy("base_stock", network)
    for row, (path, day) in enumerate(days):
        alone = Chain(network, 1, 7, split="train", ids=ids[[path]])
        play(alone, make_policy("random", network), day, "normal")
        again = chain.take(np.array([row]))
        for _ in range(5):  # today's state and what follows from it
            for role in chain.roles:
                np.testing.assert_array_equal(again.observe(role), alone.observe(role))
            for ours, theirs in zip(again.simulator.state, alone.simulator.state, strict=True):
                if ours is not again.simulator.state.demand and ours is not again.simulator.state.drawn_until:
                    np.testing.assert_array_equal(ours, theirs)
            again.step(policy.orders(again))
            alone.step(policy.orders(alone))


def test_whole_orders_are_kept_as_whole_numbers() -> None:
    network = load_network("corner_shop")
    record = play(Chain(network, 1), make_policy("constant", network, quantity=15), 2, "normal")
    assert json.dumps(record.situation(0, 2, "shop/goods").to_json()["orders"]) == "[[15], [15]]"
