"""What goes wrong while a runner samples: errors in the chain or in a policy, runners that die."""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import Any

import numpy as np
import pytest
from ray.rllib.callbacks.callbacks import RLlibCallback

from hmarl.errors import InputError
from hmarl.learning.algorithm import PPOSettings, ppo_config, trained_module
from hmarl.learning.runner import BatchedEnvRunner, RolloutError
from hmarl.network import load_network
from hmarl.roles import Chain

pytestmark = pytest.mark.usefixtures("ray_session")
SMALL = PPOSettings(replications=8, same_draws=1, days=16, minibatch=128, epochs=1)


class Failing:
    """Orders 100 everywhere; on the asked-for days (from 1) raises instead, from `always_from` on always."""

    name = "failing"

    def __init__(self, *on: int, error: BaseException | None = None, always_from: float = np.inf) -> None:
        self.on, self.always_from = on, always_from
        self.error = error or ZeroDivisionError("no stock")
        self.asked = 0

    def orders(self, chain: Chain) -> np.ndarray:
        self.asked += 1
        if self.asked in self.on or self.asked >= self.always_from:
            raise self.error
        return np.full(chain.simulator.shape, 100.0)


def config(policy: Failing, **parameters: Any):
    others = {"warehouse": policy, "supplier": policy}
    network = load_network("two_store", days=10)
    return ppo_config(network, SMALL, learns=["store"], others=others, steps=10_000, **parameters)


def runner(policy: Failing) -> BatchedEnvRunner:
    return BatchedEnvRunner(config=config(policy), worker_index=0)


def policy_of(runner: BatchedEnvRunner) -> Failing:
    """RLlib copies what a configuration holds."""
    ((policy, _),) = runner._sampler._others
    return policy


def test_a_failed_rollout_is_played_again_with_fresh_draws_and_reported_once(caplog):
    failing = runner(Failing(5, 25))
    with caplog.at_level(logging.WARNING):
        (first,), (second,) = failing.sample(), failing.sample()
    (record,) = caplog.records
    assert "runner 0 plays a rollout again" in record.getMessage()
    assert "ZeroDivisionError: no stock" in record.getMessage()
    assert "in orders" in record.getMessage()
    unbroken = runner(Failing()).sample()[0]
    assert first.env_steps() == second.env_steps() == 8 * 16
    assert np.array_equal(first.ends, unbroken.ends)  # staggered as ever
    assert not np.array_equal(first.rewards["store"], unbroken.rewards["store"])
    assert failing.chain.simulator.state.replication.min() > 8  # the first ones were used up
    metrics = failing.get_metrics()
    assert float(metrics["num_env_steps_sampled"]) == 2 * 8 * 16
    assert float(metrics["num_env_step_failures"]) == 2


def test_an_error_that_comes_again_and_again_is_raised_with_its_cause():
    algorithm = config(Failing(always_from=20)).build_algo()
    algorithm.train()
    with pytest.raises(RolloutError, match="3 times in a row: ZeroDivisionError: no stock") as caught:
        algorithm.train()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    policy_of(algorithm.env_runner).always_from = np.inf
    assert float(algorithm.train()["env_runners"]["num_env_step_failures"]) == 3


@pytest.mark.parametrize("error", [InputError("policy: nonsense"), KeyboardInterrupt()])
def test_bad_input_and_interrupts_are_raised_at_once(error: BaseException):
    failing = runner(Failing(always_from=3, error=error))
    with pytest.raises(type(error)):
        failing.sample()
    assert policy_of(failing).asked == 3


def test_without_restarts_the_error_itself_is_raised():
    strict = config(Failing(5)).fault_tolerance(restart_failed_sub_environments=False)
    with pytest.raises(ZeroDivisionError):
        BatchedEnvRunner(config=strict, worker_index=0).sample()


def test_callbacks_that_want_episodes_are_refused():
    class Counts(RLlibCallback):
        def on_episode_end(self, **kwargs: Any) -> None: ...

    with pytest.raises(InputError, match="on_episode_end: the batched runner has no episodes"):
        BatchedEnvRunner(config=config(Failing()).callbacks(Counts), worker_index=0)


def remote(policy: Failing):
    return config(policy, num_env_runners=2).env_runners(num_cpus_per_env_runner=0.5)


def test_a_killed_runner_is_replaced_and_training_ends_by_sampled_steps():
    algorithm = remote(Failing()).build_algo()
    group = algorithm.env_runner_group
    algorithm.train()
    before = dict(group.foreach_env_runner(lambda r: (r.worker_index, os.getpid()), local_env_runner=False))
    os.kill(before[2], signal.SIGKILL)
    goal, steps = 6 * 2 * 8 * 16, 0
    deadline = time.monotonic() + 60
    after = before
    while steps < goal or after.get(2, before[2]) == before[2]:
        assert time.monotonic() < deadline
        result = algorithm.train()
        steps = result["num_env_steps_sampled_lifetime"]
        after = dict(group.foreach_env_runner(lambda r: (r.worker_index, os.getpid()), local_env_runner=False))
    assert steps >= goal
    assert set(after) == {1, 2}
    assert after[1] == before[1]
    assert result["fault_tolerance"]["num_remote_worker_restarts"] == 1
    learner = trained_module(algorithm, "store").state_dict()
    states = group.foreach_env_runner(lambda r: r.get_state(), local_env_runner=False)
    for state in states:
        assert state["weights_seq_no"] == algorithm.learner_group._learner._weights_seq_no
        weights = state["rl_module"]["store"]
        assert all(np.array_equal(value, learner[name].numpy()) for name, value in weights.items())
    assert states[1]["first_draw"] > 2 * 8 * 16  # no draw of the dead runner comes again
    algorithm.stop()


def test_what_no_other_remote_runner_would_be_spared_is_raised_in_the_algorithm():
    algorithm = remote(Failing(always_from=20)).build_algo()
    algorithm.train()
    assert algorithm.train()["num_env_steps_sampled_lifetime"] == 2 * 8 * 16  # nobody sampled
    with pytest.raises(RolloutError, match="ZeroDivisionError: no stock"):
        algorithm.train()
    algorithm.stop()
