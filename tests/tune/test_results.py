"""What a sweep writes at its end."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from hmarl import command
from hmarl.errors import Failed
from hmarl.learning.train_settings import TrainSettings
from llm.settings import GRPOSettings
from tune.record import Row, Trial, read_trials
from tune.results import Result, best_of, in_words, ranked, read_results, write_best, write_csv
from tune.settings import HmarlSweep, LlmSweep


def result(number: int, status: Any, value: float | None, steps: int = 100) -> Result:
    return Result(number, status, {"gamma": 0.9}, steps, value, 1.0, "out of memory" if status == "failed" else "")


def test_the_best_is_the_cheapest_of_those_trained_to_the_end() -> None:
    given = [result(0, "finished", 9.0), result(1, "stopped", 3.0, 50), result(2, "finished", 7.0)]
    cost, profit = HmarlSweep(), HmarlSweep(objective="profit")
    assert [r.number for r in ranked(given, cost)] == [2, 0, 1]
    assert [r.number for r in ranked(given, profit)] == [0, 2, 1]
    assert best_of(ranked(given, cost)).number == 2


def test_a_sweep_without_a_finished_trial_says_why() -> None:
    with pytest.raises(Failed, match="no trial came to its end: trial 1: out of memory"):
        best_of(ranked([result(0, "stopped", 3.0), result(1, "failed", None)], HmarlSweep()))


def test_in_words() -> None:
    assert in_words(result(3, "finished", 1234.5), "cost") == (
        "trial 3 finished after 100 steps: validation cost 1,234.50 (gamma=0.9)"
    )
    assert in_words(result(1, "failed", None), "cost") == "trial 1 failed: out of memory (gamma=0.9)"


def test_records(tmp_path: Path) -> None:
    trial = Trial(tmp_path, 0)
    trial.begin({"gamma": 0.9})
    trial.add(Row(10, 0, 5.0, 5.0, 1.0))
    trial.add(Row(20, 0, 4.0, 4.0, 2.0))
    trial.add(Row(20, 0, 3.0, 3.0, 2.5))  # again after a kill
    assert [(row.steps, row.value) for row in trial.rows] == [(10, 5.0), (20, 3.0)]
    assert trial.status == "unfinished"
    trial.end("failed", "why")
    trial.end("stopped")
    assert (trial.status, trial.why) == ("failed", "why")
    trial.again()
    assert trial.status == "unfinished"
    Trial(tmp_path, 2).begin({})
    assert [trial.number for trial in read_trials(tmp_path)] == [0]


def test_a_trial_goes_on_from_another(tmp_path: Path) -> None:
    trial, donor = Trial(tmp_path, 0), Trial(tmp_path, 1)
    for one, value in ((trial, 5.0), (donor, 3.0)):
        one.begin({})
        one.run(0).mkdir()
        (one.run(0) / "weights").write_text(str(value))
        for steps in (10, 20, 30):
            one.add(Row(steps, 0, value, value, 1.0))
    trial.take(donor.run(0), 20)
    assert (trial.run(0) / "weights").read_text() == "3.0"
    assert [row.steps for row in trial.rows] == [10, 20]


def test_csv(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("store.reward: {choice: [default, cost]}\nhidden: {choice: [[8], [16, 16]]}\n")
    sweep = HmarlSweep(runs=tmp_path, name="a", space=str(space))
    for k, (reward, hidden) in enumerate([("default", [8]), ("=SUM(1)", [16, 16])]):
        trial = Trial(sweep.folder, k)
        trial.begin({"store.reward": reward, "hidden": hidden})
        trial.add(Row(100, 0, 3.5, 3.5, 2.0))
        trial.end("finished" if k else "stopped")
    write_csv(sweep, read_results(sweep))
    rows = list(csv.DictReader((sweep.folder / "trials.csv").open()))
    assert [row["status"] for row in rows] == ["stopped", "finished"]
    assert rows[0]["validation_cost"] == "3.5"
    assert rows[1]["store.reward"] == "'=SUM(1)"
    assert rows[1]["hidden"] == "[16, 16]"


def test_best_is_a_configuration_of_hmarl_train(tmp_path: Path) -> None:
    sweep = HmarlSweep(runs=tmp_path, name="a", steps=500, set_={"days": 30}, ppo_set={"epochs": 2}, seed=4)
    parameters = {"gamma": 0.9, "store.shaping.target_stock": 0.25}
    path = write_best(sweep, Result(3, "finished", parameters, 500, 7.5, 1.0))
    settings = command.parse(TrainSettings, ["--config", str(path)], "hmarl.train", "")
    assert settings == sweep.training(parameters, name="a-best")
    assert "trial 3 of a: validation cost 7.5" in path.read_text()


def test_best_is_a_configuration_of_llm_train(tmp_path: Path) -> None:
    sweep = LlmSweep(output_dir=tmp_path / "b", name="b", quick=True, episodes=128)
    path = write_best(sweep, Result(0, "finished", {"temperature": 0.75}, 128, 7.5, 1.0))
    settings = command.parse(GRPOSettings, ["--config", str(path)], "llm.train", "")
    assert settings == sweep.training({"temperature": 0.75}, name="b-best", output_dir=None)
    assert settings.temperature == 0.75
    assert settings.quick
