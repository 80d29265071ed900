"""The built-in models: tokenizer, chat template, cache, and that vLLM computes what transformers does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm.models import load_tokenizer
from llm.recipes import BUILT_IN
from llm.tasks.answers import decision
from llm.tasks.supply_chain import SupplyChainTask
from llm.tiny import BENCHMARK_SIZES, MODELS, make_model, make_tokenizer, tiny_model

ROOT = str(Path(__file__).parents[2])
STATE = (
    "Day 6 of 30, Saturday. Stock 42. Arriving in 1 day 14, in 2 days 45, in 3 days 53. Pending 112. Last demand 30. "
    "Order?"
)
QUESTION = [{"role": "user", "content": STATE}]
ANSWER = {"role": "assistant", "content": "Decision: Order 25 units"}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


def ids(tokenizer: Any, messages: list[dict[str, str]], **options: Any) -> list[int]:
    return tokenizer.apply_chat_template(messages, return_dict=False, **options)


def test_the_settings_know_the_built_in_models() -> None:
    assert set(BUILT_IN) == set(MODELS)


def test_every_whole_number_is_one_token(tokenizer: Any) -> None:
    assert {len(tokenizer.encode(str(number))) for number in range(401)} == {1}


def test_phrases_between_numbers_are_one_token(tokenizer: Any) -> None:
    pieces = [tokenizer.decode([token]) for token in tokenizer.encode(STATE)]
    assert pieces[:8] == ["Day ", "6", " of ", "30", ", Saturday. Stock ", "42", ". Arriving in ", "1"]
    assert pieces[-5:] == [". Pending ", "112", ". Last demand ", "30", ". Order?"]
    assert [tokenizer.decode([token]) for token in tokenizer.encode(ANSWER["content"])] == [
        "Decision: Order ",
        "25",
        " units",
    ]


def test_the_task_speaks_in_the_tokenizers_phrases(tokenizer: Any) -> None:
    """A reworded sentence of llm.tasks would fall into pieces: prompts would grow and the model learn less."""
    task = SupplyChainTask("corner_shop", economics=False)
    prompts = task.prompts(50, seed=0)
    assert {len(ids(tokenizer, prompt.messages, add_generation_prompt=True)) for prompt in prompts} == {32}
    assert {len(tokenizer.encode(decision(order) + "<|return|>")) for order in range(101)} == {4}
    warehouse = SupplyChainTask("two_store", "warehouse", economics=False).prompts(1, seed=0)[0]
    words = [word for word in re.split(r"\d+", warehouse.messages[0]["content"]) if word]
    assert {len(tokenizer.encode(word)) for word in words} == {1}


@pytest.mark.parametrize("text", ["Naïve 漢字 🙂\n\ttabs", "24.99 a unit; 4012 left, 1,000 more", "", "a" * 300])
def test_any_text_survives(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_markup_in_a_text_is_one_token_each_and_not_spelled(tokenizer: Any) -> None:
    marks = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>"]
    assert {len(tokenizer.encode(mark)) for mark in marks} == {1}
    assert tokenizer.decode(tokenizer.encode("".join(marks)), skip_special_tokens=True) == ""


def test_chat_template_is_harmony(tokenizer: Any) -> None:
    conversation = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    text = tokenizer.apply_chat_template([*conversation, {"role": "assistant", "content": "A"}], tokenize=False)
    question = "<|start|>system<|message|>S<|end|><|start|>user<|message|>U<|end|>"
    assert text == question + "<|start|>assistant<|channel|>final<|message|>A<|return|>"
    thought = {"role": "assistant", "content": "A", "thinking": "T"}
    text = tokenizer.apply_chat_template([*conversation, thought], tokenize=False)
    reasoning = "<|start|>assistant<|channel|>analysis<|message|>T<|end|>"
    assert text == question + reasoning + "<|start|>assistant<|channel|>final<|message|>A<|return|>"
    more = [*conversation, thought, {"role": "user", "content": "V"}]
    text = tokenizer.apply_chat_template(more, tokenize=False, add_generation_prompt=True, enable_thinking=True)
    earlier = "<|start|>assistant<|channel|>final<|message|>A<|end|>"
    assert text == question + earlier + "<|start|>user<|message|>V<|end|><|start|>assistant"


@pytest.mark.parametrize("thinking", [None, "Little stock."])
def test_a_prompt_begins_its_conversation(tokenizer: Any, thinking: str | None) -> None:
    """Else supervised training would learn the answer after another prompt than generation shows."""
    answer = ANSWER | ({"thinking": thinking} if thinking else {})
    prompt = ids(tokenizer, QUESTION, add_generation_prompt=True, enable_thinking=thinking is not None)
    assert ids(tokenizer, [*QUESTION, answer])[: len(prompt)] == prompt


def test_the_mask_of_what_the_model_says(tokenizer: Any) -> None:
    done = tokenizer.apply_chat_template([*QUESTION, ANSWER], return_dict=True, return_assistant_tokens_mask=True)
    said = [token for token, mask in zip(done["input_ids"], done["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(said) == "Decision: Order 25 units<|return|>"


@pytest.mark.parametrize("name", MODELS)
def test_built_in_models(name: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = tiny_model(name)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.model_type == MODELS[name][0]
    assert 100_000 < model.num_parameters() < 300_000
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    tokenizer = load_tokenizer(folder)
    assert model.config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|return|>")
    assert model.config.vocab_size == len(tokenizer)


def test_the_seed_alone_decides_the_weights(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(5)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_model(tmp_path / name, "qwen3", BENCHMARK_SIZES["0.5M"], seed)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(("size", "parameters"), [("0.5M", 0.5e6), ("15M", 15e6)])
def test_benchmark_sizes(size: str, parameters: float, tmp_path: Path) -> None:
    assert make_model(tmp_path, "qwen3", BENCHMARK_SIZES[size]) == pytest.approx(parameters, rel=0.03)


@pytest.mark.slow
def test_two_processes_make_the_same_model_at_once(tmp_path: Path) -> None:
    program = "from llm.tiny import tiny_model; print(tiny_model('tiny'))"
    environment = {
        "XDG_CACHE_HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    running = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    (folder,) = map(Path, folders)
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]  # nothing half-made is left
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"} <= set(
        path.name for path in folder.iterdir()
    )


@pytest.mark.slow
def test_vllm_computes_what_transformers_does(tmp_path: Path) -> None:
    """With weights far from their beginning, where a layer that is loaded wrongly shows; gpt-oss in bfloat16, where
    rounding now and then sends a token to another expert."""
    script = Path(__file__).with_name("against_transformers.py")
    environment = os.environ | {"PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, script, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["tiny"]["largest"] < 1e-4
    assert found["tiny-qwen3-moe"]["largest"] < 1e-4
    assert found["tiny-gpt-oss"]["median"] < 0.1
    assert min(model["spread"] for model in found.values()) > 1
