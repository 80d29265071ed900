"""Engines of their own process: gpt-oss with merged weights, a dense model with adapters, and faults of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray
import torch
from transformers import AutoModelForCausalLM

from llm.rollout.engine import EngineError, EngineSettings, Fingerprint, Request, Sampling, WeightsMismatch
from llm.rollout.vllm_engine import ENVIRONMENT, joined
from llm.rollout.weights import adapter_weights, digest, merged_weights

REQUESTS = [Request(tuple(range(9 + i, 30 + 2 * i)), seed=i, n=2) for i in range(4)]
SAMPLING = Sampling(max_tokens=8)
Ask = Callable[[Callable[[Any], Any]], Any]


@pytest.fixture
def start(ray_session: None) -> Iterator[Callable[..., Ask]]:
    """Starts an engine in an actor; gives what calls a function on it there."""

    class Holder:
        def __init__(self, settings: EngineSettings) -> None:
            from llm.rollout.vllm_engine import VLLMEngine

            self.engine = VLLMEngine(settings)

        def call(self, function: Callable[[Any], Any]) -> Any:
            return function(self.engine)

    started = []

    def begin(settings: EngineSettings, **variables: str) -> Ask:
        environment = {"env_vars": ENVIRONMENT | {"OMP_NUM_THREADS": "1"} | variables}
        actor = ray.remote(num_cpus=0, runtime_env=environment)(Holder).remote(settings)
        started.append(actor)

        def ask(function: Callable[[Any], Any]) -> Any:
            try:
                return ray.get(actor.call.remote(function))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None

        return ask

    yield begin
    for actor in started:
        ray.kill(actor)


def differences(model: Any, ask: Ask, logprobs: Callable[..., list[float]]) -> list[float]:
    """Between the engine's log-probabilities of its answers and transformers'."""
    answers = ask(lambda engine: engine.generate(REQUESTS, SAMPLING))
    return [
        abs(ours - theirs)
        for request, group in zip(REQUESTS, answers, strict=True)
        for answer in group
        for ours, theirs in zip(answer.logprobs, logprobs(model, request.prompt_ids, answer.token_ids), strict=True)
    ]


def test_gpt_oss_takes_merged_weights_in_bf16(
    start: Callable[..., Ask], gpt_oss_model: str, logprobs: Callable[..., list[float]]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(gpt_oss_model, dtype=torch.bfloat16, attn_implementation="eager")
    ask = start(EngineSettings(gpt_oss_model, dtype="bfloat16", max_model_len=256))
    assert ask(lambda engine: engine.digest) == digest(model.state_dict())
    for version in (1, 2):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        weights = merged_weights(model.state_dict(), version=version, step=1, dtype="bfloat16")
        assert ask(lambda engine, weights=weights: engine.load(weights)) == weights.manifest.digest
        assert sum(found := differences(model, ask, logprobs)) / len(found) < 0.05
    part = {name: tensor for name, tensor in model.state_dict().items() if "q_proj" in name or "down_proj" in name}
    changed = {name: tensor + 0.05 for name, tensor in part.items()}
    weights = merged_weights(changed, version=3, step=1, dtype="bfloat16")
    assert ask(lambda engine: engine.load(weights)) == weights.manifest.digest
    model.load_state_dict(changed, strict=False)
    assert sum(found := differences(model, ask, logprobs)) / len(found) < 0.05

    # A publish that is withheld: the engine goes on with what it has.
    late = merged_weights(
        {name: tensor * (1 + 2**-7) for name, tensor in part.items()}, version=4, step=1, dtype="bfloat16"
    )

    def withheld(engine: Any) -> None:
        rpc = engine._llm.collective_rpc
        engine._llm.collective_rpc = lambda name, **options: None if name == "hold" else rpc(name, **options)
        try:
            engine.load(late)
        finally:
            engine._llm.collective_rpc = rpc

    with pytest.raises(WeightsMismatch, match="version 4: the engine holds tensors of digest"):
        ask(withheld)
    assert ask(lambda engine: engine.load(late)) == late.manifest.digest
    with pytest.raises(EngineError, match="no such weights"):
        ask(lambda engine: engine.load(merged_weights({"x": torch.ones(1)}, version=5, step=1, dtype="bfloat16")))


def test_a_dense_model_takes_adapters(
    start: Callable[..., Ask], dense_model: str, logprobs: Callable[..., list[float]]
) -> None:
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    base = AutoModelForCausalLM.from_pretrained(dense_model, attn_implementation="eager")
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "v_proj", "down_proj"]))
    ask = start(EngineSettings(dense_model, max_model_len=256, adapters=2, max_lora_rank=4))
    assert ask(lambda engine: engine.digest) == digest({})
    assert max(differences(model, ask, logprobs)) < 1e-5  # B is 0 at first

    def version(number: int, tolerance: float = 1e-4) -> Any:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.copy_(0.1 * torch.randn_like(parameter))
        prompt, completion = REQUESTS[0].prompt_ids, (40, 41, 42)
        fixed = Fingerprint(prompt, completion, tuple(logprobs(model, prompt, completion)), tolerance)
        config, tensors = model.peft_config["default"].to_dict(), get_peft_model_state_dict(model)
        return adapter_weights(tensors, config, version=number, step=1, dtype="float32", fingerprint=fixed)

    for number in (1, 2, 3, 3):  # more than are held at once, and one again
        weights = version(number)
        assert ask(lambda engine, weights=weights: engine.load(weights)) == weights.manifest.digest
        assert max(differences(model, ask, logprobs)) < 1e-5

    def ignored(engine: Any, weights: Any) -> None:
        """The adapter is loaded, and requests are served by the base model."""
        generate = engine._llm.generate
        engine._llm.generate = lambda *items, lora_request, **options: generate(*items, lora_request=None, **options)
        try:
            engine.load(weights)
        finally:
            engine._llm.generate = generate

    weights = version(4)
    with pytest.raises(WeightsMismatch, match="log-probabilities of the fingerprint differ"):
        ask(lambda engine: ignored(engine, weights))

    def withheld(engine: Any, weights: Any) -> None:
        """Another adapter than published is written where vLLM reads it."""
        tensors = {name: tensor * 0 + 1e-3 for name, tensor in weights.tensors.items()}
        from dataclasses import replace

        engine.load(replace(weights, tensors=tensors))

    with pytest.raises(WeightsMismatch, match="version 4: the engine holds tensors of digest"):
        ask(lambda engine: withheld(engine, weights))
    with pytest.raises(EngineError, match="merged weights: the engine was started for the other kind"):
        ask(lambda engine: engine.load(merged_weights({}, version=5, step=1, dtype="float32")))


def test_what_several_devices_hold_is_joined() -> None:
    whole = torch.arange(12.0).view(3, 4)
    assert torch.equal(joined([whole[:, :2], whole[:, 2:]], (3, 4)), whole)
    assert torch.equal(joined([whole[:1], whole[1:2], whole[2:]], (3, 4)), whole)
    assert torch.equal(joined([whole, whole], (3, 4)), whole)
    with pytest.raises(EngineError, match="devices of one engine hold different adapters"):
        joined([whole, whole + 1], (3, 4))


def test_a_thread_that_has_not_computed_yet_may_ask(start: Callable[..., Ask], dense_model: str) -> None:
    """Where torch takes another number of threads than OpenMP's, as it does where two processors share a core."""
    settings = EngineSettings(dense_model, max_model_len=256)
    ask = start(settings, OMP_NUM_THREADS="2", MKL_NUM_THREADS="1")

    def in_a_new_thread(engine: Any) -> Any:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as executor:
            return executor.submit(engine.generate, REQUESTS, SAMPLING).result()

    assert len(ask(in_a_new_thread)) == len(REQUESTS)
