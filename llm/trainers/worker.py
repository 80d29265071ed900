"""What supervised and reinforcement learning do alike in a training worker."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import ray.train
import torch
import trl.trainer.utils
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from llm.models import LoraSettings, export, load_model, load_tokenizer
from llm.settings import TrainingSettings
from llm.trainers import checkpoint
from llm.trainers.fit import Preempted
from llm.trainers.sharding import check_share, full_state

if TYPE_CHECKING:
    from llm.trainers.validation import Validation

S = TypeVar("S", bound=TrainingSettings)
MODEL = "model"  # the trained model, in the last checkpoint; with validations the best until then, in each


def shared(settings: S) -> S:
    """Settings of the workers that there are, which may be fewer than were asked for."""
    return settings.shared_by(ray.train.get_context().get_world_size())


def load(settings: TrainingSettings, path: Path, dtype: str) -> tuple[Any, Any]:
    """The model to train, shared out between the workers, and its tokenizer."""
    lora = LoraSettings(
        settings.lora_r,
        settings.lora_alpha,
        settings.lora_dropout,
        tuple(settings.target_modules),
        tuple(settings.expert_targets),
    )
    run_head_on_answers_alone()
    torch.set_num_threads(settings.threads_of(settings.workers))
    torch.manual_seed(settings.seed)  # of the adapters' first weights
    model = load_model(
        path,
        dtype=dtype,  # type: ignore[arg-type]
        lora=lora if settings.use_lora else None,
        gradient_checkpointing=settings.gradient_checkpointing,
        load_in_8bit=settings.load_in_8bit,
        load_in_4bit=settings.load_in_4bit,
        device_map=settings.device_map,
        offload_folder=settings.offload_folder,
        workers=settings.workers,
    )
    check_share(model, settings.workers)
    return model, load_tokenizer(path)


def arguments(settings: TrainingSettings, steps: int) -> dict[str, Any]:
    """Arguments of TRL's trainers. The model comes with its precision and gradient checkpointing; checkpoints and
    logging are ours."""
    return {
        "output_dir": tempfile.gettempdir(),
        "max_steps": steps,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "learning_rate": settings.learning_rate,
        "warmup_steps": round(settings.warmup * steps),
        "lr_scheduler_type": {"constant": "constant_with_warmup"}.get(settings.schedule, settings.schedule),
        "max_grad_norm": settings.max_grad_norm,
        "adam_beta2": settings.adam_beta2,
        "seed": settings.seed,
        "bf16": False,
        "fp16": settings.fp16,
        "gradient_checkpointing": False,
        "use_cpu": not torch.cuda.is_available(),
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "ignore_data_skip": True,  # the data follow the step
        "dataloader_pin_memory": torch.cuda.is_available(),
        "router_aux_loss_coef": 0.0,
    }


class Reports(TrainerCallback):
    """Reports each step to Ray Train, with a checkpoint where one is due, and ends the training where it should.

    Parameters
    ----------
    row
        The Trainer's numbers of a step -> those reported.
    save_steps, iterations
        A checkpoint is written every so many steps, and where a node is about to be taken away; never before the last
        of the iterations on the same answers.
    extra
        What the checkpoint holds besides the Trainer's state.
    stop
        Why the training ends after this row, if it does.
    validation
        Says so too, and which weights the trained model has: those of the last step where left out.
    """

    def __init__(
        self,
        trainer: Any,
        row: Callable[[dict[str, float]], dict[str, Any]],
        extra: Callable[[], dict[str, Any]],
        save_steps: int,
        iterations: int = 1,
        stop: Callable[[dict[str, Any]], str] = lambda row: "",
        validation: Validation | None = None,
    ) -> None:
        self.trainer = trainer
        self.row, self.extra, self.stop, self.validation = row, extra, stop, validation
        self.save_steps, self.iterations = save_steps, iterations
        self._begun = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begun = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" not in logs:  # the summary at the end
            return
        step = state.global_step
        begun, self._begun = self._begun, time.perf_counter()  # the checkpoint counts in the step that follows
        row: dict[str, Any] = {
            "steps": step,
            **self.row(logs),
            "workers": args.world_size,
            "step_seconds": self._begun - begun,
        }
        reason = self.stop(row)
        last = bool(reason) or step == state.max_steps
        leaving = not last and ray.train.get_preemption_info() is not None
        if self.validation and (last or self.validation.due(step)):
            row |= self.validation.run(step)
            reason = reason or self.validation.stop
            last = last or bool(reason)
            self._begun = time.perf_counter()
        if reason:
            control.should_training_stop = True
            row["stopped"] = reason
        state.log_history.clear()  # it is in metrics.jsonl

        def write(folder: Path) -> None:
            checkpoint.save(folder, self.trainer, {"stopped": reason, **self.extra()})
            if self.validation:
                self.validation.write(folder)
            elif last:
                export_trained(self.trainer, folder / MODEL)

        leaving = leaving and step % self.iterations == 0
        due = step % self.save_steps == 0 and step % self.iterations == 0
        checkpoint.report(row, step, write if last or leaving or due else None)
        if leaving:
            raise Preempted(f"after step {step}")


def export_trained(trainer: Any, folder: Path) -> None:
    """Write the trained model; all workers must call it."""
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    state = full_state(model, trained_only=hasattr(model, "peft_config"))
    if trainer.args.process_index == 0:
        model.config.distributed_config = None  # with it all workers would have to write
        export(model, trainer.processing_class, folder, state_dict=state)


def train(trainer: Any, reports: Reports) -> None:
    """Train from the last checkpoint, or from the start."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(reports)
    held = ray.train.get_checkpoint()
    if held is None:
        trainer.train()
        return
    with held.as_directory() as folder:
        if not checkpoint.kept(Path(folder), "stopped"):
            trainer.train(resume_from_checkpoint=folder)


def run_head_on_answers_alone() -> None:
    """Have TRL score the answers' tokens alone, as it does where it has Triton. Elsewhere it scores those of prompts
    too, and throws that away: half of the time of a small model with long prompts and short answers."""
    trl.trainer.utils._use_triton = lambda device: True  # asked there for nothing else


def quiet() -> None:
    """Keep the libraries' notices out of the worker's output."""
    import datasets
    import transformers
    from transformers.utils import logging

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    warnings.simplefilter("ignore", FutureWarning)
    transformers.logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
