"""What an optimiser step moves and how long it takes: an estimate, from the assumptions named here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cluster.planning.engines import Engine
from cluster.planning.gpus import Gpu
from cluster.planning.parts import BF16, Model

COMPUTE = 0.4  # of the GPU's nominal speed
LINKS = 0.8  # of the nominal speed of links and networks
MEMORY = 0.6  # of the nominal bandwidth of the GPU's memory
SCORES = 12  # times that eager attention moves its scores through memory, forward; as often backward
ADAPTER = 1.35  # times as long takes a token of a served adapter
REDUCE = 20e-6  # seconds of an all-reduce between an engine's GPUs, two a layer and token
PUBLISH = 1e9  # bytes a second that are gathered, hashed, sent and loaded
ASSUMPTIONS = (
    f"GPUs compute at {COMPUTE:.0%} of their nominal bf16 speed, read memory at {MEMORY:.0%} and send at {LINKS:.0%}",
    "weights are gathered while the layer before computes: the slower of the two counts",
    f"eager attention (gpt-oss) moves its scores {SCORES} times forward and {SCORES} times backward",
    f"engines of several GPUs wait {REDUCE * 1e6:.0f} microseconds for one another, twice a layer and token",
    f"answers have full length; a token of a served adapter takes {ADAPTER} times as long; equal prompts are read once",
    f"a publish gathers, hashes, sends and loads {PUBLISH / 1e9:g} GB/s, and gathers the layers once for a fingerprint",
    "the simulator's time is left out",
)


@dataclass(frozen=True)
class Work:
    """An optimiser step.

    Attributes
    ----------
    tokens, answer_tokens
        Of a sequence.
    rows
        Answers, all workers together.
    num_generations
        Answers to a prompt.
    batch_size
        Sequences of a forward pass.
    gradient_checkpointing
        Activations are computed again.
    adapters
        Whether adapters are served; else merged weights.
    """

    tokens: int
    answer_tokens: int
    rows: int
    num_generations: int
    batch_size: int
    gradient_checkpointing: bool
    adapters: bool


@dataclass(frozen=True)
class Step:
    """What a step takes.

    Attributes
    ----------
    passes
        Forward and backward passes of a worker.
    gathered
        Bytes that a worker receives in a pass for its layers.
    compute, gather
        Seconds of a pass.
    generation, training, publishing
        Seconds of the step.
    """

    passes: int
    gathered: float
    compute: float
    gather: float
    generation: float
    training: float
    publishing: float

    @property
    def seconds(self) -> float:
        """In all, one after the other."""
        return self.generation + self.training + self.publishing


def published(model: Model, adapters: bool) -> int:
    """Bytes of a version of the weights."""
    return (model.adapter if adapters else model.base) * BF16


def step(model: Model, gpu: Gpu, work: Work, workers: int, gpus_per_node: int, engine: Engine, engines: int) -> Step:
    """Of `workers` trainers and `engines` engines."""
    passes = math.ceil(work.rows / (workers * work.batch_size))
    compute = compute_seconds(model, gpu, work)
    gathered = 2 * model.base * BF16 * (workers - 1) / workers  # once forward, once backward
    gather = _gather(gathered, gpu, workers, gpus_per_node)
    return Step(
        passes=passes,
        gathered=gathered,
        compute=compute,
        gather=gather,
        generation=_generation(model, gpu, work, engine, engines),
        training=passes * max(compute, gather),
        publishing=published(model, work.adapters) / PUBLISH + gather / 2,  # the fingerprint: forward alone
    )


def compute_seconds(model: Model, gpu: Gpu, work: Work) -> float:
    """Of a pass. Backward costs as much as forward for the inputs' gradients, and again for the weights'."""
    tokens = work.tokens * work.batch_size
    times = 2 + work.gradient_checkpointing + (model.adapter == 0)
    weights = 2 * times * (tokens * model.active + work.answer_tokens * work.batch_size * model.head)
    scores = work.batch_size * model.layers * model.heads * work.tokens**2
    attention = 4 * scores * model.head_dim * (3 + work.gradient_checkpointing)
    moved = scores * BF16 * SCORES * (2 + work.gradient_checkpointing) if model.eager else 0
    return (weights + attention) / (gpu.flops * COMPUTE) + moved / (gpu.bandwidth * MEMORY)


def _gather(received: float, gpu: Gpu, workers: int, gpus_per_node: int) -> float:
    """Each GPU receives all over its link; each node once what the others hold over its network."""
    inside = received / gpu.link
    nodes = math.ceil(workers / gpus_per_node)
    if nodes == 1:
        return inside / LINKS
    whole = received * workers / (workers - 1)
    across = whole * (nodes - 1) / nodes / (gpus_per_node * gpu.network)
    return max(inside, across) / LINKS


def _generation(model: Model, gpu: Gpu, work: Work, engine: Engine, engines: int) -> float:
    rows = math.ceil(work.rows / engines)
    prompts = math.ceil(rows / work.num_generations)
    speed = gpu.flops * COMPUTE * engine.tensor_parallel
    reading = 2 * prompts * (work.tokens - work.answer_tokens) * model.active / speed
    waves = math.ceil(rows / engine.at_once)
    beside = math.ceil(rows / waves)
    missed = (1 - model.experts_per_token / model.experts) ** beside  # share of experts that no sequence uses
    expert_bytes = engine.weights * model.parts.get("experts", 0) / model.base
    cached = beside * model.kv_bytes(work.tokens) / engine.tensor_parallel
    token = (engine.weights - expert_bytes * missed + cached) / (gpu.bandwidth * MEMORY)
    computed = 2 * beside * (model.active + model.head) / speed
    reduced = 2 * model.layers * REDUCE if engine.tensor_parallel > 1 else 0
    answering = waves * work.answer_tokens * (max(token, computed) + reduced)
    return (reading + answering) * (ADAPTER if work.adapters else 1)
