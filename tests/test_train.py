"""``python -m hmarl.train``: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hmarl
from hmarl import train
from hmarl.errors import InputError
from hmarl.learning.train_settings import TrainSettings

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "--rules", "s_S", "--acting-rule", "s_S",
    "--set", "days=24", "--set", "warmup=4", "--steps", "256", "--evaluate-every", "256",
    "--evaluation-episodes", "8", "--compare-episodes", "8",
    "--ppo-set", "replications=4", "--ppo-set", "days=16", "--ppo-set", "hidden=[8]",
]  # fmt: skip


def command(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hmarl.train", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_help_names_every_setting_and_is_quick() -> None:
    code = (
        "import sys, hmarl.train\n"
        "try: hmarl.train.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print([name for name in ('ray', 'torch', 'numba', 'pandas') if name in sys.modules])"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert time.perf_counter() - began < 3  # under one alone; the tests share their cores
    for name, field in TrainSettings.model_fields.items():
        assert field.description, name
        assert f"--{name.removesuffix('_').replace('_', '-')}" in done.stdout


def test_the_module_is_the_function_too() -> None:
    assert hmarl.train is train
    assert callable(hmarl.train)
    assert callable(hmarl.train.main)


def test_a_whole_training_by_command(tmp_path: Path) -> None:
    done = command(*SMALL, "--runs", str(tmp_path), "--name", "first", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    for phase in ("phase1_stores", "phase2_warehouse", "phase3_supplier", "phase4_joint"):
        assert sum(line.startswith(f"{phase}: 256 agent-steps") for line in lines) == 1
    assert f"report: {tmp_path / 'first' / 'report.html'}" in lines
    result = json.loads(lines[-1])
    assert result["run"] == str(tmp_path / "first")
    assert result["phases"]["phase4_joint"]["steps"] == 256
    saved = json.loads((tmp_path / "first" / "comparison" / "comparison.json").read_text())
    assert result["comparison"] == saved
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "two_stor"], "did you mean two_store"),
        (["--steps", "none"], "--steps: 'none': a whole number"),
        (["--step", "3"], "did you mean --steps"),
        (["--name", "a/b"], "'a/b': a run's name is"),
        (["--ppo", "modern"], "--ppo"),
        (["--set", "store.holding_cost=-1"], "at least 0"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = command("--runs", str(tmp_path / "runs"), *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "runs").exists()


def test_a_network_file_names_the_run(tmp_path: Path) -> None:
    assert TrainSettings(network="ours/my_network.yaml").run_name == "my_network"
    assert TrainSettings(network="two_store", name="first").run_name == "first"
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        hmarl.train(tmp_path / "nowhere.yaml", runs=tmp_path)


def test_where_the_optimum_is_known_training_ends_with_the_gap_to_it(tmp_path: Path) -> None:
    levels = "store.action={kind: order_up_to, values: [1, 2, 3]}"  # so that the stock of any policy is bounded
    instance = ["--network", "lost_sales", "--set", "lead_time=1", "--set", "penalty=4", "--set", levels]
    done = command(*SMALL, *instance, "--runs", str(tmp_path), "--name", "l1", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    found = result["optimum"]
    assert found["optimal_cost"] == pytest.approx(4.0407, abs=1e-4)
    assert found["gap"] == pytest.approx(found["cost"] / found["optimal_cost"] - 1)
    assert found["gap"] > 0.001  # three levels only
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("gap to the optimum: ")]
    assert f"{100 * found['gap']:.2f} %" in line
    assert f"{found['cost']:.4f}" in line
    assert "optimal" in result["comparison"]["scenarios"]["normal"]
