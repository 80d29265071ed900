"""What a training is told: where values come from, what is warned of, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hmarl import command
from hmarl.errors import InputError
from llm.settings import GRPOSettings, SFTSettings, make_settings

NAMED = {
    "MODEL_NAME": ("model", "openai/gpt-oss-20b"),
    "NUM_EPISODES": ("episodes", 2000),
    "BATCH_SIZE": ("batch_size", 2),
    "LEARNING_RATE": ("learning_rate", 3e-6),
    "GRADIENT_ACCUMULATION_STEPS": ("gradient_accumulation_steps", 8),
    "USE_LORA": ("use_lora", False),
    "LORA_R": ("lora_r", 8),
    "LORA_ALPHA": ("lora_alpha", 24),
    "BETA": ("beta", 0.1),
    "NUM_GENERATIONS": ("num_generations", 8),
    "GRADIENT_CHECKPOINTING": ("gradient_checkpointing", False),
    "USE_BF16": ("bf16", True),
    "OUTPUT_DIR": ("output_dir", Path("elsewhere")),
    "WANDB_PROJECT": ("wandb_project", "orders"),
    "WANDB_ENTITY": ("wandb_entity", "shops"),
    "QUICK_MODE": ("quick", True),
}


def grpo(*argv: str) -> GRPOSettings:
    return command.parse(GRPOSettings, list(argv), "grpo", "")


def refused(**values: object) -> str:
    with pytest.raises(InputError) as caught:
        make_settings(GRPOSettings, {"model": "some/model", **values}).validate()
    return str(caught.value)


@pytest.mark.parametrize("variable", NAMED)
def test_a_variable_of_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    field, value = NAMED[variable]
    monkeypatch.setenv(variable, str(value))
    assert getattr(grpo(), field) == value


def test_the_command_line_comes_before_the_environment_and_that_before_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("lora_r: 4\nlora_alpha: 4\nbeta: 0.5\n")
    monkeypatch.setenv("LORA_R", "8")
    monkeypatch.setenv("LORA_ALPHA", "8")
    settings = grpo("--config", str(file), "--lora-r", "2")
    assert (settings.lora_r, settings.lora_alpha, settings.beta) == (2, 8, 0.5)


def test_our_own_name_of_a_variable_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETA", "0.1")
    monkeypatch.setenv("HMARL_BETA", "0.2")
    assert grpo().beta == 0.2


def test_an_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUM_GENERATIONS", "one")
    with pytest.raises(InputError, match=r"^NUM_GENERATIONS: 'one': a whole number"):
        grpo()


def test_a_built_in_model_brings_its_defaults_and_what_is_given_wins() -> None:
    assert not grpo().use_lora
    assert grpo("--model", "some/model").use_lora
    assert grpo("--learning-rate", "1e-4").learning_rate == 1e-4


def test_defaults_of_a_model_from_elsewhere() -> None:
    settings = grpo("--model", "some/model")
    assert settings.learning_rate == 5e-6
    assert (settings.batch_size, settings.gradient_accumulation_steps, settings.num_generations) == (1, 16, 4)
    assert (settings.lora_r, settings.lora_alpha, settings.beta) == (16, 32, 0.0)
    assert settings.groups_a_step == 4


@pytest.mark.parametrize("model", ["tiny", "tiny-gpt-oss", "some/model"])
@pytest.mark.parametrize("quick", [False, True])
def test_defaults_give_no_warning(model: str, quick: bool) -> None:
    assert make_settings(GRPOSettings, {"model": model, "quick": quick}).validate() == []
    assert make_settings(SFTSettings, {"model": model, "quick": quick}).validate() == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"learning_rate": 1e-3}, "learning_rate: 0.001: usual for LoRA: 1e-06 to 0.0003"),
        ({"use_lora": False, "save_steps": 50, "learning_rate": 1e-4}, "usual for all weights: 1e-07 to 1e-05"),
        ({"use_lora": False}, "save_steps: 1: every step writes all weights"),
        ({"episodes": 1002}, "the last 2 prompts do not fill a step"),
        ({"engines": 5}, "engines: 5: a step has 4 prompts"),
        ({"workers": 16, "gradient_accumulation_steps": 1}, "a group is spread over several"),
    ],
)
def test_a_warning(values: dict[str, object], said: str) -> None:
    warnings = make_settings(GRPOSettings, {"model": "some/model", **values}).validate()
    assert [line for line in warnings if said in line] == warnings[:1]


def test_what_cannot_work() -> None:
    assert "must divide batch_size x gradient_accumulation_steps x workers = 16" in refused(num_generations=5)
    assert "they have no dropout" in refused(expert_targets=["mlp.experts.down_proj"], lora_dropout=0.1)
    assert "with use_lora only" in refused(expert_targets=["mlp.experts.down_proj"], use_lora=False)
    assert "at least 4, the prompts of one step" in refused(episodes=3)
    assert "such weights cannot be trained" in refused(load_in_4bit=True, use_lora=False)
    assert "not together" in refused(load_in_4bit=True, load_in_8bit=True)
    assert "not together" in refused(bf16=True, fp16=True)
    assert "one worker" in refused(device_map="auto", workers=2)
    assert "only with device_map" in refused(offload_folder="layers")
    assert "an adapter is switched off" in refused(reference_model="some/model", beta=0.1)
    assert "no divergence is measured" in refused(kl_stop=0.1)


def test_a_plan_is_taken_where_nothing_else_is_given(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"settings": {"model": "openai/gpt-oss-120b", "workers": 8, "engines": 2, "tensor_parallel": 2}}')
    settings = grpo("--plan", str(plan), "--engines", "4")
    assert (settings.model, settings.workers, settings.engines, settings.tensor_parallel) == (
        "openai/gpt-oss-120b", 8, 4, 2,
    )  # fmt: skip
    assert settings.use_lora


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "a JSON object with `settings`"),
        ('{"settings": {"worker": 2}}', "'worker': unknown, did you mean workers"),
        ("{", "not valid YAML"),
    ],
)
def test_a_plan_that_is_none(text: str, said: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(text)
    with pytest.raises(InputError, match=said):
        grpo("--plan", str(plan))


def test_the_longest_prompt() -> None:
    settings = make_settings(GRPOSettings, {"max_prompt_length": 100})
    assert settings.validate(longest_prompt=90) == []
    assert settings.validate(longest_prompt=91) == ["max_prompt_length: 100: a prompt has 91 tokens already"]
    with pytest.raises(InputError, match="max_prompt_length: 100: a prompt has 101 tokens"):
        settings.validate(longest_prompt=101)


@pytest.mark.parametrize("name", GRPOSettings.model_fields)
def test_every_field_is_documented(name: str) -> None:
    assert GRPOSettings.model_fields[name].description
