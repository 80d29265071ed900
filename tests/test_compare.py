"""``python -m hmarl.compare``: rules on a network, a run's phases, what is refused."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hmarl.compare import main
from hmarl.errors import InputError
from hmarl.learning.folder import record
from hmarl.learning.train_settings import TrainSettings
from hmarl.network import Network, load_network
from hmarl.policies import LearnedPolicy, make_policy, rule_to_json
from hmarl.roles import Chain
from hmarl.runs import locked

QUICK = ["--episodes", "4", "--days", "20"]


def last_line(capsys) -> dict:
    """The JSON object on the last line of standard output."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def always(network: Network, action: int) -> LearnedPolicy:
    """A policy whose stores take the same action every day."""
    agents = Chain(network).roles["store"]
    weights = {
        "layers.0.weight": np.zeros((agents.n_actions, len(agents.features)), np.float32),
        "layers.0.bias": np.eye(agents.n_actions, dtype=np.float32)[action],
    }
    rules = {role: make_policy("base_stock", network) for role in ("warehouse", "supplier")}
    return LearnedPolicy(network, {"store": weights}, rules)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with one, `first`, of two phases whose stores order 0 and 1 forecast."""
    network = load_network("two_store")
    folder = tmp_path / "first"
    for name, action in (("phase1_stores", 0), ("phase2_warehouse", 2)):
        policy = always(network, action)
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


@pytest.fixture
def seeds(runs: Path) -> Path:
    """`first` and two runs that differ from it in their seed and in what their stores order."""
    for name, seed, action in (("second", 4, 3), ("third", 5, 1)):
        shutil.copytree(runs / "first", runs / name)
        always(load_network("two_store"), action).save(runs / name / "policy")
        change_config(runs / name, name=name, seed=seed)
    return runs


def change_config(folder: Path, **settings) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**config, "settings": {**config["settings"], **settings}}))


def test_several_runs_are_compared_over_their_seeds(seeds, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--run", "first,second,third", "--runs", str(seeds), "--out", str(out), "--json"]
    main([*arguments, *QUICK])
    data = last_line(capsys)
    rows = data["scenarios"]["normal"]
    assert list(rows) == ["s_S", "base_stock", "first", "second", "third"]
    rewards = [rows[name]["reward"]["mean"] for name in ("first", "second", "third")]
    assert data["seeds"]["runs"] == ["first", "second", "third"]
    assert data["seeds"]["value"]["mean"]["mean"] == pytest.approx(np.mean(rewards))
    assert data["seeds"]["value"]["worst"] == min(rewards)
    assert json.loads((out / "seeds.json").read_text()) == data["seeds"]
    assert not (seeds / "first/comparison").exists()


def test_runs_that_differ_in_more_than_their_seed_are_refused(seeds):
    given = ["--run", "first,second", "--runs", str(seeds), *QUICK]
    change_config(seeds / "second", patience=3)
    with pytest.raises(InputError, match="--run: second: trained with other settings than first: patience 0, now 3"):
        main(given)
    path = seeds / "second/config.yaml"
    path.write_text(path.read_text().replace("holding_cost: 0.25", "holding_cost: 0.3"))
    with pytest.raises(InputError, match=r"--run: second: trained on another network than first: network\.nodes"):
        main(given)


def test_long_runs_are_cut_into_batches_until_a_precision_is_reached(capsys):
    shop = ["--network", "lost_sales", "--policies", "base_stock,tuned_base_stock", "--json"]
    main([*shop, "--days", "20000", "--episodes", "1"])
    data = last_line(capsys)
    assert (data["replications"], data["batches"], data["days"]) == (1, 20, 19_980)
    assert data["scenarios"]["normal"]["base_stock"]["cost"]["n"] == 20
    main([*shop, "--precision", "0.01"])
    captured = capsys.readouterr().out
    data = json.loads(captured.splitlines()[-1])
    assert "precision of ±1 % reached with" in captured
    assert data["replications"] > 200
    for row in data["scenarios"]["normal"].values():
        assert row["cost"]["high"] - row["cost"]["mean"] <= 0.01 / 1.01 * row["cost"]["mean"]
    assert data["precision"]["met"]


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
