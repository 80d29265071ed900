"""What is told of runners and nodes that go."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hmarl.errors import Failed
from hmarl.learning import watch
from hmarl.learning.watch import Watch
from hmarl.progress import Reporter


def test_runners_are_told_of_when_their_number_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    left = [2]
    group = SimpleNamespace(num_healthy_remote_workers=lambda: left[0])
    seen = Watch(2, 60.0, Reporter(tmp_path / "log", quiet=True))
    assert seen.runners(group, 100, sampled=True) == 2
    left[0] = 0
    assert seen.runners(group, 200, sampled=False) == 0
    now[0] = 59
    assert seen.runners(group, 200, sampled=False) == 0
    left[0] = 1
    assert seen.runners(group, 300, sampled=True) == 1
    now[0] = 118
    assert seen.runners(group, 300, sampled=False) == 1
    now[0] = 120
    with pytest.raises(Failed, match="no runner has sampled for 61 s: no node has room for one"):
        seen.runners(group, 300, sampled=False)
    told = [line.split("WARNING ")[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert told == [f"{n} of 2 runners sample from {steps} agent-steps on" for n, steps in ((0, 200), (1, 300))]


def test_each_notice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, going = [1.0], [frozenset[str]()]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(watch, "leaving", lambda: going[0])
    seen = Watch(0, 60.0, Reporter(tmp_path / "log", quiet=True))
    found = []
    for nodes in ("", "a", "a", "ab", "b", "b"):
        going[0] = frozenset(nodes)
        now[0] += 1
        found.append(seen.notice())
    assert found == [False, True, False, True, False, False]
    going[0] = frozenset("c")
    assert not seen.notice()  # too soon to ask again
