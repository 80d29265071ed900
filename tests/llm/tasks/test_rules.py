"""Rules by their spec."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.network import load_network
from hmarl.policies import make_policy, simulate
from llm.tasks.rules import default_continuation, named_policy

REFERENCE = Path(__file__).parents[2] / "reference" / "corner_shop.json"
EXPECTED = dict(
    zip(
        ("random:100", "random:high=50", "heuristic", "constant:15", "order_up_to", "cover"),
        json.loads(REFERENCE.read_text())["mean_episode_reward"].values(),
        strict=True,
    )
)


@pytest.mark.parametrize("spec", EXPECTED)
def test_the_corner_shops_rules_earn_what_they_should(spec: str) -> None:
    network = load_network("corner_shop")
    profit = 29 * simulate(network, named_policy(network, spec), replications=10_000).metrics["profit"]
    assert abs(profit.mean() - EXPECTED[spec]) < 3 * np.hypot(12, profit.std() / 100)


def test_elsewhere_rules_are_the_textbooks() -> None:
    network = load_network("two_store")
    level = named_policy(network, "base_stock:level=200").level  # type: ignore[attr-defined]
    assert (level == 200).all()
    textbook = make_policy("s_Q", network)
    np.testing.assert_array_equal(
        named_policy(network, "heuristic").reorder_point,  # type: ignore[attr-defined]
        textbook.reorder_point,  # type: ignore[attr-defined]
    )
    assert (default_continuation(network), default_continuation(load_network("corner_shop"))) == (
        "base_stock",
        "order_up_to:80",
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("order_upto:80", "policy: 'order_upto': unknown, did you mean"),
        ("order_up_to:many", "policy order_up_to: 'many': NAME=NUMBER, with level"),
        ("order_up_to:levels=80", "policy order_up_to: 'levels': unknown, did you mean level"),
        ("order_up_to:-3", "policy order_up_to: level: -3: a finite number, at least 0"),
        ("no_order:3", "policy no_order: '3': it has no parameters"),
        ("tuned_base_stock:level=3", "policy tuned_base_stock: 'level=3': it has no parameters"),
    ],
)
def test_a_wrong_spec_is_one_line(spec: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        named_policy(load_network("corner_shop"), spec)
    assert str(error.value).startswith(message)
