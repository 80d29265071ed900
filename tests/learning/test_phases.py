"""Phases: which there are, that frozen means frozen, and what each starts from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core.rl_module.rl_module import RLModule

from hmarl import InputError, load_network
from hmarl.learning.algorithm import trained_module
from hmarl.learning.phases import PHASES, check_stages, plan
from hmarl.learning.run import Run
from hmarl.learning.settings import PPO_SETTINGS, PPOSettings
from hmarl.learning.training import PhaseTraining
from hmarl.network.curriculum import Stage
from hmarl.progress import Reporter


def test_the_four_phases_of_a_whole_chain() -> None:
    phases, skipped = plan(load_network("two_store"))
    assert [(p.name, p.learns, p.starts_from) for p in phases] == [
        ("phase1_stores", ("store",), None),
        ("phase2_warehouse", ("warehouse",), "phase1_stores"),
        ("phase3_supplier", ("supplier",), "phase2_warehouse"),
        ("phase4_joint", ("store", "warehouse", "supplier"), "phase3_supplier"),
    ]
    assert skipped == []


def test_a_phase_without_nodes_is_skipped_with_a_line() -> None:
    phases, skipped = plan(load_network("corner_shop"))
    assert [p.name for p in phases] == ["phase1_stores"]
    assert skipped == [
        "phase2_warehouse: skipped, the network has no warehouse",
        "phase3_supplier: skipped, the network has no supplier",
        "phase4_joint: skipped, only one role learns, the store",
    ]


def test_two_roles_join_without_the_third() -> None:
    network = load_network("one_warehouse")
    assert {network.role_of(name) for name in network.nodes} == {"store", "warehouse"}
    phases, _ = plan(network)
    assert [(p.name, p.learns, p.starts_from) for p in phases] == [
        ("phase1_stores", ("store",), None),
        ("phase2_warehouse", ("warehouse",), "phase1_stores"),
        ("phase4_joint", ("store", "warehouse"), "phase2_warehouse"),
    ]


def test_only_the_phases_asked_for() -> None:
    phases, skipped = plan(load_network("two_store"), ["phase1_stores", "phase3_supplier"])
    assert [(p.name, p.starts_from) for p in phases] == [
        ("phase1_stores", None),
        ("phase3_supplier", "phase1_stores"),
    ]
    assert skipped == ["phase2_warehouse: not asked for", "phase4_joint: not asked for"]


def test_a_phase_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"'phase5': one of phase1_stores"):
        plan(load_network("two_store"), ["phase5"])
    with pytest.raises(InputError, match=r"phase2_warehouse.*no warehouse"):
        plan(load_network("corner_shop"), ["phase2_warehouse"])


def test_the_joint_phase_runs_at_the_published_rate() -> None:
    """lr 3e-4, in the joint phase 1e-4; the critics move first."""
    joint = PHASES[-1].ppo(PPO_SETTINGS["classic"])
    assert joint.learning_rate == pytest.approx(1e-4)
    assert joint.final_learning_rate == pytest.approx(1e-4)
    assert joint.critic_warmup > 0
    assert PHASES[0].ppo(PPO_SETTINGS["classic"]) == PPO_SETTINGS["classic"]


def test_stages_that_change_what_an_actor_sees_are_refused() -> None:
    network = load_network("two_store", **{"roles.store.observation": "pipeline"})
    with pytest.raises(InputError, match="curriculum: far: its agents see"):
        check_stages(network, [Stage(name="far", overrides={"store.lead_time": 9})])
    with pytest.raises(InputError, match=r"curriculum: any: .*Box.* \(features, actions\): .*Discrete\(4\)"):
        check_stages(load_network("two_store"), [Stage(name="any", overrides={"store.action.continuous": True})])
    check_stages(load_network("two_store"), [Stage(name="far", overrides={"store.lead_time": 9})])


def checkpoint(run: Run, phase: str) -> Path:
    (found,) = (run.folder / phase / "checkpoint").iterdir()
    return found


def test_frozen_weights_change_by_exactly_nothing(trained: Run) -> None:
    """Later phases act with the stores' weights of phase 1, and hold no module that could move them."""
    learned = {name: policy.layers.get("store") for name, policy in trained.phases.items()}
    for name in ("phase2_warehouse", "phase3_supplier"):
        for before, after in zip(learned["phase1_stores"], learned[name], strict=True):
            np.testing.assert_array_equal(before[0], after[0])
            np.testing.assert_array_equal(before[1], after[1])
    for name, roles in (("phase2_warehouse", {"warehouse"}), ("phase3_supplier", {"supplier"})):
        modules = checkpoint(trained, name) / "algorithm/learner_group/learner/rl_module"
        assert {path.name for path in modules.iterdir() if path.is_dir()} == roles


def joint(run: Run, folder: Path, **changes: Any) -> PhaseTraining:
    """The joint phase of a run, about to begin anew in another folder."""
    phases, _ = plan(run.network)
    start = {role: checkpoint(run, p.name) / "modules" / role for p in phases[:3] for role in p.learns}
    fields: dict[str, Any] = {
        "phase": phases[3],
        "network": run.network,
        "ppo": PPOSettings.model_validate(run.config["ppo"]),
        "folder": folder / "phase4_joint",
        "before": run.phases["phase3_supplier"],
        "rule": run.rules["s_S"],
        "start": start,
        "started_from": "phase 3",
        "steps": 1024,
        "evaluate_every": 512,
        "evaluation_episodes": 8,
        "patience": 0,
        "objective": "reward",
        "seed": 3,
        "stages": [],
        "reporter": Reporter(folder / "train.log", quiet=True),
    }
    return PhaseTraining(**{**fields, **changes})


def test_the_joint_phase_begins_with_the_actors_and_critics_of_each_role(trained: Run, tmp_path: Path) -> None:
    training = joint(trained, tmp_path)
    algorithm = training._build()
    for role in ("store", "warehouse", "supplier"):
        state = trained_module(algorithm, role).state_dict()
        kept = RLModule.from_checkpoint(training.start[role]).state_dict()
        assert any(name.startswith("critic.") for name in state)
        assert set(state) == set(kept)
        for name, value in kept.items():
            assert torch.equal(state[name], value), name
    algorithm.stop()


def test_only_the_critics_move_first(trained: Run, tmp_path: Path) -> None:
    """A rollout is 4 x 16 days of 4 agents: 1,024 agent-steps are 4 updates, fewer than the warm-up's."""
    training = joint(trained, tmp_path)
    assert training.phase.critic_warmup > 4
    training.run()
    for role in ("store", "warehouse", "supplier"):
        before = RLModule.from_checkpoint(training.start[role]).state_dict()
        after = trained_module_of(training, role)
        for name, value in before.items():
            if name.startswith("actor."):
                assert torch.equal(after[name], value), name
        assert any(not torch.equal(after[n], v) for n, v in before.items() if n.startswith("critic."))


def trained_module_of(training: PhaseTraining, role: str) -> dict[str, torch.Tensor]:
    (newest,) = (training.folder / "checkpoint").iterdir()
    path = newest / "algorithm" / "learner_group" / "learner" / "rl_module" / role
    return RLModule.from_checkpoint(path).state_dict()


def test_a_phase_that_learned_nothing_better_keeps_what_it_began_with(trained: Run, tmp_path: Path) -> None:
    training = joint(trained, tmp_path)
    training.run()
    training.state.score, training.state.start = 1.0, 2.0
    assert "keeps what it began with: 2.000" in training.summary()
    kept, before = training.result(), trained.phases["phase3_supplier"]
    assert kept.name == "phase4_joint"
    assert {role: type(rule) for role, rule in kept.others.items()} == {
        role: type(rule) for role, rule in before.others.items()
    }
    for role, layers in before.layers.items():
        np.testing.assert_array_equal(kept.layers[role][0][0], layers[0][0])
    training.state.start = 0.5
    assert "best at" in training.summary()
    assert set(training.result().layers) == {"store", "warehouse", "supplier"}


def test_a_phase_ends_early_where_nothing_gets_better(trained: Run, tmp_path: Path) -> None:
    """The actors stand still while the critics warm up: the validations at 512 and 1,024 are as the one at 0."""
    still = dataclasses.replace(plan(trained.network)[0][3], critic_warmup=10**6)
    training = joint(trained, tmp_path, phase=still, steps=100_000, patience=2)
    training.run()
    assert training.state.steps == 1024
    assert training.finished


def test_the_joint_phase_alone_learns_from_scratch_at_full_rates():
    (alone,), _ = plan(load_network("two_store"), ["phase4_joint"])
    ppo = PPOSettings()
    assert alone.starts_from is None
    assert alone.ppo(ppo) == ppo.model_copy(update={"team": 1})
    *_, last = plan(load_network("two_store"))[0]
    assert last.ppo(ppo).learning_rate < ppo.learning_rate
