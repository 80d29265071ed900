"""A run from start to report, its folder, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import hmarl
from hmarl import InputError, load_network
from hmarl.files import replace_folder
from hmarl.learning.folder import Checkpoints, differences, digest
from hmarl.learning.run import Run
from hmarl.policies import LearnedPolicy, simulate
from hmarl.runs import Metrics, commit, locked, read_rows

PHASES = ["phase1_stores", "phase2_warehouse", "phase3_supplier", "phase4_joint"]


def test_what_a_run_leaves_behind(trained: Run) -> None:
    assert sorted(path.name for path in trained.folder.iterdir() if not path.name.startswith(".")) == sorted(
        ["config.yaml", "train.log", "rules.json", *PHASES, "comparison", "report.html", "policy"]
    )
    for phase in PHASES:
        names = {path.name.split(".")[0] for path in (trained.folder / phase).iterdir()}
        assert names == {"checkpoint", "metrics", "training", "events", "policy"}
    assert {path.name for path in (trained.folder / "comparison").iterdir()} == {
        "comparison.json",
        "comparison.png",
    }
    assert {path.name for path in (trained.folder / "policy").iterdir()} == {
        "actors.safetensors",
        "policy.json",
    }


def test_the_record_tells_how_to_repeat_the_run(trained: Run) -> None:
    config = yaml.safe_load((trained.folder / "config.yaml").read_text())
    assert config["settings"]["seed"] == 0
    assert config["settings"]["set"] == {"days": 24, "warmup": 4}
    assert config["network"]["days"] == 24
    assert config["network"]["nodes"]["store_1"]["upstream"] == "warehouse"
    assert config["ppo"]["replications"] == 4
    assert config["versions"]["ray"] == "2.60.0"
    assert config["commit"] == commit()


def test_the_curves_of_a_phase(trained: Run) -> None:
    """64 days a rollout: 8 updates of 128 agent-steps for two stores, 16 of 64 for the one warehouse."""
    stores, warehouse = trained.metrics("phase1_stores"), trained.metrics("phase2_warehouse")
    assert [row["steps"] for row in stores] == [128 * k for k in range(9)]
    assert [row["steps"] for row in warehouse] == [64 * k for k in range(17)]
    assert [row["steps"] for row in stores if "validation_reward" in row] == [0, 512, 1024]
    assert stores[-1]["learning_rate"] == 0.0
    assert stores[4]["learning_rate"] == pytest.approx(trained.config["ppo"]["learning_rate"] / 2)
    assert all(0 < row["entropy"] <= np.log(4) + 1e-6 for row in stores[1:])


def test_a_validation_is_the_greedy_policy_on_the_validation_paths(trained: Run) -> None:
    (checkpoint,) = (trained.folder / "phase1_stores/checkpoint").iterdir()
    state = json.loads((checkpoint / "state.json").read_text())
    policy = trained.phases["phase1_stores"]
    figures = simulate(trained.network, policy, replications=8, seed=0, split="validation")
    assert figures.mean("reward") == pytest.approx(state["score"])
    (row,) = (r for r in trained.metrics("phase1_stores") if r["steps"] == state["best_at"])
    assert row["validation_reward_all"] == pytest.approx(state["score"])
    assert row["validation_reward"] == pytest.approx(figures.mean("reward_store"))


def test_the_best_policy_may_be_the_cheapest(ray_session: None, small: dict[str, Any]) -> None:
    run = hmarl.train("two_store", **{**small, "phases": ["phase1_stores"]}, objective="cost")
    rows = run.metrics("phase1_stores")
    (checkpoint,) = (run.folder / "phase1_stores" / "checkpoint").iterdir()
    state = json.loads((checkpoint / "state.json").read_text())
    cheapest = min((row for row in rows if "validation_cost" in row), key=lambda row: row["validation_cost"])
    assert state["score"] == pytest.approx(-cheapest["validation_cost"])
    assert f"cost {cheapest['validation_cost']:.3f} ± " in (run.folder / "train.log").read_text()
    figures = simulate(run.network, run.phases["phase1_stores"], replications=8, split="validation")
    assert figures.mean("cost") == pytest.approx(cheapest["validation_cost"])


def test_the_comparison_pairs_each_phase_with_the_one_before(trained: Run) -> None:
    comparison = trained.comparison
    assert comparison.policies == ["s_S", "base_stock", *PHASES]
    assert comparison.baseline == "s_S"
    assert comparison.previous == dict(zip(PHASES[1:], PHASES[:-1], strict=True))
    assert comparison.replications == 12
    again = trained.compare()
    assert again.to_json() == comparison.to_json()
    more = trained.compare(episodes=20)
    assert more.replications == 20


def test_a_notebook_gets_policy_network_and_picture(trained: Run) -> None:
    assert trained.network.name == "two_store"
    assert trained.policy.name == "phase4_joint"
    assert len(trained.plot().axes) > 1
    assert trained.report.read_text().lower().startswith("<!doctype html>")
    assert Run(trained.folder).network == trained.network


def test_the_same_again_trains_nothing(trained: Run, small: dict[str, Any], ray_session: None) -> None:
    before = digest(trained.folder / "phase4_joint" / "checkpoint"), trained.report.stat().st_mtime_ns
    run = hmarl.train("two_store", **{**small, "runs": trained.folder.parent})
    assert (digest(run.folder / "phase4_joint" / "checkpoint"), run.report.stat().st_mtime_ns) == before


def test_more_steps_go_on(ray_session: None, small: dict[str, Any]) -> None:
    only = {**small, "phases": ["phase1_stores"]}
    hmarl.train("two_store", **only)
    run = hmarl.train("two_store", **{**only, "steps": 2048})
    assert [row["steps"] for row in run.metrics("phase1_stores")] == [128 * k for k in range(17)]
    assert run.config["settings"]["steps"] == 2048
    with pytest.raises(InputError, match=r"steps 2048, now 1024 \(more is fine\)"):
        hmarl.train("two_store", **only)


def test_the_same_seed_gives_the_same_numbers(trained: Run, ray_session: None, small: dict[str, Any]) -> None:
    again = hmarl.train("two_store", **small)
    for phase in PHASES:
        assert timeless(again.metrics(phase)) == timeless(trained.metrics(phase))
    assert again.comparison.to_json() == trained.comparison.to_json()
    other = hmarl.train("two_store", **{**small, "name": "other", "seed": 1, "phases": ["phase1_stores"]})
    assert timeless(other.metrics("phase1_stores")) != timeless(trained.metrics("phase1_stores"))


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "steps_per_second"} for row in rows]


def test_changed_settings_are_refused_with_the_differences(trained: Run, small: dict[str, Any]) -> None:
    there = {**small, "runs": trained.folder.parent}
    with pytest.raises(InputError, match="started with other settings: seed 0, now 1") as refused:
        hmarl.train("two_store", **{**there, "seed": 1, "evaluation_episodes": 9})
    assert "evaluation_episodes 8, now 9" in str(refused.value)
    with pytest.raises(InputError, match="network two_store, now tight_supply"):
        hmarl.train("tight_supply", **there)
    assert differences({"seed": 0}, {"seed": 0, "wandb": True, "runs": "elsewhere", "phases": ["a"]}) == []


def test_a_network_file_that_changed_is_refused(ray_session: None, small: dict[str, Any], tmp_path: Path) -> None:
    network = load_network("two_store", days=24, warmup=4)
    given = {**small, "set": {}, "phases": ["phase1_stores"], "steps": 128}
    hmarl.train(network, **given)
    changed = network.model_copy(update={"days": 25})
    with pytest.raises(InputError, match=r"network\.days 24, now 25"):
        hmarl.train(changed, **given)


def test_two_at_once_are_kept_apart(small: dict[str, Any]) -> None:
    folder = small["runs"] / "run"
    with locked(folder), pytest.raises(InputError, match=f"in use by process {os.getpid()} on .* since"):
        hmarl.train("two_store", **small)
    with locked(folder):
        pass  # the lock ended with the block


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "", ".hidden", "<b>run</b>", "/tmp/run"])
def test_a_name_with_a_path_is_refused(small: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match="name"):
        hmarl.train("two_store", **{**small, "name": name})
    assert not small["runs"].exists()


def test_a_folder_that_cannot_be_written_is_refused(small: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        hmarl.train("two_store", **{**small, "runs": tmp_path / "file"})


def test_a_folder_that_is_no_run_is_refused(small: dict[str, Any]) -> None:
    folder = small["runs"] / "run"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"holds 'thesis.tex' and no config.yaml"):
        hmarl.train("two_store", **small)
    with pytest.raises(InputError, match="no run"):
        Run(folder)
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ppo_set": {"clip": -1}}, "--ppo-set: clip: -1: above 0"),
        ({"ppo_set": {"clipp": 0.2}}, "clipp: unknown, did you mean clip"),
        ({"rules": ["s_T"]}, "rules: 's_T': unknown, did you mean s_S"),
        ({"set": {"store.lead_tim": 3}}, "lead_tim"),
        ({"scenario": "apocalypse"}, "apocalypse"),
        ({"steps": 0}, "steps: 0: at least 1"),
        ({"speed": 9}, "speed: unknown"),
        ({"phases": ["phase9"]}, "phase9"),
        ({"curriculum": "nowhere.yaml"}, "nowhere.yaml: cannot be read"),
        ({"sales": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    small: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        hmarl.train("two_store", **{**small, **settings})
    assert "\n" not in str(refused.value)
    assert not small["runs"].exists()


def test_a_network_that_fails_validation_is_not_trained(small: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="order_capacity"):
        hmarl.train("two_store", **{**small, "set": {"nodes.supplier.order_capacity": 20}})
    assert not small["runs"].exists()


def test_a_policy_of_another_network_is_refused(trained: Run) -> None:
    other = load_network("two_store", **{"roles.store.observation": "pipeline"})
    with pytest.raises(InputError, match="role store: trained to see 7 features, on two_store they are"):
        LearnedPolicy.load(trained.folder / "policy", other)


def test_training_through_three_stages(ray_session: None, small: dict[str, Any], tmp_path: Path) -> None:
    """Lead times of 1, 3 and 5 days, the first two for two and three updates of eight, beside none."""
    stages = [
        {"name": "near", "overrides": {"store.lead_time": 1}, "steps": 256},
        {"name": "farther", "overrides": {"store.lead_time": 3}, "steps": 384},
        {"name": "far", "overrides": {"store.lead_time": 5}},
    ]
    path = tmp_path / "stages.yaml"
    path.write_text(yaml.safe_dump(stages))
    far = {**small, "set": {**small["set"], "store.lead_time": 5}, "phases": ["phase1_stores"]}
    staged = hmarl.train("two_store", **far, curriculum=path)
    plain = hmarl.train("two_store", **{**far, "name": "plain"})
    rows = staged.metrics("phase1_stores")
    assert [row["stage"] for row in rows] == ["near"] * 3 + ["farther"] * 3 + ["far"] * 3
    assert [row["steps"] for row in rows] == [row["steps"] for row in plain.metrics("phase1_stores")]
    assert rows[1]["reward_mean"] > plain.metrics("phase1_stores")[1]["reward_mean"]
    assert staged.network.nodes["store_1"].lead_time == 5
    assert staged.comparison.result("s_S", "reward") == plain.comparison.result("s_S", "reward")


def test_wandb_without_a_key_is_offline(
    ray_session: None, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(small["runs"]))
    run = hmarl.train("two_store", **{**small, "phases": ["phase1_stores"], "steps": 128, "wandb": True})
    (offline,) = (run.folder / "wandb").glob("offline-run-*")
    assert list(offline.glob("*.wandb"))


def test_tensorboard_has_the_rows(trained: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained.folder / "phase1_stores"))
    events.Reload()
    rows = [row for row in trained.metrics("phase1_stores") if "reward_mean" in row]
    assert [(e.step, e.value) for e in events.Scalars("reward_mean")] == [
        (row["steps"], pytest.approx(row["reward_mean"])) for row in rows
    ]


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(lambda folder: (folder / "weights").write_text("1"))

    def interrupted(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(interrupted)
    newest = checkpoints.newest()
    assert newest is not None
    assert (newest / "weights").read_text() == "1"
    checkpoints.save(lambda folder: (folder / "weights").write_text("2"))
    assert [path.name for path in tmp_path.iterdir()] == ["000002"]


def test_rows_after_a_checkpoint_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"steps": 1}\n{"steps": 2}\n{"steps": 3}\n{"ste')
    assert read_rows(path) == [{"steps": 1}, {"steps": 2}, {"steps": 3}]
    assert Metrics(path).cut(2) == [{"steps": 1}, {"steps": 2}]
    assert path.read_text() == '{"steps": 1}\n{"steps": 2}\n'


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "policy"
    replace_folder(target, lambda folder: (folder / "a").write_text("1"))
    replace_folder(target, lambda folder: (folder / "b").write_text("2"))
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    shutil.rmtree(target)
