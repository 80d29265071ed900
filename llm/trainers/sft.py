"""Supervised fine-tuning: TRL's SFTTrainer on prompts and answers, the loss on the answers alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hmarl.errors import InputError
from hmarl.files import replace_folder
from hmarl.progress import Reporter
from llm.settings import SFTSettings
from llm.tasks.demonstrations import Example
from llm.trainers.fit import fit, placement_of
from llm.trainers.journal import Row, opened
from llm.trainers.precision import weights_type

FINAL = "final"


def sft(settings: SFTSettings, examples: Sequence[Example], folder: Path, reporter: Reporter) -> Path:
    """Train a model on examples; the same call again goes on where it stopped.

    Parameters
    ----------
    settings
        ``settings.model`` names the model.
    examples
        What to answer.
    folder
        Of the run: ``metrics.jsonl``, TensorBoard's events, checkpoints, and ``final``, the trained model.

    Returns
    -------
    Path
        Of the trained model (with ``use_lora`` an adapter, unless ``merge``).

    Raises
    ------
    InputError
        If an example is longer than ``max_length``.
    TrainingFailed
        See :func:`llm.trainers.fit.fit`.
    """
    import ray

    from llm.models import load_tokenizer, origin_of, resolve

    folder = folder.resolve()
    final = folder / FINAL
    if final.exists():
        return final
    path = resolve(settings.model)
    rows = tokenised(examples, load_tokenizer(path), settings.max_length)
    steps = settings.steps or math.ceil(settings.epochs * len(rows) / settings.rows_a_step)
    origin = origin_of(path, settings.model)
    config = {"settings": settings, "path": path, "origin": origin, "rows": ray.put(rows), "steps": steps}
    wandb = (settings.wandb_project, settings.wandb_entity) if settings.wandb_project else None
    with opened(folder, reporter, "SFT", steps, _words, wandb, settings.model_dump(mode="json")) as journal:
        held = fit(_loop, config, placement_of(settings, folder), journal)
    take_model(held, final, settings.merge)
    return final


def take_model(held: Any, final: Path, merge: bool = False) -> None:
    """Take the trained model out of the last checkpoint.

    Parameters
    ----------
    merge
        Add the adapters that were trained to their base.
    """
    import shutil

    from llm.models import export, load_model, load_tokenizer

    with held.as_directory() as kept:
        trained = Path(kept) / "model"
        if merge:
            export(load_model(trained), load_tokenizer(trained), final)
        else:
            replace_folder(final, lambda target: shutil.copytree(trained, target, dirs_exist_ok=True))


def tokenised(examples: Sequence[Example], tokenizer: Any, longest: int) -> list[dict[str, list[int]]]:
    """Rows of the trainer: the tokens of prompt and answer; labels of the answer's, -100 elsewhere.

    Raises
    ------
    InputError
        If a row is longer than `longest`.
    """
    rows = []
    for number, example in enumerate(examples, 1):
        thinking = {"thinking": example.thinking} if example.thinking else {}
        answer = {"role": "assistant", "content": example.response, **thinking}
        encoded = tokenizer.apply_chat_template(
            [*example.prompt, answer], return_dict=True, return_assistant_tokens_mask=True
        )
        ids, answered = encoded["input_ids"], encoded["assistant_masks"]
        if len(ids) > longest:
            raise InputError(f"max_length: {longest}: example {number} has {len(ids)} tokens")
        labels = [token if own else -100 for token, own in zip(ids, answered, strict=True)]
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def order_of(rows: int, seed: int, batch: int, steps: int) -> np.ndarray:
    """Which row each place of each step trains, ``(steps * batch,)``: the data in a new order each time."""
    passes = math.ceil(steps * batch / rows)
    return np.concatenate([np.random.default_rng((seed, k)).permutation(rows) for k in range(passes)])[: steps * batch]


def _words(row: Row) -> str:
    return f"loss {row['loss']:.4f}"


def _loop(config: dict[str, Any]) -> None:
    import ray
    from datasets import Dataset
    from torch.utils.data import Sampler
    from trl import SFTConfig, SFTTrainer

    from llm.models import on_this_node
    from llm.trainers import checkpoint, worker

    settings: SFTSettings = worker.shared(config["settings"])
    worker.quiet()
    path = on_this_node(config["path"], config["origin"])
    model, tokenizer = worker.load(settings, path, weights_type(settings, path))
    rows = ray.get(config["rows"])

    class Order(Sampler[int]):
        """Rows from the step that is next."""

        def __iter__(self) -> Iterator[int]:
            order = order_of(len(rows), settings.seed, settings.rows_a_step, config["steps"])
            return iter(order[trainer.state.global_step * settings.rows_a_step :].tolist())

        def __len__(self) -> int:
            return settings.rows_a_step * config["steps"]

    class Trainer(checkpoint.resuming(SFTTrainer)):  # type: ignore[misc]
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return Order()

    trainer = Trainer(
        model=model,
        args=SFTConfig(
            **worker.arguments(settings, config["steps"]),
            max_length=None,
            packing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )

    def row(logs: dict[str, float]) -> dict[str, float]:
        names = {"mean_token_accuracy": "accuracy", "num_tokens": "tokens"}
        kept = ("loss", "grad_norm", "learning_rate", "entropy", "mean_token_accuracy", "num_tokens")
        return {names.get(name, name): float(logs[name]) for name in kept}

    worker.train(trainer, worker.Reports(trainer, row, dict, settings.save_steps))
