"""Several learners, remote runners and remote evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core.rl_module.rl_module import RLModule

from hmarl.errors import InputError
from hmarl.learning.algorithm import PPOSettings, module_path, ppo_config, trained_module
from hmarl.learning.module import actor_weights
from hmarl.network import load_network
from hmarl.roles import Chain

pytestmark = pytest.mark.usefixtures("ray_session")
DAYS = 10
SMALL = PPOSettings(replications=8, same_draws=2, days=16, minibatch=128, epochs=1)


class Constant:
    name = "constant"

    def orders(self, chain: Chain) -> np.ndarray:
        return np.full(chain.simulator.shape, 100.0)


def config(learns: str = "store", ppo: PPOSettings = SMALL, **parameters: Any):
    others = {role: Constant() for role in ("store", "warehouse", "supplier") if role != learns}
    network = load_network("two_store", days=DAYS)
    return ppo_config(network, ppo, learns=[learns], others=others, steps=10_000, **parameters)


def test_two_learners_learn_what_one_does(tmp_path: Path):
    """Minibatches are whole rollouts, so that nothing depends on the order in which agent-steps come."""

    def train(num_learners: int) -> list[dict[str, np.ndarray]]:
        algorithm = (
            config("store", SMALL.model_copy(update={"minibatch": 256, "epochs": 3}), num_learners=num_learners)
            .learners(num_cpus_per_learner=0.5)
            .build_algo()
        )
        for _ in range(2):
            result = algorithm.train()
        states = algorithm.learner_group.foreach_learner(lambda learner: learner.get_state()["rl_module"])
        assert result["learners"]["__all_modules__"]["num_module_steps_trained_lifetime"] == 2 * 3 * 256
        algorithm.save_to_path(str(tmp_path / str(num_learners)))
        algorithm.stop()
        return [state.get()["store"] for state in states]

    (one,) = train(0)
    first, second = train(2)
    for name, value in one.items():
        assert np.array_equal(first[name], second[name]), name
        assert first[name] == pytest.approx(value, abs=1e-6), name
    module = RLModule.from_checkpoint(str(module_path(tmp_path / "2", "store")))
    assert all(np.array_equal(value, first[name]) for name, value in module.get_state().items())


def test_replications_must_divide_among_learners():
    with pytest.raises(InputError, match="num_learners: 3: one that divides the 8 replications"):
        config(num_learners=3)


@pytest.fixture(scope="module")
def remote(ray_session: None) -> Iterator[Algorithm]:
    """Two remote runners and a remote evaluation runner that evaluates two episodes in every iteration."""
    algorithm = (
        config(num_env_runners=2)
        .env_runners(num_cpus_per_env_runner=0.25)
        .evaluation(
            evaluation_interval=1,
            evaluation_num_env_runners=1,
            evaluation_duration=2,
            evaluation_parallel_to_training=True,
        )
        .build_algo()
    )
    yield algorithm
    algorithm.stop()


def test_remote_runners_sample_each_its_own_and_are_counted_once(remote: Algorithm):
    def sample(runner):
        (block,) = runner.sample()
        runner.get_metrics()  # of this block; else they would come with the next
        return block.rewards["store"], runner._seed

    (first, seed), (second, other_seed) = remote.env_runner_group.foreach_env_runner(sample, local_env_runner=False)
    assert seed != other_seed
    assert not np.array_equal(first, second)
    result = remote.train()["env_runners"]
    assert result["num_env_steps_sampled"] == 2 * 8 * 16
    assert result["num_agent_steps_sampled"] == {"store_1/coffee": 256, "store_2/coffee": 256}
    assert result["num_module_steps_sampled"] == {"store": 512}
    assert result["episode_len_mean"] == DAYS
    assert result["episode_return_min"] <= result["episode_return_mean"] <= result["episode_return_max"]


def test_actors_say_what_they_do(remote: Algorithm):
    """Ray's dashboard shows how an actor calls itself."""
    assert remote.env_runner_group.foreach_env_runner(repr, local_env_runner=False) == [
        "runner 1: store",
        "runner 2: store",
    ]
    assert remote.eval_env_runner_group.foreach_env_runner(repr, local_env_runner=False) == [
        "validation runner 1: store"
    ]
    assert repr(remote.learner_group._learner) == "learner: store"


def test_means_are_over_the_runners(remote: Algorithm):
    result = remote.train()["env_runners"]
    returns = remote.env_runner_group.foreach_env_runner(
        lambda r: [episode.returns.sum() for episode in r._episodes._finished], local_env_runner=False
    )
    assert float(result["episode_return_mean"]) == pytest.approx(np.mean([np.mean(some) for some in returns]))
    assert float(result["episode_return_min"]) == pytest.approx(np.min([np.min(some) for some in returns]))
    assert float(result["episode_return_max"]) == pytest.approx(np.max([np.max(some) for some in returns]))


def test_evaluation_is_on_the_same_validation_draws_each_time(remote: Algorithm, monkeypatch: pytest.MonkeyPatch):
    evaluator = remote.eval_env_runner_group
    (split,) = evaluator.foreach_env_runner(lambda r: r.chain.simulator.split, local_env_runner=False)
    assert split == "validation"
    first, second = (remote.evaluate()["env_runners"] for _ in range(2))
    assert float(first["episode_return_mean"]) == float(second["episode_return_mean"])
    assert float(first["num_episodes"]) == 8  # all replications of the runner
    trained = remote.train()["evaluation"]["env_runners"]
    assert float(trained["num_env_steps_sampled"]) == 8 * DAYS
    monkeypatch.setitem(vars(remote.config), "evaluation_duration_unit", "timesteps")
    monkeypatch.setitem(vars(remote.config), "evaluation_duration", 5 * 8)
    of_days = [remote.evaluate()["env_runners"] for _ in range(2)]
    assert float(of_days[0]["num_env_steps_sampled"]) == 5 * 8
    assert float(of_days[0]["module_reward_mean"]["store"]) == float(of_days[1]["module_reward_mean"]["store"])


def test_a_checkpoint_with_remote_runners_goes_on(remote: Algorithm, tmp_path):
    remote.save_to_path(str(tmp_path))
    steps = remote.metrics.peek(("env_runners", "num_env_steps_sampled_lifetime"))
    before = [s["first_draw"] for s in remote.env_runner_group.foreach_env_runner(lambda r: r.get_state())[1:]]
    again = Algorithm.from_checkpoint(str(tmp_path))
    ours, theirs = (actor_weights(trained_module(a, "store")) for a in (remote, again))
    assert all(np.array_equal(value, theirs[name]) for name, value in ours.items())
    assert again.train()["num_env_steps_sampled_lifetime"] == steps + 2 * 8 * 16
    states = again.env_runner_group.foreach_env_runner(lambda r: r.get_state(), local_env_runner=False)
    assert all(state["first_draw"] > used for state, used in zip(states, before, strict=True))
    again.stop()
