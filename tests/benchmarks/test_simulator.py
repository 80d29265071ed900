"""The throughput figure compares like with like."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import simulator
from benchmarks.plain_loop import PlainLoop


def test_the_plain_loop_plays_the_same_days() -> None:
    simulator.check_plain_loop(60)


def test_the_check_notices_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    ship = PlainLoop._ship
    monkeypatch.setattr(PlainLoop, "_ship", lambda self, name, quantity: ship(self, name, max(0.0, quantity - 1)))
    with pytest.raises(AssertionError, match="day"):
        simulator.check_plain_loop(10)


def test_a_row_for_every_contender(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(simulator, "REPLICATIONS", (1, 3))
    monkeypatch.setattr(simulator, "or_gym_turn", lambda: None)
    result = simulator.measure(seconds=0.01, rounds=2)
    simulator.show(result)
    table = capsys.readouterr().out
    assert [row["contender"] for row in result["rows"]] == [
        "hmarl, 1 replication",
        "hmarl, 3 replications",
        "plain Python loop, a dict an agent",
        "or-gym InvManagement-v1",
    ]
    for row in result["rows"][:3]:
        assert 0 < row["lowest"] <= row["agent_steps_per_second"] <= row["highest"]
    assert result["rows"][2]["times_plain_loop"] == 1
    assert "not installed" in table.splitlines()[4]
    for parts in result["microseconds_of_a_day"].values():
        assert set(parts) == set(simulator.PARTS)
        assert parts["observations"] > 0
    json.dumps(result)


def test_the_way_to_install_or_gym_is_told() -> None:
    assert "pip install --no-deps or-gym" in Path(simulator.__file__).read_text()
