"""The learner against RLlib's own, fed the same blocks through the same connector, with the same optimiser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner

from hmarl.learning.algorithm import PPOSettings, ppo_config
from hmarl.network import load_network
from hmarl.policies import make_policy

pytestmark = pytest.mark.usefixtures("ray_session")

PPO = PPOSettings(
    replications=8,
    same_draws=1,
    days=24,
    minibatch=64,
    epochs=3,
    learning_rate=1e-3,
    final_learning_rate=1e-3,
    value_loss="squared",
    normalise_values=False,
    gradient_clip=0.3,
)


class StockLearner(PPOTorchLearner):
    """RLlib's, with our Adam."""

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        parameters = self.get_parameters(self._module[module_id])
        optimizer = torch.optim.Adam(parameters, eps=1e-5, fused=True)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=parameters, lr_or_lr_schedule=1e-3)


def algorithm(continuous: bool, learner: type | None = None):
    network = load_network("two_store", days=20, **{"store.action.continuous": continuous})
    rule = make_policy("base_stock", network)
    config = ppo_config(network, PPO, learns=["store"], others={"warehouse": rule, "supplier": rule}, steps=10_000)
    if learner:
        config.learners(learner_class=learner)
    return config.build_algo()


@pytest.mark.parametrize("continuous", [False, True], ids=["discrete", "continuous"])
def test_weights_are_rllibs_after_several_updates(continuous):
    ours, theirs = algorithm(continuous), algorithm(continuous, StockLearner)
    learners = [a.learner_group._learner for a in (ours, theirs)]
    first = {name: value.clone() for name, value in learners[0].module["store"].state_dict().items()}
    for _ in range(4):
        blocks = ours.env_runner.sample()
        results = [
            learner.update(
                episodes=blocks,
                num_epochs=PPO.epochs,
                minibatch_size=PPO.minibatch,
                shuffle_batch_per_epoch=False,
                timesteps={"num_env_steps_sampled_lifetime": 0},
            )["store"]
            for learner in learners
        ]
    stock = learners[1].module["store"].state_dict()
    for name, value in learners[0].module["store"].state_dict().items():
        assert (value - stock[name]).abs().max().item() < 1e-6, name
        assert "value_scale" in name or (value - first[name]).abs().max() > 1e-4
    assert set(results[0]) == set(results[1]) | {"num_epochs_trained_lifetime"}
