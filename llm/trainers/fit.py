"""A training loop on Ray Train's workers, repeated from its last checkpoint for as long as something kills them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmarl.errors import Failed, InputError
from llm.trainers.journal import Journal, Row

RUN = "training"  # the folder below the storage in which Ray Train keeps checkpoints
_ATTEMPTS = 3  # of a step that workers die in
_POLL = "0.1"  # seconds between two of Ray Train's looks at its workers: they wait for it when they report
Loop = Callable[[dict[str, Any]], None]


class TrainingFailed(Failed):
    """Training cannot go on: the message is the cause, in a line."""


@dataclass(frozen=True)
class Placement:
    """Where a training runs.

    Attributes
    ----------
    workers
        Training processes.
    storage
        Folder or URI that keeps checkpoints; all nodes see it.
    gpu
        Whether each worker has a GPU.
    """

    workers: int
    storage: str
    gpu: bool


def fit(loop: Loop, config: dict[str, Any], placement: Placement, journal: Journal) -> Any:
    """Run `loop` on every worker until it returns.

    A worker that dies (killed, out of memory, its node lost) costs what came after the last checkpoint: all workers are
    started again and the loop goes on from there. An error that the loop raises is not tried again. The same storage
    again goes on as well.

    Parameters
    ----------
    loop
        Told `config`; reports a row a step with ``ray.train.report``, with a checkpoint where it is due.
    config
        Plain data.
    journal
        Takes the rows.

    Returns
    -------
    ray.train.Checkpoint
        The last one.

    Raises
    ------
    TrainingFailed
        The loop's error, or workers that die at the same step again and again.
    """
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", _POLL)
    from ray.train import ControllerError, WorkerGroupError

    attempts = 0
    while True:
        begun = journal.step
        try:
            return _once(loop, config, placement, journal).checkpoint
        except (ControllerError, WorkerGroupError) as error:
            one = isinstance(error, ControllerError)  # a worker died while the others were started
            failures = {0: error.controller_failure} if one else error.worker_failures
            cause = _cause(failures)
            attempts = attempts + 1 if journal.step == begun else 1
            if isinstance(cause, InputError):
                raise cause from None
            if not _killed(failures):
                raise TrainingFailed(line(cause)) from cause
            if attempts == _ATTEMPTS:
                raise TrainingFailed(f"workers died {attempts} times after step {begun}: {line(cause)}") from cause
            journal.reporter.warn(f"a training worker died after step {journal.step}: starting again from there")


def _once(loop: Loop, config: dict[str, Any], placement: Placement, journal: Journal) -> Any:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    trainer = TorchTrainer(
        loop,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=placement.workers, use_gpu=placement.gpu),
        run_config=RunConfig(
            name=RUN,
            storage_path=placement.storage,
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            callbacks=[_writer(journal.path)],
        ),
    )
    # In a thread of its own: Ray Train then leaves Ctrl-C to us, and rows are shown while it runs.
    outcome: list[Any] = []
    thread = threading.Thread(target=_kept, args=(trainer.fit, outcome), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.2)
        journal.follow()
    (result,) = outcome
    if isinstance(result, BaseException):
        raise result
    return result


def _kept(call: Callable[[], Any], outcome: list[Any]) -> None:
    try:
        outcome.append(call())
    except BaseException as error:  # noqa: BLE001 (raised again by the thread that waits)
        outcome.append(error)


def _writer(path: Path) -> Any:
    """What Ray Train's controller, a process beside ours, does with the workers' reports."""
    from ray.train import UserCallback

    class Writer(UserCallback):
        def after_report(self, run_context: Any, metrics: list[Row], checkpoint: Any) -> None:
            Journal.append(path, metrics[0])

    return Writer()


def _killed(failures: dict[int, Exception]) -> bool:
    """Whether a worker, or a process it asked, died: Ray says so, and not the loop."""
    from ray.exceptions import RayError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError

    deaths = (RayError, WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError)
    return any(isinstance(error, deaths) for error in failures.values())


def _cause(failures: dict[int, Exception]) -> Exception:
    """The error that others follow from: workers whose neighbour is gone lose their connection to it."""
    return min(
        failures.values(), key=lambda error: any(word in str(error).lower() for word in ("connection", "gloo", "nccl"))
    )


def line(error: BaseException) -> str:
    """An error in a line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
