"""A trial of agents: hmarl's phases, each validation judged by the money on the sweep's own paths."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from hmarl.learning.folder import LOG, RULES_FILE
from hmarl.learning.job import Training
from hmarl.learning.train_settings import TrainSettings
from hmarl.policies import Policy, simulate
from hmarl.progress import Reporter
from tune.record import Trial
from tune.settings import SWEEPS, HmarlSweep
from tune.space import Parameters

if TYPE_CHECKING:
    from hmarl.learning.training import PhaseTraining
    from tune.trial import Tell


def learn(sweep: HmarlSweep, trial: Trial, seed: int, tell: Tell) -> None:
    """Train all phases with the seed of this number; what is there of the run already is kept."""
    folder = trial.run(seed)
    settings = _settings(sweep, trial.parameters, seed=sweep.seed + seed, name=folder.name, runs=folder.parent)
    training = Training.prepare(settings, None)
    folder.mkdir(parents=True, exist_ok=True)
    if not sweep.network_is_searched:
        shutil.copy(trial.folder.parents[1] / RULES_FILE, folder)
    names = [phase.name for phase in training.phases]

    def validated(phase: PhaseTraining) -> None:
        share = (names.index(phase.phase.name) + min(1, phase.state.steps / settings.steps)) / len(names)
        if share < 1:
            tell(share, worth(sweep, training, phase.policy()))

    training.reporter, training.validated = Reporter(folder / LOG, quiet=True), validated
    try:
        learned = training.learn(training.rules())
    finally:
        training.reporter.close()
    tell(1, worth(sweep, training, learned[names[-1]]))


def worth(sweep: HmarlSweep, training: Training, policy: Policy) -> float:
    """What a policy comes to, money a day, on the validation paths of the sweep."""
    network, episodes = training.network, sweep.evaluation_episodes
    return simulate(network, policy, replications=episodes, seed=sweep.seed, split="validation").mean(sweep.objective)


def prepare(sweep: HmarlSweep, reporter: Reporter) -> None:
    """Check what all trials share, and tune the rules that act for roles not taught yet, where all have the same."""
    settings = _settings(sweep, {}, name=sweep.run_name, runs=sweep.runs / SWEEPS)
    training = Training.prepare(settings, None)
    if not sweep.network_is_searched:
        training.reporter = reporter
        training.rules()


def _settings(sweep: HmarlSweep, parameters: Parameters, **changes: Any) -> TrainSettings:
    """Of a training on one processor, with the rule alone that acts in it."""
    settings = sweep.training(parameters, wandb=False, **changes)
    rules = settings.rules if settings.acting_rule == "best" else [settings.acting_rule]
    return settings.model_copy(update={"ppo_set": {**settings.ppo_set, "threads": 1}, "rules": rules})
