"""What a training is gone on with: written every few steps, read where it starts again.

The Trainer's own checkpoints are not used: those of one process and of several have different forms, so that a run
could not go on with more or fewer workers; it refuses models that are sharded while they load; and TRL writes a model
card with each. Here every worker writes its part of the trained weights and of the optimiser with
torch.distributed.checkpoint, which gives any number of workers what is theirs.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

STATE = "state.json"
TRAINER = "trainer_state.json"  # where the Trainer looks for its state


def save(folder: Path, trainer: Any, extra: dict[str, Any]) -> None:
    """Write this worker's part of a checkpoint.

    Parameters
    ----------
    trainer
        transformers' Trainer.
    extra
        Plain data of rank 0.
    """
    model, optimiser = _parts(trainer)
    weights, moments = get_state_dict(model, optimiser, options=StateDictOptions(ignore_frozen_params=True))
    dcp.save({"model": weights, "optimiser": moments}, checkpoint_id=folder, no_dist=not _several())
    torch.save(_random_state(), folder / f"random_{trainer.args.process_index}.pt")
    if trainer.args.process_index == 0:
        scaler = trainer.accelerator.scaler
        state = {
            "scheduler": trainer.lr_scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "world": trainer.args.world_size,
            "extra": extra,
        }
        (folder / STATE).write_text(json.dumps(state))
        trainer.state.save_to_json(str(folder / TRAINER))


def load(folder: Path, trainer: Any) -> None:
    """Put a checkpoint's weights, optimiser and schedule in their places."""
    model, optimiser = _parts(trainer)
    weights, moments = get_state_dict(model, optimiser, options=StateDictOptions(ignore_frozen_params=True))
    state = {"model": weights, "optimiser": moments}
    dcp.load(state, checkpoint_id=folder, no_dist=not _several())
    set_state_dict(
        model,
        optimiser,
        model_state_dict=state["model"],
        optim_state_dict=state["optimiser"],
        options=StateDictOptions(strict=False, ignore_frozen_params=True),
    )
    plain = json.loads((folder / STATE).read_text())
    trainer.lr_scheduler.load_state_dict(plain["scheduler"])
    if plain["scaler"]:
        trainer.accelerator.scaler.load_state_dict(plain["scaler"])


def load_random_state(folder: Path, rank: int) -> None:
    """Of this worker; of a worker that was not there before there is none."""
    path = folder / f"random_{rank}.pt"
    if path.exists():
        held = torch.load(path, weights_only=True)
        random.setstate((held["python"][0], tuple(held["python"][1]), held["python"][2]))
        np.random.set_state(held["numpy"])  # noqa: NPY002
        torch.set_rng_state(held["torch"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(held["cuda"])


def kept(folder: Path, name: str) -> Any:
    """What :func:`save` was given by that name."""
    return json.loads((folder / STATE).read_text())["extra"][name]


def _parts(trainer: Any) -> tuple[Any, Any]:
    return trainer.accelerator.unwrap_model(trainer.model_wrapped), trainer.optimizer.optimizer


def _several() -> bool:
    return dist.is_initialized() and dist.get_world_size() > 1


def _random_state() -> dict[str, Any]:
    numpy: Any = np.random.get_state()  # noqa: NPY002 (the generator that libraries use)
    return {
        "python": random.getstate(),
        "numpy": (numpy[0], numpy[1].tolist(), *numpy[2:]),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def resuming(trainer: type[Any]) -> type[Any]:
    """A trainer of transformers that goes on from these checkpoints."""

    class Resuming(trainer):
        def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
            """The weights come with the optimiser, once both are prepared."""

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            if checkpoint is not None:
                load(Path(checkpoint), self)

        def _load_scaler(self, checkpoint: str | None) -> None:
            """Loaded with the optimiser."""

        def _load_rng_state(self, checkpoint: str | None) -> None:
            if checkpoint is not None:
                load_random_state(Path(checkpoint), self.args.process_index)

    return Resuming


def report(row: dict[str, Any], step: int, write: Callable[[Path], None] | None) -> None:
    """Tell Ray Train of a step, with the checkpoint that `write` fills a folder with; all workers call it."""
    import ray.train

    if write is None:
        ray.train.report(row)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(row, checkpoint=checkpoint, checkpoint_dir_name=f"step_{step:08d}")
