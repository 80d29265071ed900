"""Two real engines (vLLM, Qwen3-MoE in fp32): what they answer, hold, and do when killed."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import ray
import torch
from transformers import AutoModelForCausalLM

from llm.rollout.engine import Completion, EngineError, EngineSettings, Fingerprint, Request, Sampling, WeightsMismatch
from llm.rollout.pool import Pool, start_pool
from llm.rollout.weights import digest, merged_weights

REQUESTS = [Request(tuple(range(9 + i, 30 + 2 * i)), seed=i, n=4) for i in range(8)]
SAMPLING = Sampling(max_tokens=24, stop_token_ids=tuple(range(100, 120)))
Answers = list[list[Completion]]


def tokens(answers: Answers) -> list[list[tuple[int, ...]]]:
    return [[answer.token_ids for answer in group] for group in answers]


def difference(model: Any, answers: Answers, logprobs: Callable[..., list[float]]) -> float:
    """Largest, between the engines' log-probabilities and transformers'."""
    return max(
        abs(ours - theirs)
        for request, group in zip(REQUESTS, answers, strict=True)
        for answer in group
        for ours, theirs in zip(answer.logprobs, logprobs(model, request.prompt_ids, answer.token_ids), strict=True)
    )


@pytest.fixture(scope="module")
def model(moe_model: str) -> Any:
    """The trainer's."""
    return AutoModelForCausalLM.from_pretrained(moe_model, attn_implementation="eager")


def step(model: Any) -> None:
    """A change of all weights, as training makes one."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))


def fingerprint(model: Any, logprobs: Callable[..., list[float]]) -> Fingerprint:
    prompt, completion = REQUESTS[0].prompt_ids, (40, 41, 42, 43)
    return Fingerprint(prompt, completion, tuple(logprobs(model, prompt, completion)), tolerance=1e-4)


def test_engines_compute_what_the_trainer_does_before_and_after_updates(
    pool: Pool, model: Any, logprobs: Callable[..., list[float]]
) -> None:
    assert {engine.pulse.digest for engine in pool.health() if engine.pulse} == {digest(model.state_dict())}
    assert difference(model, pool.generate(REQUESTS, SAMPLING, version=0), logprobs) < 1e-5
    for version in (1, 2):
        step(model)
        weights = merged_weights(
            model.state_dict(), version=version, step=version, dtype="float32", fingerprint=fingerprint(model, logprobs)
        )
        published = pool.publish(weights)
        assert published.digests == {"engine-0": weights.manifest.digest, "engine-1": weights.manifest.digest}
        answers = pool.generate(REQUESTS, SAMPLING, version)
        assert difference(model, answers, logprobs) < 1e-5
    prompts = [request.prompt_ids for request in REQUESTS]
    first = [group[0] for group in answers]
    for scored, answer in zip(pool.score(prompts, [each.token_ids for each in first]), first, strict=True):
        assert scored == pytest.approx(answer.logprobs, abs=1e-5)


def test_answers_are_ragged_different_and_repeatable(pool: Pool) -> None:
    answers = pool.generate(REQUESTS, SAMPLING)
    assert [len(group) for group in answers] == [4] * len(REQUESTS)
    assert len({len(answer.token_ids) for group in answers for answer in group}) > 2
    assert len({answer.token_ids for group in answers for answer in group}) == 4 * len(REQUESTS)
    for group in answers:
        for answer in group:
            assert (answer.token_ids[-1] in SAMPLING.stop_token_ids) == (answer.finish == "stop")
    # On other engines, beside other requests, from another client, later: the same.
    copied = pickle.loads(pickle.dumps(pool))
    later = copied.submit(REQUESTS[::-1], SAMPLING)
    assert tokens(later.result())[::-1] == tokens(answers)
    assert copied.counts.answers == 4 * len(REQUESTS)
    assert copied.counts.tokens == sum(len(answer.token_ids) for group in answers for answer in group)


def test_greedy_answers_are_equal_and_patterns_are_kept(pool: Pool, moe_model: str) -> None:
    from llm.models import load_tokenizer

    greedy = pool.generate(REQUESTS[:2], Sampling(max_tokens=6, temperature=0))
    assert all(len(set(group)) == 1 for group in tokens(greedy))
    tokenizer = load_tokenizer(moe_model)
    held = pool.generate(REQUESTS[:2], Sampling(max_tokens=16, pattern=r"Decision: Order [0-9]{1,3} units"))
    texts = [tokenizer.decode(answer.token_ids, skip_special_tokens=True) for group in held for answer in group]
    assert all(text.startswith("Decision: Order ") for text in texts)


def test_a_wrong_fingerprint_stops(pool: Pool, model: Any, logprobs: Callable[..., list[float]]) -> None:
    good = fingerprint(model, logprobs)
    wrong = Fingerprint(good.prompt_ids, good.completion_ids, tuple(value + 0.01 for value in good.logprobs), 1e-4)
    weights = merged_weights(model.state_dict(), version=3, step=3, dtype="float32", fingerprint=wrong)
    with pytest.raises(WeightsMismatch, match=r"version 3: .* of the fingerprint differ from the trainer's by 0.01"):
        pool.publish(weights)


def test_weights_through_a_file(pool: Pool, model: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm.rollout.pool._IN_MEMORY", 0)
    monkeypatch.setattr(pool, "_storage", str(tmp_path))
    weights = merged_weights(model.state_dict(), version=4, step=4, dtype="float32")
    assert set(pool.publish(weights).digests.values()) == {weights.manifest.digest}
    assert [path.name for path in tmp_path.iterdir()] == ["weights-1.safetensors"]


def test_a_version_may_be_published_again(pool: Pool, model: Any) -> None:
    """As a trainer does that has gone back to its checkpoint."""
    step(model)
    weights = merged_weights(model.state_dict(), version=3, step=3, dtype="float32")
    assert set(pool.publish(weights).digests.values()) == {weights.manifest.digest}
    pool.generate(REQUESTS[:2], SAMPLING, version=3)
    with pytest.raises(EngineError, match="version 4 of the weights: not on the board, which holds 3"):
        pool.generate(REQUESTS[:2], SAMPLING, version=4)


def test_a_killed_engine_costs_nothing_and_comes_back_with_the_newest_weights(pool: Pool, model: Any) -> None:
    many = [Request(request.prompt_ids, request.seed, n=16) for request in REQUESTS]
    long = Sampling(max_tokens=180)
    expected = pool.generate(many, long)
    begun = time.perf_counter()
    assert tokens(pool.generate(many, long)) == tokens(expected)
    undisturbed = time.perf_counter() - begun
    resent = pool.counts.resent

    victim = pool.health()[0].pulse
    assert victim is not None
    answers = pool.submit(many, long)
    time.sleep(undisturbed / 3)
    os.kill(victim.pid, signal.SIGKILL)
    killed = time.perf_counter()
    assert tokens(answers.result()) == tokens(expected)
    print(f"{undisturbed:.1f} s undisturbed, {time.perf_counter() - killed:.1f} s after the kill")
    assert pool.counts.resent > resent

    step(model)
    weights = merged_weights(model.state_dict(), version=5, step=5, dtype="float32")
    pool.publish(weights)  # while it is away
    while (pulse := pool.health()[0].pulse) is None:
        assert time.perf_counter() - killed < 120
    assert pulse.pid != victim.pid
    assert (pulse.version, pulse.digest) == (5, weights.manifest.digest)


def test_when_all_engines_are_dead_it_ends_with_the_cause(ray_session: None, dense_model: str) -> None:
    alone = start_pool(EngineSettings(dense_model, kind="transformers"), engines=1, num_cpus=0, name="mortal")
    assert tokens(alone.generate(REQUESTS[:1], Sampling(2)))
    for engine in alone._engines.values():
        ray.kill(engine)
    begun = time.perf_counter()
    with pytest.raises(EngineError, match=r"no engine is left: mortal-0 dead: .*killed"):
        alone.generate(REQUESTS[:1], Sampling(2))
    assert time.perf_counter() - begun < 60
    assert [engine.state for engine in alone.health()] == ["dead"]


def test_an_engine_that_cannot_start_says_why(ray_session: None, tmp_path: Any) -> None:
    with pytest.raises(EngineError, match=r"an engine cannot start: .*config\.json"):
        start_pool(EngineSettings(str(tmp_path), kind="transformers"), engines=1, num_cpus=0, name="stillborn")
