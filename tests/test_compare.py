"""``python -m hmarl.compare``: rules on a network, a run's phases, what is refused."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hmarl.compare import main
from hmarl.errors import InputError
from hmarl.learning.folder import locked, record
from hmarl.learning.train_settings import TrainSettings
from hmarl.network import load_network
from hmarl.policies import LearnedPolicy, make_policy, rule_to_json
from hmarl.roles import Chain

QUICK = ["--episodes", "4", "--days", "20"]


def last_line(capsys) -> dict:
    """The JSON object on the last line of standard output."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with one, `first`, of two phases whose stores order 0 and 1 forecast."""
    network = load_network("two_store")
    agents = Chain(network).roles["store"]
    rules = {role: make_policy("base_stock", network) for role in ("warehouse", "supplier")}
    folder = tmp_path / "first"
    for name, action in (("phase1_stores", 0), ("phase2_warehouse", 2)):
        bias = np.zeros(agents.n_actions, np.float32)
        bias[action] = 1
        weights = {
            "layers.0.weight": np.zeros((agents.n_actions, len(agents.features)), np.float32),
            "layers.0.bias": bias,
        }
        policy = LearnedPolicy(network, {"store": weights}, rules)
        policy.save(folder / name / "policy")
        row = {"steps": 100, "reward_mean": 1.0}
        (folder / name / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    policy.save(folder / "policy")
    settings = TrainSettings(network="two_store", name="first", runs=tmp_path, seed=3)
    (folder / "config.yaml").write_text(yaml.safe_dump(record(settings, network)))
    tuned = {name: rule_to_json(make_policy(name, network)) for name in ("s_S", "base_stock")}
    (folder / "rules.json").write_text(json.dumps({"acts": "base_stock", "rules": tuned}))
    return tmp_path


def test_rules_on_every_scenario_as_json(capsys):
    arguments = [
        "--network",
        "two_store",
        "--policies",
        "random,s_S,base_stock",
        "--scenarios",
        "all",
        "--json",
    ]
    assert main([*arguments, *QUICK]) == 0
    data = last_line(capsys)
    assert data["baseline"] == "s_S"
    assert len(data["scenarios"]) == 7
    assert list(data["scenarios"]["normal"]) == ["random", "s_S", "base_stock"]
    assert data["scenarios"]["normal"]["random"]["reward"]["difference"]["high"] < 0
    assert (data["days"], data["warmup"], data["replications"]) == (13, 7, 4)


def test_weeks_have_no_weekend(capsys):
    main(
        [
            "--network",
            "two_store",
            "--set",
            "period=week",
            "--policies",
            "s_S",
            "--scenarios",
            "all",
            "--json",
            *QUICK,
        ]
    )
    captured = capsys.readouterr()
    assert "high_demand_weekend" not in json.loads(captured.out.splitlines()[-1])["scenarios"]
    assert captured.err.startswith("high_demand_weekend: left out")


def test_network_and_baseline_can_be_changed(capsys, tmp_path):
    changes = ["--set", "store.lead_time=5", "--baseline", "no_order", "--seed", "7", "--warmup", "0"]
    main([*changes, "--policies", "s_S", "--out", str(tmp_path), "--json", *QUICK])
    data = last_line(capsys)
    assert list(data["scenarios"]["normal"]) == ["no_order", "s_S"]
    assert data["baseline"] == "no_order"
    assert data["seed"] == 7
    assert data["days"] == 20
    assert json.loads((tmp_path / "comparison.json").read_text()) == data


def test_a_run_is_compared_phase_by_phase(runs, capsys):
    main(["--run", "first", "--runs", str(runs), "--json", *QUICK])
    data = last_line(capsys)
    rows = data["scenarios"]["normal"]
    assert list(rows) == ["s_S", "base_stock", "phase1_stores", "phase2_warehouse"]
    assert data["previous"] == {"phase2_warehouse": "phase1_stores"}
    assert data["seed"] == 3
    assert rows["phase2_warehouse"]["service_level"]["step"]["low"] > 0
    assert rows["phase1_stores"]["service_level"]["difference"]["high"] < 0
    assert json.loads((runs / "first/comparison/comparison.json").read_text()) == data
    assert (runs / "first/comparison/comparison.png").exists()
    assert "phase2_warehouse" in (runs / "first/report.html").read_text()


def test_a_runs_rules_can_be_chosen_and_the_result_put_elsewhere(runs, tmp_path, capsys):
    out = tmp_path / "elsewhere"
    main(["--run", "first", "--runs", str(runs), "--policies", "random", "--baseline", "phase1_stores",
          "--out", str(out), "--json", *QUICK])  # fmt: skip
    data = last_line(capsys)
    assert list(data["scenarios"]["normal"]) == ["random", "phase1_stores", "phase2_warehouse"]
    assert data["baseline"] == "phase1_stores"
    assert (out / "comparison.json").exists()
    assert not (runs / "first/comparison").exists()
    assert not (runs / "first/report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "s_S,sS"], "--policies: 'sS': unknown"),
        (["--policies", "s_S", "--baseline", "x"], "--baseline: 'x': unknown"),
        (["--policies", "s_S", "--scenarios", "quake"], "scenario: 'quake': unknown"),
        (["--network", "two_stor"], "two_stor"),
        (["--policies", "s_S", "--warmup", "20"], "warmup: 20: 0 to 19"),
        (["--policies", "s_S", "--episodes", "1"], "episodes: 1: at least 2, or there is no interval"),
        (["--episodes", "0"], "--episodes: '0': at least 1"),
        (["--precision", "1"], "--precision: '1': below 1"),
        (["--run", "../first"], "name: '../first'"),
        (["--run", "none"], "no run"),
        (["--run", "first", "--network", "two_store"], "--network: not with --run"),
        (["--run", "first", "--set", "days=3"], "--set: not with --run"),
        (["--run", "first", "--baseline", "phase9"], "baseline: 'phase9': unknown"),
    ],
)
def test_what_is_refused(runs, arguments, message):
    given = [*QUICK, "--runs", str(runs), *arguments]
    with pytest.raises(InputError) as error:
        main(given)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (runs / "first/comparison").exists()
    assert not (runs / "none").exists()


def test_a_run_in_use_is_left_alone(runs):
    with locked(runs / "first"), pytest.raises(InputError, match="in use by process"):
        main(["--run", "first", "--runs", str(runs), *QUICK])


def test_a_run_without_phases_is_refused(tmp_path):
    settings = TrainSettings(network="two_store", name="new", runs=tmp_path)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/config.yaml").write_text(yaml.safe_dump(record(settings, load_network("two_store"))))
    with pytest.raises(InputError, match="no phase has a policy yet"):
        main(["--run", "new", "--runs", str(tmp_path)])


def test_help_is_quick():
    """Under a second of the processor's time (the machine may be busy), and nothing heavy is read."""
    code = "import sys, hmarl.compare; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "scipy", "matplotlib", "pandas", "torch", "ray"} & set(loaded)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "hmarl.compare", "--help"], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "--episodes" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
