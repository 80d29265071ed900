"""The contenders of benchmarks/grpo.py, a step each in turn: llm.trainers with engines, and TRL's GRPOTrainer alone."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from hmarl.progress import Reporter
from llm.models import load_model, load_tokenizer
from llm.quiet import quiet
from llm.settings import GRPOSettings
from llm.tasks.supply_chain import SupplyChainTask, dataset_row, reward_function
from llm.tasks.task import Prompt
from llm.tiny import Size, make_model
from llm.trainers.fit import fit
from llm.trainers.journal import Journal
from llm.trainers.placing import Placement
from llm.trainers.prompts import Plan, PromptSource

CORES = 2  # of either contender
DTYPE: Literal["bfloat16"] = "bfloat16"  # of weights, in training and in generation
_LONGEST_TURN = 1800.0  # seconds
_LIFT = 0.2  # one entry of every embedding; the others have a standard deviation of 0.02
_NEVER = -20.0  # logit
Parts = Callable[[], dict[str, float]]


class AnyAnswer(SupplyChainTask):
    """Reads an order out of whatever a random model says, so that the simulator has all its work to do."""

    def parse(self, text: str) -> int:
        return len(text) % (int(self.highest) + 1)


def make_random_model(folder: Path, size: Size, mean_length: float) -> int:
    """Write a random model that ends each answer with the same probability at every token.

    One entry of the residual stream is lifted and no layer writes to it, and of the end's row in the head only that
    entry is left: after any text the end has about the same logit.

    Parameters
    ----------
    mean_length
        Tokens of an answer that nothing cuts off.

    Returns
    -------
    int
        Parameters.
    """
    parameters = make_model(folder, "qwen3", size)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ordinary = torch.tensor([token for token in range(len(tokenizer)) if token not in tokenizer.all_special_ids])
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = _LIFT
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = layer.mlp.down_proj.weight[0] = 0
        text = ordinary[torch.randint(len(ordinary), (8, 128), generator=torch.Generator().manual_seed(0))]
        hidden = model.model(text).last_hidden_state
        others = (hidden @ model.lm_head.weight[ordinary].T).logsumexp(-1).mean()
        lifted = hidden[..., 0].mean()
        special = model.lm_head.weight[tokenizer.all_special_ids].zero_()
        special[:, 0] = _NEVER / lifted
        model.lm_head.weight[tokenizer.all_special_ids] = special
        model.lm_head.weight[tokenizer.eos_token_id, 0] = (others - math.log(mean_length - 1)) / lifted
    with quiet():
        model.to(getattr(torch, DTYPE)).save_pretrained(folder)
    return parameters


class Turns:
    """A Ray actor that lets the contenders work one after the other, and keeps what they measured."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._next = list(names), 0
        self._rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        self._changed = asyncio.Condition()

    async def take(self, name: str) -> None:
        """Return when it is this contender's turn."""
        async with self._changed:
            mine = self._changed.wait_for(lambda: self._names[self._next] == name)
            await asyncio.wait_for(mine, _LONGEST_TURN)

    async def pass_on(self, name: str, row: dict[str, float]) -> None:
        """A step is done; it is the next one's turn."""
        async with self._changed:
            self._rows[name].append(row)
            self._next = (self._next + 1) % len(self._names)
            self._changed.notify_all()

    async def rows(self) -> dict[str, list[dict[str, float]]]:
        """One a step, by contender: seconds of the step and of its parts, and `tokens` of completions."""
        return self._rows


class InTurn(TrainerCallback):
    """Trains a step when it is the contender's turn, and tells how long it and its parts took."""

    def __init__(self, name: str, turns: Any, parts: Parts) -> None:
        self.name, self.turns, self.parts = name, turns, parts
        self._begun = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        import ray

        ray.get(self.turns.take.remote(self.name))
        self._begun = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        import ray

        if "loss" not in logs:  # the summary at the end
            return
        row = {"step": time.perf_counter() - self._begun, **self.parts()}
        ray.get(self.turns.pass_on.remote(self.name, row))


class Alone:
    """TRL's GRPOTrainer, which generates with the model it trains. A Ray actor."""

    def __init__(self, path: Path, settings: GRPOSettings, task: SupplyChainTask) -> None:
        from llm.trainers import worker

        worker.quiet()
        torch.set_num_threads(CORES)
        self.settings, self.task = settings, task
        self.model, self.tokenizer = load_model(path, dtype=DTYPE), load_tokenizer(path)

    @torch.no_grad()
    def generate(self, prompts: Sequence[Sequence[int]], most: int, ends: bool) -> tuple[float, list[int]]:
        """Seconds, and tokens of each answer; without `ends` each has as many as it may."""
        begun = time.perf_counter()
        width, end = max(map(len, prompts)), self.tokenizer.eos_token_id
        ids = torch.tensor([[self.tokenizer.pad_token_id] * (width - len(row)) + list(row) for row in prompts])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
        config = GenerationConfig(  # as GRPOTrainer's
            max_new_tokens=most,
            min_new_tokens=None if ends else most,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            eos_token_id=end,
            pad_token_id=self.tokenizer.pad_token_id,
            disable_compile=True,
        )
        found = self.model.generate(ids, attention_mask=mask, generation_config=config)[:, width:].tolist()
        lengths = [1 + row.index(end) if end in row else len(row) for row in found]
        return time.perf_counter() - begun, lengths

    def train(self, name: str, turns: Any) -> None:
        """All steps."""
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        from llm.trainers.grpo_trainer import grpo_arguments

        parts = dict.fromkeys(("generation", "reward", "publishing", "tokens"), 0.0)

        class Timed(GRPOTrainer):
            def _generate(self, prompts: list[Any]) -> Any:
                begun = time.perf_counter()
                output = super()._generate(prompts)
                parts["generation"] = time.perf_counter() - begun
                parts["tokens"] = float(sum(map(len, output[1])))
                return output

        judge = reward_function(self.task)

        def reward(**columns: Any) -> list[float]:
            begun = time.perf_counter()
            rewards = judge(**columns)
            parts["reward"] = time.perf_counter() - begun
            return rewards

        trainer = Timed(
            model=self.model,
            args=GRPOConfig(**grpo_arguments(self.settings)),
            train_dataset=Dataset.from_list([dataset_row(prompt) for prompt in all_prompts(self.settings, self.task)]),
            reward_funcs=reward,
            processing_class=self.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(InTurn(name, turns, lambda: dict(parts)))
        trainer.train()


def all_prompts(settings: GRPOSettings, task: SupplyChainTask) -> list[Prompt]:
    """What ours asks in all its steps, in order."""
    plan = Plan(settings.groups_a_step, settings.episodes, settings.refresh, settings.own_states)
    source = PromptSource(task, plan, settings.epochs, settings.seed, lambda n, seed: [])
    return [prompt for step in range(settings.steps) for prompt in source.prompts(step)]


def ours(
    settings: GRPOSettings, task: SupplyChainTask, pool: Any, path: Path, folder: Path, name: str, turns: Any
) -> None:
    """All steps of llm.trainers' GRPO, in Ray Train."""
    import ray

    config = {"settings": settings, "task": ray.put(task), "pool": pool, "path": path, "name": name, "turns": turns}
    journal = Journal(folder, Reporter(folder / "train.log", quiet=True), [])
    fit(_loop, config, Placement((1,), str(folder), gpu=False), journal)


def _loop(config: dict[str, Any]) -> None:
    """llm.trainers.grpo's, in turn with the others."""
    import ray

    from llm.trainers import worker
    from llm.trainers.grpo_trainer import make_trainer

    settings: GRPOSettings = config["settings"]
    worker.quiet()
    model, tokenizer = worker.load(settings, config["path"], DTYPE)
    task = ray.get(config["task"])
    trainer = make_trainer(settings, task, config["pool"], model, tokenizer, DTYPE, config["path"])

    def parts() -> dict[str, float]:
        numbers = trainer.answered.numbers
        return {
            "generation": numbers["generation_seconds"],
            "reward": numbers["reward_seconds"],
            "publishing": numbers["publish_seconds"],
            "tokens": numbers["completion_tokens"],
        }

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(worker.Reports(trainer, trainer.row, trainer.kept, settings.steps))
    trainer.add_callback(InTurn(config["name"], config["turns"], parts))
    trainer.train()
