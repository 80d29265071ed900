"""One phase: RLlib's PPO until the steps are done, with validations, checkpoints and curves on the way."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from hmarl.errors import Failed
from hmarl.exact.gap import known_optimum
from hmarl.learning.algorithm import ppo_config, start_from, trained_module
from hmarl.learning.charts import Charts
from hmarl.learning.folder import Checkpoints
from hmarl.learning.interrupts import held
from hmarl.learning.module import actor_weights
from hmarl.learning.phases import Phase, agents_of
from hmarl.learning.settings import PPOSettings
from hmarl.learning.state import STATE, State
from hmarl.learning.watch import Watch
from hmarl.network.config import ROLES, Network
from hmarl.network.curriculum import Stage, stage_network
from hmarl.policies import LearnedPolicy, Policy, simulate
from hmarl.progress import Reporter
from hmarl.report.statistics import estimate
from hmarl.runs import Metrics

ALGORITHM, POLICY, MODULES = "algorithm", "policy", "modules"


@dataclass
class PhaseTraining:
    """A phase of one run.

    Attributes
    ----------
    folder
        Where checkpoint, metrics.jsonl, TensorBoard's events go.
    before
        What the phase begins with: it acts, frozen, for the roles that learned already.
    rule
        Acts for the roles that no phase taught yet.
    start
        By role the folder of the module to begin with; roles not named begin anew.
    started_from
        Digest of what the phase began with; a checkpoint with another one is thrown away.
    runners, wait
        Remote runners, and the seconds that a phase whose runners are all gone waits for one.
    objective
        Figure of a validation that the best policy is told by: reward, cost or profit.
    validated
        Called after each validation on the way, its checkpoint written.
    kept
        Called after each checkpoint.
    """

    phase: Phase
    network: Network
    ppo: PPOSettings
    folder: Path
    before: LearnedPolicy | None
    rule: Policy
    start: Mapping[str, Path]
    started_from: str
    steps: int
    evaluate_every: int
    evaluation_episodes: int
    patience: int
    objective: str
    seed: int
    stages: Sequence[Stage]
    reporter: Reporter
    runners: int = 0
    wait: float = 60.0
    wandb: Any = None
    validated: Callable[[PhaseTraining], None] = lambda phase: None
    kept: Callable[[], None] = lambda: None
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints(self.folder / "checkpoint")
        self.metrics = Metrics(self.folder / "metrics.jsonl")
        newest = self.checkpoints.newest()
        if newest and State.read(newest).started_from != self.started_from:
            self.reporter.say(f"{self.phase.name}: begins again, for what it starts from has changed")
            shutil.rmtree(self.folder)
            newest = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = State.read(newest) if newest else State(self.started_from)
        self._agents = agents_of(self.network, self.phase.learns)
        self._roles = [role for role in ROLES if self.network.nodes_of(role)]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.checkpoints.newest() is not None and (
            self.state.steps >= self.steps or 0 < self.patience <= self.state.waited
        )

    @property
    def kept_start(self) -> bool:
        """Whether no policy trained here was better on validation than what the phase began with."""
        return self.state.start is not None and self.state.score is not None and self.state.start > self.state.score

    def summary(self) -> str:
        """How it went, in a line."""
        state = self.state
        assert state.score is not None, "the phase has not begun"
        rate = state.steps / max(state.seconds, 1e-9)
        line = f"{state.steps:,} agent-steps in {state.seconds:.0f} s ({rate:,.0f}/s)"
        half = state.score_high - state.score
        best = f"{self.objective} {self._shown(state.score):.3f} ± {half:.3f} a {self.network.period}"
        if self.kept_start:
            assert state.start is not None
            return f"{line}, keeps what it began with: {self._shown(state.start):.3f} on validation, trained {best}"
        if state.best_at == 0:
            return f"{line}, found nothing better than the policy before the first step: {best} on validation"
        return f"{line}, best at {state.best_at:,}: {best} on validation"

    def result(self) -> LearnedPolicy:
        """The policy that the phase ends with: the best trained, or what it began with where that is better."""
        if self.kept_start and self.before is not None:
            return LearnedPolicy(self.network, self.before.weights(), self.before.others, self.phase.name)
        return LearnedPolicy.load(self._newest() / POLICY)

    def modules(self) -> dict[str, Path]:
        """By role the folder of the best trained module, actor and critic."""
        return {role: self._newest() / MODULES / role for role in self.phase.learns}

    def _newest(self) -> Path:
        newest = self.checkpoints.newest()
        assert newest is not None, "the phase has no checkpoint"
        return newest

    def run(self) -> None:
        """Train until the phase is finished.

        Raises
        ------
        KeyboardInterrupt, Failed
            After Ctrl-C or SIGTERM, or where no runner is left, with a checkpoint written.
        """
        rows = self.metrics.cut(self.state.steps)
        resumed = self.checkpoints.newest() is not None
        if resumed:
            self.reporter.say(f"{self.phase.name}: goes on at {self.state.steps:,} of {self.steps:,} agent-steps")
        else:
            self.reporter.note(f"{self.phase.name}: begins")
        self._algorithm = self._build()
        self._watch = Watch(self.runners, self.wait, self.reporter)
        self._candidate: LearnedPolicy | None = None  # better than the best that a checkpoint holds
        try:
            with (
                Charts(
                    self.folder, self.reporter.run, self.phase.name, self.state.steps if rows else None, self.wandb
                ) as self._charts,
                self.reporter.bar(self.phase.name, self.steps, self.state.steps, "agent-steps") as advance,
                held() as interrupts,
            ):
                if not resumed:
                    if self.before is not None:
                        self.state.start = float(self._score(self._simulate(self.network, self.before)).mean())
                    self._write(self._row() | self._validate())
                    self._checkpoint()
                while not self.finished and interrupts.signal is None:
                    self._iterate()
                    advance(self.state.steps, self._words())
                if interrupts.signal is not None:
                    self._checkpoint()
                    self.reporter.say(f"{self.phase.name}: stopped at {self.state.steps:,}, checkpoint written")
        except Failed:
            self._checkpoint()
            raise
        finally:
            self._algorithm.stop()

    def _iterate(self) -> None:
        began, before = time.perf_counter(), self.state.steps
        results = self._algorithm.train()
        self.state.iteration += 1
        self.state.steps = int(results[NUM_ENV_STEPS_SAMPLED_LIFETIME]) * self._agents
        seconds = time.perf_counter() - began
        self.state.seconds += seconds
        sampled = self.state.steps > before
        runners = self._watch.runners(self._algorithm.env_runner_group, self.state.steps, sampled)
        if not sampled:
            return
        row = self._row(results)
        row["steps_per_second"] = round((self.state.steps - before) / seconds)
        if self.runners:
            row["runners"] = runners
        due = self.state.steps // self.evaluate_every > before // self.evaluate_every
        due = due or self.state.steps >= self.steps
        if due:
            row |= self._validate()
        promoted = self._promote(row)
        self._write(row)
        noticed = self._watch.notice()
        if due or promoted or noticed:
            self._checkpoint()
        if noticed:
            self.reporter.warn(f"a node is about to be taken away: checkpoint written at {self.state.steps:,}")
        if due:
            self.validated(self)

    def _words(self) -> str:
        return f"best {self._shown(self.state.score):.3f}" if self.state.score is not None else ""

    def _shown(self, score: float) -> float:
        """A score as the figure that it stands for."""
        return -score if self.objective == "cost" else score

    def _score(self, figures: Mapping[str, Any]) -> Any:
        """What the best policy is told by, path by path: more is better."""
        return -figures["cost"] if self.objective == "cost" else figures[self.objective]

    # What is measured

    def _row(self, results: Mapping[str, Any] | None = None) -> dict[str, Any]:
        row: dict[str, Any] = {"steps": self.state.steps, "iteration": self.state.iteration}
        if len(self.stages) > 0:
            row["stage"] = self.stages[self.state.stage].name
        if results is None:
            return row
        rewards, learners = results["env_runners"]["module_reward_mean"], results["learners"]
        counts = {role: agents_of(self.network, [role]) for role in self.phase.learns}
        row["reward_mean"] = sum(float(rewards[role]) * n for role, n in counts.items())
        names = {
            "entropy": "entropy",
            "kl": "mean_kl_loss",
            "explained_variance": "vf_explained_var",
            "policy_loss": "policy_loss",
            "value_loss": "vf_loss",
        }
        for column, name in names.items():
            values = {role: float(learners[role][name]) for role in self.phase.learns}
            row[column] = sum(values[role] * n for role, n in counts.items()) / self._agents
            if len(values) > 1:
                row |= {f"{column}_{role}": value for role, value in values.items()}
        row["learning_rate"] = float(learners[self.phase.learns[0]]["default_optimizer_learning_rate"])
        return row

    def policy(self) -> LearnedPolicy:
        """The actors as they are now and the frozen ones, with the rule for the roles not taught yet."""
        actors = self.before.weights() if self.before else {}
        for role in self.phase.learns:
            actors[role] = actor_weights(trained_module(self._algorithm, role))
        rules = {role: self.rule for role in self._roles if role not in actors}
        return LearnedPolicy(self.network, actors, rules, self.phase.name)

    def _validate(self) -> dict[str, Any]:
        learned = self.policy()
        figures = self._simulate(self.network, learned)
        score = estimate(self._score(figures))
        learners = estimate(sum(figures[f"reward_{role}"] for role in self.phase.learns))
        before = -math.inf if self.state.score is None else self.state.score
        self.state.waited = 0 if score.mean > before else self.state.waited + 1
        if score.mean >= before:  # of equals the one that trained longer
            self.state.score, self.state.score_low, self.state.score_high = score.mean, score.low, score.high
            self.state.best_at = self.state.steps
            self._candidate = learned
        gap = {} if self._least_cost is None else {"gap": float(figures["cost"].mean()) / self._least_cost - 1}
        return {
            "validation_reward": learners.mean,
            "validation_reward_low": learners.low,
            "validation_reward_high": learners.high,
            "validation_reward_all": float(figures["reward"].mean()),
            "validation_cost": float(figures["cost"].mean()),
            "validation_profit": float(figures["profit"].mean()),
            "service_level": float(figures["service_level"].mean()),
            "fill_rate": float(figures["fill_rate"].mean()),
            **gap,
        }

    @cached_property
    def _least_cost(self) -> float | None:
        """Of the optimal policy on the validation paths, money a day; None where none is known, or it is nothing."""
        optimum = known_optimum(self.network)
        if optimum is None or optimum.cost <= optimum.proof.tolerance:
            return None
        return float(self._simulate(self.network, optimum.policy)["cost"].mean())

    def _simulate(self, network: Network, policy: Policy) -> Mapping[str, Any]:
        return simulate(
            network,
            policy,
            days=network.days,
            warmup=network.warmup,
            replications=self.evaluation_episodes,
            seed=self.seed,
            split="validation",
        ).metrics

    # What is kept

    def _write(self, row: dict[str, Any]) -> None:
        self.metrics.append(row)
        self._charts.add(row)

    def _checkpoint(self) -> None:
        """Write a checkpoint that knows the rows so far; the best policy goes along."""
        before = self.checkpoints.newest()

        def write(folder: Path) -> None:
            self._algorithm.save_to_path(str((folder / ALGORITHM).absolute()))
            (folder / STATE).write_text(json.dumps(dataclasses.asdict(self.state), indent=1), encoding="utf-8")
            if self._candidate is not None:
                self._candidate.save(folder / POLICY)
                for role in self.phase.learns:
                    trained_module(self._algorithm, role).save_to_path(str((folder / MODULES / role).absolute()))
            else:
                assert before is not None
                for name in (POLICY, MODULES):
                    shutil.copytree(before / name, folder / name)

        self.checkpoints.save(write)
        self._candidate = None
        self._charts.flush()
        self.kept()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Begin the chains anew, as a run that goes on from the checkpoint does: the two stay identical."""
        runner = self._algorithm.env_runner
        runner.set_state(runner.get_state(not_components=["rl_module"]))

    # What is trained

    def _others(self) -> dict[str, Policy]:
        """Who acts for the roles that do not learn: the frozen policy, or the rule."""
        taught = self.before.layers if self.before else {}
        return {
            role: self.before if self.before and role in taught else self.rule
            for role in self._roles
            if role not in self.phase.learns
        }

    def _build(self) -> Algorithm:
        network = self.network
        if self.stages:
            network = stage_network(self.network, self.stages[self.state.stage])
        config = ppo_config(
            network,
            self.phase.ppo(self.ppo),
            learns=self.phase.learns,
            others=self._others(),
            steps=-(-self.steps // self._agents),
            seed=self.seed,
            num_env_runners=self.runners,
        )
        algorithm = config.build_algo()
        newest = self.checkpoints.newest()
        if newest is not None:
            algorithm.restore_from_path(str((newest / ALGORITHM).absolute()))
            self._follow_schedules(algorithm)
        elif self.start:
            start_from(algorithm, self.start)
        return algorithm

    def _follow_schedules(self, algorithm: Algorithm) -> None:
        """RLlib's checkpoints leave out where the entropy weight's schedule is."""
        schedules = algorithm.learner_group._learner.entropy_coeff_schedulers_per_module
        for role in self.phase.learns:
            schedules[role].update(timestep=self.state.steps // self._agents)

    def _promote(self, row: Mapping[str, Any]) -> bool:
        """Go to the curriculum's next stage where this one is passed."""
        if self.state.stage + 1 >= len(self.stages):
            return False
        stage, score = self.stages[self.state.stage], None
        if stage.score is not None and "validation_reward" in row:
            network = stage_network(self.network, stage)
            score = float(self._simulate(network, self.policy())["reward"].mean())
        if not stage.passed(self.state.steps - self.state.stage_began, score):
            return False
        self.state.stage, self.state.stage_began = self.state.stage + 1, self.state.steps
        self.reporter.note(f"{self.phase.name}: stage {self.stages[self.state.stage].name}")
        kept = self._algorithm.get_state()
        self._algorithm.stop()
        self._algorithm = self._build_stage(kept)
        return True

    def _build_stage(self, kept: Mapping[str, Any]) -> Algorithm:
        algorithm = self._build()
        algorithm.set_state(dict(kept))
        self._follow_schedules(algorithm)
        return algorithm
