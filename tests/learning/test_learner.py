"""The learner: who is trained, how often, on what."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from hmarl.learning.algorithm import PPOSettings, ppo_config, trained_module
from hmarl.learning.module import GLOBAL, LOCAL
from hmarl.network import load_network
from hmarl.roles import Chain

pytestmark = pytest.mark.usefixtures("ray_session")


class Constant:
    name = "constant"

    def orders(self, chain: Chain) -> np.ndarray:
        return np.full(chain.simulator.shape, 100.0)


SMALL = PPOSettings(replications=8, same_draws=2, days=24, minibatch=64, epochs=3)


def build(learns, *, network=None, ppo=SMALL, seed=0, steps=10_000, others=None):
    network = network or load_network("two_store", days=20)
    others = others or {role: Constant() for role in Chain(network).roles if role not in learns}
    return ppo_config(network, ppo, learns=learns, others=others, steps=steps, seed=seed).build_algo()


def weights_of(algorithm, role):
    return {name: value.numpy().copy() for name, value in trained_module(algorithm, role).state_dict().items()}


def test_the_same_seed_twice_gives_identical_weights():
    first, second, other = (build(["store"], seed=seed) for seed in (1, 1, 2))
    for algorithm in (first, second, other):
        for _ in range(3):
            algorithm.train()
    ours = weights_of(first, "store")
    assert all(np.array_equal(value, ours[name]) for name, value in weights_of(second, "store").items())
    assert not np.array_equal(weights_of(other, "store")["actor.layers.0.weight"], ours["actor.layers.0.weight"])


def test_every_weight_that_learns_moves_and_nothing_else_does():
    frozen = {"layers.0.weight": np.random.default_rng(0).normal(size=(4, 6))}
    before = {name: value.copy() for name, value in frozen.items()}

    class Frozen:
        name = "frozen"

        def orders(self, chain: Chain) -> np.ndarray:
            quantity = np.maximum(chain.observe("warehouse") @ frozen["layers.0.weight"].T, 0).sum(-1)
            return np.broadcast_to(quantity[:, :, None] * 50, chain.simulator.shape)

    algorithm = build(["store"], others={"warehouse": Frozen(), "supplier": Constant()})
    start = weights_of(algorithm, "store")
    algorithm.train()
    assert list(algorithm.learner_group._learner.module.keys()) == ["store"]
    changes = {n: np.abs(v - start[n]).max() for n, v in weights_of(algorithm, "store").items()}
    assert min(changes.values()) > 0
    assert all(np.abs(value - before[name]).max() == 0 for name, value in frozen.items())


def test_modules_that_are_not_to_train_change_by_exactly_0():
    network = load_network("two_store", days=20)
    config = ppo_config(network, SMALL, learns=["store", "warehouse"], others={"supplier": Constant()}, steps=1000)
    algorithm = config.multi_agent(policies_to_train=["warehouse"]).build_algo()
    store, warehouse = weights_of(algorithm, "store"), weights_of(algorithm, "warehouse")
    algorithm.train()
    assert all(np.abs(v - store[n]).max() == 0 for n, v in weights_of(algorithm, "store").items())
    assert (
        np.abs(weights_of(algorithm, "warehouse")["actor.layers.0.weight"] - warehouse["actor.layers.0.weight"]).max()
        > 0
    )


def test_the_warehouse_gets_the_same_epochs_as_ten_stores():
    ten = load_network("one_warehouse", mean_demand=[5] * 10)
    algorithm = build(["store", "warehouse"], network=ten)
    steps = {"store": 0, "warehouse": 0}
    learner = algorithm.learner_group._learner
    for role in steps:
        (name,) = learner._module_optimizers[role]
        optimizer = learner.get_optimizer(role, name)
        optimizer.register_step_post_hook(lambda *_, role=role: steps.__setitem__(role, steps[role] + 1))
    results = algorithm.train()["learners"]
    # 8 x 24 days: 192 agent-steps of the warehouse in 3 minibatches an epoch, 1920 of the stores in 30
    assert steps == {"store": 90, "warehouse": 9}
    assert results["warehouse"]["num_module_steps_trained"] == 3 * 192
    assert results["store"]["num_module_steps_trained"] == 3 * 1920
    assert results["warehouse"]["num_epochs_trained_lifetime"] == results["store"]["num_epochs_trained_lifetime"] == 3


def test_every_agent_step_comes_once_an_epoch_in_a_new_order():
    learner = build(["store"]).learner_group._learner
    numbers = torch.arange(10.0)
    columns = {Columns.OBS: {LOCAL: numbers[:, None], GLOBAL: -numbers[:, None]}, Columns.ACTIONS: numbers}
    assert learner._parts(torch.zeros(160)) == 2  # 160 / 64 rounds to 2 equal parts
    epochs = [list(learner._minibatches(columns, 2, shuffle=True)) for _ in range(2)]
    for parts in epochs:
        assert [len(part[Columns.ACTIONS]) for part in parts] == [5, 5]
        actions = torch.cat([part[Columns.ACTIONS] for part in parts])
        assert sorted(actions.tolist()) == list(range(10))
        assert torch.equal(torch.cat([part[GLOBAL] for part in parts])[:, 0], -actions)
    assert epochs[0][0][LOCAL].tolist() != epochs[1][0][LOCAL].tolist()
    (whole,) = learner._minibatches(columns, 1, shuffle=False)
    assert torch.equal(whole[Columns.ACTIONS], numbers)


def test_only_the_critic_moves_while_it_warms_up():
    algorithm = build(["store"], ppo=SMALL.model_copy(update={"critic_warmup": 2}))
    start = weights_of(algorithm, "store")
    for update in (1, 2, 3):
        algorithm.train()
        now = weights_of(algorithm, "store")
        moved = {name: not np.array_equal(value, start[name]) for name, value in now.items()}
        assert all(moved[name] == (update > 2) for name in moved if name.startswith("actor"))
        assert all(moved[name] for name in moved if name.startswith("critic"))


def test_learning_rate_and_entropy_are_annealed_over_the_steps():
    ppo = SMALL.model_copy(
        update={"learning_rate": 1e-3, "final_learning_rate": 0, "entropy": 0.01, "final_entropy": 0.002}
    )
    algorithm = build(["store"], ppo=ppo, steps=4 * 8 * 24)
    figures = [algorithm.train()["learners"]["store"] for _ in range(5)]
    rates = [float(f["default_optimizer_learning_rate"]) for f in figures]
    assert rates == pytest.approx([7.5e-4, 5e-4, 2.5e-4, 0, 0])
    assert [float(f["curr_entropy_coeff"]) for f in figures] == pytest.approx([0.008, 0.006, 0.004, 0.002, 0.002])
