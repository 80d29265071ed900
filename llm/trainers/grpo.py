"""Group-relative policy optimisation: TRL's GRPOTrainer, answers from the engines, rewards from the simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hmarl.files import write_atomic
from hmarl.progress import Reporter
from llm.settings import GRPOSettings
from llm.tasks.supply_chain import SupplyChainTask
from llm.trainers.fit import fit, placement_of
from llm.trainers.journal import Row, opened
from llm.trainers.precision import weights_type
from llm.trainers.sft import FINAL, take_model

LEDGER = "ledger.csv"


def grpo(
    settings: GRPOSettings,
    task: SupplyChainTask,
    pool: Any,
    model: Path,
    folder: Path,
    reporter: Reporter,
    listeners: Sequence[Callable[[Row], None]] = (),
) -> Path:
    """Train a model on a task; the same call again goes on where it stopped.

    Parameters
    ----------
    task
        Asks and judges.
    pool
        Engines that were started with `model`.
    model
        Folder of the model or adapter to begin with.
    folder
        Of the run: ``metrics.jsonl``, TensorBoard's events, checkpoints, ``ledger.csv`` (every prompt trained on) and
        ``final``, the trained model: the best of those validated.
    listeners
        Told each new row of ``metrics.jsonl``.

    Returns
    -------
    Path
        Of the trained model (with ``use_lora`` an adapter, unless ``merge``).

    Raises
    ------
    TrainingFailed
        See :func:`llm.trainers.fit.fit`.
    """
    import ray

    from llm.models import origin_of
    from llm.trainers import checkpoint

    folder = folder.resolve()
    final = folder / FINAL
    if final.exists():
        return final
    model = model.resolve()
    origin = origin_of(model, settings.model)
    config = {"settings": settings, "task": ray.put(task), "pool": pool, "path": model, "origin": origin}

    def give_up() -> bool:
        if name := pool.give_up_one():
            reporter.warn(f"{name} gives its place to a training worker")
        return bool(name)

    wandb = (settings.wandb_project, settings.wandb_entity) if settings.wandb_project else None
    with opened(folder, reporter, "GRPO", settings.steps, _words, wandb, settings.model_dump(mode="json")) as journal:
        journal.listeners += listeners
        held = fit(_loop, config, placement_of(settings, folder), journal, give_up)
    with held.as_directory() as kept:
        ledger, validation, stopped = (
            checkpoint.kept(Path(kept), name) for name in ("ledger", "validation", "stopped")
        )
    if stopped:
        reporter.say(f"ended early: {stopped}")
    reporter.say(f"best on validation paths: step {validation['best_step']}, {validation['best']:,.0f} an episode")
    write_atomic(folder / LEDGER, "epoch,number,step\n" + "".join(f"{e},{n},{step}\n" for e, n, step in ledger))
    take_model(held, final, settings.merge)
    return final


def _words(row: Row) -> str:
    return f"reward {row['reward']:+.3f}  entropy {row['entropy']:.2f}"


def _loop(config: dict[str, Any]) -> None:
    import ray

    from llm.models import on_this_node
    from llm.trainers import worker
    from llm.trainers.grpo_trainer import make_trainer
    from llm.trainers.validation import Validation

    settings: GRPOSettings = worker.shared(config["settings"])
    worker.quiet()
    path = on_this_node(config["path"], config["origin"])
    dtype = weights_type(settings, path)
    model, tokenizer = worker.load(settings, path, dtype)
    trainer = make_trainer(settings, ray.get(config["task"]), config["pool"], model, tokenizer, dtype, path)
    validation = Validation(trainer)
    held = ray.train.get_checkpoint()
    if held is not None:
        with held.as_directory() as folder:
            trainer.restore(Path(folder))
            validation.restore(Path(folder))

    def stop(row: dict[str, float]) -> str:
        above = settings.kl_stop is not None and row["kl"] > settings.kl_stop
        return f"the divergence from the reference is above {settings.kl_stop:g} nats" if above else ""

    def kept() -> dict[str, Any]:
        return {**trainer.kept(), "validation": validation.state()}

    reports = worker.Reports(trainer, trainer.row, kept, settings.save_steps, settings.iterations, stop, validation)
    worker.train(trainer, reports)
