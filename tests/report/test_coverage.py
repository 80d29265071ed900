"""95 % intervals hold the exact cost 93 to 97 times in 100, on simulated supply chains.

2,000 repetitions, side by side in one simulation each: the share that covers has a standard deviation of 0.5 %.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.stats import skew

from hmarl.network import load_network
from hmarl.policies import make_policy, simulate
from hmarl.report.statistics import Estimate, estimate, paired_difference, relative_difference

REFERENCE = Path(__file__).parents[1] / "reference"
REPETITIONS, EPISODES, BATCHES = 2000, 30, 20


def reference(name: str, *key: object) -> dict:
    """A row of a reference table by its first columns."""
    table = json.loads((REFERENCE / name).read_text())
    return next(dict(zip(table["columns"], row, strict=True)) for row in table["rows"] if row[: len(key)] == [*key])


def share_covered(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([e.low <= truth <= e.high for e in estimates]))


def test_independent_replications_of_a_newsvendor_with_backorders():
    row = reference("backorders.json", 0, 4)
    network = load_network("lost_sales", lead_time=0, penalty=4).model_copy(update={"unmet_demand": "backorder"})
    policy = make_policy("base_stock", network, level=row["optimal_base_stock"])
    paths = simulate(network, policy, days=101, warmup=1, replications=REPETITIONS * EPISODES)
    found = [estimate(costs) for costs in paths.metrics["cost"].reshape(REPETITIONS, EPISODES)]
    assert 0.93 <= share_covered(found, row["optimal_cost"]) <= 0.97


def test_costs_skewed_by_rare_shortages_need_more_than_ten_episodes():
    """A penalty of 39, episodes of 80 days: ten cover 92 times in 100, fifty as often as they say."""
    row = reference("backorders.json", 0, 39)
    network = load_network("lost_sales", lead_time=0, penalty=39).model_copy(update={"unmet_demand": "backorder"})
    policy = make_policy("base_stock", network, level=row["optimal_base_stock"])
    costs = simulate(network, policy, days=81, warmup=1, replications=60_000).metrics["cost"]
    assert skew(costs) > 1
    ten, fifty = ([estimate(x) for x in costs.reshape(-1, episodes)] for episodes in (10, 50))
    assert 0.90 <= share_covered(ten, row["optimal_cost"]) < 0.94
    assert 0.93 <= share_covered(fifty, row["optimal_cost"]) <= 0.97


def test_batch_means_and_paired_differences_of_long_runs_with_lost_sales():
    """Zipkin's instance of lead time 2 and penalty 4: the best base-stock against the best capped one."""
    row = reference("lost_sales.json", "poisson", 2, 4)
    network = load_network("lost_sales", lead_time=2, penalty=4)
    base = make_policy("base_stock", network, level=row["best_base_stock_level"])
    levels = {name: row[f"capped_base_stock_{name}"] for name in ("level", "cap")}
    capped = make_policy("capped_base_stock", network, **levels)
    costs = [
        simulate(network, policy, days=10_050, warmup=50, replications=REPETITIONS, batches=BATCHES)
        .metrics["cost"]
        .reshape(REPETITIONS, BATCHES)
        for policy in (base, capped)
    ]
    exact = row["best_base_stock_cost"], row["capped_base_stock_cost"]
    alone = [estimate(x) for x in costs[0]]
    paired = [paired_difference(x, y) for x, y in zip(*costs, strict=True)]
    relative = [relative_difference(x, y) for x, y in zip(*costs, strict=True)]
    assert 0.93 <= share_covered(alone, exact[0]) <= 0.97
    assert 0.93 <= share_covered(paired, exact[0] - exact[1]) <= 0.97
    assert 0.93 <= share_covered(relative, exact[0] / exact[1] - 1) <= 0.97
    assert np.mean([e.half for e in paired]) < 0.6 * np.mean([e.half for e in alone])
