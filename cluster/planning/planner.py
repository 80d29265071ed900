"""How a plan is made: the training is measured once, and everything else follows."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from cluster.planning.engines import engines
from cluster.planning.gpus import GPUS
from cluster.planning.memory import Dryrun, Peak, Training, rescaled
from cluster.planning.parts import load_config, read_model
from cluster.planning.placement import Placement, placements, smallest
from cluster.planning.plan import Help, Plan, Question, gib
from cluster.planning.seconds import Step, Work, step
from hmarl.errors import InputError
from llm.adapters import LoraSettings

MOST_NODES = 128  # that are tried for the smallest set
_NEARLY = 1.1  # times the fastest step
_MERGED = "; these adapters or weights are published merged, to engines of one GPU in bfloat16"
Measure = Callable[[Training], Peak]
Say = Callable[[str], None]


def make_plan(asked: Question, progress: Say = lambda text: None) -> Plan:
    """Measure the training, find where it fits and what is fastest there.

    Raises
    ------
    InputError
        If there is no such model, or no such layers for adapters.
    """
    config = load_config(asked.model)
    with Dryrun() as dryrun:
        candidate = Candidate(asked, config, dryrun.peak, progress)
        return candidate.plan(lambda changed: Candidate(changed, config, dryrun.estimate, progress))


class Candidate:
    """A training on some nodes.

    Parameters
    ----------
    config
        The model's.
    measure
        The peak of a training.

    Raises
    ------
    InputError
        If there is no engine of the size asked for.
    """

    def __init__(self, asked: Question, config: dict[str, Any], measure: Measure, progress: Say) -> None:
        self.asked, self.config, self.measure, self.progress = asked, config, measure, progress
        self.model, self.gpu = read_model(config, asked.lora), GPUS[asked.gpu]
        kinds = list(engines(self.model, self.gpu, asked.gpus_per_node, asked.tokens, asked.adapters))
        self.engines = tuple(kind for kind in kinds if asked.tensor_parallel in (None, kind.tensor_parallel))
        if not self.engines:
            sizes = ", ".join(str(kind.tensor_parallel) for kind in kinds)
            raise InputError(f"--tensor-parallel: {asked.tensor_parallel}: one of {sizes}")
        self._peaks: dict[int, Peak] = {}

    def plan(self, changed: Callable[[Question], Candidate]) -> Plan:
        """All of it.

        Parameters
        ----------
        changed
            The candidate that another question is, for what would help.
        """
        placement, asked = self.best, self.asked
        most = MOST_NODES if self.fits(MOST_NODES * asked.gpus_per_node) else 0
        return Plan(
            question=asked,
            model=self.model,
            gpu=self.gpu,
            workers=self.workers,
            fewest=next((n for n in range(1, self.workers) if self.fits(n)), self.workers),
            peak=self.peak(self.workers),
            engines=self.engines,
            placement=placement,
            step=self.step(placement) if placement else None,
            smallest=smallest(self.engines, self.allowed, asked.gpus_per_node, most),
            reasons=() if placement else tuple(self.reasons()),
            help=() if placement else tuple(_help(asked, changed)),
        )

    @functools.cached_property
    def best(self) -> Placement | None:
        """Of those nearly as fast as the fastest the one with the most engines: the loss of one costs least."""
        found = list(placements(self.engines, self.allowed, self.asked.nodes, self.asked.gpus_per_node))
        seconds = [self.step(placement).seconds for placement in found]
        fast = [p for p, needed in zip(found, seconds, strict=True) if needed <= _NEARLY * min(seconds)]
        return max(fast, key=lambda placement: placement.engines, default=None)

    @property
    def workers(self) -> int:
        """Of the best placement; where there is none as many as there can be."""
        return self.best.workers if self.best else self.asked.workers or self.asked.nodes * self.asked.gpus_per_node

    @property
    def needed(self) -> float:
        """Bytes of the GPU of such a worker."""
        return self._needed(self.workers)

    def _needed(self, workers: int) -> float:
        return self.peak(workers).total + self.peak(workers).reserve

    def peak(self, workers: int) -> Peak:
        """Of a worker: one alone is measured, of several the number that a node has; others follow."""
        if workers not in self._peaks:
            self._peaks[workers] = (
                self._measured(1) if workers == 1 else rescaled(self._shared[1], self.model, self._shared[0], workers)
            )
        return self._peaks[workers]

    @functools.cached_property
    def _shared(self) -> tuple[Training, Peak]:
        workers = max(2, self.asked.workers or self.asked.gpus_per_node)
        return self._training(workers), self._measured(workers)

    def _measured(self, workers: int) -> Peak:
        self.progress(f"training on tensors without memory, workers: {workers}")
        return self.measure(self._training(workers))

    def _training(self, workers: int) -> Training:
        asked = self.asked
        return Training(
            self.config,
            workers,
            asked.tokens,
            asked.answer_tokens,
            asked.batch_size,
            asked.lora,
            asked.gradient_checkpointing,
        )

    def fits(self, workers: int) -> bool:
        """Whether so many workers have the memory."""
        if workers == 1 and self.model.base * 2 > self.gpu.memory:
            return False
        return self._needed(workers) <= self.gpu.memory

    def allowed(self, workers: int) -> bool:
        """Whether so many may train."""
        asked = self.asked
        divides = asked.lora is not None or workers * asked.batch_size % asked.num_generations == 0
        return divides and asked.workers in (None, workers) and self.fits(workers)

    def step(self, placement: Placement) -> Step:
        """The estimate for a placement."""
        return step(
            self.model,
            self.gpu,
            self._work(placement.workers),
            placement.workers,
            self.asked.gpus_per_node,
            placement.engine,
            placement.engines,
        )

    def _work(self, workers: int) -> Work:
        """Rows in whole groups, in whole passes of every worker."""
        asked = self.asked
        a_pass = workers * asked.batch_size
        whole = math.lcm(a_pass, asked.num_generations)
        return Work(
            asked.tokens,
            asked.answer_tokens,
            math.ceil(asked.rows / whole) * whole if asked.lora else a_pass,
            asked.num_generations,
            asked.batch_size,
            asked.gradient_checkpointing,
            asked.adapters,
        )

    def reasons(self) -> Iterator[str]:
        """Why there is no placement."""
        asked, workers = self.asked, self.workers
        serving = [engine for engine in self.engines if engine.sequences]
        if not serving:
            best = max(self.engines, key=lambda engine: engine.room)
            yield (
                f"engines: beside {gib(best.weights)} of weights a GPU has no room for keys and values: "
                f"{gib(best.sequence - best.room)} are missing" + ("" if asked.adapters else _MERGED)
            )
        over = self.needed - self.gpu.memory
        fewest = next((n for n in range(1, workers + 1) if self.allowed(n)), None)
        if over > 0:
            yield f"trainers: on {workers} GPUs a worker needs {gib(over)} more than its GPU has"
        elif fewest is None:
            yield "trainers: workers x --batch-size is no multiple of --num-generations, one pass is a step"
        elif serving:
            yield (
                f"GPUs: trainers need {fewest}, an engine {serving[0].tensor_parallel}: more than the "
                f"{asked.nodes * asked.gpus_per_node} there are, an engine's on one node"
            )


def _help(asked: Question, changed: Callable[[Question], Candidate]) -> Iterator[Help]:
    """Changes that a training may fit with, each alone; of larger GPUs the smallest with which it does."""

    def tried(words: str, question: Question) -> Help:
        candidate = changed(question)
        candidate.progress(f"trying {words}")
        return Help(words, candidate.needed, candidate.best is not None)

    yield from (tried(words, question) for words, question in _changes(asked))
    larger = sorted((gpu.memory, name) for name, gpu in GPUS.items() if gpu.memory > GPUS[asked.gpu].memory)
    entries = (tried(f"--gpu {name}", replace(asked, gpu=name)) for _, name in larger)
    yield from itertools.islice((entry for entry in entries if entry.fits), 1)


def _changes(asked: Question) -> Iterator[tuple[str, Question]]:
    if not asked.gradient_checkpointing:
        yield "gradient checkpointing", replace(asked, gradient_checkpointing=True)
    if asked.lora is None:
        yield "--lora-r 16: adapters on attention instead of all weights", replace(asked, lora=LoraSettings())
    if asked.lora and asked.lora.expert_targets:
        yield "adapters on attention alone", replace(asked, lora=replace(asked.lora, expert_targets=()))
    if asked.batch_size > 1:
        yield "--batch-size 1", replace(asked, batch_size=1)
    if asked.tokens > 3:
        half, answer = asked.tokens // 2, math.ceil(asked.answer_tokens / 2)
        yield f"--tokens {half}", replace(asked, tokens=half, answer_tokens=answer)
