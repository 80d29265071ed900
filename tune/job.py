"""A sweep from its settings to the best of its trials."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import yaml

from hmarl import runs
from hmarl.command import plain
from hmarl.errors import InputError
from hmarl.files import write_atomic
from hmarl.progress import Reporter
from hmarl.runs import locked
from tune.record import read_trials
from tune.results import Result, best_of, command_of, in_words, read_results, table, write_best, write_csv
from tune.settings import HmarlSweep, LlmSweep, Sweep

LOG, SPACE = "sweep.log", "space.yaml"
_SESSION = ".ray"  # what Ray Tune writes; nothing is read from it again
_OBJECT_STORE = 1024**3  # bytes, for a model's weights on their way
_ATTEMPTS = 3  # of a trial whose processes die
_FREE = frozenset({"resume", "concurrent", "address", "wait", "json_", "name", "runs", "output_dir", "space"})
_ENVIRONMENT = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def settings_file(sweep: Sweep) -> Path:
    """What a sweep was told, as ``--config`` takes it."""
    return sweep.folder / f"{sweep.half}.yaml"


def sweep_from(sweep: Sweep, quiet: bool = False) -> Result:
    """Run a sweep, or what is left of it.

    Returns
    -------
    Result
        The best trial; ``best.yaml`` in the sweep's folder trains with its settings.

    Raises
    ------
    InputError
        Settings that are not allowed together, a sweep of this name where none is gone on with, or the reverse.
    Failed
        If no trial came to its end.
    """
    for package in ("optuna", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"{package}: not installed: pip install -e '.[tune]'")
    sweep.check()
    with locked(sweep.folder):
        _begin(sweep)
        reporter = Reporter(sweep.folder / LOG, quiet)
        try:
            _Job(sweep, reporter).run()
            return _told(sweep, reporter)
        except KeyboardInterrupt:
            reporter.say("stopped: the same command with --resume goes on")
            raise
        finally:
            reporter.close()


def refuse_changes(before: Sweep, now: Sweep) -> None:
    """A sweep goes on as it began.

    Raises
    ------
    InputError
        Naming the differences.
    """
    then, asked = before.model_dump(mode="json", exclude=set(_FREE)), now.model_dump(mode="json", exclude=set(_FREE))
    found = runs.changes("", then, asked) or runs.changes(
        "space", before.searched.model_dump(mode="json"), now.searched.model_dump(mode="json")
    )
    runs.refuse_changes(now.folder, found)


def _begin(sweep: Sweep) -> None:
    path = settings_file(sweep)
    if sweep.resume:
        return
    if path.exists():
        raise InputError(f"{sweep.folder}: there is a sweep: --resume goes on with it; or choose another --name")
    runs.refuse_strangers(sweep.folder, path.name, LOG)
    space = write_atomic(sweep.folder / SPACE, yaml.safe_dump(sweep.searched.model_dump(mode="json"), sort_keys=False))
    told = sweep.model_dump(mode="json", exclude={"resume"}, exclude_none=True) | {"space": str(space)}
    versions = ", ".join(f"{name} {version}" for name, version in runs.versions("optuna", "trl").items())
    head = f"# python -m tune.sweep {sweep.half}, {runs.now()}\n# {versions}\n# commit {runs.commit()}\n"
    content = {plain(name): value for name, value in told.items()}
    write_atomic(path, head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


class _Job:
    def __init__(self, sweep: Sweep, reporter: Reporter) -> None:
        self.sweep, self.reporter = sweep, reporter

    def run(self) -> None:
        """All trials, or those that are left."""
        sweep, trials = self.sweep, read_trials(self.sweep.folder)
        for trial in trials:
            trial.again()
        done = sum(trial.status != "unfinished" for trial in trials)
        if trials:
            self.reporter.say(f"goes on: {done} of {sweep.number} trials are done")
        if done == sweep.number:
            return
        if isinstance(sweep, HmarlSweep):
            from tune.trial_hmarl import prepare

            prepare(sweep, self.reporter)
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        with self._connected(), self._engines() as pool:
            self._tune([trial.parameters for trial in trials], pool)

    def _connected(self) -> AbstractContextManager[None]:
        """To Ray: one of our own has for language models the processors that so many trials ask for."""
        from hmarl.session import Need, connect

        sweep, trials = self.sweep, self.sweep.concurrent or 1
        if isinstance(sweep, HmarlSweep):
            return connect(sweep.address, needs=[Need("trials", trials)], wait=sweep.wait)
        needs = [
            Need("training workers", trials * sweep.workers, gpus=1),
            Need("engines", (1 if sweep.share_engines else trials) * sweep.engines, gpus=sweep.tensor_parallel),
        ]
        return connect(sweep.address, needs=needs, wait=sweep.wait, object_store=_OBJECT_STORE)

    @contextmanager
    def _engines(self) -> Iterator[Any]:
        """Those that all trials share; None where each has its own."""
        sweep = self.sweep
        if isinstance(sweep, HmarlSweep) or not sweep.share_engines:
            yield None
            return
        from llm.models import resolve
        from llm.serving import engine_to_train, started

        settings = sweep.training({})
        engine = engine_to_train(settings, resolve(settings.model), sweep.highest_rank)
        if not engine.adapters:
            raise InputError(f"share_engines: engines here serve no adapters beside {settings.model}")
        with started(engine, settings.engines, settings.threads_of(settings.engines)) as pool:
            yield pool

    def _tune(self, begun: Sequence[dict[str, Any]], pool: Any) -> None:
        """Ray Tune, in a session of its own: what counts is in the records of the trials."""
        from ray import tune as ray_tune

        from tune.progress import Progress
        from tune.search import scheduler, search
        from tune.trial import run_trial

        sweep = self.sweep
        session = sweep.folder.resolve() / _SESSION
        shutil.rmtree(session, ignore_errors=True)
        told, algorithm = search(sweep, begun, self._at_once())
        progress = Progress(sweep, self.reporter)
        trial = ray_tune.with_parameters(run_trial, sweep=sweep, folder=str(sweep.folder.resolve()), pool=pool)
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(trial, self._resources()),
            param_space=told,
            tune_config=ray_tune.TuneConfig(
                search_alg=algorithm,
                scheduler=scheduler(sweep, sweep.seeds * sweep.seed_steps),
                num_samples=sweep.number if sweep.search == "optuna" else 1,
                reuse_actors=isinstance(sweep, HmarlSweep),
            ),
            run_config=ray_tune.RunConfig(
                name="tune",
                storage_path=str(session),
                failure_config=ray_tune.FailureConfig(max_failures=_ATTEMPTS - 1),
                checkpoint_config=ray_tune.CheckpointConfig(num_to_keep=4),
                callbacks=[progress],
                verbose=0,
            ),
        )
        with progress.shown():
            tuner.fit()
        shutil.rmtree(session, ignore_errors=True)

    def _resources(self) -> dict[str, float]:
        """Of a trial's own process: one that trains needs a processor, one that waits for others does not."""
        if isinstance(self.sweep, LlmSweep):
            return {"memory": 512 * 1024**2}
        return {"CPU": 1}

    def _at_once(self) -> int:
        """Trials that there is room for.

        Raises
        ------
        InputError
            If there is none.
        """
        import ray

        there, sweep = ray.cluster_resources(), self.sweep
        taken, each = 0, 1
        if isinstance(sweep, LlmSweep):
            taken = sweep.engines if sweep.share_engines else 0
            each = sweep.workers + sweep.engines - taken
        room = (int(there.get("CPU", 0)) - taken) // each
        if not room:
            raise InputError(f"address: a trial needs {each} processors, the cluster has {there.get('CPU', 0):g}")
        return min(room, sweep.concurrent or room)


def _told(sweep: Sweep, reporter: Reporter) -> Result:
    """Everything that is written at the end."""
    from tune.pictures import write_pictures

    results = read_results(sweep)
    write_csv(sweep, results)
    best = best_of(results)
    path = write_best(sweep, best)
    reporter.show(table(sweep, results, reporter.console.width))
    reporter.say(f"best:     {in_words(best, sweep.objective)}")
    reporter.say(f"trials:   {sweep.folder / 'trials.csv'}")
    reporter.say(f"pictures: {write_pictures(sweep, results)}")
    reporter.say(f"train it: {command_of(sweep)} --config {path}")
    return best
