"""States that training sees: far apart, and around no rule."""

from __future__ import annotations

import numpy as np
import pytest

from hmarl.network import load_network
from hmarl.roles import Chain
from llm.tasks.exploration import AroundNone
from llm.tasks.rules import named_policy
from llm.tasks.supply_chain import SupplyChainTask

PATHS = 4000


def orders(steady: bool, mean: float, often: float) -> np.ndarray:
    """Of the first morning, days of mean demand."""
    network = load_network("corner_shop")
    chain = Chain(network, PATHS)
    column = np.ones((PATHS, 1, 1))
    mixture = AroundNone(
        named_policy(network, "constant:10"), np.random.default_rng(0), 100.0, column == steady, mean * column,
        often * column,
    )  # fmt: skip
    return (mixture.orders(chain) / chain.simulator.params.mean_demand)[:, 0, 0]


def test_a_steady_path_orders_about_its_mean_on_its_days() -> None:
    found = orders(True, 1.0, 0.5)
    placed = found[found > 0]
    assert len(placed) == pytest.approx(PATHS / 2, rel=0.1)
    assert placed.mean() == pytest.approx(2.0, abs=0.05)
    assert placed.min() >= 1.4
    assert placed.max() <= 2.6


def test_another_path_goes_by_the_heuristic_with_random_orders_between() -> None:
    found = orders(False, 1.0, 0.5)
    ten = 10 / Chain(load_network("corner_shop")).simulator.params.mean_demand.item()
    other = found[np.abs(found - ten) > 1e-9]
    assert len(other) == pytest.approx(0.4 * PATHS, rel=0.1)
    assert other.mean() == pytest.approx(1.4, abs=0.1)


@pytest.mark.parametrize("around_rules", [True, False])
def test_prompts_are_of_empty_and_of_full_shops(around_rules: bool) -> None:
    task = SupplyChainTask("corner_shop", economics=False, around_rules=around_rules)
    pending = [int(p.messages[0]["content"].split("Pending ")[1].split(".")[0]) for p in task.prompts(400, seed=1)]
    assert np.quantile(pending, 0.1) <= 20
    assert np.quantile(pending, 0.9) >= 70
