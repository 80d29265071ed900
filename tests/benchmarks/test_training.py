"""The hand-written loop does hmarl's work and learns; all contenders train on equally much."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import rivals, training
from benchmarks.handwritten_ppo import HandwrittenPPO, Rollout
from hmarl.learning.algorithm import ppo_config, trained_module
from hmarl.learning.settings import PPOSettings
from hmarl.network import load_network
from hmarl.policies import make_policy

TINY = PPOSettings(replications=4, days=8, minibatch=32, epochs=2, hidden=(8,))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the benchmark runs; with more, torch's threads wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("value_loss", ["squared", "huber"])
def test_from_the_same_weights_and_rollout_it_comes_to_hmarls_weights(ray_session: None, value_loss: Any) -> None:
    """Whole-batch gradient steps, so that no order of minibatches matters; an episode ends in the rollout."""
    network = load_network("two_store", days=20)
    settings = PPOSettings(
        same_draws=1, replications=8, days=16, minibatch=256, epochs=5, value_loss=value_loss, final_learning_rate=2e-3
    ).model_copy(update={"final_entropy": 0.01})
    rule = make_policy("base_stock", network)
    algorithm = ppo_config(
        network, settings, learns=["store"], others={"warehouse": rule, "supplier": rule}, steps=10**6
    ).build_algo()
    by_hand = HandwrittenPPO(network, settings, ["store"], rule)
    agent, module = by_hand.agents["store"], trained_module(algorithm, "store")
    with torch.no_grad():
        for mine, theirs in zip(agent.parameters, _weights(module), strict=True):
            mine.copy_(theirs)
    (block,) = algorithm.env_runner.sample()
    assert block.ends.any()
    algorithm.learner_group.update(episodes=[block], num_epochs=settings.epochs, minibatch_size=settings.minibatch)
    by_hand.learn(_rollout(block))
    for mine, theirs in zip(agent.parameters, _weights(module), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    algorithm.stop()


def _weights(module: Any) -> list[torch.Tensor]:
    return [*module.actor.parameters(), *module.critic.parameters()]


def _rollout(block: Any) -> Rollout:
    """A block of hmarl's runner as the hand-written loop keeps it."""
    last_seen = []
    for day in np.unique(block.cuts.day):
        here = block.cuts.day == day
        ended = np.zeros(block.ends.shape[1], bool)
        ended[block.cuts.row[here]] = True
        last_seen.append((int(day), ended, {role: seen[here] for role, seen in block.cuts.observations.items()}))
    return Rollout(
        observations={
            role: np.concatenate([seen, block.next_observations[role][None]])
            for role, seen in block.observations.items()
        },
        actions=block.actions,
        log_probs=block.log_probs,
        rewards=block.rewards,
        ends=block.ends,
        last_seen=last_seen,
    )


def test_the_hand_written_loop_learns() -> None:
    torch.manual_seed(0)
    settings = PPOSettings(replications=32, days=20, minibatch=160, learning_rate=5e-3, gamma=0.9, hidden=(16,))
    ppo = HandwrittenPPO(load_network("lost_sales", days=20), settings, ["store"], None)
    paid = []
    for _ in range(30):
        rollout = ppo.sample()
        ppo.learn(rollout)
        paid.append(rollout.rewards["store"].mean())
    assert np.mean(paid[-5:]) > 0.6 * np.mean(paid[:5])  # rewards are minus costs


def test_all_contenders_train_on_as_many_agent_steps(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SB3_CHAINS", (1, 4))
    monkeypatch.setattr(training, "RLLIB_ENVIRONMENTS", (1, 4))
    table = training.measure("tiny", TINY, training.contenders(TINY), rounds=2)
    assert table["agent_steps"] == 4 * 8 * 2
    assert [row["contender"] for row in table["rows"]] == [
        "hand-written",
        "Stable-Baselines3, 1 chain",
        "Stable-Baselines3, 4 chains",
        "RLlib, 1 environment",
        "RLlib, 4 environments",
        "hmarl",
    ]
    for row in table["rows"]:
        assert 0 < row["lowest"] <= row["agent_steps_per_second"] <= row["highest"]


def test_unequal_work_is_refused() -> None:
    with pytest.raises(AssertionError, match="agent-steps an iteration differ"):
        training.measure("unequal", TINY, {"one": lambda: 64, "other": lambda: 65}, rounds=1)


def test_the_rivals_weights_change(ray_session: None) -> None:
    network = load_network("two_store")
    model = rivals.sb3_ppo(rivals.RoleSlots(network, "store", 4), TINY, steps=8)
    algorithm = rivals.rllib_ppo(network, TINY, ["store"], environments=4)
    modules = [model.policy, algorithm.learner_group._learner.module["store"]]
    before = [[weight.detach().clone() for weight in module.parameters()] for module in modules]
    model.learn(64)
    algorithm.train()
    for module, old in zip(modules, before, strict=True):
        assert any(not torch.equal(weight, was) for weight, was in zip(module.parameters(), old, strict=True))
    algorithm.stop()


def test_role_slots_hand_over_where_episodes_end() -> None:
    slots = rivals.RoleSlots(load_network("two_store", days=5), "store", 2)
    slots.reset()
    ended = 0
    for _ in range(5):
        observations, _, dones, infos = slots.step(np.zeros(4, np.int64))
        for slot in np.flatnonzero(dones):
            assert infos[slot]["TimeLimit.truncated"]
            assert not np.array_equal(infos[slot]["terminal_observation"], observations[slot])
        ended += int(dones.sum())
    assert ended == 4


def test_ratios_follow_from_the_figures() -> None:
    rates = {
        "hand-written": 200.0,
        "Stable-Baselines3, 1 chain": 10.0,
        "Stable-Baselines3, 16 chains": 50.0,
        "RLlib, 16 environments": 25.0,
        "RLlib, 1 environment": 5.0,
        "hmarl": 100.0,
    }
    rows = [{"contender": name, "agent_steps_per_second": rate} for name, rate in rates.items()]
    found = {ratio["hmarl_against"]: ratio["ratio"] for ratio in training.ratios({"table": "one", "rows": rows})}
    assert found == {"hand-written": 0.5, "Stable-Baselines3, best": 2.0, "RLlib, 16 environments": 4.0}
    assert training.ratios({"table": "one", "rows": rows[:-1]}) == []


def test_the_last_line_is_json(
    ray_session: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "ROUNDS", 1)
    monkeypatch.setattr(training, "classic", lambda minibatch: TINY)
    training.main(["--only", "handwritten", "--json"])
    *shown, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert [table["table"] for table in result["tables"]][:2] == ["minibatch 64", "minibatch 512"]
    assert len([line for line in shown if line.startswith("  hand-written")]) == len(result["tables"]) == 4


def test_an_unknown_contender_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        training.main(["--only", "hmarl,tianshou"])
    assert "--only: 'tianshou': some of handwritten, sb3, rllib, hmarl" in capsys.readouterr().err
