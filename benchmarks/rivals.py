"""Other libraries' PPO on hmarl's simulator: Stable-Baselines3 on batched environments, RLlib as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete, Space
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from hmarl.envs import RoleVectorEnv
from hmarl.envs.rllib import MultiAgentSupplyChain
from hmarl.learning.settings import PPOSettings
from hmarl.network import Network
from hmarl.roles import Chain

Step = tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]


class _Batched(VecEnv):
    """What Stable-Baselines3 asks of a vector environment, where there are no single ones behind it."""

    def __init__(self, slots: int, observation_space: Space, action_space: Space) -> None:
        super().__init__(slots, observation_space, action_space)
        self.actions = np.empty(0)

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class RoleSlots(_Batched):
    """:class:`hmarl.envs.RoleVectorEnv` for Stable-Baselines3: a slot for each agent of the role in each chain."""

    def __init__(self, network: Network, role: str, replications: int) -> None:
        self.env = RoleVectorEnv(network, role, replications, stagger=True)
        super().__init__(self.env.num_envs, self.env.single_observation_space, self.env.single_action_space)

    def reset(self) -> np.ndarray:
        return self.env.reset(seed=self._seeds[0])[0]

    def step_wait(self) -> Step:
        observations, rewards, terminated, truncated, info = self.env.step(self.actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for slot in np.flatnonzero(terminated | truncated):
            infos[slot] = {
                "terminal_observation": info["final_obs"][slot],
                "TimeLimit.truncated": bool(truncated[slot]),
            }
        return observations, rewards.astype(np.float32), terminated | truncated, infos


class CentralPlanner(_Batched):
    """One agent that sees every node's stock and pipeline and orders for all of them; a slot a chain.

    Actions are those of the roles, one for each node and SKU; the reward is that of the first agent, which is the
    chain's where all are paid minus the chain's cost. Episodes are cut short after the network's days, the first
    ones staggered.
    """

    def __init__(self, network: Network, replications: int) -> None:
        self.network = network
        chain = Chain(network, replications)
        counts = np.concatenate([np.full(len(role.agents), role.n_actions) for role in chain.roles.values()])
        features = central_state(chain).shape[1]
        super().__init__(replications, Box(-np.inf, np.inf, (features,), np.float32), MultiDiscrete(counts))

    def reset(self) -> np.ndarray:
        slots = self.num_envs
        self.chain = Chain(self.network, slots, self._seeds[0] or 0, split="train")
        self.chain.reset(np.ones(slots, bool), np.arange(slots) * self.network.days // slots)
        return central_state(self.chain)

    def step_wait(self) -> Step:
        chain = self.chain
        chain.step(central_orders(chain, self.actions))
        rewards = chain.rewards(next(iter(chain.roles)))[:, 0].astype(np.float32)
        observations, over = central_state(chain), chain.simulator.state.day >= self.network.days
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if over.any():
            for slot in np.flatnonzero(over):
                infos[slot] = {"terminal_observation": observations[slot], "TimeLimit.truncated": True}
            chain.reset(over)
            observations = central_state(chain)
        return observations, rewards, over, infos


def central_state(chain: Chain) -> np.ndarray:
    """Stock and pipeline by day of all nodes in days of mean demand, ``(B, features)`` float32."""
    state = chain.simulator.state
    units = np.concatenate([state.on_hand[..., None], state.in_transit], axis=-1) / chain.mean_demand[..., None]
    return units.reshape(len(units), -1).astype(np.float32)


def central_orders(chain: Chain, actions: np.ndarray) -> np.ndarray:
    """Orders ``(B, N, S)`` for actions ``(B, agents)``, role by role."""
    orders, first = np.zeros(chain.simulator.shape), 0
    for role, agents in chain.roles.items():
        chosen = actions[:, first : first + len(agents.agents)]
        orders[:, agents.nodes] = chain.orders(role, chosen).reshape(len(orders), len(agents.nodes), -1)
        first += len(agents.agents)
    return orders


def sb3_ppo(env: VecEnv, settings: PPOSettings, steps: int, seed: int = 0) -> PPO:
    """Stable-Baselines3's PPO with these settings; `steps` a slot in a rollout.

    Its optimiser is torch's fused Adam, which it does not take unasked: up to a fifth faster.
    """
    hidden = list(settings.hidden)
    return PPO(
        "MlpPolicy",
        env,
        n_steps=steps,
        batch_size=settings.minibatch,
        n_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip,
        ent_coef=settings.entropy,
        vf_coef=settings.value_coefficient,
        max_grad_norm=settings.gradient_clip,
        policy_kwargs={
            "net_arch": {"pi": hidden, "vf": hidden},
            "optimizer_kwargs": {"eps": 1e-5, "fused": True},
        },
        device="cpu",
        seed=seed,
    )


def rllib_ppo(
    network: Network, settings: PPOSettings, learns: Sequence[str], environments: int, seed: int = 0
) -> Algorithm:
    """RLlib's own PPO, runner, connectors and learner on :class:`hmarl.envs.rllib.MultiAgentSupplyChain`.

    A rollout is the settings' replications x days, whatever the number of environments. Actor and critic see the
    agent's own observation. Left out are what the settings do not have: the divergence (KL) penalty, and the
    clipping of the value loss.
    """
    return (
        PPOConfig()
        .environment(
            MultiAgentSupplyChain, env_config={"network": network, "roles": list(learns), "critic_view": False}
        )
        .multi_agent(
            policies=set(learns),
            policy_mapping_fn=lambda agent, *args, **kwargs: network.role_of(agent.partition("/")[0]),
        )
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=list(settings.hidden), fcnet_activation="tanh", vf_share_layers=False
            )
        )
        .env_runners(num_env_runners=0, num_envs_per_env_runner=environments)
        .training(
            train_batch_size_per_learner=settings.rollout,
            minibatch_size=settings.minibatch,
            num_epochs=settings.epochs,
            lr=settings.learning_rate,
            gamma=settings.gamma,
            lambda_=settings.gae_lambda,
            clip_param=settings.clip,
            entropy_coeff=settings.entropy,
            vf_loss_coeff=settings.value_coefficient,
            vf_clip_param=float("inf"),
            grad_clip=settings.gradient_clip,
            grad_clip_by="global_norm",
            use_kl_loss=False,
        )
        .debugging(seed=seed, log_level="ERROR")
        .build_algo()
    )
