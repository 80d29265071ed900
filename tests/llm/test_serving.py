"""Engines that hold a trained model, an adapter too, answer as the model itself does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llm.generation import EngineGenerate
from llm.models import LoraSettings, export, load_model, load_tokenizer
from llm.serving import serving
from llm.tiny import tiny_model
from llm.trained import TrainedModel

QUESTIONS = [[{"role": "user", "content": f"Day {day} of 30, Monday. Stock {7 * day}. Order?"}] for day in (2, 9, 9)]
TOKENS = 6


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """One of the tiny model that changes its answers."""
    base = tiny_model("tiny")
    model = load_model(base, lora=LoraSettings(r=8, alpha=16))
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.5, generator=generator)
    folder = tmp_path_factory.mktemp("run") / "final"
    export(model, load_tokenizer(base), folder)
    return folder


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
def test_an_adapter_is_served(ray_session, adapter, kind):
    expected = TrainedModel(adapter).generate_all(QUESTIONS, max_new_tokens=TOKENS)
    assert expected != TrainedModel("tiny").generate_all(QUESTIONS, max_new_tokens=TOKENS)
    with serving(adapter, kind=kind, max_model_len=128) as pool:
        generate = EngineGenerate(pool.generate, load_tokenizer(adapter), max_tokens=TOKENS)
        assert generate(QUESTIONS) == expected
        assert 3 <= generate.tokens <= 3 * TOKENS
        assert pool.counts.answers == 2  # the same question twice is asked once
        sampled = [EngineGenerate(pool.generate, load_tokenizer(adapter), max_tokens=TOKENS, temperature=1.0, seed=seed)
                   for seed in (1, 1, 2)]  # fmt: skip
        first, again, other = (draw(QUESTIONS) for draw in sampled)
    assert first == again
    assert first != other
    assert first[1] != first[2]  # each answer has a seed of its own
