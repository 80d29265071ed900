"""TRL's GRPOTrainer at its seams: where answers come from, where weights go, which rows are computed once."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from llm.rollout.engine import WeightsMismatch
from llm.settings import GRPOSettings
from llm.tasks.supply_chain import SupplyChainTask
from llm.trainers import checkpoint, worker
from llm.trainers.publishing import fingerprint, weights_of
from llm.trainers.rollouts import Answers, Rollouts

EXACT = 1e-4  # largest difference of a log-probability between trainer and engine in float32
_LOOSE = 3.0  # times the difference at the start, in other types
_LEAST = {"float32": 1e-3, "bfloat16": 0.25, "float16": 0.05}  # tolerance of a fingerprint
_MOST = 3.0  # probability of an answer by the trainer over that by the engine; above it is not trained on
_NAMES = {  # TRL's -> ours
    "loss": "loss",
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "groups_without_signal",
    "kl": "kl",
    "entropy": "entropy",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "cut_off",
    "clip_ratio/region_mean": "clip_fraction",
    "mismatch_mean": "mismatch_mean",
    "importance_ratio": "importance_ratio",
}


class Trainer(checkpoint.resuming(GRPOTrainer)):  # type: ignore[misc]
    """Answers come from `rollouts` on rank 0; the others are told theirs.

    TRL corrects for the engines' probabilities before it trains, for which it runs the model once more. Here the
    pass that trains gives the correction too.
    """

    settings: GRPOSettings
    rollouts: Rollouts
    dtype: str
    ledger: list[tuple[int, int, int]]
    tolerance: float
    fixed: tuple[int, ...]
    publish_seconds: float
    answered: Answers
    told_at: float  # when the last answers came, or the last row was made
    mismatch_max: float
    measured: dict[str, float]  # by TRL, last
    _trained: dict[str, Any] | None = None  # rows of the loss that is being computed
    _last_loaded_step: int  # TRL's

    def restore(self, folder: Path) -> None:
        """Go on with what :meth:`kept` gave for a checkpoint."""
        self.ledger = [tuple(row) for row in checkpoint.kept(folder, "ledger")]
        self.rollouts.restore(checkpoint.kept(folder, "rollouts"))

    def kept(self) -> dict[str, Any]:
        """The ledger, the prompts and the model's copies."""
        return {"ledger": self.ledger, "rollouts": self.rollouts.state()}

    def row(self, logs: dict[str, float]) -> dict[str, Any]:
        """What is reported of a step, which is entered in the ledger."""
        step = self.state.global_step
        if (step - 1) % self.settings.iterations == 0:
            self.ledger += [(epoch, number, step) for epoch, number in self.answered.places]
        # Of its answers TRL speaks in the first of their iterations alone.
        self.measured = {**self.measured, **{ours: float(logs[name]) for name, ours in _NAMES.items() if name in logs}}
        row = self.measured | self.answered.numbers
        row["mismatch_max"], self.mismatch_max = self.mismatch_max, 0.0
        begun, self.told_at = self.told_at, time.perf_counter()
        row["training_seconds"] = self.told_at - begun
        if step % self.settings.iterations:  # the next iteration waits for nothing
            self.answered.numbers |= {name: 0.0 for name in self.answered.numbers if name.endswith("_seconds")}
        return {**row, "samples": [{"steps": step, **sample} for sample in self.answered.samples]}

    def publish(self) -> None:
        """Give the engines the weights of now."""
        begun = time.perf_counter()
        step = self.state.global_step
        model = self.accelerator.unwrap_model(self.model_wrapped)
        expected = fingerprint(model, self.fixed, self.tolerance)
        weights = weights_of(
            model,
            "adapter" if self.rollouts.pool.settings.adapters else "merged",
            version=step + 1,
            step=step,
            dtype=self.dtype,
            fingerprint=expected,
        )
        if self.accelerator.is_main_process:
            self.rollouts.pool.publish(weights)
            self.rollouts.version = step + 1
            if math.isinf(self.tolerance):  # measured at the start
                (scored,) = self.rollouts.pool.score([expected.prompt_ids], [expected.completion_ids])
                self.tolerance = max(_LOOSE * expected.difference(scored), _LEAST[self.dtype])
        self.tolerance = told(self.tolerance)
        self.publish_seconds = time.perf_counter() - begun

    def publish_now(self) -> None:
        """The same ahead of the next generation, which then has no need to."""
        if self._last_loaded_step != self.state.global_step:
            self.publish()
            self._last_loaded_step = self.state.global_step

    def roll(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        """TRL's rollout function; of the prompts only their number matters."""
        generation = self.state.global_step // self.settings.iterations
        answers = None
        if self.accelerator.is_main_process:
            self.rollouts.version = self.state.global_step + 1  # without it on the board there are no answers
            answers = self.rollouts.answers(generation)
            answers.numbers["publish_seconds"] = self.publish_seconds
        self.answered = told(answers).part(self.accelerator.process_index, self.accelerator.num_processes)
        self.told_at = time.perf_counter()
        return {
            "prompt_ids": self.answered.prompt_ids,
            "completion_ids": self.answered.completion_ids,
            "logprobs": self.answered.logprobs,
            "reward": self.answered.rewards,
        }

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        self._trained = {**inputs}
        try:
            return super()._compute_loss(model, self._trained)
        finally:
            self._trained = None

    def _get_per_token_logps_and_entropies(self, *arguments: Any, **more: Any) -> Any:
        found = self._of_different_rows(*arguments, **more)
        if self._trained is not None:
            self._correct(self._trained, found[0].detach())
        return found

    def _correct(self, rows: dict[str, Any], logps: torch.Tensor) -> None:
        """Weigh the rows' advantages by how likely the trainer thinks them and how likely the engine did."""
        sampled = rows["sampling_per_token_logps"]
        known = rows["completion_mask"].bool() & ~sampled.isnan()
        apart = torch.where(known, rows.get("old_per_token_logps", logps) - sampled, 0.0)
        ratio = importance(apart)
        rows["advantages"] = rows["advantages"] * ratio
        mean = apart.abs().sum() / known.sum().clamp(min=1)
        seen = self.accelerator.gather(torch.stack([apart.abs().max(), mean, ratio.mean()])[None])
        highest = float(seen[:, 0].max())
        self.mismatch_max = max(self.mismatch_max, highest)
        self._metrics["train"]["mismatch_mean"].append(float(seen[:, 1].mean()))
        self._metrics["train"]["importance_ratio"].append(float(seen[:, 2].mean()))
        exact = self.dtype == "float32" and not self.settings.fp16 and self.settings.top_p == 1
        if exact and not self.settings.constrain and not self.settings.staleness and not highest <= EXACT:
            raise WeightsMismatch(
                f"step {self.state.global_step}: the engines' log-probabilities differ from the trainer's by "
                f"{highest:.3g}, allowed in float32 are {EXACT:g}"
            )

    def _of_different_rows(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, batch_size: Any = None, **more: Any
    ) -> Any:
        """Equal rows are computed once. Which they are is known of each chunk by itself: all workers then run the
        model equally often."""
        if more.get("compute_aux_loss"):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, **more
            )
        size = batch_size or len(input_ids)
        found = []
        for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True):
            _, inverse = torch.unique(torch.cat([ids, mask], 1), dim=0, return_inverse=True)
            rows = torch.full((int(inverse.max()) + 1,), len(ids), device=ids.device)
            rows.scatter_reduce_(0, inverse, torch.arange(len(ids), device=ids.device), "amin")
            logps, entropies, _ = super()._get_per_token_logps_and_entropies(
                model, ids[rows], mask[rows], logits_to_keep, **more
            )
            found.append((logps[inverse], None if entropies is None else entropies[inverse]))
        logps = torch.cat([part for part, _ in found])
        return logps, None if found[0][1] is None else torch.cat([part for _, part in found]), None


def importance(apart: torch.Tensor) -> torch.Tensor:
    """Weight of each answer: its probability by the trainer over that by the engine; 0 where it is above 3.

    Parameters
    ----------
    apart
        Differences of log-probabilities, ``(answers, tokens)``.

    Notes
    -----
    TRL's ``sequence_mask``: what an engine samples very differently is left out rather than weighed.
    """
    ratio = apart.sum(-1).exp()
    return ratio.masked_fill(ratio > _MOST, 0.0)


def grpo_arguments(settings: GRPOSettings) -> dict[str, Any]:
    """Arguments of TRL's GRPOTrainer.

    The loss is Dr. GRPO's (Liu et al. 2025, "Understanding R1-Zero-Like Training"): the advantage is the reward less
    the mean of its group, without their spread, and long answers count no more than short ones for each token.
    """
    return worker.arguments(settings, settings.steps) | {
        "num_generations": settings.num_generations,
        "num_iterations": settings.iterations,
        "epsilon": settings.clip,
        "epsilon_high": settings.clip_high,
        "beta": settings.beta,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_completion_length": settings.max_completion_length,
        "scale_rewards": "none",
        "loss_type": "dr_grpo",
        "shuffle_dataset": False,
        "use_vllm": False,
    }


def make_trainer(
    settings: GRPOSettings,
    task: SupplyChainTask,
    pool: Any,
    model: Any,
    tokenizer: Any,
    dtype: str,
    path: Path,
) -> Trainer:
    """The trainer of a worker."""
    model.config._name_or_path = settings.reference_model or str(path)  # where TRL loads a reference from
    made: list[Trainer] = []
    trainer = Trainer(
        model=model,
        args=GRPOConfig(**grpo_arguments(settings)),
        # A generation is an epoch of the Trainer: place k of it, whose prompt follows from the step.
        train_dataset=Dataset.from_dict({"prompt": [str(k) for k in range(settings.groups_a_step)]}),
        reward_funcs=_reward,
        processing_class=tokenizer,
        rollout_func=lambda prompts, _: made[0].roll(prompts, _),
    )
    made.append(trainer)
    trainer.settings, trainer.dtype = settings, dtype
    trainer.rollouts = Rollouts(settings, task, pool, tokenizer)
    trainer.ledger, trainer.tolerance, trainer.publish_seconds, trainer.mismatch_max = [], math.inf, 0.0, 0.0
    trainer.fixed, trainer.measured = trainer.rollouts.fixed, {}
    _as_with_vllm(trainer)
    return trainer


def _as_with_vllm(trainer: Any) -> None:
    """Have TRL publish after each step and keep the engines' log-probabilities, as it does with its own vLLM."""
    trainer.use_vllm, trainer.vllm_importance_sampling_correction = True, False
    trainer._last_loaded_step = -1
    trainer.vllm_generation = SimpleNamespace(sync_weights=trainer.publish, mode="external")


def _reward(prompts: Any, completions: Any, reward: list[float], **more: Any) -> list[float]:
    return reward


def told(value: Any) -> Any:
    """Rank 0's value, everywhere."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]
