"""A training from start to report: rules, phases, comparison, page. Ray and torch are read when phases train."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmarl.errors import InputError, unknown
from hmarl.exact.gap import gap, known_optimum
from hmarl.files import replace_folder, run_folder, write_atomic
from hmarl.learning.folder import (
    COMPARISON,
    POLICY,
    REPORT,
    RULES_FILE,
    digest,
    read_config,
)
from hmarl.learning.phases import Phase, check_stages, plan
from hmarl.learning.train_settings import TrainSettings
from hmarl.network.config import Network
from hmarl.network.curriculum import Stage, load_curriculum
from hmarl.network.presets import load_network
from hmarl.network.scenarios import apply_scenario
from hmarl.policies import (
    POLICIES,
    LearnedPolicy,
    Policy,
    make_policy,
    rule_from_json,
    rule_to_json,
    simulate,
)
from hmarl.policies.validation import require_valid
from hmarl.progress import Reporter
from hmarl.report.comparison import OPTIMAL, Comparison, compare
from hmarl.runs import read_rows
from hmarl.storage import Storage, publish

if TYPE_CHECKING:
    from hmarl.learning.training import PhaseTraining


@dataclass
class Training:
    """One call of :func:`hmarl.train`: what it found when it began, and what is left to do.

    Attributes
    ----------
    storage
        Where the run is kept beside its folder.
    validated
        Told of each validation of a phase, once the checkpoint that belongs to it is written.
    """

    settings: TrainSettings
    network: Network
    stages: list[Stage]
    phases: list[Phase]
    skipped: list[str]
    warnings: tuple[str, ...]
    folder: Path

    acting: str = ""
    storage: Storage | None = None
    validated: Callable[[PhaseTraining], None] = lambda phase: None
    reporter: Reporter = None  # type: ignore[assignment]  # there once the folder is ours

    @classmethod
    def prepare(cls, settings: TrainSettings, network: Network | None) -> Training:
        """Read and check everything that can be wrong before anything is written."""
        folder = run_folder(settings.run_name, settings.runs)
        for name in settings.compared_rules:
            if name not in POLICIES:
                raise unknown("rules", name, POLICIES)
        network = network or load_network(settings.network, **settings.set_)
        settings.ppo_settings(network)
        if settings.scenario:
            network = apply_scenario(network, settings.scenario)
        warnings: tuple[str, ...] = ()
        if settings.sales:
            from hmarl.network.fit import network_with_sales
            from hmarl.network.sales import read_sales

            history = read_sales(settings.sales, settings.sales_columns, settings.fill_gaps)
            network, warnings = network_with_sales(network, history), history.warnings
        require_valid(network)
        stages = load_curriculum(settings.curriculum) if settings.curriculum else []
        if stages:
            check_stages(network, stages)
        phases, skipped = plan(network, settings.phases)
        return cls(settings, network, stages, phases, skipped, warnings, folder)

    def run(self) -> None:
        """Everything, or what is left of it."""
        began = time.perf_counter()
        for line in self.warnings:
            self.reporter.warn(line)
        for line in self.skipped:
            self.reporter.say(line)
        rules = self.rules()
        learned = self.learn(rules)
        self._deploy()
        comparison = self._compared(with_optimum(self.network, rules), learned)
        self._judge_on_sales()
        self._report(comparison)
        self._tell_gap(learned)
        publish(self.storage, self.reporter)
        self.reporter.say(f"done in {_minutes(time.perf_counter() - began)}")

    # Rules

    def rules(self) -> dict[str, Policy]:
        """The rules compared with, tuned once a run; ``self.acting`` is the one of the roles not taught yet."""
        path, names, acting = self.folder / RULES_FILE, self.settings.compared_rules, self.settings.acting_rule
        if not path.exists():
            began, rules = time.perf_counter(), {}
            with self.reporter.bar("tuning rules", len(names), unit="rules") as advance:
                for k, name in enumerate(names):
                    advance(k, name)
                    rules[name] = rule_to_json(make_policy(name, self.network))
            scores = {name: self._validated(rule) for name, rule in rules.items()}
            best = max(scores, key=lambda name: scores[name])
            acting = best if acting == "best" else acting
            content = {"acts": acting, "validation_reward": scores, "rules": rules}
            write_atomic(path, json.dumps(content, indent=1))
            self.reporter.say(f"rules tuned in {_minutes(time.perf_counter() - began)}; best: {best}, acting: {acting}")
        self.acting = json.loads(path.read_text(encoding="utf-8"))["acts"]
        return read_rules(self.folder, self.network)

    def _validated(self, rule: dict[str, Any]) -> float:
        policy, settings = rule_from_json(rule, self.network, self.network), self.settings
        episodes = settings.evaluation_episodes
        return simulate(self.network, policy, replications=episodes, seed=settings.seed, split="validation").mean(
            "reward"
        )

    # Phases

    def learn(self, rules: Mapping[str, Policy]) -> dict[str, LearnedPolicy]:
        """Train the phases one after the other; the policy that each ends with."""
        from hmarl.session import Need, connect

        settings = self.settings
        needs = [Need("runners", settings.runners)] if settings.runners else []
        with connect(settings.address, needs=needs, wait=settings.wait):
            return self._phases(rules[self.acting])

    def _phases(self, rule: Policy) -> dict[str, LearnedPolicy]:
        from hmarl.learning.training import PhaseTraining

        settings = self.settings
        wandb = self._wandb()
        done: dict[str, LearnedPolicy] = {}
        modules: dict[str, Path] = {}
        before: LearnedPolicy | None = None
        for phase in self.phases:
            folder = self.folder / phase.name
            training = PhaseTraining(
                phase=phase,
                network=self.network,
                ppo=settings.ppo_settings(self.network),
                folder=folder,
                before=before,
                rule=rule,
                start={role: modules[role] for role in phase.learns if role in modules},
                started_from=digest(self.folder / phase.starts_from / POLICY) if phase.starts_from else "nothing",
                steps=settings.steps,
                evaluate_every=settings.evaluate_every,
                evaluation_episodes=settings.evaluation_episodes,
                patience=settings.patience,
                runners=settings.runners,
                wait=settings.wait,
                objective=settings.objective,
                seed=settings.seed,
                stages=self.stages if len(phase.learns) == 1 else [],
                reporter=self.reporter,
                wandb=wandb,
                validated=self.validated,
                kept=self._push,
            )
            if training.finished:
                self.reporter.say(f"{phase.name}: done before, {training.summary()}")
            else:
                self._outdate()
                training.run()
                self.reporter.say(f"{phase.name}: {training.summary()}")
            before = done[phase.name] = training.result()
            modules |= training.modules()
            self._keep(folder, before)
        if wandb is not None:
            wandb.finish()
        return done

    def _wandb(self) -> Any:
        if not self.settings.wandb:
            return None
        from hmarl.learning.charts import start_wandb

        return start_wandb(self.folder, read_config(self.folder), [phase.name for phase in self.phases])

    def _outdate(self) -> None:
        """What will not be true any more once a phase has trained on."""
        (self.folder / COMPARISON / "comparison.json").unlink(missing_ok=True)
        (self.folder / REPORT).unlink(missing_ok=True)

    def _keep(self, folder: Path, policy: LearnedPolicy) -> None:
        """The phase's policy and curves beside its checkpoint."""
        from hmarl.report.plots import png, training_figure

        replace_folder(folder / POLICY, policy.save)
        rows = read_rows(folder / "metrics.jsonl")
        write_atomic(folder / "training.png", png(training_figure(rows, folder.name)))

    def _deploy(self) -> None:
        source = self.folder / self.phases[-1].name / POLICY
        replace_folder(self.folder / POLICY, LearnedPolicy.load(source).save)

    def _push(self) -> None:
        if self.storage is not None:
            self.storage.push(self.reporter)

    # Results

    def _compared(self, rules: Mapping[str, Policy], learned: Mapping[str, LearnedPolicy]) -> Comparison:
        path = self.folder / COMPARISON / "comparison.json"
        if path.exists():
            comparison = Comparison.load(path)
            if comparison.policies == [*rules, *learned]:
                return comparison
        (self.folder / REPORT).unlink(missing_ok=True)
        count = len(rules) + len(learned)
        with self.reporter.bar("comparing", count, unit="policies") as advance:
            comparison = compare_phases(
                self.network,
                rules,
                learned,
                self.settings.compare_episodes,
                self.settings.seed,
                progress=lambda done, total: advance(done, ""),
            )
        comparison.save(self.folder / COMPARISON)
        return comparison

    def _judge_on_sales(self) -> None:
        """The phases on the last part of the sales, which nothing has learned from."""
        from hmarl.report.real_sales import judge_run

        found = judge_run(self.folder)
        if found is not None:
            self.reporter.show(found.table())

    def _report(self, comparison: Comparison) -> None:
        from hmarl.report.html import write_report

        path = self.folder / REPORT
        if not path.exists():
            write_report(self.folder)
        self.reporter.show(comparison.table())

    def _tell_gap(self, learned: Mapping[str, LearnedPolicy]) -> None:
        """Where the optimum is known, how far above it the deployed policy is."""
        name, policy = list(learned.items())[-1]
        try:
            found = gap(self.network, policy)
        except InputError as error:
            self.reporter.say(f"gap to the optimum: {error}")
            return
        if found is not None:
            self.reporter.say(
                f"gap to the optimum: {100 * found.share:.2f} % ({name} costs {found.cost:.4f} "
                f"a {self.network.period}, no policy less than {found.optimal_cost:.4f}; both exact)"
            )


def with_optimum(network: Network, rules: Mapping[str, Policy]) -> dict[str, Policy]:
    """The rules, and where it is known the optimal policy."""
    optimum = known_optimum(network)
    return {**rules} if optimum is None else {**rules, OPTIMAL: optimum.policy}


def read_rules(folder: Path, network: Network) -> dict[str, Policy]:
    """The rules that a run is compared with, as they were tuned when it began."""
    content = json.loads((folder / RULES_FILE).read_text(encoding="utf-8"))
    return {name: rule_from_json(rule, network, network) for name, rule in content["rules"].items()}


def compare_phases(
    network: Network,
    rules: Mapping[str, Policy],
    phases: Mapping[str, Policy],
    episodes: int,
    seed: int,
    scenarios: Sequence[str] = ("normal",),
    progress: Any = None,
) -> Comparison:
    names, baseline = list(phases), next(iter(rules))
    return compare(
        network,
        {**rules, **phases},
        baseline=baseline,
        references=[name for name in rules if name.startswith("tuned_") and name != baseline],
        previous=dict(zip(names[1:], names[:-1], strict=True)),
        scenarios=scenarios,
        replications=episodes,
        seed=seed,
        progress=progress,
    )


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
