"""What a run's folder says: its settings, its network, the command that makes it again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from hmarl.command import parse
from hmarl.errors import InputError
from hmarl.network import load_network
from llm.runs import make_task, network_for, read_run, run_of, task_settings
from llm.settings import GRPOSettings, SFTSettings


def write(folder: Path, settings: GRPOSettings | SFTSettings, network: str = "corner_shop") -> Path:
    """A run's config.yaml."""
    values = {key.removesuffix("_"): value for key, value in settings.model_dump(mode="json").items()}
    config = {"name": "ours", "settings": values, "network": load_network(network).model_dump(mode="json")}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_a_model_belongs_to_the_run_around_it(tmp_path):
    folder = write(tmp_path / "ours", GRPOSettings(economics=True, futures=3))
    (folder / "final").mkdir()
    run = run_of(str(folder / "final"))
    assert run is not None
    assert (run.name, run.algorithm, run.network.name) == ("ours", "grpo", "corner_shop")
    assert run_of("tiny") is None
    assert run_of(str(tmp_path)) is None
    task = make_task(run.network, task_settings(run, "x"))
    assert (task.rollout.futures, task.continuation_name) == (3, "order_up_to:80")
    assert task.prompts(1, 0)[0].messages[0]["role"] == "system"


def test_without_a_run_a_model_is_asked_by_its_defaults():
    settings = task_settings(None, "tiny")
    assert not settings["economics"]
    assert settings["max_completion_length"] == 16
    assert task_settings(None, "someone/large")["economics"]
    assert network_for(None, None, {}).name == "corner_shop"


def test_a_run_of_demonstrations_alone_is_asked_as_it_was_trained(tmp_path):
    run = read_run(write(tmp_path / "ours", SFTSettings(economics=True), "two_store"))
    assert run.algorithm == "sft"
    task = make_task(network_for(run, None, {}), task_settings(run, "x"))
    assert (task.network.name, task.continuation_name) == ("two_store", "base_stock")
    assert network_for(run, "corner_shop", {"days": 5}).days == 5


def test_the_command_makes_the_same_settings_again(tmp_path):
    for settings in (
        GRPOSettings(),
        GRPOSettings(futures=3, economics=True, compare=["random", "s_S"], set_={"lead_time": 2}, name="a b"),
        GRPOSettings(model="someone/large", use_lora=False, quick=True),
    ):
        words = read_run(write(tmp_path / "ours", settings)).command()
        assert words.startswith("python -m llm.train grpo")
        assert parse(GRPOSettings, shlex.split(words)[4:], "", "") == settings
    assert read_run(write(tmp_path / "ours", GRPOSettings())).command() == "python -m llm.train grpo"
    assert read_run(write(tmp_path / "ours", SFTSettings(epochs=2))).command() == "python -m llm.train sft --epochs 2.0"


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no run \(it has no config\.yaml\)"):
        read_run(tmp_path)
    (tmp_path / "config.yaml").write_text("[1]")
    with pytest.raises(InputError, match="not a run's record"):
        read_run(tmp_path)
    (tmp_path / "config.yaml").write_text("{settings: {}, network: {days: 0}}")
    with pytest.raises(InputError, match=r"config\.yaml: network"):
        read_run(tmp_path)
