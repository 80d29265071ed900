"""What a training of a language model needs of GPUs, before anybody rents them. Exit status 1: it does not fit."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from cluster.planning.gpus import GPUS
from cluster.planning.plan import Question, to_json
from hmarl import command
from hmarl.errors import InputError, unknown
from hmarl.files import write_atomic
from llm.adapters import LoraSettings


class PlanSettings(BaseModel):
    """Options of ``python -m cluster.plan``."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(
        "openai/gpt-oss-120b",
        description="openai/gpt-oss-20b or -120b, a built-in one, a folder or file with a configuration, or a cached "
        "Hugging Face name; nothing is downloaded",
    )
    gpu: str = Field("h100-80", description=f"kind of GPU: {', '.join(GPUS)}")
    gpus_per_node: int = Field(8, ge=1, le=64, description="GPUs of a node")
    nodes: int = Field(1, ge=1, le=1024, description="nodes")
    tokens: int = Field(4096, ge=2, le=10_000_000, description="of a prompt and its answer")
    answer_tokens: int | None = Field(None, ge=1, description="of them, of the answer (default: a quarter)")
    rows: int = Field(128, ge=1, le=10**6, description="answers of an optimiser step (more where they do not divide)")
    num_generations: int = Field(4, ge=2, le=1024, description="answers to a prompt: a group")
    batch_size: int = Field(1, ge=1, le=65_536, description="sequences in a forward pass of a worker")
    lora_r: int = Field(16, ge=0, le=1024, description="rank of the adapters; 0: all weights are trained")
    target_modules: list[str] = Field(
        ["q_proj", "k_proj", "v_proj", "o_proj"], description="linear layers with an adapter; all-linear: every one"
    )
    expert_targets: list[str] = Field(
        [], description="fused expert weights with one, such as mlp.experts.gate_up_proj,mlp.experts.down_proj"
    )
    gradient_checkpointing: bool = Field(True, description="compute activations again in the backward pass")
    workers: int | None = Field(None, ge=1, le=65_536, description="training workers (default: the fastest that fit)")
    tensor_parallel: int | None = Field(None, ge=1, le=64, description="GPUs of an engine (default: the fastest)")
    out: Path | None = Field(None, description="JSON file to write, which llm.train grpo --plan takes")
    json_: bool = Field(False, description="print the plan as one JSON object on the last line")


def main(argv: list[str]) -> int:
    """Print the plan and write it where asked."""
    settings = command.parse(PlanSettings, argv, "python -m cluster.plan", __doc__ or "")
    question = _question(settings)
    from rich.console import Console

    from cluster.planning.planner import make_plan
    from cluster.planning.report import lines, tables

    with _status() as progress:
        plan = make_plan(question, progress)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    for title, table in tables(plan):
        console.print(title, markup=False, style="bold", soft_wrap=True)
        console.print(table)
    for line in lines(plan):
        console.print(line, markup=False, soft_wrap=True)
    content = json.dumps(to_json(plan), allow_nan=False)
    if settings.out is not None:
        write_atomic(settings.out, content + "\n")
        print(f"written to {settings.out}")
    if settings.json_:
        print(content)
    return 0 if plan.fits else 1


def _question(settings: PlanSettings) -> Question:
    """What is asked, checked.

    Raises
    ------
    InputError
        If its parts contradict one another.
    """
    if settings.gpu not in GPUS:
        raise unknown("--gpu", settings.gpu, GPUS)
    answer = settings.answer_tokens or max(1, settings.tokens // 4)
    if answer >= settings.tokens:
        raise InputError(f"--answer-tokens: {answer}: below --tokens {settings.tokens}: the prompt has some too")
    if settings.expert_targets and not settings.lora_r:
        raise InputError("--expert-targets: they are adapters: with --lora-r above 0 only")
    gpus = settings.nodes * settings.gpus_per_node
    if settings.workers and settings.workers > gpus:
        raise InputError(f"--workers: {settings.workers}: at most {gpus}, the GPUs there are")
    if settings.tensor_parallel and settings.tensor_parallel > settings.gpus_per_node:
        raise InputError(f"--tensor-parallel: {settings.tensor_parallel}: at most {settings.gpus_per_node}, a node's")
    lora = LoraSettings(
        r=settings.lora_r,
        alpha=2 * settings.lora_r,
        target_modules=tuple(settings.target_modules),
        expert_targets=tuple(settings.expert_targets),
    )
    return Question(
        model=settings.model,
        gpu=settings.gpu,
        nodes=settings.nodes,
        gpus_per_node=settings.gpus_per_node,
        tokens=settings.tokens,
        answer_tokens=answer,
        rows=settings.rows,
        num_generations=settings.num_generations,
        batch_size=settings.batch_size,
        lora=lora if settings.lora_r else None,
        gradient_checkpointing=settings.gradient_checkpointing,
        workers=settings.workers,
        tensor_parallel=settings.tensor_parallel,
    )


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """What is being done, on a terminal; nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("reading the model") as status:
        yield status.update


if __name__ == "__main__":
    command.run(main)
