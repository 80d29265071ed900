"""Which configurations are tried, and which trials end early, in Ray Tune's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ray import tune as ray_tune
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter, SearchAlgorithm, Searcher

from tune.settings import LlmSweep, Sweep
from tune.space import Choice, Integer, Log, Parameters, Space, Uniform, label

SCORE, STEPS, REPLAYED = "score", "steps", "replayed"
"""Columns of what a trial reports: more is better; the last row, which decides nothing more, is without steps; rows of
an earlier process stop nobody."""
NUMBER, PARAMETERS = "number", "parameters"
"""Of what a trial is told."""

_REDUCTION = 3  # one in so many goes on
_RUNGS = 2  # times
_POPULATION_STEPS = 8  # times that population based training looks at a trial


def configurations(sweep: Sweep, begun: Sequence[Parameters]) -> list[Parameters]:
    """All configurations of a random or grid search, drawn by the sweep's seed; those begun as they stand now."""
    if sweep.search == "grid":
        found = sweep.searched.grid()
    else:
        random = np.random.default_rng(sweep.seed)
        found = [sweep.searched.draw(random) for _ in range(sweep.number)]
    return [*begun, *found[len(begun) :]]


def search(
    sweep: Sweep, begun: Sequence[Parameters], at_once: int
) -> tuple[dict[str, Any], SearchAlgorithm | Searcher]:
    """What Tune's trials are told, and who says it.

    Parameters
    ----------
    begun
        Parameters of the trials of an earlier process, by number: they come first.
    at_once
        Trials that there is room for now. A random or grid search of agents asks for all: those run that fit, on nodes
        that are added too.
    """
    if sweep.search == "optuna":
        told_by = OptunaSearch(sweep.searched, sweep.number, sweep.seed, begun)
        return {}, ConcurrencyLimiter(told_by, max_concurrent=at_once)
    told = [{NUMBER: k, PARAMETERS: values} for k, values in enumerate(configurations(sweep, begun))]
    most = at_once if sweep.concurrent or isinstance(sweep, LlmSweep) else 0
    return {"trial": ray_tune.grid_search(told)}, BasicVariantGenerator(max_concurrent=most)


class OptunaSearch(Searcher):
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), asked and told by Tune.

    Ray's own class of this name neither numbers its trials nor knows those of an earlier process.

    Parameters
    ----------
    begun
        What is tried first, in this order.
    """

    def __init__(self, space: Space, trials: int, seed: int, begun: Sequence[Parameters]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        super().__init__(metric=SCORE, mode="max")
        self._space, self._left = space, trials
        self._distributions = distributions(space)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(3, trials // 3)))
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        for parameters in begun:
            self._study.enqueue_trial(labelled(space, parameters))
        self._asked: dict[str, Any] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next configuration."""
        if not self._left:
            return Searcher.FINISHED
        self._left -= 1
        trial = self._asked[trial_id] = self._study.ask(self._distributions)
        return {"trial": {NUMBER: trial.number, PARAMETERS: _values(self._space, trial.params)}}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learn from it what it came to."""
        import optuna

        failed = error or not result
        state = optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE
        self._study.tell(self._asked.pop(trial_id), None if failed else result[SCORE], state=state)  # type: ignore[index]

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what a sweep goes on from are the records of its trials."""

    def restore(self, checkpoint_path: str) -> None:
        """See :meth:`save`."""


def distributions(space: Space) -> dict[str, Any]:
    """The space in Optuna's terms; choices by their label."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for name, parameter in space.root.items():
        match parameter:
            case Uniform():
                found[name] = FloatDistribution(*parameter.uniform)
            case Log():
                found[name] = FloatDistribution(*parameter.log, log=True)
            case Integer():
                found[name] = IntDistribution(*parameter.integer)
            case Choice():
                found[name] = CategoricalDistribution(list(parameter.by_label))
    return found


def labelled(space: Space, parameters: Parameters) -> Parameters:
    """Parameters in Optuna's terms."""
    return {k: label(value) if isinstance(space.root[k], Choice) else value for k, value in parameters.items()}


def _values(space: Space, labelled: Parameters) -> Parameters:
    choices = {name: parameter.by_label for name, parameter in space.root.items() if isinstance(parameter, Choice)}
    return {name: choices[name][value] if name in choices else value for name, value in labelled.items()}


def scheduler(sweep: Sweep, steps: int) -> TrialScheduler:
    """Who ends trials early.

    Parameters
    ----------
    steps
        Of a trial, all seeds.
    """
    asked: dict[str, Any] = {"time_attr": STEPS, "metric": SCORE, "mode": "max"}
    first = max(1, steps // _REDUCTION**_RUNGS)
    match sweep.scheduler:
        case "asha":
            return _Asha(**asked, grace_period=first, max_t=steps + 1, reduction_factor=_REDUCTION)
        case "median":
            return _Median(**asked, grace_period=first, min_samples_required=3)
        case "pbt":
            random = np.random.default_rng(sweep.seed)

            def explore(told: dict[str, Any]) -> dict[str, Any]:
                trial = told["trial"]
                near = sweep.searched.near(trial[PARAMETERS], random, sweep.fixed)
                return {"trial": {NUMBER: trial[NUMBER], PARAMETERS: near}}

            return _Population(
                **asked,
                perturbation_interval=max(1, steps // _POPULATION_STEPS),
                custom_explore_fn=explore,
                log_config=False,
                require_attrs=False,
            )
    return FIFOScheduler()


class _Asha(AsyncHyperBandScheduler):
    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Let a trial run through the rows that an earlier process wrote."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if result[REPLAYED] else decision


class _Median(MedianStoppingRule):
    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """As above, and never let a trial wait for others."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        stops = decision == TrialScheduler.STOP and not result[REPLAYED]
        return TrialScheduler.STOP if stops else TrialScheduler.CONTINUE


class _Population(PopulationBasedTraining):
    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """A trial that goes on from another one keeps its number."""
        told, done = super()._get_new_config(trial, trial_to_clone)
        return {"trial": {**told["trial"], NUMBER: trial.config["trial"][NUMBER]}}, done
