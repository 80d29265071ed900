"""Comparisons: the right pairs, saved and read back, refused when wrong."""

import json
import math

import numpy as np
import pytest
from rich.console import Console

from hmarl.errors import InputError
from hmarl.network import load_network
from hmarl.policies import Paths, make_policy
from hmarl.report.comparison import Comparison, compare
from hmarl.report.metrics import METRICS
from hmarl.report.statistics import estimate, paired_difference

VALUES = {"a": [1.0, 2.0, 4.0], "b": [2.0, 4.0, 9.0], "c": [3.0, 3.0, 10.0]}


@pytest.fixture
def by_hand(monkeypatch):
    """`simulate` plays nothing: a policy is the name of its three values."""
    calls = []

    def simulate(network, policy, **horizon):
        calls.append((network, policy, horizon))
        return Paths({name: np.array(VALUES[policy]) for name in METRICS}, horizon["days"], horizon["warmup"])

    monkeypatch.setattr("hmarl.policies.simulate", simulate)
    return calls


def test_differences_are_taken_pair_by_pair(by_hand):
    network = load_network("two_store")
    policies = {name: name for name in VALUES}
    found = compare(network, policies, baseline="a", references=["b"], previous={"c": "b"}, replications=3)
    c = found.result("c", "reward")
    assert c.value == estimate([3, 3, 10])
    assert c.difference == estimate([2, 1, 6])  # c - a
    assert c.step == estimate([1, -1, 1])  # c - b
    assert c.against == {"b": estimate([1, -1, 1])}
    assert found.result("a", "reward").difference is None
    assert found.result("a", "reward").against["b"] == paired_difference(VALUES["a"], VALUES["b"])
    assert found.result("b", "profit").step is None
    assert found.result("b", "profit").against == {}
    assert (found.days, found.warmup) == (83, 7)


def test_every_policy_plays_the_same_paths_of_each_scenario(by_hand):
    network = load_network("two_store")
    scenarios = ["normal", "disruption"]
    progress = []
    horizon = {"replications": 3, "seed": 5, "days": 20}
    policies = {name: name for name in VALUES}
    compare(
        network,
        policies,
        baseline="a",
        scenarios=scenarios,
        progress=lambda *a: progress.append(a),
        **horizon,
    )
    assert len(by_hand) == 6
    assert [call[2].pop("ids").tolist() for call in by_hand] == [[0, 1, 2]] * 6
    assert all(call[2] == horizon | {"warmup": 7, "batches": 1} for call in by_hand)
    assert [call[0] is network for call in by_hand] == [True] * 3 + [False] * 3
    assert progress[0] == (0, 6)
    assert progress[-1] == (6, 6)


def test_a_policy_compared_with_itself_differs_by_exactly_nothing():
    network = load_network("two_store")
    policies = {"one": make_policy("s_S", network), "other": make_policy("s_S", network)}
    found = compare(network, policies, baseline="one", replications=5)
    for metric in METRICS:
        assert found.result("other", metric).difference[:3] == (0, 0, 0)


def test_saved_and_read_back(comparison, tmp_path):
    comparison.save(tmp_path / "new")
    text = (tmp_path / "new" / "comparison.json").read_text(encoding="utf-8")
    assert Comparison.load(tmp_path / "new" / "comparison.json") == comparison
    data = json.loads(text)
    assert data["scenarios"]["normal"]["phase1_stores"]["reward"]["difference"]["low"] > 0
    assert data["better"]["stockout_days"] == "lower"
    assert data["objective"] == "reward"
    assert data["units"]["profit"] == "money a day"
    assert (tmp_path / "new" / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_a_comparison_of_before_batches_and_precisions_is_read(comparison):
    data = comparison.to_json()
    for key in ("batches", "objective", "precision", "warnings"):
        del data[key]
    for rows in data["scenarios"].values():
        for row in rows.values():
            for result in row.values():
                del result["relative"]
    old = Comparison.from_json(data)
    assert (old.batches, old.objective, old.precision) == (1, "reward", None)
    assert old.result("phase1_stores", "reward") == comparison.result("phase1_stores", "reward")


def test_what_is_undefined_is_null(by_hand, monkeypatch):
    monkeypatch.setitem(VALUES, "a", [math.nan] * 3)
    found = compare(load_network("two_store"), {"a": "a", "b": "b"}, baseline="a", replications=3)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["scenarios"]["normal"]["a"]["bullwhip"]["mean"] is None
    assert Comparison.from_json(json.loads(text)).result("b", "bullwhip").difference.n == 0


def _printed(comparison, width):
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(comparison.table(width))
    return captured.get()


def test_table_shows_each_policy_and_its_differences(comparison):
    text = _printed(comparison, 160)
    assert text.count("vs phase1_stores") == 2  # phase 2, in both scenarios
    assert "Bullwhip" in text
    assert "phase2_warehouse vs tuned_s_S: reward +0.0" in text
    narrow = _printed(comparison, 80)
    assert "Bullwhip" not in narrow
    assert "…" not in narrow
    assert max(map(len, narrow.splitlines())) <= 80


def test_names_with_markup_are_printed_as_they_are(by_hand, monkeypatch):
    monkeypatch.setitem(VALUES, "[red]x[/]", [1.0, 2.0, 3.0])
    found = compare(load_network("two_store"), {n: n for n in ("a", "[red]x[/]")}, baseline="a", replications=3)
    assert "[red]x[/]" in _printed(found, 160)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baseline": "x"}, "baseline: 'x': unknown"),
        ({"baseline": "a", "references": ["y"]}, "references: 'y': unknown"),
        ({"baseline": "a", "previous": {"b": "z"}}, "previous: 'z': unknown"),
        ({"baseline": "a", "scenarios": ["quake"]}, "scenario: 'quake': unknown"),
        ({"baseline": "a", "scenarios": []}, "scenarios: none"),
        ({"baseline": "a", "replications": 1}, "episodes: 1: at least 2"),
        ({"baseline": "a", "warmup": 90}, "warmup: 90: 0 to 89"),
        ({"baseline": "a", "days": 0}, "days: 0: at least 1"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(by_hand, settings, message):
    with pytest.raises(InputError, match=message):
        compare(load_network("two_store"), {n: n for n in ("a", "b")}, **settings)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"network": 1}'])
def test_a_file_that_is_no_comparison_is_refused(tmp_path, content):
    path = tmp_path / "comparison.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"comparison\.json: not a comparison"):
        Comparison.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        Comparison.load(tmp_path / "none.json")
