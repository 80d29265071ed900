"""Small models and the engines that the tests of the language-model half share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def save_model(folder: Path, name: str, dtype: str) -> str:
    """A built-in model with weights so large that its tokens are far from equally likely."""
    import torch
    from transformers import AutoModelForCausalLM

    from llm.models import load_tokenizer
    from llm.tiny import tiny_model

    model = AutoModelForCausalLM.from_pretrained(tiny_model(name))
    torch.manual_seed(0)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim > 1 and "bias" not in key:
                parameter.normal_(0, 0.3 if "embed" in key or "lm_head" in key else 0.08)
            elif "bias" in key or "sinks" in key:
                parameter.normal_(0, 0.1)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    load_tokenizer(tiny_model(name)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def dense_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Qwen3, fp32, embeddings tied."""
    return save_model(tmp_path_factory.mktemp("dense"), "tiny", "float32")


@pytest.fixture(scope="session")
def moe_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Qwen3-MoE, fp32."""
    return save_model(tmp_path_factory.mktemp("moe"), "tiny-qwen3-moe", "float32")


@pytest.fixture(scope="session")
def gpt_oss_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """gpt-oss, bf16."""
    return save_model(tmp_path_factory.mktemp("gpt-oss"), "tiny-gpt-oss", "bfloat16")


@pytest.fixture(scope="session")
def pool(ray_session: None, moe_model: str) -> Iterator[Any]:
    """Two vLLM engines of the Qwen3-MoE model."""
    from llm.rollout.engine import EngineSettings
    from llm.rollout.pool import start_pool

    engines = start_pool(EngineSettings(moe_model, kind="vllm", max_model_len=256), num_cpus=0)
    yield engines
    engines.close()


@pytest.fixture(scope="session")
def logprobs() -> Callable[..., list[float]]:
    """Log-probabilities of a completion by a model of transformers."""
    import torch

    def of(model: Any, prompt: tuple[int, ...], completion: tuple[int, ...]) -> list[float]:
        with torch.no_grad():
            scores = model(torch.tensor([[*prompt, *completion]])).logits[0].float().log_softmax(-1)
        return [scores[len(prompt) + place - 1, token].item() for place, token in enumerate(completion)]

    return of
