"""A model that was taught to answer in a few steps, and engines that hold it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hmarl.progress import Reporter
from llm.settings import GRPOSettings, SFTSettings
from llm.tasks.demonstrations import Example, demonstrate
from llm.tasks.supply_chain import SupplyChainTask
from llm.trainers.grpo import grpo
from llm.trainers.sft import sft

SFT: dict[str, Any] = {"model": "tiny", "steps": 80, "batch_size": 128, "learning_rate": 4e-3, "save_steps": 20}
GRPO: dict[str, Any] = {
    "model": "tiny",
    "episodes": 32,
    "num_generations": 8,
    "batch_size": 64,
    "refresh": 2,
    "eval_steps": 2,
    "evaluation_episodes": 4,
    "schedule": "constant",
    "warmup": 0,
    "max_completion_length": 8,
}


@dataclass(frozen=True)
class Run:
    """What a training left."""

    folder: Path
    final: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]

    @property
    def ledger(self) -> list[str]:
        return (self.folder / "ledger.csv").read_text().splitlines()[1:]

    @property
    def weights(self) -> dict[str, Any]:
        from safetensors.torch import load_file

        (path,) = self.final.glob("*.safetensors")
        return load_file(path)

    def apart(self, other: Run) -> float:
        """Largest difference of a weight."""
        ours, theirs = self.weights, other.weights
        assert ours.keys() == theirs.keys()
        return max((ours[name] - theirs[name]).abs().max().item() for name in ours)


@pytest.fixture
def small_grpo() -> dict[str, Any]:
    return GRPO


@pytest.fixture(scope="session")
def task() -> SupplyChainTask:
    return SupplyChainTask("corner_shop", economics=False)


@pytest.fixture(scope="session")
def examples(task: SupplyChainTask) -> list[Example]:
    return demonstrate(task, task.heuristic, 20)


@pytest.fixture(scope="session")
def run_sft(ray_session: None, examples: list[Example]) -> Callable[..., Run]:
    """Supervised training in a folder."""

    def run(folder: Path, **values: Any) -> Run:
        folder.mkdir(parents=True, exist_ok=True)
        final = sft(SFTSettings(**{**SFT, **values}), examples, folder, Reporter(folder / "train.log", quiet=True))
        return Run(folder, final)

    return run


@pytest.fixture(scope="session")
def supervised(run_sft: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """To be read only."""
    return run_sft(tmp_path_factory.mktemp("supervised"))


@pytest.fixture(scope="session")
def taught_pool(ray_session: None, supervised: Run) -> Iterator[Any]:
    """A vLLM engine of the supervised model."""
    from llm.rollout.engine import EngineSettings
    from llm.rollout.pool import start_pool

    pool = start_pool(
        EngineSettings(str(supervised.final), kind="vllm", max_model_len=640),
        engines=1,
        staleness=1,
        num_cpus=0,
        name="taught",
    )
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def run_grpo(task: SupplyChainTask, supervised: Run, taught_pool: Any) -> Callable[..., Run]:
    """Reinforcement learning from the supervised model, in a folder."""

    def run(folder: Path, pool: Any = taught_pool, reporter: Reporter | None = None, **values: Any) -> Run:
        folder.mkdir(parents=True, exist_ok=True)
        settings = GRPOSettings(**{**GRPO, **values})
        reporter = reporter or Reporter(folder / "train.log", quiet=True)
        return Run(folder, grpo(settings, task, pool, supervised.final, folder, reporter))

    return run


@pytest.fixture(scope="session")
def uninterrupted(run_grpo: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """To be read only."""
    return run_grpo(tmp_path_factory.mktemp("uninterrupted"))


@pytest.fixture
def make(task: SupplyChainTask, supervised: Run, taught_pool: Any) -> Callable[..., Any]:
    """A trainer in this process."""
    from llm.models import LoraSettings, load_model, load_tokenizer
    from llm.trainers.grpo_trainer import make_trainer
    from llm.trainers.precision import weights_type

    def trainer(asked: SupplyChainTask = task, pool: Any = taught_pool, **values: Any) -> Any:
        settings = GRPOSettings(**{**GRPO, **values})
        lora = LoraSettings(r=4, alpha=8) if settings.use_lora else None
        dtype = weights_type(settings, supervised.final)
        model, tokenizer = load_model(supervised.final, dtype=dtype, lora=lora), load_tokenizer(supervised.final)
        return make_trainer(settings, asked, pool, model, tokenizer, dtype, supervised.final)

    return trainer


@pytest.fixture
def trained() -> Callable[[Any], list[dict[str, Any]]]:
    """Train; the row of each step."""
    from transformers import TrainerCallback

    def rows_of(trainer: Any) -> list[dict[str, Any]]:
        rows = []

        class Rows(TrainerCallback):
            def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **more: Any) -> None:
                if "loss" in logs:
                    rows.append(trainer.row(logs))

        trainer.add_callback(Rows())
        trainer.train()
        return rows

    return rows_of
