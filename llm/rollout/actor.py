"""An engine as a Ray actor: it comes back after a kill by itself, with the newest weights."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import ray

from llm.rollout.engine import (
    Engine,
    EngineSettings,
    Loaded,
    Manifest,
    Reply,
    Request,
    Sampling,
    WeightsMismatch,
)
from llm.rollout.weights import installed_kind


@dataclass(frozen=True)
class Pulse:
    """A sign of life."""

    pid: int
    version: int
    digest: str
    started: float  # seconds that the start took, warming up included
    answers: int  # since then
    tokens: int


def make_engine(settings: EngineSettings) -> Engine:
    """The engine that the settings ask for, in this process."""
    from llm.models import on_this_node

    if os.path.isabs(settings.model):
        settings = replace(settings, model=str(on_this_node(settings.model, settings.origin)))
    if installed_kind(settings.kind) == "vllm":
        from llm.rollout.vllm_engine import VLLMEngine

        return VLLMEngine(settings)
    from llm.rollout.transformers_engine import TransformersEngine

    return TransformersEngine(settings)


class EngineActor:
    """Serves one engine; requests wait for one another, signs of life do not.

    All work of the engine is done in one thread: OpenMP keeps helpers for every thread that has ever computed, and
    once they are more than the processors it lets them sleep between two sums, which costs a third of the speed.

    Parameters
    ----------
    settings
        Of the engine.
    board
        Name of the :class:`llm.rollout.board.Board` whose newest weights it begins with; requests name theirs.
    """

    def __init__(self, settings: EngineSettings, board: str) -> None:
        self._kind = installed_kind(settings.kind)  # first: Ray asks for the name even where the start fails
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._served = self._thread.submit(_Served, settings, board).result()

    def __repr__(self) -> str:
        """What Ray's dashboard calls the actor."""
        return f"{self._kind} engine"

    def generate(self, requests: Sequence[Request], sampling: Sampling, manifest: Manifest) -> Reply:
        """Answers by the weights of a manifest, pulled from the board where the engine holds others."""
        return self._thread.submit(self._served.generate, requests, sampling, manifest).result()

    def score(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], manifest: Manifest
    ) -> list[list[float]]:
        """Log-probabilities of completions by the weights of a manifest."""
        return self._thread.submit(self._served.score, prompts, completions, manifest).result()

    def load(self, manifest: Manifest) -> Loaded:
        """Take a version from the board."""
        return self._thread.submit(self._served.load, manifest).result()

    @ray.method(concurrency_group="control")
    def pulse(self) -> Pulse:
        """Answers even while the engine generates."""
        return self._served.pulse()


class _Served:
    """An engine with what it has done."""

    def __init__(self, settings: EngineSettings, board: str) -> None:
        begun = time.perf_counter()
        self._engine = make_engine(settings)
        self._answers = self._tokens = 0
        _warm_up(self._engine, settings)
        first: Any = ray.get_actor(board)
        newest = ray.get(first.newest.remote())  # there is one where this engine comes back
        if newest is not None:
            self._take(newest)
        self._started = time.perf_counter() - begun

    def generate(self, requests: Sequence[Request], sampling: Sampling, manifest: Manifest) -> Reply:
        self._take(manifest)
        begun = time.perf_counter()
        completions = self._engine.generate(requests, sampling)
        tokens = sum(len(answer.token_ids) for answers in completions for answer in answers)
        self._answers += sum(map(len, completions))
        self._tokens += tokens
        return Reply(completions, self._engine.version, self._engine.digest, time.perf_counter() - begun, tokens)

    def score(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], manifest: Manifest
    ) -> list[list[float]]:
        self._take(manifest)
        return self._engine.score(prompts, completions)

    def load(self, manifest: Manifest) -> Loaded:
        begun = time.perf_counter()
        self._take(manifest)
        return Loaded(self._engine.version, self._engine.digest, time.perf_counter() - begun)

    def pulse(self) -> Pulse:
        engine = self._engine
        return Pulse(os.getpid(), engine.version, engine.digest, self._started, self._answers, self._tokens)

    def _take(self, manifest: Manifest) -> None:
        engine = self._engine
        if (engine.version, engine.digest) == (manifest.version, manifest.digest):
            return
        board: Any = ray.get_actor(manifest.board)
        (reference,) = ray.get(board.weights.remote(manifest.version))
        engine.load(ray.get(reference))
        if (engine.version, engine.digest) != (manifest.version, manifest.digest):
            raise WeightsMismatch(
                f"asked for version {manifest.version} ({manifest.digest[:12]}), "
                f"the engine holds version {engine.version} ({engine.digest[:12]})"
            )


def _warm_up(engine: Engine, settings: EngineSettings) -> None:
    """The first calls are much slower than the rest."""
    prompt, tokens = settings.warm_tokens
    request = Request(tuple(range(3, 3 + prompt)), seed=0, n=min(16, settings.max_sequences))
    engine.generate([request] * 2, Sampling(max_tokens=tokens))
    engine.score([request.prompt_ids], [request.prompt_ids[:tokens]])
