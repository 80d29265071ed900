"""A curriculum: read, refused, applied, and when a stage ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from hmarl.errors import InputError
from hmarl.network import Stage, apply_scenario, load_curriculum, load_network, stage_network

THREE = """
- {name: near, overrides: {lead_time: 1}, steps: 20000}
- {name: farther, overrides: {store.lead_time: 3}, score: 8.5, days: 30}
- {name: far, overrides: {lead_time: 5}, scenario: demand_spike}
"""


def test_three_stages_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "curriculum.yaml"
    file.write_text(THREE)
    stages = load_curriculum(file)
    assert [stage.name for stage in stages] == ["near", "farther", "far"]
    base = load_network("two_store")
    first, second, third = (stage_network(base, stage) for stage in stages)
    assert {node.lead_time for node in first.nodes.values()} == {1}
    assert [node.lead_time for node in second.nodes.values()] == [4, 3, 3, 3]
    assert (first.days, second.days) == (90, 30)
    assert third == apply_scenario(load_network("two_store", lead_time=5), "demand_spike")
    assert base == load_network("two_store")


def test_stages_from_a_list() -> None:
    stages = load_curriculum([Stage(name="a", steps=1), {"name": "b"}])
    assert [stage.name for stage in stages] == ["a", "b"]


def test_a_scenario_is_laid_over_the_stages_own_days() -> None:
    network = stage_network(load_network("two_store"), Stage(name="short", days=30, scenario="disruption"))
    assert network.nodes["warehouse"].outages[0].first == 10


@pytest.mark.parametrize(
    ("stage", "steps", "score", "passed"),
    [
        ({"steps": 100}, 99, 50.0, False),
        ({"steps": 100}, 100, None, True),
        ({"score": 8}, 10**9, None, False),
        ({"score": 8}, 0, 7.9, False),
        ({"score": 8}, 0, 8.0, True),
        ({"score": 8, "steps": 100}, 100, 1.0, True),
        ({"score": 8, "steps": 100}, 10, 9.0, True),
        ({}, 10**9, 10**9, False),
    ],
)
def test_a_stage_ends_by_steps_or_by_score(stage: dict, steps: int, score: float | None, passed: bool) -> None:
    assert Stage(name="s", **stage).passed(steps, score) is passed


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("- {name: a, setps: 3}", "0.setps: unknown, did you mean steps?"),
        ("- {name: a, steps: 0}", "0.steps: 0: at least 1"),
        ("- {steps: 3}", "0.name: is missing"),
        ("- {name: a}\n- {name: b}", "a: steps or score is missing"),
        ("- {name: a, steps: 1}\n- {name: a}", "each stage has a name of its own"),
        ("- {name: a, scenario: sunny}", "0: scenario: 'sunny': one of normal, "),
        ("[]", "at least one stage"),
        ("name: a", "a list of stages"),
    ],
)
def test_a_bad_curriculum_is_named_in_one_line(tmp_path: Path, content: str, line: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"^[^\n]*$") as caught:
        load_curriculum(file)
    assert str(caught.value).startswith(f"{file}: {line}")


def test_a_stage_that_does_not_fit_the_network() -> None:
    with pytest.raises(InputError, match=r"stage far: nodes.supplier.lead_time: -1: at least 0"):
        stage_network(load_network("two_store"), Stage(name="far", overrides={"lead_time": -1}))
    with pytest.raises(InputError, match=r"override: 'leed_time': unknown, did you mean lead_time"):
        stage_network(load_network("two_store"), Stage(name="far", overrides={"leed_time": 1}))
