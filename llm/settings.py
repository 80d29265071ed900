"""What the training of a language model is told. Reads neither Ray nor torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hmarl.errors import InputError, explain, unknown
from hmarl.files import read_yaml, run_folder
from hmarl.storage import check_storage
from llm.recipes import BUILT_IN, recipe

WEIGHTS_RATES, LORA_RATES = (1e-7, 1e-5), (1e-6, 3e-4)  # usual learning rates of real models


def _env(name: str) -> dict[str, Any]:
    """The variable that a field is also read from."""
    return {"env": name}


class TrainingSettings(BaseModel):
    """What supervised and reinforcement learning share."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    algorithm: ClassVar[Literal["sft", "grpo"]]

    model: str = Field(
        "tiny",
        description=f"{', '.join(BUILT_IN)} (built in, with defaults of their own), a folder, or a Hugging Face name",
        json_schema_extra=_env("MODEL_NAME"),
    )
    network: str = Field("corner_shop", description="a preset's name or a network's YAML file")
    set_: dict[str, Any] = Field({}, description="change of the network, for example store.lead_time=3; repeatable")
    role: Literal["store", "warehouse", "supplier"] = Field("store", description="whose decisions are learned")
    economics: bool = Field(True, description="prompts tell prices, costs, lead time and capacity")
    show_recommendation: bool = Field(False, description="prompts tell what a base-stock rule would order")
    name: str | None = Field(
        None, description="name of the run, a folder below runs (default: algorithm-model-network)"
    )
    output_dir: Path | None = Field(
        None, description="folder of the run (default: runs/NAME)", json_schema_extra=_env("OUTPUT_DIR")
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of states, futures, first adapter weights and sampling")
    batch_size: int = Field(
        1, ge=1, le=65_536, description="sequences in a forward pass of a worker", json_schema_extra=_env("BATCH_SIZE")
    )
    gradient_accumulation_steps: int = Field(
        16,
        ge=1,
        le=65_536,
        description="forward passes of an optimiser step",
        json_schema_extra=_env("GRADIENT_ACCUMULATION_STEPS"),
    )
    learning_rate: float = Field(
        5e-6,
        gt=0,
        le=1,
        description="the highest; usual: 1e-7 to 1e-5 for all weights, 1e-6 to 3e-4 for LoRA",
        json_schema_extra=_env("LEARNING_RATE"),
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the steps in which the learning rate rises from 0")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="of the learning rate after that")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="how much of Adam's mean square gradient a step keeps")
    max_grad_norm: float = Field(1.0, gt=0, description="longer gradients are cut to this norm")
    use_lora: bool = Field(
        True, description="train adapters rather than all weights", json_schema_extra=_env("USE_LORA")
    )
    lora_r: int = Field(16, ge=1, le=1024, description="rank of an adapter", json_schema_extra=_env("LORA_R"))
    lora_alpha: int = Field(
        32, ge=1, le=4096, description="an adapter counts alpha / r times", json_schema_extra=_env("LORA_ALPHA")
    )
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="share of an adapter's inputs dropped in training")
    target_modules: list[str] = Field(
        ["q_proj", "k_proj", "v_proj", "o_proj"], description="linear layers with an adapter; all-linear: every one"
    )
    expert_targets: list[str] = Field(
        [],
        description="fused expert weights with one, such as mlp.experts.gate_up_proj or 7.mlp.experts.down_proj",
    )
    merge: bool = Field(False, description="final holds the whole model, adapters added, rather than the adapters")
    gradient_checkpointing: bool = Field(
        True,
        description="compute activations again in the backward pass: less memory, a third more time",
        json_schema_extra=_env("GRADIENT_CHECKPOINTING"),
    )
    bf16: bool | None = Field(
        None,
        description="weights in bfloat16 (default: on a GPU, and for gpt-oss)",
        json_schema_extra=_env("USE_BF16"),
    )
    fp16: bool = Field(False, description="computation in float16, with loss scaling (GPU)")
    load_in_8bit: bool = Field(False, description="frozen weights in 8 bits (bitsandbytes, GPU)")
    load_in_4bit: bool = Field(False, description="frozen weights in 4 bits (bitsandbytes, GPU)")
    device_map: str | None = Field(None, description="auto: spread the layers over the machine's devices (one worker)")
    offload_folder: Path | None = Field(None, description="where layers are kept that fit on no device")
    workers: int = Field(1, ge=1, le=4096, description="training processes; two or more share the model out (FSDP2)")
    min_workers: int = Field(
        1,
        ge=1,
        le=4096,
        description="fewest of them that a run goes on with where nodes are gone: as many as hold the model",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="of a worker and of an engine where there is no GPU (default: built-in models 1, others "
        "the machine's, shared out)",
    )
    save_steps: int = Field(1, ge=1, description="optimiser steps between checkpoints: the most that a kill costs")
    storage: str | None = Field(
        None,
        description="where the run is kept too, and goes on from on any machine: a folder that all nodes see, "
        "s3://bucket/path, gs://bucket/path",
    )
    address: str | None = Field(None, description="a running Ray cluster (default: RAY_ADDRESS, or a Ray of our own)")
    wait: float = Field(60.0, ge=0, description="seconds for a cluster that is busy, or that grows, to have room")
    wandb_project: str | None = Field(
        None,
        description="log to this project of Weights & Biases; offline without a key",
        json_schema_extra=_env("WANDB_PROJECT"),
    )
    wandb_entity: str | None = Field(
        None, description="of the project (default: your own)", json_schema_extra=_env("WANDB_ENTITY")
    )
    compare_episodes: int = Field(500, ge=2, le=100_000, description="test episodes at the end")
    compare: list[str] = Field(
        ["random", "heuristic", "base_stock"], description="rules played beside the model at the end"
    )
    quick: bool = Field(
        False, description="a few small steps, to see that all of it runs", json_schema_extra=_env("QUICK_MODE")
    )
    json_: bool = Field(False, description="print the results as one JSON object on the last line")

    @model_validator(mode="before")
    @classmethod
    def _with_recipe(cls, given: dict[str, Any]) -> dict[str, Any]:
        given = _planned(given.get("plan")) | given
        model = str(given.get("model", cls.model_fields["model"].default))
        return recipe(cls.algorithm, model, given.get("quick") in (True, "true", "True", "1", "yes", "on")) | given

    @property
    def run_name(self) -> str:
        """The run's name."""
        return self.name or f"{self.algorithm}-{Path(self.model).name}-{Path(self.network).stem}"

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.output_dir or run_folder(self.run_name)

    @property
    def rows_a_step(self) -> int:
        """Sequences of an optimiser step."""
        return self.batch_size * self.gradient_accumulation_steps * self.workers

    @property
    def worker_counts(self) -> tuple[int, ...]:
        """Numbers of workers, from the fewest allowed to those asked for, that make the same steps."""
        passes = self.gradient_accumulation_steps * self.workers
        return tuple(n for n in range(min(self.min_workers, self.workers), self.workers + 1) if passes % n == 0)

    def shared_by(self, workers: int) -> Self:
        """The same steps by one of :attr:`worker_counts`."""
        passes = self.gradient_accumulation_steps * self.workers
        return self.model_copy(update={"workers": workers, "gradient_accumulation_steps": passes // workers})

    def threads_of(self, processes: int) -> int:
        """Of each of so many processes that compute at once."""
        return self.threads or max(1, len(os.sched_getaffinity(0)) // processes)

    def validate(self, longest_prompt: int = 0) -> list[str]:  # type: ignore[override]
        """Check what the fields together ask for.

        Parameters
        ----------
        longest_prompt
            Tokens, where known.

        Returns
        -------
        list of str
            Warnings, a line each.

        Raises
        ------
        InputError
            If it cannot work.
        """
        if self.storage is not None:
            check_storage(self.storage)
        if self.min_workers > self.workers:
            raise InputError(f"min_workers: {self.min_workers}: at most workers, {self.workers}")
        if self.expert_targets and not self.use_lora:
            raise InputError("expert_targets: they are adapters: with use_lora only")
        if self.merge and not self.use_lora:
            raise InputError("merge: with use_lora only: without adapters final is the whole model")
        if self.expert_targets and self.lora_dropout:
            raise InputError(f"lora_dropout: {self.lora_dropout}: 0 with expert_targets: they have no dropout")
        if self.bf16 and self.fp16:
            raise InputError("fp16: not together with bf16")
        if self.load_in_4bit and self.load_in_8bit:
            raise InputError("load_in_4bit: not together with load_in_8bit")
        quantised = self.load_in_4bit or self.load_in_8bit
        if quantised and not self.use_lora:
            raise InputError("load_in_4bit, load_in_8bit: such weights cannot be trained: with use_lora only")
        if self.device_map and self.workers > 1:
            raise InputError(f"device_map: {self.device_map!r}: with one worker only; several share the model out")
        if self.offload_folder and not self.device_map:
            raise InputError("offload_folder: only with device_map")
        low, high = LORA_RATES if self.use_lora else WEIGHTS_RATES
        warnings = []
        if self.model not in BUILT_IN and not low <= self.learning_rate <= high:
            what = "LoRA" if self.use_lora else "all weights"
            warnings.append(f"learning_rate: {self.learning_rate:g}: usual for {what}: {low:g} to {high:g}")
        if not self.use_lora and self.model not in BUILT_IN and self.save_steps == 1:
            warnings.append("save_steps: 1: every step writes all weights and their optimiser state")
        return warnings


def _planned(path: Any) -> dict[str, Any]:
    """Settings of a plan's file."""
    if path is None:
        return {}
    plan = read_yaml(path)
    if not isinstance(plan, dict) or not isinstance(plan.get("settings"), dict):
        raise InputError(f"plan: {path}: a JSON object with `settings`")
    if other := plan["settings"].keys() - GRPOSettings.model_fields.keys():
        raise unknown(f"plan: {path}: settings", sorted(other)[0], GRPOSettings.model_fields)
    return dict(plan["settings"])


class SFTSettings(TrainingSettings):
    """Supervised fine-tuning on demonstrations."""

    algorithm = "sft"

    data: Path | None = Field(
        None,
        description="JSON Lines: what llm.demonstrate writes, or messages (default: episodes of the heuristic)",
    )
    demonstrations: int = Field(400, ge=1, le=100_000, description="episodes of the heuristic, without --data")
    steps: int = Field(0, ge=0, le=10**9, description="optimiser steps; 0: as many as --epochs are")
    epochs: float = Field(1.0, gt=0, le=1000, description="times the data are gone through, where --steps is 0")
    max_length: int = Field(1024, ge=16, le=1_000_000, description="tokens of prompt and answer; longer is refused")


class GRPOSettings(TrainingSettings):
    """Reinforcement learning by group-relative policy optimisation on the simulator."""

    algorithm = "grpo"

    reference_model: str | None = Field(
        None, description="what beta measures from when all weights are trained (default: the model as it began)"
    )
    episodes: int = Field(
        1000,
        ge=1,
        le=10**9,
        description="prompts in all, each answered by a group",
        json_schema_extra=_env("NUM_EPISODES"),
    )
    epochs: int = Field(1, ge=1, le=1000, description="times each prompt is trained on")
    num_generations: int = Field(
        4, ge=2, le=1024, description="answers to a prompt: a group", json_schema_extra=_env("NUM_GENERATIONS")
    )
    iterations: int = Field(1, ge=1, le=64, description="optimiser steps on the same answers")
    clip: float = Field(0.2, gt=0, lt=1, description="furthest that a token's probability ratio is rewarded below 1")
    clip_high: float | None = Field(None, gt=0, lt=10, description="the same above 1 (default: clip)")
    beta: float = Field(
        0.0, ge=0, le=10, description="weight of the divergence from the reference", json_schema_extra=_env("BETA")
    )
    kl_stop: float | None = Field(None, gt=0, description="end when the divergence from the reference is above, nats")
    temperature: float = Field(1.0, gt=0, le=5, description="of sampling")
    top_p: float = Field(1.0, gt=0, le=1, description="sample from the likeliest tokens of this total probability")
    max_prompt_length: int = Field(1024, ge=16, le=1_000_000, description="tokens; a longer prompt is refused")
    max_completion_length: int = Field(512, ge=4, le=1_000_000, description="tokens of an answer, reasoning included")
    constrain: bool = Field(False, description="hold answers to the task's pattern while sampling")
    demonstrations: int = Field(
        0, ge=0, le=100_000, description="episodes of the heuristic that the model learns from first; 0: none"
    )
    continuation: str | None = Field(
        None,
        description="what orders after the answer in the reward: a rule such as base_stock:level=80, or self: a fast "
        "copy of the current model (default: order_up_to:80 for corner_shop, else base_stock)",
    )
    continuation_days: int | None = Field(
        None,
        ge=1,
        le=3650,
        description="days that an answer is judged on (default: until the order came, and two more)",
    )
    futures: int = Field(8, ge=1, le=255, description="demand paths an answer is judged on, the same for its group")
    scenarios: list[str] = Field([], description="prompts come from these scenarios in turn (default: the network's)")
    reward_scale: float | None = Field(
        None, gt=0, description="money that counts as a reward of 1 (default: what a day of the busiest agent is worth)"
    )
    margin: float = Field(0.5, ge=0, description="reward below the group's worst of an answer that cannot be read")
    own_states: float = Field(0.5, ge=0, le=1, description="share of prompts from the model's own episodes")
    perturb: float = Field(
        0.15,
        ge=0,
        lt=1,
        description="share of orders in the model's own episodes replaced by one nearby, so that states around its "
        "path are seen",
    )
    refresh: int = Field(
        25, ge=1, description="optimiser steps between two drawings of its own episodes, and two copies of it"
    )
    explore: float = Field(0.0, ge=0, lt=1, description="share of answers whose order is replaced by another one")
    eval_steps: int = Field(25, ge=1, description="optimiser steps between two validations")
    evaluation_episodes: int = Field(100, ge=2, le=100_000, description="episodes of a validation")
    validation_seed: int | None = Field(
        None, ge=0, le=2**31 - 1, description="of the validations' demand paths (default: --seed)"
    )
    patience: int = Field(0, ge=0, description="end after so many validations without a better one; 0: never")
    engines: int = Field(1, ge=1, le=4096, description="processes that generate")
    tensor_parallel: int = Field(1, ge=1, le=64, description="GPUs of an engine")
    engine: Literal["auto", "vllm", "transformers"] = Field("auto", description="what an engine generates with")
    staleness: int = Field(0, ge=0, le=8, description="optimiser steps that answers may be older than the weights")
    plan: Path | None = Field(
        None,
        description="JSON file whose `settings` are taken where nothing else is given: workers, engines ...",
    )

    @property
    def groups_a_step(self) -> int:
        """Prompts of an optimiser step."""
        return self.rows_a_step // self.num_generations

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.episodes * self.epochs * self.iterations // self.groups_a_step

    def validate(self, longest_prompt: int = 0) -> list[str]:  # type: ignore[override]
        """See :meth:`TrainingSettings.validate`."""
        warnings = super().validate(longest_prompt)
        if longest_prompt > self.max_prompt_length:
            raise InputError(f"max_prompt_length: {self.max_prompt_length}: a prompt has {longest_prompt} tokens")
        if longest_prompt > 0.9 * self.max_prompt_length:
            warnings.append(
                f"max_prompt_length: {self.max_prompt_length}: a prompt has {longest_prompt} tokens already"
            )
        if self.rows_a_step % self.num_generations:
            raise InputError(
                f"num_generations: {self.num_generations}: must divide batch_size x gradient_accumulation_steps x "
                f"workers = {self.rows_a_step}"
            )
        if not self.steps:
            raise InputError(f"episodes: {self.episodes}: at least {self.groups_a_step}, the prompts of one step")
        if self.reference_model and (self.use_lora or not self.beta):
            raise InputError("reference_model: only with use_lora off and beta above 0; an adapter is switched off")
        if self.continuation == "self" and not self.own_states:
            raise InputError("own_states: 0: above 0 with the continuation self: the copy learns from own episodes")
        if self.kl_stop and not self.beta:
            raise InputError("kl_stop: only with beta above 0: without it no divergence is measured")
        left = self.episodes * self.epochs % self.groups_a_step
        if left:
            warnings.append(f"episodes: {self.episodes}: the last {left} prompts do not fill a step and are left out")
        if self.batch_size * self.gradient_accumulation_steps < self.num_generations:
            warnings.append(f"workers: {self.workers}: a group is spread over several: each waits for the others")
        if self.engines > self.groups_a_step:
            warnings.append(
                f"engines: {self.engines}: a step has {self.groups_a_step} prompts: some have nothing to do"
            )
        return warnings


Settings = SFTSettings | GRPOSettings


def make_settings(kind: type[TrainingSettings], values: dict[str, Any], place: str = "settings") -> Any:
    """Settings from plain values.

    Raises
    ------
    InputError
        An unknown name, or a value that its field does not allow.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise explain(error, kind, place) from error
