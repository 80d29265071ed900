"""How much is played: defaults, batches, rounds until a precision is reached."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.network import load_network
from hmarl.policies import make_policy
from hmarl.report import compare
from hmarl.report.playing import correlated, play, play_until
from hmarl.report.sampling import Plan, Precision, in_words, make_plan, more_replications
from hmarl.report.statistics import estimate

SHOP = load_network("lost_sales", lead_time=0, penalty=4)


@pytest.mark.parametrize(
    ("days", "replications", "expected"),
    [
        (None, None, (200, 1)),  # the network's own length
        (10_000, None, (200, 1)),
        (200_000, None, (10, 20)),
        (200_000, 1, (1, 20)),
        (200_000, 29, (29, 20)),
        (200_000, 30, (30, 1)),
        (6_000, 1, (1, 11)),  # as many batches of 500 days as there is room for
        (40, 4, (4, 1)),
    ],
)
def test_episodes_and_batches(days, replications, expected):
    plan = make_plan(SHOP, days, None, replications)
    assert (plan.replications, plan.batches) == expected


def test_a_batch_holds_ten_seasons():
    seasonal = load_network("two_store")  # 30 days
    node = seasonal.nodes["store_1"]
    yearly = node.demand.model_copy(update={"season": node.demand.season.model_copy(update={"period": 365})})
    slow = seasonal.model_copy(
        update={"nodes": {**seasonal.nodes, "store_1": node.model_copy(update={"demand": yearly})}}
    )
    assert make_plan(seasonal, 100_007, 7, 2).length == 5000
    assert make_plan(slow, 73_007, 7, 2).batches == 20
    assert make_plan(slow, 73_006, 7, 2).batches == 19


def test_one_episode_too_short_for_batches_is_refused():
    with pytest.raises(InputError, match=r"episodes: 1: at least 2, .* batches of 500 days: --days 5020"):
        make_plan(SHOP, 4000, 20, 1)
    assert make_plan(SHOP, 5020, 20, 1).batches == 10


def test_in_words():
    assert in_words(10, 200_000, 20, "day") == "10 episodes of 200,000 days in 20 batches each"
    assert in_words(1, 52, 1, "week") == "1 episode of 52 weeks"


def test_rounds_end_with_what_the_last_one_makes_expect_and_at_least_double():
    assert more_replications(100, 0.2, 0.1, 10_000) == math.ceil(1.1 * 100 * (0.2 * 1.1 / 0.1) ** 2)
    assert more_replications(100, 0.1, 0.1, 10_000) == 200
    assert more_replications(100, 0.1 / 1.1, 0.1, 10_000) == 100
    assert more_replications(100, 0.2, 0.1, 150) == 150
    assert more_replications(150, 0.2, 0.1, 150) == 150
    assert more_replications(10, math.inf, 0.1, 150) == 20


def test_a_precision_is_kept_95_times_in_100():
    """Law, section 9.4.1: the relative error is at most the goal; the interval covers nearly as often as it says."""
    rng, goal, kept, covered, ends = np.random.default_rng(0), 0.05, 0, 0, []
    for _ in range(1000):
        values = rng.gamma(4.0, 1.0, 30)  # mean 4, skewed
        while True:
            found = estimate(values)
            want = more_replications(len(values), found.relative_half, goal, 100_000)
            if want == len(values):
                break
            values = np.append(values, rng.gamma(4.0, 1.0, want - len(values)))
        kept += abs(found.mean - 4) / 4 <= goal
        covered += found.low <= 4 <= found.high
        ends.append(len(values))
    assert kept >= 950
    assert 930 <= covered <= 970
    assert np.median(ends) < 1000  # 1.96 s / mean / goal squared: 384


def test_rounds_play_on_where_the_last_one_ended():
    policies = {"seven": make_policy("base_stock", SHOP, level=7), "nine": make_policy("base_stock", SHOP, level=9)}
    start = Plan(days=40, warmup=10, replications=5, batches=1)
    values, plan, found = play_until({"normal": SHOP}, policies, start, 0.02, 10_000, seed=3)
    assert plan.replications > 10
    assert found.met
    whole = play({"normal": SHOP}, policies, plan, seed=3)
    for name, row in whole["normal"].items():
        assert np.array_equal(values["normal"][name]["cost"], row["cost"])
        assert estimate(row["cost"]).relative_half <= found.reached


def test_replications_that_do_not_fit_side_by_side_play_one_part_after_another(monkeypatch):
    policies, plan = (
        {"base_stock": make_policy("base_stock", SHOP)},
        Plan(days=40, warmup=10, replications=7, batches=2),
    )
    whole = play({"normal": SHOP}, policies, plan)["normal"]["base_stock"]
    monkeypatch.setattr("hmarl.report.playing._SIDE_BY_SIDE", 3)
    parts = play({"normal": SHOP}, policies, plan)["normal"]["base_stock"]
    assert all(np.array_equal(parts[name], values) for name, values in whole.items())
    assert len(parts["cost"]) == 14


def test_a_precision_that_is_not_reached_says_so():
    policies = {name: make_policy(name, SHOP) for name in ("base_stock", "constant")}
    found = compare(SHOP, policies, baseline="base_stock", precision=0.0001, replications=12, days=40)
    assert found.replications == 12
    assert found.precision is not None
    assert not found.precision.met
    assert Precision.from_json(found.precision.to_json()) == found.precision


def test_batches_that_remember_are_named():
    """Stock that is never used up by backorders: yesterday's is today's, and no batch of 10 days forgets it."""
    steady = play({"normal": SHOP}, {"base": make_policy("base_stock", SHOP, level=7)}, Plan(20_020, 20, 2, 20))
    assert correlated(steady, 20) == []
    random_walk = load_network("lost_sales", lead_time=0, penalty=4).model_copy(update={"unmet_demand": "backorder"})
    drifting = play({"normal": random_walk}, {"base": make_policy("constant", random_walk)}, Plan(2020, 20, 2, 20))
    (line,) = correlated(drifting, 20)
    assert line.startswith("base: its 20 batches are too short: their means of cost have a lag-1 autocorrelation of 0.")
