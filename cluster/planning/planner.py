"""How a plan is made: the training is measured once, and everything else follows."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from cluster.planning.engines import engines
from cluster.planning.gpus import GPUS
from cluster.planning.memory import Dryrun, Peak, Training, rescaled
from cluster.planning.parts import Model, load_config, read_model
from cluster.planning.placement import Placement, placements, smallest
from cluster.planning.plan import Help, Plan, Question, gib
from cluster.planning.seconds import Step, Work, step
from hmarl.errors import InputError
from llm.adapters import LoraSettings

_MOST_NODES = 128  # that are tried for the smallest set
_NEARLY = 1.1  # times the fastest step
_MERGED = "; these adapters or weights are published merged, to engines of one GPU in bfloat16"


def make_plan(asked: Question, progress: Callable[[str], None] = lambda text: None) -> Plan:
    """Measure the training, find where it fits and what is fastest there.

    Raises
    ------
    InputError
        If there is no such model, or no such layers for adapters.
    """
    config = load_config(asked.model)
    model = read_model(config, asked.lora)
    with Dryrun() as dryrun:
        return _Planning(asked, config, model, dryrun, progress).plan()


class _Planning:
    def __init__(
        self,
        asked: Question,
        config: dict[str, Any],
        model: Model,
        dryrun: Dryrun,
        progress: Callable[[str], None],
    ) -> None:
        self.asked, self.config, self.model, self.dryrun, self.progress = asked, config, model, dryrun, progress
        self.gpu = GPUS[asked.gpu]
        kinds = list(engines(model, self.gpu, asked.gpus_per_node, asked.tokens, asked.adapters))
        self.engines = tuple(kind for kind in kinds if asked.tensor_parallel in (None, kind.tensor_parallel))
        if not self.engines:
            sizes = ", ".join(str(kind.tensor_parallel) for kind in kinds)
            raise InputError(f"--tensor-parallel: {asked.tensor_parallel}: one of {sizes}")

    def plan(self) -> Plan:
        asked = self.asked
        found = list(placements(self.engines, self.allowed, asked.nodes, asked.gpus_per_node))
        placement = self.best(found)
        workers = placement.workers if placement else asked.workers or asked.nodes * asked.gpus_per_node
        most = _MOST_NODES if self.fits(_MOST_NODES * asked.gpus_per_node) else 0
        return Plan(
            question=asked,
            model=self.model,
            gpu=self.gpu,
            workers=workers,
            peak=self.peak(workers),
            engines=self.engines,
            placement=placement,
            step=self.step(placement) if placement else None,
            smallest=smallest(self.engines, self.allowed, asked.gpus_per_node, most),
            reasons=() if placement else tuple(self.reasons(workers)),
            help=() if placement else tuple(self.help(workers)),
        )

    def best(self, found: Sequence[Placement]) -> Placement | None:
        """Of those nearly as fast as the fastest the one with the most engines: the loss of one costs least."""
        seconds = [self.step(placement).seconds for placement in found]
        fast = [p for p, needed in zip(found, seconds, strict=True) if needed <= _NEARLY * min(seconds)]
        return max(fast, key=lambda placement: placement.engines, default=None)

    def training(self, workers: int) -> Training:
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

    @functools.cached_property
    def measured(self) -> tuple[Training, Peak]:
        """The model shared out between all GPUs of a node (two at least), from which other numbers follow."""
        training = self.training(max(2, self.asked.workers or self.asked.gpus_per_node))
        self.progress(f"building the model on {training.workers} GPUs without memory")
        return training, self.dryrun.peak(training)

    @functools.cache  # noqa: B019 (lives as long as the plan is made)
    def peak(self, workers: int) -> Peak:
        if workers == 1:
            self.progress("building the model on one GPU without memory")
            return self.dryrun.peak(self.training(1))
        training, peak = self.measured
        return rescaled(peak, self.model, training, workers)

    def fits(self, workers: int) -> bool:
        if workers == 1 and self.model.base * 2 > self.gpu.memory:
            return False
        peak = self.peak(workers)
        return peak.total + peak.reserve <= self.gpu.memory

    def allowed(self, workers: int) -> bool:
        asked = self.asked
        divides = asked.lora is not None or workers * asked.batch_size % asked.num_generations == 0
        return divides and asked.workers in (None, workers) and self.fits(workers)

    def step(self, placement: Placement) -> Step:
        return step(
            self.model,
            self.gpu,
            self.work(placement.workers),
            placement.workers,
            self.asked.gpus_per_node,
            placement.engine,
            placement.engines,
        )

    def work(self, workers: int) -> Work:
        """Rows in whole groups, in whole passes of every worker."""
        asked = self.asked
        a_pass = workers * asked.batch_size
        whole = math.lcm(a_pass, asked.num_generations)
        rows = math.ceil(asked.rows / whole) * whole if asked.lora else a_pass
        return Work(
            asked.tokens,
            asked.answer_tokens,
            rows,
            asked.num_generations,
            asked.batch_size,
            asked.gradient_checkpointing,
            asked.adapters,
        )

    def reasons(self, workers: int) -> Iterator[str]:
        asked = self.asked
        serving = [engine for engine in self.engines if engine.sequences]
        if not serving:
            best = max(self.engines, key=lambda engine: engine.room)
            yield (
                f"engines: beside {gib(best.weights)} of weights a GPU has no room for keys and values: "
                f"{gib(best.sequence - best.room)} are missing" + ("" if asked.adapters else _MERGED)
            )
        over = self.peak(workers).total + self.peak(workers).reserve - self.gpu.memory
        if over > 0:
            yield f"trainers: on {workers} GPUs a worker needs {gib(over)} more than its GPU has"
        elif serving:
            fewest = next((n for n in range(1, workers + 1) if self.allowed(n)), None)
            if fewest is None:
                yield "trainers: workers x --batch-size is no multiple of --num-generations, one pass is a step"
            else:
                yield (
                    f"GPUs: trainers need {fewest}, an engine {serving[0].tensor_parallel}: more than the "
                    f"{asked.nodes * asked.gpus_per_node} there are, an engine's on one node"
                )

    def help(self, workers: int) -> Iterator[Help]:
        """Changes that lower what a worker needs, each alone, on as many GPUs."""
        asked, gpu = self.asked, self.gpu
        now = self.training(workers)
        changed: dict[str, Training] = {}
        if not asked.gradient_checkpointing:
            changed["gradient checkpointing"] = replace(now, gradient_checkpointing=True)
        if asked.lora is None:
            changed["adapters on attention (--lora-r 16) instead of all weights"] = replace(now, lora=LoraSettings())
        if asked.lora and asked.lora.expert_targets:
            attention = replace(asked.lora, expert_targets=())
            changed["adapters on attention alone"] = replace(now, lora=attention)
        if asked.batch_size > 1:
            changed["--batch-size 1"] = replace(now, batch_size=1)
        half = asked.tokens // 2
        if half > 1:
            changed[f"--tokens {half}"] = replace(now, tokens=half, answer_tokens=math.ceil(asked.answer_tokens / 2))
        for words, training in changed.items():
            self.progress(f"trying {words}")
            peak = self.dryrun.estimate(training)
            needed = peak.total + peak.reserve
            yield Help(words, needed, needed <= gpu.memory)
        yield from self.more(workers)

    def more(self, workers: int) -> Iterator[Help]:
        """More GPUs, and larger ones."""
        peak = self.peak(workers)
        needed = peak.total + peak.reserve
        most = _MOST_NODES * self.asked.gpus_per_node
        if needed > self.gpu.memory and self.fits(most):
            enough = next(n for n in range(workers, most + 1) if self.fits(n))
            found = self.peak(enough)
            yield Help(f"{enough} GPUs for the trainers", found.total + found.reserve, True)
        larger = [name for name, gpu in GPUS.items() if gpu.memory > self.gpu.memory and gpu.memory >= needed]
        for name in sorted(larger, key=lambda name: GPUS[name].memory)[:1]:
            if needed > self.gpu.memory:
                yield Help(f"--gpu {name}", needed, True)
