"""How good a language model's decisions are, beside rules and the clairvoyant bound, on the same demand."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hmarl import command
from hmarl.errors import InputError

if TYPE_CHECKING:
    from llm.evaluation import Evaluation


class EvaluateSettings(BaseModel):
    """Options of ``python -m llm.evaluate``."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="folder of a model (runs/NAME/final), a built-in one, or a Hugging Face name")
    network: str | None = Field(
        None, description="a preset's name or a network's YAML file (default: the run's, or corner_shop)"
    )
    set_: dict[str, Any] = Field({}, description="change of the network, as store.lead_time=3; repeatable")
    compare: list[str] = Field(["random", "heuristic", "base_stock"], description="rules played beside the model")
    episodes: int = Field(200, ge=2, le=100_000, description="test episodes, the same for all")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the test episodes and of sampling")
    repeats: int = Field(0, ge=0, le=1000, description="times that sampled decisions are repeated; 0: not measured")
    temperature: float = Field(1.0, gt=0, le=5, description="of that sampling; the other figures take no chances")
    paths: int = Field(20, ge=2, le=10_000, description="episodes that are repeated")
    states: int = Field(200, ge=1, le=100_000, description="states in which the model is asked again")
    constrain: bool = Field(False, description="hold answers to the task's pattern")
    max_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="longest answer, reasoning included (default: the run's, or 512)"
    )
    engines: int = Field(1, ge=1, le=4096, description="processes that generate")
    engine: Literal["auto", "vllm", "transformers"] = Field("auto", description="what they generate with")
    tensor_parallel: int = Field(1, ge=1, le=64, description="GPUs of an engine")
    address: str | None = Field(None, description="a running Ray cluster (default: RAY_ADDRESS, or a Ray of our own)")
    wait: float = Field(60.0, ge=0, description="seconds for a cluster that is busy, or that grows, to have room")
    out: Path | None = Field(None, description="JSON file to write")
    json_: bool = Field(False, description="print the evaluation as one JSON object on the last line")


def main(argv: list[str]) -> int:
    """Print the evaluation and write it where asked."""
    settings = command.parse(EvaluateSettings, argv, "python -m llm.evaluate", __doc__ or "")
    if settings.repeats == 1:
        raise InputError("--repeats: 1: at least 2, or 0")
    found = evaluate_model(settings)
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(found.table())
    if settings.out is not None:
        found.save(settings.out)
    if settings.json_:
        print(json.dumps(found.to_json(), allow_nan=False))
    return 0


def evaluate_model(settings: EvaluateSettings) -> Evaluation:
    """Start engines and let them decide."""
    from hmarl.session import Need, connect
    from llm.evaluation import evaluate
    from llm.generation import EngineGenerate
    from llm.models import load_tokenizer, resolve
    from llm.runs import SELF, make_task, network_for, run_of, task_settings
    from llm.serving import serving
    from llm.tasks.rules import named_policy

    path = resolve(settings.model)
    run = run_of(settings.model)
    asked = task_settings(run, settings.model)
    task = make_task(network_for(run, settings.network, settings.set_), asked)
    rules = {name: named_policy(task.network, name) for name in settings.compare}
    continuation = None if asked["continuation"] == SELF else task.continuation_name
    if continuation:
        rules.setdefault(continuation, task.continuation)
    longest = settings.max_tokens or asked["max_completion_length"]
    tokenizer = load_tokenizer(path)
    with (
        connect(
            settings.address,
            needs=[Need("engines", settings.engines, gpus=settings.tensor_parallel)],
            wait=settings.wait,
        ),
        _status() as progress,
        serving(
            path,
            engines=settings.engines,
            kind=settings.engine,
            tensor_parallel=settings.tensor_parallel,
            max_model_len=asked["max_prompt_length"] + longest,
        ) as pool,
    ):

        def generate(temperature: float) -> EngineGenerate:
            return EngineGenerate(
                pool.generate,
                tokenizer,
                max_tokens=longest,
                temperature=temperature,
                seed=settings.seed,
                pattern=task.pattern if settings.constrain else None,
            )

        return evaluate(
            task,
            generate(0),
            episodes=settings.episodes,
            seed=settings.seed,
            compare=rules,
            continuation=continuation,
            sampled=generate(settings.temperature) if settings.repeats else None,
            temperature=settings.temperature,
            repeats=settings.repeats,
            paths=settings.paths,
            states=settings.states,
            progress=progress,
        )


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """What is being done, on a terminal; nothing elsewhere."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("starting engines") as status:
        yield status.update


if __name__ == "__main__":
    command.run(main)
