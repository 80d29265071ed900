"""What a sweep refuses, and the settings that its trials train with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hmarl.errors import InputError
from hmarl.network import load_network
from llm.settings import GRPOSettings
from tune.settings import HmarlSweep, LlmSweep, _Sweep


def refusal(sweep: _Sweep) -> str:
    with pytest.raises(InputError) as error:
        sweep.check()
    return str(error.value)


def space(tmp_path: Path, text: str) -> str:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: {log: [1e-4, 1]}", "space.yaml: 'learning_rat': unknown, did you mean learning_rate or"),
        ("clip: {uniform: [0.1, 1.5]}", "space.yaml: clip: 1.5: below 1"),
        ("hidden: {choice: [64]}", "hidden: 64: a list"),
        ("threads: {choice: [1, 2]}", "'threads': unknown"),
        ("store.shaping.target_stock: {uniform: [-1, 1]}", "target_stock: -1.0: at least 0"),
        ("store.reward: {choice: [default, gold]}", "gold"),
    ],
)
def test_hmarl_refuses_a_space_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    found = refusal(HmarlSweep(space=space(tmp_path, text)))
    assert message in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("entropy: {uniform: [0, 1]}", "'entropy': unknown"),
        ("temperature: {uniform: [0, 1]}", "temperature: 0.0: above 0"),
        ("num_generations: {choice: [16, 17]}", "num_generations: 17: must divide"),
        ("lora_r: {choice: [8, 16]}", "lora_r: with use_lora only"),
    ],
)
def test_llm_refuses_a_space_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(LlmSweep(space=space(tmp_path, text)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": "grid", "trials": 16}, "trials: 16: the grid of learning_rate, entropy, gamma has 36"),
        ({"scheduler": "pbt", "search": "optuna"}, "scheduler: pbt: with --search random or grid"),
        ({"scheduler": "pbt", "seeds": 2}, "seeds: 2: 1 with --scheduler pbt"),
    ],
)
def test_what_does_not_go_together(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(HmarlSweep(**changes))


def test_population_based_training_needs_something_to_change(tmp_path: Path) -> None:
    sweep = HmarlSweep(scheduler="pbt", space=space(tmp_path, "hidden: {choice: [[8], [16]]}"))
    assert "nothing to change on the way: hidden" in refusal(sweep)


def test_population_based_training_is_for_hmarl() -> None:
    assert "for hmarl only" in refusal(LlmSweep(scheduler="pbt"))


def test_as_many_trials_as_the_grid_has() -> None:
    assert HmarlSweep(search="grid").number == 3 * 3 * 4
    assert HmarlSweep().number == 16


@pytest.mark.parametrize("name", ["quick", "full"])
def test_the_presets_are_spaces_that_can_be_searched(tmp_path: Path, name: str) -> None:
    """What a preset holds must pass where a user's file would."""
    for kind, file in ((HmarlSweep, "a.yaml"), (LlmSweep, "b.yaml")):
        import yaml

        preset = kind(space=name)
        preset.check()
        path = tmp_path / file
        path.write_text(yaml.safe_dump(preset.searched.model_dump(mode="json")))
        assert kind(space=str(path)).searched == preset.searched
        kind(space=str(path)).check()


def test_adapters_are_searched_where_there_are_any() -> None:
    assert "lora_r" not in LlmSweep(space="full").searched.root
    with_adapters = LlmSweep(space="full", model="Qwen/Qwen3-0.6B").searched.root
    assert {"lora_r", "lora_alpha", "beta", "continuation_days"} <= with_adapters.keys()
    assert with_adapters["learning_rate"].log == (1e-6, 3e-4)  # type: ignore[union-attr]


def test_parameters_go_where_they_belong() -> None:
    sweep = HmarlSweep(ppo_set={"epochs": 2, "clip": 0.1}, set_={"days": 30}, seed=5)
    settings = sweep.training({"clip": 0.3, "store.shaping.target_stock": 0.5}, name="other")
    assert settings.ppo_set == {"epochs": 2, "clip": 0.3}
    network = load_network(settings.network, **settings.set_)
    assert network.role_settings("store").shaping.target_stock == 0.5
    assert (network.days, settings.seed, settings.name) == (30, 5, "other")


def test_a_language_model_keeps_its_recipe() -> None:
    sweep = LlmSweep(quick=True, seed=3, episodes=128)
    settings = sweep.training({"temperature": 0.8})
    expected = GRPOSettings(quick=True, seed=3, episodes=128, temperature=0.8)
    assert settings == expected


def test_steps_of_a_trial() -> None:
    assert HmarlSweep(steps=1000).seed_steps == 4000
    assert HmarlSweep(network="lost_sales", steps=1000).seed_steps == 1000
    assert LlmSweep(episodes=500, epochs=2).seed_steps == 1000


def test_engines_are_shared_by_adapters_alone(tmp_path: Path) -> None:
    assert "share_engines: with use_lora" in refusal(LlmSweep(share_engines=True))
    with_experts = LlmSweep(use_lora=True, share_engines=True, expert_targets=["mlp.experts.down_proj"])
    assert "without expert_targets" in refusal(with_experts)
    ranks = LlmSweep(use_lora=True, share_engines=True, space=space(tmp_path, "lora_r: {choice: [8, 64, 16]}"))
    ranks.check()
    assert ranks.highest_rank == 64
    assert LlmSweep(use_lora=True, lora_r=4).highest_rank == 4


@pytest.mark.parametrize("kind", [HmarlSweep, LlmSweep])
def test_trials_are_not_kept_in_a_storage(kind: type[_Sweep]) -> None:
    assert "storage: of one training" in refusal(kind.model_validate({"storage": "s3://bucket/runs"}))
