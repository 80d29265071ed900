"""A plan: where a training fits, what it takes there, and what would help where it does not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.planning.engines import Engine
from cluster.planning.gpus import GIB, Gpu
from cluster.planning.memory import Peak
from cluster.planning.parts import Model
from cluster.planning.placement import Placement
from cluster.planning.seconds import Step, published
from llm.adapters import LoraSettings


@dataclass(frozen=True)
class Question:
    """What is to be planned.

    Attributes
    ----------
    model
        See :func:`cluster.planning.parts.load_config`.
    gpu
        A key of :data:`cluster.planning.gpus.GPUS`.
    nodes, gpus_per_node
        That there are.
    tokens, answer_tokens
        Of a sequence; how many of them are the answer.
    rows
        Answers of an optimiser step.
    num_generations
        Answers to a prompt.
    batch_size
        Sequences of a forward pass.
    lora
        None: all weights are trained.
    gradient_checkpointing
        Activations are computed again in the backward pass.
    workers, tensor_parallel
        Where they are fixed.
    """

    model: str
    gpu: str
    nodes: int
    gpus_per_node: int
    tokens: int
    answer_tokens: int
    rows: int
    num_generations: int
    batch_size: int
    lora: LoraSettings | None
    gradient_checkpointing: bool
    workers: int | None = None
    tensor_parallel: int | None = None

    @property
    def adapters(self) -> bool:
        """Whether engines can serve what is trained beside the weights as shipped."""
        return self.lora is not None and not self.lora.expert_targets


@dataclass(frozen=True)
class Help:
    """What would help: a change, what a worker's GPU needs with it, and whether all of it fits on the same nodes."""

    change: str
    needed: float
    fits: bool


@dataclass(frozen=True)
class Plan:
    """The answer.

    Attributes
    ----------
    question, model, gpu
        What was planned, the model by part, the GPU.
    workers
        That the peak is of: those of the placement, or of all GPUs where none fits.
    fewest
        Of them that hold the model: what a run may go on with where nodes are lost.
    peak
        Of a worker.
    engines
        The kinds that were considered.
    placement
        Among the fastest by the estimate; None: it does not fit.
    step
        What a step takes there.
    smallest
        The smallest set of nodes that fits, if any.
    reasons
        Why it does not fit.
    help
        What would help.
    """

    question: Question
    model: Model
    gpu: Gpu
    workers: int
    fewest: int
    peak: Peak
    engines: tuple[Engine, ...]
    placement: Placement | None
    step: Step | None
    smallest: Placement | None
    reasons: tuple[str, ...]
    help: tuple[Help, ...]

    @property
    def fits(self) -> bool:
        """Whether it can run on the nodes given."""
        return self.placement is not None

    @property
    def needed(self) -> float:
        """Bytes of a GPU of a worker."""
        return self.peak.total + self.peak.reserve

    @property
    def settings(self) -> dict[str, Any] | None:
        """For ``llm.train grpo --plan``; None where it does not fit."""
        if self.placement is None or self.step is None:
            return None
        asked, model = self.question, Path(self.question.model)
        settings = {
            "model": str(model.parent) if model.is_file() else asked.model,
            "workers": self.placement.workers,
            "min_workers": self.fewest,
            "engines": self.placement.engines,
            "tensor_parallel": self.placement.engine.tensor_parallel,
            "engine": "vllm",
            "batch_size": asked.batch_size,
            "gradient_accumulation_steps": self.step.passes,
            "num_generations": asked.num_generations,
            "max_prompt_length": asked.tokens - asked.answer_tokens,
            "max_completion_length": asked.answer_tokens,
            "gradient_checkpointing": asked.gradient_checkpointing,
            "bf16": True,
            "use_lora": asked.lora is not None,
        }
        if asked.lora:
            settings |= {
                "lora_r": asked.lora.r,
                "lora_alpha": asked.lora.alpha,
                "target_modules": list(asked.lora.target_modules),
                "expert_targets": list(asked.lora.expert_targets),
            }
        return settings


def gib(size: float) -> str:
    """Bytes in words."""
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size * 1024 / GIB:,.1f} MiB"


def to_json(plan: Plan) -> dict[str, Any]:
    """All of it as numbers: bytes, seconds, counts; ``settings`` is what ``llm.train grpo --plan`` takes."""
    asked, model = plan.question, plan.model
    return {
        "question": asdict(asked),
        "fits": plan.fits,
        "reasons": list(plan.reasons),
        "help": [asdict(entry) for entry in plan.help],
        "parameters": {**model.parts, "base": model.base, "active": model.active + model.head},
        "memory": {
            "workers": plan.workers,
            **asdict(plan.peak),
            "total": plan.peak.total,
            "reserve": plan.peak.reserve,
            "needed": plan.needed,
            "gpu": plan.gpu.memory,
        },
        "engines": [{**asdict(engine), "sequences": engine.sequences} for engine in plan.engines],
        "publish": {
            "kind": "adapter" if asked.adapters else "merged",
            "bytes": published(model, asked.adapters),
            "full_bytes": published(model, adapters=False),
        },
        "placement": _placed(plan.placement),
        "smallest": _placed(plan.smallest),
        "step": None if plan.step is None else {**asdict(plan.step), "seconds": plan.step.seconds},
        "settings": plan.settings,
    }


def _placed(placement: Placement | None) -> dict[str, Any] | None:
    if placement is None:
        return None
    return {
        "nodes": 1 + max(bundle.node for bundle in placement.bundles),
        "workers": placement.workers,
        "engines": placement.engines,
        "tensor_parallel": placement.engine.tensor_parallel,
        "gpus": placement.gpus,
        "bundles": [asdict(bundle) for bundle in placement.bundles],
    }
