"""The contenders of `benchmarks.time_to_quality`: each trains on a network and hands over its greedy policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from benchmarks.rivals import CentralPlanner, central_orders, central_state, rllib_ppo, sb3_ppo
from hmarl.learning.algorithm import ppo_config, trained_module
from hmarl.learning.module import actor_weights
from hmarl.learning.settings import PPOSettings
from hmarl.network import Network
from hmarl.policies import LearnedPolicy, Policy
from hmarl.roles import Chain

HMARL_DAYS = 3_000_000  # over which learning rate and entropy weight fall


def hmarl_settings() -> PPOSettings:
    return PPOSettings()


def rllib_settings() -> PPOSettings:
    """Of stock PPO; `replications` are environments. The gradient is as good as not clipped, RLlib's own default."""
    return PPOSettings(
        replications=64,
        days=32,
        minibatch=512,
        epochs=10,
        learning_rate=5e-4,
        gamma=0.95,
        gradient_clip=1e6,
    )


def sb3_settings() -> PPOSettings:
    """Of Stable-Baselines3's PPO; `replications` are chains."""
    return PPOSettings(replications=64, days=32, minibatch=1024, epochs=5, learning_rate=1e-3, gamma=0.97)


class Hmarl:
    """Store and warehouse learn together."""

    def __init__(self, network: Network, seed: int, settings: PPOSettings | None = None) -> None:
        self.network, self.roles, self.days = network, list(Chain(network).roles), 0
        self.settings = settings or hmarl_settings()
        self.algorithm = ppo_config(network, self.settings, learns=self.roles, steps=HMARL_DAYS, seed=seed).build_algo()

    def iterate(self) -> None:
        self.algorithm.train()
        self.days += self.settings.rollout

    def policy(self) -> Policy:
        actors = {role: actor_weights(trained_module(self.algorithm, role)) for role in self.roles}
        return LearnedPolicy(self.network, actors)


class RLlib:
    """RLlib's own PPO with the same agents."""

    def __init__(self, network: Network, seed: int, settings: PPOSettings | None = None) -> None:
        self.roles, self.days = list(Chain(network).roles), 0
        self.settings = settings or rllib_settings()
        self.algorithm = rllib_ppo(network, self.settings, self.roles, self.settings.replications, seed)

    def iterate(self) -> None:
        self.algorithm.train()
        self.days += self.settings.rollout

    def policy(self) -> Policy:
        return _Modules({role: self.algorithm.get_module(role) for role in self.roles})


class SB3:
    """Stable-Baselines3's PPO, one agent for all nodes."""

    def __init__(self, network: Network, seed: int, settings: PPOSettings | None = None) -> None:
        self.settings, self.days = settings or sb3_settings(), 0
        env = VecNormalize(
            CentralPlanner(network, self.settings.replications), norm_obs=False, gamma=self.settings.gamma
        )
        self.model = sb3_ppo(env, self.settings, self.settings.days, seed)

    def iterate(self) -> None:
        self.model.learn(self.settings.rollout, reset_num_timesteps=False)
        self.days += self.settings.rollout

    def policy(self) -> Policy:
        return _Central(self.model)


class _Modules:
    """The likeliest actions of RLlib's modules, one a role."""

    name = "rllib"

    def __init__(self, modules: Mapping[str, Any]) -> None:
        self.modules = modules

    @torch.inference_mode()
    def orders(self, chain: Chain) -> np.ndarray:
        orders = np.zeros(chain.simulator.shape)
        for role, module in self.modules.items():
            seen, nodes = torch.from_numpy(chain.observe(role)), chain.roles[role].nodes
            logits = module.forward_inference({Columns.OBS: seen.flatten(0, 1)})[Columns.ACTION_DIST_INPUTS]
            actions = logits.argmax(-1).reshape(seen.shape[:2]).numpy()
            orders[:, nodes] = chain.orders(role, actions).reshape(len(orders), len(nodes), -1)
        return orders


class _Central:
    """The likeliest actions of a central planner."""

    name = "sb3"

    def __init__(self, model: PPO) -> None:
        self.model = model

    def orders(self, chain: Chain) -> np.ndarray:
        return central_orders(chain, self.model.predict(central_state(chain), deterministic=True)[0])
