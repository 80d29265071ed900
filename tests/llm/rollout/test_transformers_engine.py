from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from hmarl.errors import InputError
from llm.rollout.engine import EngineSettings, Request, Sampling, WeightsMismatch
from llm.rollout.sampling import sample
from llm.rollout.transformers_engine import TransformersEngine
from llm.rollout.weights import digest, merged_weights

REQUESTS = [Request(tuple(range(9 + i, 20 + 3 * i)), seed=i, n=3) for i in range(5)]  # of unequal lengths
SAMPLING = Sampling(max_tokens=30, stop_token_ids=tuple(range(100, 160)))


@pytest.fixture(scope="module")
def engine(dense_model: str) -> TransformersEngine:
    return TransformersEngine(EngineSettings(dense_model, kind="transformers"))


def test_sampling_inverts_the_distribution_function() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log().expand(6, 4)
    uniforms = torch.tensor([0.0, 0.49, 0.51, 0.74, 0.76, 0.99])
    tokens, logprobs = sample(logits, uniforms, Sampling(1))
    assert tokens.tolist() == [0, 0, 1, 1, 2, 3]
    assert logprobs.exp().tolist() == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.125, 0.125])
    tokens, logprobs = sample(logits, uniforms, Sampling(1, top_p=0.7))  # two tokens are left: 2/3 and 1/3
    assert tokens.tolist() == [0, 0, 0, 1, 1, 1]
    assert logprobs.exp().tolist() == pytest.approx([2 / 3] * 3 + [1 / 3] * 3)
    tokens, logprobs = sample(logits, uniforms, Sampling(1, temperature=0.5))  # squares: 16, 4, 1, 1 of 22
    assert tokens.tolist() == [0, 0, 0, 1, 1, 3]
    assert logprobs.exp().tolist() == pytest.approx([16 / 22] * 3 + [4 / 22] * 2 + [1 / 22])
    tokens, logprobs = sample(logits, uniforms, Sampling(1, temperature=0))
    assert tokens.tolist() == [0] * 6
    assert logprobs.exp().tolist() == pytest.approx([0.5] * 6)


def test_logprobs_are_the_models(engine: TransformersEngine, dense_model: str, logprobs: Callable[..., Any]) -> None:
    model = AutoModelForCausalLM.from_pretrained(dense_model)
    answers = engine.generate(REQUESTS, SAMPLING)
    assert len({len(answer.token_ids) for group in answers for answer in group}) > 3  # ragged
    for request, group in zip(REQUESTS, answers, strict=True):
        assert len({answer.token_ids for answer in group}) == 3
        for answer in group:
            stopped = answer.token_ids[-1] in SAMPLING.stop_token_ids
            assert answer.finish == ("stop" if stopped else "length")
            assert not set(answer.token_ids[:-1]) & set(SAMPLING.stop_token_ids)
            expected = logprobs(model, request.prompt_ids, answer.token_ids)
            assert answer.logprobs == pytest.approx(expected, abs=1e-5)
            (scored,) = engine.score([request.prompt_ids], [answer.token_ids])
            assert scored == pytest.approx(expected, abs=1e-5)


def test_answers_depend_on_the_request_alone(engine: TransformersEngine) -> None:
    together = [[answer.token_ids for answer in group] for group in engine.generate(REQUESTS, SAMPLING)]
    alone = [[answer.token_ids for answer in engine.generate([one], SAMPLING)[0]] for one in reversed(REQUESTS)]
    assert alone[::-1] == together


def test_greedy_is_transformers_own(engine: TransformersEngine, dense_model: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(dense_model)
    ids = torch.tensor([REQUESTS[3].prompt_ids])
    expected = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, eos_token_id=[]
    )
    ((answer,),) = engine.generate([Request(REQUESTS[3].prompt_ids, seed=0)], Sampling(12, temperature=0))
    assert list(answer.token_ids) == expected[0, ids.shape[1] :].tolist()


def test_a_pattern_is_refused(engine: TransformersEngine) -> None:
    with pytest.raises(InputError, match="pattern: the transformers engine cannot hold answers to one; vllm can"):
        engine.generate(REQUESTS, Sampling(1, pattern="a"))


def test_new_weights_are_held_and_others_are_noticed(
    dense_model: str, logprobs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(EngineSettings(dense_model, kind="transformers"))
    model = AutoModelForCausalLM.from_pretrained(dense_model)
    assert engine.digest == digest(model.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    weights = merged_weights(model.state_dict(), version=1, step=1, dtype="float32")
    assert engine.load(weights) == weights.manifest.digest == engine.digest
    assert engine.version == 1
    ((answer,),) = engine.generate([Request((9, 10, 11), seed=0)], Sampling(5))
    assert answer.logprobs == pytest.approx(logprobs(model, (9, 10, 11), answer.token_ids), abs=1e-5)

    model.lm_head.weight.data[0, 0] += 1e-3
    monkeypatch.setattr("llm.rollout.transformers_engine.tensors_of", lambda _: weights.tensors)  # the old ones
    with pytest.raises(WeightsMismatch, match="version 2: the engine holds tensors of digest"):
        engine.load(merged_weights(model.state_dict(), version=2, step=2, dtype="float32"))
