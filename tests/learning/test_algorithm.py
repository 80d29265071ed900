"""RLlib's algorithm around it: learning, checkpoints, remote runners."""

from __future__ import annotations

import numpy as np
import pytest
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core.rl_module.rl_module import RLModule

from hmarl.errors import InputError
from hmarl.learning.algorithm import (
    PPO_SETTINGS,
    PPOSettings,
    module_path,
    ppo_config,
    start_from,
    trained_module,
)
from hmarl.learning.module import actor_weights
from hmarl.learning.train_settings import TrainSettings
from hmarl.network import load_network
from hmarl.roles import Chain

pytestmark = pytest.mark.usefixtures("ray_session")


class UpTo:
    """Orders up to ten days of mean demand."""

    name = "up_to"

    def orders(self, chain: Chain) -> np.ndarray:
        return np.maximum(10 * chain.mean_demand - chain.simulator.inventory_position(), 0)


OTHERS = {"warehouse": UpTo(), "supplier": UpTo()}
SMALL = PPOSettings(replications=16, days=64, minibatch=512)


def config(steps=100_000, ppo=SMALL, **parameters):
    return ppo_config(load_network("two_store"), ppo, learns=["store"], others=OTHERS, steps=steps, **parameters)


def same(ours, theirs) -> bool:
    return all(np.array_equal(value, theirs[name]) for name, value in ours.items())


def test_a_short_training_improves_the_reward():
    algorithm = config(steps=15 * 16 * 64).build_algo()
    rewards = [float(algorithm.train()["env_runners"]["module_reward_mean"]["store"]) for _ in range(15)]
    assert rewards[-1] > rewards[0] + 1.0
    assert rewards[-1] > 9.0


def test_a_checkpoint_goes_on_with_optimiser_and_counters(tmp_path):
    algorithm = config().build_algo()
    for _ in range(2):
        result = algorithm.train()
    algorithm.save_to_path(str(tmp_path / "checkpoint"))
    again = Algorithm.from_checkpoint(str(tmp_path / "checkpoint"))
    before, after = (a.learner_group._learner for a in (algorithm, again))
    assert same(actor_weights(trained_module(algorithm, "store")), actor_weights(trained_module(again, "store")))
    (ours,), (theirs,) = (
        [learner.get_optimizer("store", name) for name in learner._module_optimizers["store"]]
        for learner in (before, after)
    )
    assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"] < SMALL.learning_rate
    assert all(
        np.array_equal(moments["exp_avg"], theirs.state_dict()["state"][k]["exp_avg"])
        for k, moments in ours.state_dict()["state"].items()
    )
    further = again.train()
    assert further["training_iteration"] == 3
    assert further["num_env_steps_sampled_lifetime"] == result["num_env_steps_sampled_lifetime"] + 1024
    assert further["learners"]["store"]["num_module_steps_trained_lifetime"] == 3 * 4 * 2048
    assert float(further["env_runners"]["weights_seq_no"]) == 2


def test_a_bare_module_loads_from_a_checkpoint(tmp_path):
    algorithm = config().build_algo()
    algorithm.train()
    algorithm.save_to_path(str(tmp_path))
    module = RLModule.from_checkpoint(str(module_path(tmp_path, "store")))
    assert same(actor_weights(trained_module(algorithm, "store")), actor_weights(module))


def test_a_phase_starts_from_the_modules_of_another(tmp_path):
    first = config(seed=1).build_algo()
    first.train()
    first.save_to_path(str(tmp_path))
    second = ppo_config(
        load_network("two_store"), SMALL, learns=["store", "warehouse", "supplier"], steps=1000, seed=2
    ).build_algo()
    start_from(second, {"store": module_path(tmp_path, "store")})
    ours = trained_module(first, "store").state_dict()
    for theirs in (
        trained_module(second, "store").state_dict(),
        second.env_runner.module["store"].state_dict(),
    ):
        assert same({name: ours[name].numpy() for name in theirs}, {n: v.numpy() for n, v in theirs.items()})
    assert set(second.train()["learners"]) >= {"store", "warehouse", "supplier"}


def test_settings_are_the_published_ones():
    classic = PPO_SETTINGS["classic"]
    assert classic.rollout == 2048
    assert classic.model_dump(include={
        "learning_rate", "minibatch", "epochs", "gamma", "gae_lambda", "clip", "entropy", "value_coefficient",
        "gradient_clip", "hidden",
    }) == {
        "learning_rate": 3e-4, "minibatch": 64, "epochs": 10, "gamma": 0.99, "gae_lambda": 0.95, "clip": 0.2,
        "entropy": 0.01, "value_coefficient": 0.5, "gradient_clip": 0.5, "hidden": (64, 64),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("learns", "others", "message"),
    [
        (["plant"], OTHERS, "learns: 'plant': one of store, warehouse, supplier"),
        ([], OTHERS, "learns: nobody"),
        (["store"], {"warehouse": UpTo()}, "others: nobody acts for the supplier"),
    ],
)
def test_roles_are_checked(learns, others, message):
    with pytest.raises(InputError, match=message):
        ppo_config(load_network("two_store"), learns=learns, others=others, steps=1)


def test_auto_takes_fine_settings_where_all_agents_see_stock_alone():
    families = [load_network(name) for name in ("lost_sales", "one_warehouse", "one_supplier")]
    assert all(TrainSettings().ppo_settings(network) == PPO_SETTINGS["fine"] for network in families)
    mixed = load_network("one_warehouse", **{"roles.store.observation": "pipeline"})
    for network in (load_network("two_store"), load_network("weekday_store"), mixed):
        assert TrainSettings().ppo_settings(network) == PPO_SETTINGS["default"]
    assert TrainSettings(ppo="default").ppo_settings(families[0]) == PPO_SETTINGS["default"]
