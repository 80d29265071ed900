"""Pictures hold what they should, and SVG takes the page's colours and nothing from outside."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from hmarl.network import load_network
from hmarl.policies import make_policy
from hmarl.report import compare
from hmarl.report.plots import comparison_figure, in_cost, limits, png, stock_figure, svg, training_figure
from hmarl.report.statistics import Estimate
from hmarl.report.style import COLOURS, SECOND


def test_one_scenario_has_a_panel_a_figure(comparison):
    one = comparison.__class__(**{**vars(comparison), "results": {"normal": comparison.results["normal"]}})
    figure = comparison_figure(one)
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles[:3] == ["Reward against s_S", "Reward", "Service level"]
    assert len(titles) == 9
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == one.policies
    points = [line.get_xdata()[0] for line in figure.axes[2].lines if line.get_marker() == "o"]
    assert points == pytest.approx([100 * one.result(p, "service_level").value.mean for p in one.policies])


def test_costs_that_agents_are_paid_by_are_compared_in_per_cent():
    network = load_network("lost_sales")
    policies = {name: make_policy(name, network) for name in ("base_stock", "no_order")}
    found = compare(network, policies, baseline="base_stock", replications=5)
    axis = comparison_figure(found).axes[0]
    assert axis.get_title(loc="left") == "Cost against base_stock"
    assert axis.get_xlabel() == "%"
    points = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "o"]
    assert points == pytest.approx([0, 100 * found.result("no_order", "cost").relative["base_stock"].mean])


def test_optimal_is_a_diamond_and_a_line_that_costs_do_not_cross(paid_by_cost):
    axes = comparison_figure(paid_by_cost).axes
    assert len(axes) == 6
    for axis, line in zip(axes, [True, True, False, False, False, False], strict=True):
        (diamond,) = (mark for mark in axis.lines if mark.get_marker() == "D")
        dotted = [mark.get_xdata()[0] for mark in axis.lines if mark.get_linestyle() == ":"]
        assert diamond.get_color() == SECOND
        assert dotted == ([diamond.get_xdata()[0]] if line else [])
    costs = {p: paid_by_cost.result(p, "cost").value.mean for p in paid_by_cost.policies}
    assert [mark.get_xdata()[0] for mark in axes[1].lines if mark.get_linestyle() == ":"] == [costs["optimal"]]
    assert min(costs.values()) == costs["optimal"]


def test_a_scenario_that_it_was_not_found_for_has_no_line_of_the_optimum(paid_by_cost):
    rows = paid_by_cost.results["normal"]
    figure = comparison_figure(replace(paid_by_cost, results={"normal": rows, "disruption": rows}))
    dotted = [[mark for mark in axis.lines if mark.get_linestyle() == ":"] for axis in figure.axes]
    assert [len(found) for found in dotted] == [1, 1, 0, 0, 0, 0, 0, 0]


def test_several_scenarios_have_a_row_each(comparison):
    figure = comparison_figure(comparison)
    assert len(figure.axes) == 8
    assert [figure.axes[k].get_title(loc="left") for k in (0, 4)] == ["normal", "disruption"]
    assert figure.axes[1].get_xlabel() == "Reward, a day"


def test_one_policy_far_off_does_not_stretch_the_axis():
    near = [Estimate(x, x - 0.1, x + 0.1) for x in (20.0, 21.0, 22.0, 23.0)]
    low, high = limits([*near, Estimate(-900.0, -901.0, -899.0)], baseline=1)
    assert 19 < low < 19.9
    assert 23.1 < high < 24
    assert limits([Estimate(-900.0, -901.0, -899.0), *near])[0] == pytest.approx(-901 - 0.09 * (23.1 + 901))
    assert limits([Estimate(5.0, 5.0, 5.0)] * 3) == (4.75, 5.25)
    assert limits([Estimate(math.nan, math.nan, math.nan)]) == (0, 1)


def test_training_panels_are_those_that_the_rows_hold(rows):
    figure = training_figure(rows, "phase1_stores")
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["Reward of who learns", "Entropy of the policy"]
    training, validation = figure.axes[0].lines
    assert list(training.get_ydata()) == [0, 1, 2, 3, 4, 5]
    assert list(validation.get_xdata()) == [0, 2000, 4000]
    assert len(figure.axes[0].collections) == 1  # the band
    assert png(training_figure([])).startswith(b"\x89PNG")


def test_rewards_that_are_scaled_costs_are_drawn_as_costs(paid_by_cost, comparison, rows):
    cost, reward = (paid_by_cost.result("phase4_joint", name).value.mean for name in ("cost", "reward"))
    validation = {"validation_reward": reward, "validation_reward_low": 1.1 * reward, "validation_reward_all": reward}
    found = in_cost([{"steps": 0, "reward_mean": 2 * reward, **validation}, {"steps": 9}], paid_by_cost)
    assert found[0]["cost_mean"] == pytest.approx(2 * cost)
    assert found[0]["validation_cost"] == pytest.approx(cost)
    assert found[0]["validation_cost_high"] == pytest.approx(1.1 * cost)
    assert found[1] == {"steps": 9}
    axis = training_figure(found, optimal_cost=4.3953).axes[0]
    assert axis.get_title(loc="left") == "Cost"
    assert [line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == ":"] == [4.3953]
    assert in_cost(rows, comparison) == rows


def test_rewards_that_are_no_multiple_of_the_chains_cost_stay(paid_by_cost):
    results = paid_by_cost.results["normal"]
    shaped = replace(results["optimal"]["reward"], value=Estimate(-1.0, -1.0, -1.0))
    other = replace(paid_by_cost, results={"normal": {**results, "optimal": {**results["optimal"], "reward": shaped}}})
    row = {"steps": 0, "validation_reward": -1.0, "validation_reward_all": -1.0}
    assert in_cost([row], other) == [row]
    half = {**row, "validation_reward_all": -2.0}
    assert in_cost([row, half], paid_by_cost) == [row, half]


def test_stock_marks_the_days_with_unmet_demand():
    stock, demand, unmet = np.array([[5.0], [0.0], [3.0]]), np.ones((3, 1)), np.array([[0.0], [1.0], [0.0]])
    (axis,) = stock_figure(stock, demand, unmet, ["store_1"], first=7).axes
    marks = next(line for line in axis.lines if line.get_marker() == "v")
    assert list(marks.get_xdata()) == [9]  # the second day shown; the first is the eighth of the episode


def test_svg_is_whole_and_asks_for_nothing(comparison):
    text = svg(comparison_figure(comparison), 'a "label" <b>')
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == 'a "label" <b>'
    outside = [url for url in re.findall(r"https?://[^\"' ]*", text) if "w3.org" not in url]
    assert outside == []
    assert "var(--ink)" in text
    assert not [value for value in COLOURS.values() if value in text.lower()]
    assert "DejaVu" not in text


def test_names_are_text_not_mathematics_or_markup():
    stock = np.ones((3, 2))
    text = svg(stock_figure(stock, stock, 0 * stock, ["$x^2$", "<script>alert(1)</script>"]), "stock")
    assert "$x^2$" in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
