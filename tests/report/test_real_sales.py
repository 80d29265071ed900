"""Judging on the last part of a history: causal, clustered, paired."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from rich.console import Console

from hmarl.errors import InputError
from hmarl.learning.folder import record
from hmarl.learning.train_settings import TrainSettings
from hmarl.network.config import Network
from hmarl.network.fit import network_on_path, network_with_sales
from hmarl.network.sales import SalesHistory
from hmarl.policies import LearnedPolicy, make_policy
from hmarl.report.metrics import ALL_METRICS, decimals, number
from hmarl.report.real_sales import _made, judge, judge_run, lesson_of, play, relative_difference
from hmarl.report.statistics import estimate
from hmarl.roles import Chain

SKUS = ("tea", "salt", "rice", "oil")


def network(skus=SKUS, **fields) -> Network:
    return Network.model_validate(
        {
            "skus": list(skus),
            "forecast": {"method": "moving_average", "window": 7},
            "nodes": {
                "depot": {"lead_time": 1, "opening_stock": 60, "holding_cost": 0.5, "unit_cost": 5},
                "north": {
                    "upstream": "depot",
                    "lead_time": 1,
                    "opening_stock": 30,
                    "holding_cost": 1,
                    "shortage_cost": 9,
                    "price": 10,
                    "unit_cost": 5,
                },
            },
            **fields,
        }
    )


def history(days=70, skus=SKUS, seed=0) -> SalesHistory:
    rng = np.random.default_rng(seed)
    units = rng.poisson(np.array([10, 4, 6, 15])[: len(skus)], (days, 1, len(skus))).astype(float)
    dates = np.datetime64("2024-01-01") + np.arange(days)
    return SalesHistory(dates, ("north",), tuple(skus), units, np.ones_like(units, bool), "day", True, "x.csv")


def test_figures_by_hand():
    """One SKU, constant sales of 4; ordering 5 a day piles up one unit a day at the store."""
    units = np.full((20, 1, 1), 4.0)
    past = replace(history(20, ("tea",)), units=units)
    train, test = past.split(0.5)
    played = network_on_path(network(("tea",)), train, test, warmup=0)
    series = play(played, make_policy("constant", played, quantity=5))
    # stock at a day's end: store 30 - 4 = 26, then 26 + 5 - 4 = 27, ...; depot 60 - 5 = 55, then + 5 - 5
    stock, depot = 26 + np.arange(10), np.full(10, 55)
    np.testing.assert_allclose(series["holding_cost"][:, 0], stock + 0.5 * depot)
    np.testing.assert_allclose(series["cost"][:, 0], stock + 0.5 * depot)
    np.testing.assert_allclose(series["profit"][:, 0], 40 - 25 - (stock + 0.5 * depot))
    assert (series["service_level"] == 1).all()
    assert (series["stockout_days"] == 0).all()


def test_what_is_not_met_counts():
    units = np.full((20, 1, 1), 40.0)
    units[:10] = 2
    train, test = replace(history(20, ("tea",)), units=units).split(0.5)
    series = play(network_on_path(network(("tea",)), train, test, warmup=0), make_policy("no_order", network(("tea",))))
    np.testing.assert_allclose(series["service_level"][:2, 0], [0.75, 0])  # 30 of 40 on the shelf, then none
    np.testing.assert_allclose(series["cost"][:2, 0], [9 * 10 + 30, 9 * 40 + 30])
    assert (series["stockout_days"] == 1).all()


def test_no_figure_before_a_day_depends_on_what_it_sells():
    past, future = history().split(0.7)
    changed = replace(future, units=future.units.copy())
    changed.units[10:] *= 7
    for name in ("forecast", "base_stock", "s_S"):
        found = []
        for end in (future, changed):
            played = network_on_path(network(), past, end)
            found.append(play(played, make_policy(name, played)))
        for metric in found[0]:
            np.testing.assert_array_equal(found[0][metric][:10], found[1][metric][:10])
        assert (found[0]["demand"][10:] != found[1]["demand"][10:]).any()


def test_what_is_expected_is_the_past():
    past, future = history().split(0.7)
    loud = replace(future, units=future.units * 9)
    chain = Chain(network_on_path(network(), past, loud))
    np.testing.assert_allclose(chain.mean_demand[1], past.mean[0])
    np.testing.assert_allclose(chain.forecast[0, 1], past.mean[0])


def test_intervals_are_over_skus_and_differences_paired():
    result = judge(network(), history(), {"lean": "base_stock"}, baselines=("forecast",))
    past, future = history().split(0.7)
    played = network_on_path(network(), past, future)
    own, theirs = (play(played, make_policy(name, played))["cost"].mean(0) for name in ("base_stock", "forecast"))
    lean = result.row("lean")
    assert (result.clusters, result.cluster, result.periods) == (4, "SKU", 21)
    assert (result.learned_on, result.judged_on) == (
        ("2024-01-01", "2024-02-18"),
        ("2024-02-19", "2024-03-10"),
    )
    assert lean.metrics["cost"] == estimate(own)
    assert lean.differences["forecast"]["cost"] == estimate(own - theirs)
    assert result.row("forecast").differences == {}
    assert lean.relative_cost["forecast"].mean == pytest.approx(own.sum() / theirs.sum() - 1)


def test_the_same_policy_twice_differs_by_nothing():
    result = judge(network(), history(), {"again": "forecast"}, baselines=("forecast",))
    for value in result.row("again").differences["forecast"].values():
        assert value[:3] == (0, 0, 0)


def test_one_sku_is_judged_over_stretches_of_time():
    result = judge(network(("tea",)), history(skus=("tea",)), {"lean": "base_stock"}, baselines=("forecast",))
    assert (result.clusters, result.cluster) == (8, "stretch")
    assert not math.isnan(result.row("lean").metrics["cost"].low)


def test_relative_difference_by_hand():
    ratio = relative_difference(np.array([2.0, 2.0]), np.array([1.0, 3.0]))
    # 4 / 4 - 1 = 0; residuals 1 and -1: root(2 / 1 x 2) / 4 = 1 / 2, times t(1) = 12.706
    assert ratio.mean == 0
    assert ratio.high == pytest.approx(12.706 / 2, rel=1e-4)
    assert math.isnan(relative_difference(np.zeros(2), np.zeros(2)).mean)


def test_policies_may_be_made_for_the_network_they_are_played_on():
    seen = []

    def make(played):
        seen.append(played)
        return make_policy("base_stock", played)

    result = judge(network(), history(), {"made": make}, baselines=("base_stock",))
    assert seen[0].first_weekday == network_on_path(network(), *history().split(0.7)).first_weekday
    assert result.row("made").differences["base_stock"]["cost"].mean == 0


def test_rules_are_tuned_on_the_first_part_alone():
    past = history(40, ("tea",))
    loud = replace(past, units=past.units.copy())
    loud.units[28:] *= 5
    levels = []
    for sales in (past, loud):
        train, test = sales.split(0.7)
        played = network_on_path(network(("tea",)), train, test)
        levels.append(_made("tuned_base_stock", lesson_of(network(("tea",)), train), played, "cost", 0).level)
    np.testing.assert_array_equal(*levels)


def test_table_and_json_hold_the_same_figures(tmp_path):
    result = judge(network(), history(), {"lean": "base_stock"}, baselines=("forecast",))
    saved = json.loads(result.save(tmp_path).read_text())
    assert saved["policies"]["lean"]["cost"]["mean"] == result.row("lean").metrics["cost"].mean
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(result.table())
    text = console.export_text()
    costs = [row.metrics["cost"] for row in result.rows]
    digits = decimals(ALL_METRICS["cost"], costs)
    for cost in costs:
        assert number(ALL_METRICS["cost"], cost.mean, digits) in text
    assert "vs forecast" in text
    assert "2024-02-19 to 2024-03-10" in text


def test_a_run_with_sales_is_judged_by_phase(tmp_path):
    lines = ["date,store,sku,units,in_stock"]
    past = history()
    for t, date in enumerate(past.dates):
        lines += [f"{date},north,{sku},{past.units[t, 0, s]:.0f},yes" for s, sku in enumerate(SKUS)]
    path = tmp_path / "sales.csv"
    path.write_text("\n".join(lines))
    fitted = network_with_sales(network(), past)
    agents, run = Chain(fitted).roles["store"], tmp_path / "runs" / "ours"
    weights = {
        "layers.0.weight": np.zeros((agents.n_actions, len(agents.features)), np.float32),
        "layers.0.bias": np.eye(agents.n_actions, dtype=np.float32)[2],
    }
    policy = LearnedPolicy(fitted, {"store": weights}, {"supplier": make_policy("forecast", fitted)})
    policy.save(run / "phase1_stores" / "policy")
    settings = TrainSettings(network="n.yaml", sales=path, name="ours")
    (run / "config.yaml").write_text(yaml.safe_dump(record(settings, fitted), sort_keys=False))
    result = judge_run(run)
    assert result is not None
    assert [row.policy for row in result.rows] == [
        "tuned_forecast",
        "tuned_capped_base_stock",
        "phase1_stores",
    ]
    assert set(result.row("phase1_stores").differences) == {"tuned_forecast", "tuned_capped_base_stock"}
    assert json.loads((run / "comparison" / "real_sales.json").read_text()) == result.to_json()
    path.unlink()
    with pytest.raises(InputError, match=r"sales\.csv: cannot be read"):
        judge_run(run)
    settings = TrainSettings(network="n.yaml", name="ours")
    (run / "config.yaml").write_text(yaml.safe_dump(record(settings, fitted), sort_keys=False))
    assert judge_run(run) is None
