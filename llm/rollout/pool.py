"""The pool of engines: requests shared out, weights published, the dead passed over."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hmarl.session import has_gpus
from llm.rollout.actor import EngineActor, Pulse
from llm.rollout.board import Board, on_disk
from llm.rollout.dispatch import Dispatch, last_line
from llm.rollout.engine import Completion, EngineError, EngineSettings, Manifest, Request, Sampling, Weights
from llm.rollout.health import Member, State
from llm.rollout.weights import installed_kind

_IN_MEMORY = 64 * 2**20  # bytes; larger weights go through a file
_RESTARTS = -1  # as often as needed


@dataclass(frozen=True)
class Published:
    """Where a version has arrived.

    Attributes
    ----------
    version
        Of the weights.
    digests
        By engine, of the tensors read back from it; engines that were down load the version when they are back.
    seconds
        Until the last had loaded.
    """

    version: int
    digests: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class EngineHealth:
    """How an engine is."""

    name: str
    state: State
    error: str
    pulse: Pulse | None  # None: no answer


@dataclass
class Counts:
    """What a client of the pool has had done.

    Attributes
    ----------
    requests, answers, tokens
        Served.
    engine_seconds
        Spent generating, summed over the engines.
    resent
        Requests sent to another engine because theirs was lost or silent.
    """

    requests: int = 0
    answers: int = 0
    tokens: int = 0
    engine_seconds: float = 0.0
    resent: int = 0


class Pool:
    """A client of the engines; several may use them at once, in any process (it can be pickled).

    Made by :func:`start_pool`.

    Attributes
    ----------
    settings
        Of each engine.
    counts
        What this client was served.
    patience
        Seconds without any engine after which a request fails.
    """

    def __init__(
        self,
        engines: dict[str, Any],
        board: tuple[str, Any],
        settings: EngineSettings,
        patience: float,
        storage: str | None,
    ) -> None:
        self.settings = settings
        self.counts = Counts()
        self._engines = engines
        self._board_name, self._board = board
        self.patience = patience
        self._storage = storage
        self._owns = True
        self._members = {name: Member(name) for name in engines}
        self._thread: ThreadPoolExecutor | None = None

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, version: int | None = None
    ) -> list[list[Completion]]:
        """Answers of each request, `n` each, by one version of the weights.

        Each request is sent at least once and each answer taken once; those of an engine that dies go to the others
        at once.

        Parameters
        ----------
        requests
            Prompts.
        sampling
            How to sample.
        version
            Of the weights; the newest where left out.

        Raises
        ------
        EngineError
            If no engine answers for the pool's patience, or none can come back.
        WeightsMismatch
            If an engine holds other weights than published.
        """
        return self._dispatch("generate", requests, (sampling, self._manifest(version)))

    def submit(
        self, requests: Sequence[Request], sampling: Sampling, version: int | None = None
    ) -> Future[list[list[Completion]]]:
        """:meth:`generate` beside other work; one after the other, in the order submitted."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollouts")
        return self._thread.submit(self.generate, requests, sampling, version)

    def score(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        version: int | None = None,
    ) -> list[list[float]]:
        """Log-probability of each completion token at temperature 1, by one version of the weights."""
        pairs = list(zip(prompts, completions, strict=True))
        return self._dispatch("score", pairs, (self._manifest(version),))

    def publish(self, weights: Weights) -> Published:
        """Put up a version and have all engines load it at once.

        Raises
        ------
        WeightsMismatch
            If an engine then holds other tensors, or scores the fingerprint differently.
        """
        begun, manifest = time.perf_counter(), replace(weights.manifest, board=self._board_name)
        ray.get(self._board.put.remote(self._sendable(replace(weights, manifest=manifest))))
        loading = {}
        for name, member in self._members.items():
            member.tell("published")
            if member.works:
                loading[self._engines[name].load.remote(manifest)] = member
        ray.wait(list(loading), num_returns=len(loading), timeout=self.patience) if loading else None
        digests = {}
        for reference, member in loading.items():
            try:
                digests[member.name] = ray.get(reference, timeout=0).digest
                member.tell("loaded")
            except GetTimeoutError:
                member.tell("silent", f"no answer for {self.patience:g} s to a new version")
            except RayTaskError as error:
                raise error.cause from None
            except RayActorError as error:
                member.tell("lost", last_line(error))
        return Published(manifest.version, digests, time.perf_counter() - begun)

    def health(self, timeout: float = 5.0) -> list[EngineHealth]:
        """How the engines are, asked now.

        Parameters
        ----------
        timeout
            Seconds to wait for their answers.
        """
        asked = {name: engine.pulse.remote() for name, engine in self._engines.items()}
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=timeout)
        found = []
        for name, reference in asked.items():
            member, pulse = self._members[name], None
            try:
                pulse = ray.get(reference, timeout=0)
                member.tell("answered")
            except GetTimeoutError:
                member.tell("silent", f"no answer for {timeout:g} s")
            except RayActorError as error:
                member.tell("lost", last_line(error))
            found.append(EngineHealth(name, member.state, member.error, pulse))
        return found

    @property
    def working(self) -> int:
        """Engines that answer, for all that this client knows."""
        return sum(member.works for member in self._members.values())

    def give_up_one(self) -> str:
        """End an engine for good, one that is away if there is any; its name, empty where only one is left."""
        left = sorted((member for member in self._members.values() if member.state != "dead"), key=lambda m: m.works)
        if len(left) < 2 or not self._owns:
            return ""
        ray.kill(self._engines[left[0].name], no_restart=True)
        left[0].tell("ended", "gave its place to a training worker")
        return left[0].name

    def shared(self, staleness: int = 0) -> Pool:
        """The same engines for another training: what it publishes is its own, on a board of its own.

        An engine that is asked by one after the other takes the adapter of each in turn, and proves that it holds it.

        Raises
        ------
        EngineError
            If the engines do not serve adapters: all of a model in turn would take longer than answering.
        """
        if not self.settings.adapters:
            raise EngineError("engines are shared by trainings of adapters alone, and these serve none")
        board = _start_board(f"shared-{secrets.token_hex(3)}", staleness)
        pool = Pool(self._engines, board, self.settings, self.patience, None)
        pool._owns = False
        return pool

    def close(self) -> None:
        """End the engines (of all clients), or where they are shared, this client."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        for actor in [*(self._engines.values() if self._owns else ()), self._board]:
            ray.kill(actor)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_thread": None, "counts": Counts()}

    def _manifest(self, version: int | None) -> Manifest:
        try:
            return ray.get(self._board.manifest.remote(version))
        except RayTaskError as error:
            raise error.cause from None
        except RayActorError as error:
            raise EngineError(f"the board of weights is gone: {error}") from error

    def _dispatch(self, method: str, items: Sequence[Any], arguments: tuple[Any, ...]) -> list[Any]:
        dispatch = Dispatch(self._engines, self._members, self.patience)
        answers = dispatch.run(method, items, arguments)
        self.counts.requests += len(items)
        self.counts.answers += sum(len(answer) for answer in answers) if method == "generate" else 0
        self.counts.tokens += dispatch.tokens
        self.counts.engine_seconds += dispatch.engine_seconds
        self.counts.resent += dispatch.resent
        return answers

    def _sendable(self, weights: Weights) -> Weights:
        tensors = weights.tensors
        if tensors is None or self._storage is None or sum(t.nbytes for t in tensors.values()) <= _IN_MEMORY:
            return weights
        # Two names in turn: a version is in nobody's hands once the one after the next is published.
        return on_disk(weights, os.path.join(self._storage, f"weights-{weights.manifest.version % 3}.safetensors"))


def start_pool(
    settings: EngineSettings,
    *,
    engines: int = 2,
    staleness: int = 0,
    patience: float = 45.0,
    storage: str | None = None,
    num_cpus: float = 1,
    threads: int = 1,
    name: str = "engine",
) -> Pool:
    """Start engines as Ray actors and wait until they are warm.

    Parameters
    ----------
    settings
        Of each engine.
    engines
        How many.
    staleness
        Versions that a request may be behind the newest: so many and one are kept.
    patience
        Seconds without any engine after which a request fails; at least twice what the engines' start took.
    storage
        A folder that all nodes see, for weights above 64 MiB; without it all pass through Ray's memory.
    num_cpus
        Processors that Ray sets aside for an engine.
    threads
        With which an engine computes on a CPU.
    name
        Of the actors, which are ``name-0``, ``name-1`` and so on, and ``name-board``.

    Raises
    ------
    EngineError
        If an engine cannot start, with its reason, or all do not hold the same weights.
    """
    board = _start_board(name, staleness)
    on_gpu = has_gpus()
    options: dict[str, Any] = {
        "num_cpus": num_cpus,
        "num_gpus": settings.tensor_parallel if on_gpu else 0,
        "scheduling_strategy": "DEFAULT",  # not inside what Ray set aside for the process that asks, as a trial's
        "max_restarts": _RESTARTS,
        "runtime_env": {"env_vars": _environment(settings, threads)},
        "concurrency_groups": {"control": 1},
    }
    engine = ray.remote(**options)(EngineActor)
    names = [f"{name}-{number}" for number in range(engines)]
    actors = {own: engine.options(name=own).remote(settings, board[0]) for own in names}
    pool = Pool(actors, board, settings, patience, storage)
    try:
        pulses = {name: ray.get(actor.pulse.remote()) for name, actor in actors.items()}
        pool.patience = max(patience, 2 * max(pulse.started for pulse in pulses.values()))
        digests = {pulse.digest for pulse in pulses.values()}
        if len(digests) > 1:
            raise EngineError(f"engines hold different weights from the start: {', '.join(sorted(digests))}")
        kind: Literal["adapter", "merged"] = "adapter" if settings.adapters else "merged"
        manifest = Manifest(0, kind, digests.pop(), 0, board=board[0])
        ray.get(pool._board.begin.remote(manifest))
    except RayActorError as error:
        pool.close()
        raise EngineError(f"{settings.model}: an engine cannot start: {last_line(error)}") from error
    except EngineError:
        pool.close()
        raise
    return pool


def _start_board(name: str, staleness: int) -> tuple[str, Any]:
    """Its name and itself. It is on this node: any other may go."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    called = f"{name}-board"
    return called, ray.remote(num_cpus=0, name=called, scheduling_strategy=here)(Board).remote(staleness + 1)


def _environment(settings: EngineSettings, threads: int) -> dict[str, str]:
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),  # which torch else takes: one a core, however many were asked for
        "MKL_DYNAMIC": "FALSE",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if installed_kind(settings.kind) == "vllm":
        from llm.rollout.vllm_engine import ENVIRONMENT

        environment |= ENVIRONMENT
    return environment
