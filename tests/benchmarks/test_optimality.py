"""benchmarks.optimality: rows are made once and add up to the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import optimality
from benchmarks.optimality import Instance, Rows, instances, table, work
from hmarl.policies.validation import require_valid

TINY = (
    "--rules", "s_S,base_stock", "--acting-rule", "s_S", "--steps", "256", "--evaluate-every", "256",
    "--evaluation-episodes", "8", "--compare-episodes", "8", "--ppo-set", "replications=4", "--ppo-set", "days=16",
    "--set", "store.action={kind: order_up_to, values: [1, 2, 3]}",
)  # fmt: skip


def test_a_row_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = Instance("lost_sales", "lost_sales", {"lead_time": 1, "penalty": 4}, {"stores": TINY})
    monkeypatch.setattr(optimality, "instances", lambda: [tiny])
    work(["lost_sales"], 1, 1, tmp_path, Rows(tmp_path))
    rows = Rows(tmp_path)
    references, training = rows.rows
    assert references["optimal"] == pytest.approx(4.0407, abs=1e-4)
    assert references["base-stock"] == pytest.approx(4.1628, abs=1e-4)
    assert references["capped"] == pytest.approx(4.0654, abs=1e-4)
    assert training["gap"] == pytest.approx(training["cost"] / references["optimal"] - 1)
    assert training["gap"] > 0
    (line,) = table(rows, "lost_sales")
    assert f"| 4.0407 | 3.02 | 0.61 | {100 * training['gap']:.2f} |" in line
    assert "python -m hmarl.train --network lost_sales --set lead_time=1" in capsys.readouterr().out
    work(["lost_sales"], 1, 1, tmp_path, rows)
    assert len(Rows(tmp_path).rows) == 2
    assert capsys.readouterr().out == ""


def test_all_instances_can_be_trained_and_those_of_the_tables_are_known() -> None:
    found = instances()
    assert [instance.group for instance in found] == sorted(
        (instance.group for instance in found), key=optimality.GROUPS.index
    )
    assert len({instance.name for instance in found}) == len(found) == 12
    for instance in found:
        require_valid(instance.load())


def test_rows_of_several_seeds_have_a_mean_with_its_interval(tmp_path: Path) -> None:
    rows, (first, *_) = Rows(tmp_path), instances()
    costs = {"optimal": 4.0, "base-stock": 4.2, "capped": 4.04}
    rows.add({"kind": "references", "instance": first.name, **costs})
    for seed, gap in ((2, 0.003), (0, 0.001), (1, 0.002)):
        key = {"kind": "training", "instance": first.name, "training": "stores", "seed": seed}
        rows.add({**key, "gap": gap, "minutes": 1 + seed})
    (line,) = table(rows, "lost_sales")  # s = 0.1 %, t(2) = 4.303: 0.2 +- 0.25
    assert line == f"| {first.name} | 4.0000 | 5.00 | 1.00 | 0.10, 0.20, 0.30 | 0.20 ±0.25 | 3.0 |"
