"""A training loop on Ray Train's workers, repeated from its last checkpoint for as long as something kills them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hmarl.errors import Failed, InputError
from hmarl.storage import below
from llm.rollout.engine import EnginesAway
from llm.settings import TrainingSettings
from llm.trainers.journal import Journal, Row
from llm.trainers.placing import GrowingTrainer, Placement, settled

RUN = "training"  # the folder below the storage in which Ray Train keeps checkpoints
_ATTEMPTS = 3  # of a step that workers die in
_POLL = "0.1"  # seconds between two of Ray Train's looks at its workers: they wait for it when they report
_PLACED_IN = "30"  # seconds: there was room a moment ago
Loop = Callable[[dict[str, Any]], None]


class TrainingFailed(Failed):
    """Training cannot go on: the message is the cause, in a line."""


class Preempted(RuntimeError):
    """A node with a worker on it is about to be taken away, and a checkpoint is written."""


def placement_of(settings: TrainingSettings, folder: Path) -> Placement:
    """Of a training.

    Parameters
    ----------
    folder
        Of the run, where checkpoints are kept if the settings name no storage.
    """
    from hmarl.session import has_gpus

    storage = below(settings.storage, settings.run_name) if settings.storage else str(folder)
    return Placement(settings.worker_counts, storage, has_gpus(), settings.wait)


def fit(
    loop: Loop,
    config: dict[str, Any],
    placement: Placement,
    journal: Journal,
    give_up: Callable[[], bool] = lambda: False,
) -> Any:
    """Run `loop` on every worker until it returns.

    A worker that dies (killed, out of memory, its node lost) costs what came after the last checkpoint: all workers are
    started again, fewer where there is no room for all, and the loop goes on from there. Once there is room for more,
    more are started. An error that the loop raises is not tried again. The same storage again goes on as well.

    Parameters
    ----------
    loop
        Told `config`; reports a row a step with ``ray.train.report``, with a checkpoint where it is due.
    config
        Plain data.
    journal
        Takes the rows.
    give_up
        See :func:`llm.trainers.placing.settled`.

    Returns
    -------
    ray.train.Checkpoint
        The last one.

    Raises
    ------
    TrainingFailed
        The loop's error, or workers that die at the same step again and again.
    Failed
        If there is no room for a worker.
    """
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", _POLL)
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", _PLACED_IN)
    from ray.train import ControllerError, PreemptionError, WorkerGroupError

    attempts, size = 0, placement.workers
    while True:
        begun = journal.step
        try:
            return _once(loop, config, placement, size, journal).checkpoint
        except (ControllerError, WorkerGroupError, PreemptionError) as error:
            failures = _failures(error)
            cause = _cause(failures)
            attempts = attempts + 1 if journal.step == begun else 1
            if isinstance(cause, InputError):
                raise cause from None
            if not _passes(failures):
                raise TrainingFailed(line(cause)) from cause
            if attempts == _ATTEMPTS:
                raise TrainingFailed(f"workers died {attempts} times after step {begun}: {line(cause)}") from cause
            journal.reporter.warn(f"{_what(cause)} after step {journal.step}: starting again from there")
        size = settled(placement, give_up)
        if size < placement.workers:
            journal.reporter.warn(f"goes on with {size} of {placement.workers} training workers, until there is room")


def _once(loop: Loop, config: dict[str, Any], placement: Placement, size: int, journal: Journal) -> Any:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig

    trainer = GrowingTrainer(
        loop,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=placement.workers, use_gpu=placement.gpu),
        run_config=RunConfig(
            name=RUN,
            storage_path=placement.storage,
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=0, max_preemption_failures=0),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            callbacks=[_writer(journal.path)],
        ),
        placement=placement,
        size=size,
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


def _failures(error: Any) -> dict[int, Exception]:
    """By worker, where they are of workers."""
    from ray.train import ControllerError, PreemptionError

    if isinstance(error, PreemptionError):
        return {0: error}
    if isinstance(error, ControllerError):  # a worker died while the others were started
        return {0: error.controller_failure}
    return dict(error.worker_failures)


def _passes(failures: dict[int, Exception]) -> bool:
    """Whether it may go well the next time: a process or its node is gone, or will be; the loop itself is well."""
    from ray.exceptions import RayError
    from ray.train import PreemptionError
    from ray.train.v2._internal import exceptions as of_train

    deaths = (
        RayError,
        PreemptionError,
        Preempted,
        EnginesAway,
        of_train.WorkerHealthCheckFailedError,
        of_train.WorkerHealthCheckTimeoutError,
        of_train.WorkerGroupStartupTimeoutError,
        of_train.WorkerGroupStartupFailedError,
    )
    return any(isinstance(error, deaths) or _cut_off(error) for error in failures.values())


def _cut_off(error: Exception) -> bool:
    """Whether a worker lost its connection to another: that one's end is known to Ray later, of a node's much later."""
    return any(word in str(error).lower() for word in ("connection", "gloo", "nccl"))


def _what(cause: Exception) -> str:
    from ray.train import PreemptionError

    if isinstance(cause, Preempted | PreemptionError):
        return "a node is about to be taken away"
    return "no engine answered" if isinstance(cause, EnginesAway) else "a training worker died"


def _cause(failures: dict[int, Exception]) -> Exception:
    """The error that others follow from: workers whose neighbour is gone lose their connection to it."""
    return min(failures.values(), key=_cut_off)


def line(error: BaseException) -> str:
    """An error in a line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
