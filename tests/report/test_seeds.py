"""Several trainings that differ in their seed: their spread, in the figure that agents are paid for."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from hmarl.network import load_network
from hmarl.policies import make_policy
from hmarl.report import compare
from hmarl.report.seeds import Spread, over_seeds
from hmarl.report.statistics import estimate, interquartile_mean

SCORES = [4.0, 1.0, 2.0, 9.0]


@pytest.mark.parametrize(("better", "worst", "best"), [(1, 1, 9), (-1, 9, 1)])
def test_spread_by_hand(better, worst, best):
    found = Spread.of(SCORES, better)
    assert found.mean == estimate(SCORES)
    assert found.interquartile_mean == interquartile_mean(SCORES)
    assert found.interquartile_mean.mean == 3  # of 2 and 4
    assert (found.worst, found.best) == (worst, best)


def test_costs_are_compared_in_per_cent_and_the_highest_is_the_worst():
    network = load_network("lost_sales", lead_time=2, penalty=4)
    policies = {f"run_{level}": make_policy("base_stock", network, level=level) for level in (15, 16, 18)}
    policies["base_stock"] = make_policy("base_stock", network, level=22)
    comparison = compare(network, policies, baseline="base_stock", replications=40)
    found = over_seeds(comparison, ["run_15", "run_16", "run_18"])
    costs = {name: comparison.result(name, "cost").value.mean for name in policies}
    assert found.metric == "cost"
    assert found.value.mean == estimate([costs[run] for run in found.runs])
    assert found.value.worst == max(costs[run] for run in found.runs)
    (against,) = found.differences.values()
    assert against.best == pytest.approx(min(costs[run] for run in found.runs) / costs["base_stock"] - 1)
    assert against.mean.high < 0
    console = Console(width=140)
    with console.capture() as captured:
        console.print(found.table())
    text = captured.get()
    assert text.startswith("over 3 trainings: run_15, run_16, run_18")
    assert "vs base_stock" in text
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["value"]["worst"] == found.value.worst


def test_rewards_are_compared_in_their_unit_and_the_lowest_is_the_worst():
    network = load_network("two_store")
    policies = {name: make_policy(name, network) for name in ("s_S", "base_stock", "random", "newsvendor")}
    comparison = compare(network, policies, baseline="s_S", references=["newsvendor"], replications=5)
    found = over_seeds(comparison, ["base_stock", "random"])
    assert list(found.differences) == ["s_S", "newsvendor"]
    rewards = {name: comparison.result(name, "reward").value.mean for name in policies}
    assert found.value.worst == rewards["random"]
    for other, spread in found.differences.items():
        assert spread.worst == pytest.approx(rewards["random"] - rewards[other])
        assert spread.best == pytest.approx(rewards["base_stock"] - rewards[other])
