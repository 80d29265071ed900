"""The env runner: all replications of a chain at once, one forward a role that learns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.callbacks.utils import make_callback
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils import force_list
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_MODULE_STEPS_SAMPLED,
    NUM_MODULE_STEPS_SAMPLED_LIFETIME,
    SAMPLE_TIMER,
    WEIGHTS_SEQ_NO,
)

from hmarl.learning.blocks import Block, Cuts, Observations
from hmarl.learning.episodes import REWARD_MEAN, Episodes
from hmarl.learning.module import GLOBAL, LOCAL
from hmarl.network.config import Network
from hmarl.roles import Chain, critic_features

if TYPE_CHECKING:
    from hmarl.policies import Policy

_FIRST_DRAW = "first_draw"
_GROUPS = 8  # of replications whose episodes end on one day
Space = tuple[gym.Space, gym.Space]


def role_spaces(chain: Chain) -> dict[str, Space]:
    """Observation (local and global) and action space of an agent, by role."""

    def box(size: int) -> gym.spaces.Box:
        return gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    sizes = critic_features(chain.network, {name: len(role.features) for name, role in chain.roles.items()})
    return {
        name: (
            gym.spaces.Dict({LOCAL: box(len(role.features)), GLOBAL: box(sizes[name])}),
            role.action_space,
        )
        for name, role in chain.roles.items()
    }


class BatchedEnvRunner(EnvRunner, Checkpointable):
    """Steps the replications of one :class:`hmarl.roles.Chain` side by side.

    ``num_envs_per_env_runner`` is the number of replications; the modules' names are the roles that learn.
    ``env_config``: network (Network), others ({role: Policy} for the roles that do not learn), endless
    (bool), threads (of torch).

    An episode has the network's days and is cut short there, never terminated: what follows is worth the
    critic's value. The replications' first days are staggered, so that some episodes end in every rollout. An
    endless chain never begins anew; its returns are booked every so many days as the network has.

    Draws come from the split "train", in evaluation from "validation" (the same each time); each runner has a
    seed of its own.
    """

    def __init__(self, *, config: AlgorithmConfig, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self.spaces = kwargs.get("spaces") or {}
        self._callbacks = [callback() for callback in force_list(self.config.callbacks_class)]
        self._env_runner_state_server = None
        self._weights_seq_no = 0
        self._first_draw = 0
        self.env: Chain | None = None
        self.num_envs = 0
        torch.set_num_threads(self.config.env_config["threads"])
        self._generator = torch.Generator()
        if self.worker_index or self.config.create_env_on_local_worker or self.config.num_env_runners == 0:
            self.make_env()
        self.module: MultiRLModule
        self.make_module()

    def make_env(self) -> None:
        context, seed = self.config.env_config, self._seed or 0
        network: Network = context["network"]
        replications = self.config.num_envs_per_env_runner
        self.env = chain = Chain(
            network,
            replications,
            seed,
            split="validation" if self.config.in_evaluation else "train",
            ids=self._first_draw + np.arange(replications),
        )
        self.num_envs = replications
        self._generator.manual_seed(seed + self._first_draw)
        self._learns = [role for role in chain.roles if role in self.config.policies]
        self._others = _acting(context["others"], chain)
        self._endless: bool = context["endless"]
        self._team: float = context["team"]
        smoothing = math.ceil(self.config.metrics_num_episodes_for_smoothing / max(1, self.config.num_env_runners))
        agents = {role: chain.roles[role].agents for role in self._learns}
        self._episodes = Episodes(agents, replications, smoothing)
        self._needs_reset = True
        make_callback(
            "on_environment_created",
            callbacks_objects=self._callbacks,
            callbacks_functions=self.config.callbacks_on_environment_created,
            kwargs={
                "env_runner": self,
                "metrics_logger": self.metrics,
                "env": chain,
                "env_context": context,
            },
        )

    @property
    def chain(self) -> Chain:
        """The chain; a local runner beside remote ones has none."""
        assert self.env is not None, "this runner has no chain"
        return self.env

    def make_module(self) -> None:
        spec = self.config.get_multi_rl_module_spec(env=None, spaces=self.get_spaces(), inference_only=True)
        spec.inference_only = True
        for module_spec in spec.rl_module_specs.values():
            module_spec.inference_only = True
        self.module = spec.build()
        for module in self.module.values():
            module.eval()

    def get_spaces(self) -> dict[str, Space]:
        if self.env is None:
            return self.spaces
        by_role = role_spaces(self.env)
        both = tuple(gym.spaces.Dict({role: pair[k] for role, pair in by_role.items()}) for k in (0, 1))
        return {INPUT_ENV_SPACES: both, INPUT_ENV_SINGLE_SPACES: both, **by_role}

    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool | None = None,
        random_actions: bool = False,
        force_reset: bool = False,
        **kwargs: Any,
    ) -> list[Block]:
        """Play a rollout.

        Parameters
        ----------
        num_timesteps
            Days to play, all replications together, rounded up to whole days of all; left out: as configured.
        num_episodes
            Instead: play at least so many whole episodes, all beginning on day 0.
        explore
            Sample the actions, or take the likeliest.
        random_actions
            Every action equally likely.
        force_reset
            Begin anew first.
        """
        self._pull_weights()
        explore = self.config.explore if explore is None else explore
        with self.metrics.log_time(SAMPLE_TIMER):
            if num_episodes is not None or (num_timesteps is None and self.config.batch_mode == "complete_episodes"):
                blocks = []
                for batch in range(math.ceil((num_episodes or 1) / self.num_envs)):
                    self._reset(staggered=False, same_draws=self.config.in_evaluation and batch == 0)
                    blocks.append(self._rollout(self.chain.network.days, explore, random_actions))
                self._needs_reset = True
            else:
                if num_timesteps is None:
                    num_timesteps = self.config.get_rollout_fragment_length(self.worker_index or 0) * self.num_envs
                if force_reset or self._needs_reset:
                    self._reset(staggered=True)
                days = max(1, math.ceil(num_timesteps / self.num_envs))
                blocks = [self._rollout(days, explore, random_actions)]
        make_callback(
            "on_sample_end",
            callbacks_objects=self._callbacks,
            callbacks_functions=self.config.callbacks_on_sample_end,
            kwargs={"env_runner": self, "metrics_logger": self.metrics, "samples": blocks},
        )
        return blocks

    def _pull_weights(self) -> None:
        if self._env_runner_state_server is not None:
            state = ray.get(self._env_runner_state_server.pull_if_newer.remote(self._weights_seq_no))
            if state is not None:
                self.set_state(state)

    def _reset(self, staggered: bool, same_draws: bool = False) -> None:
        chain = self.chain
        days = np.arange(self.num_envs) % _GROUPS * chain.network.days // _GROUPS if staggered else 0
        everything = np.ones(self.num_envs, bool)
        chain.reset(None if same_draws else everything, first_day=days)
        self._episodes.begin(everything)
        self._observations = self._observe()
        self._needs_reset = False

    def _observe(self) -> Observations:
        return {role: self.chain.observe(role) for role in self.chain.roles}

    @torch.inference_mode()
    def _rollout(self, days: int, explore: bool, random_actions: bool) -> Block:
        chain = self.chain
        block = Block.empty(self._observations, self._learns, days)
        cuts: list[Cuts] = []
        own = dict.fromkeys(self._learns, 0.0)
        for t in range(days):
            for role, seen in self._observations.items():
                block.observations[role][t] = seen
            orders = self._orders_of_others()
            for role in self._learns:
                actions, log_probs = self._act(role, explore, random_actions)
                block.actions[role][t], block.log_probs[role][t] = actions, log_probs
                quantities = chain.orders(role, actions)
                orders[:, chain.roles[role].nodes] = quantities.reshape(self.num_envs, -1, orders.shape[2])
            chain.step(orders)
            rewards = {role: chain.rewards(role) for role in chain.roles}
            for role in self._learns:
                block.rewards[role][t] = self._pay(role, rewards)
                own[role] += float(rewards[role].mean()) / days
            self._episodes.add([rewards[role] for role in self._learns])
            self._observations = self._observe()
            ends = self._ended()
            if ends.any():
                block.ends[t] = ends
                cuts.append(self._cut(t, ends))
        block.next_observations, block.cuts = self._observations, Cuts.joined(cuts)
        self._log(block, own)
        return block

    def _pay(self, role: str, rewards: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """What a role learns from: its agents' own rewards, mixed with everybody's sum."""
        if self._team == 0:
            return rewards[role]
        everybody = np.sum([reward.sum(1, keepdims=True) for reward in rewards.values()], axis=0)
        return (1 - self._team) * rewards[role] + self._team * everybody

    def _act(self, role: str, explore: bool, random_actions: bool) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        seen = torch.from_numpy(self._observations[role])
        module, batch = self.module[role], {Columns.OBS: {LOCAL: seen}}
        forward = module.forward_exploration if explore else module.forward_inference
        inputs = forward(batch)[Columns.ACTION_DIST_INPUTS]
        if random_actions:
            inputs = module.actions.uniform(inputs)
        sampled = explore or random_actions
        actions = module.actions.sample(inputs, self._generator) if sampled else module.actions.likeliest(inputs)
        return actions.numpy(), module.actions.log_probs(inputs, actions).numpy()

    def _orders_of_others(self) -> NDArray[np.float64]:
        orders = np.zeros(self.chain.simulator.shape)
        for policy, nodes in self._others:
            orders[:, nodes] = policy.orders(self.chain)[:, nodes]
        return orders

    def _ended(self) -> NDArray[np.bool_]:
        """Book the episodes that end today; ``(B,)`` which chains begin anew."""
        book, days = self._episodes, self.chain.network.days
        if self._endless:
            book.finish(book.days == days)
            return np.zeros(self.num_envs, bool)
        ends = self.chain.simulator.state.day >= days
        whole = book.days == days
        book.finish(ends & whole)
        book.begin(ends & ~whole)
        return ends

    def _cut(self, t: int, ends: NDArray[np.bool_]) -> Cuts:
        """Begin chains anew, ``(B,)`` booleans, after day t of the rollout; what their agents saw before."""
        rows = np.flatnonzero(ends)
        seen = {role: observed[rows] for role, observed in self._observations.items()}
        self.chain.reset(ends)
        self._observations = self._observe()
        return Cuts(np.full(len(rows), t), rows, seen)

    def _log(self, block: Block, own: Mapping[str, float]) -> None:
        metrics, steps = self.metrics, block.env_steps()
        self.num_env_steps_sampled_lifetime += steps
        metrics.log_value(NUM_ENV_STEPS_SAMPLED, steps, reduce="sum")
        metrics.log_value(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum", with_throughput=True)
        for role, rewards in block.rewards.items():
            metrics.log_value((NUM_MODULE_STEPS_SAMPLED, role), rewards.size, reduce="sum")
            metrics.log_value((NUM_MODULE_STEPS_SAMPLED_LIFETIME, role), rewards.size, reduce="lifetime_sum")
            metrics.log_value((REWARD_MEAN, role), own[role], window=1)
            for agent in self.chain.roles[role].agents:
                metrics.log_value((NUM_AGENT_STEPS_SAMPLED, agent), steps, reduce="sum")
                metrics.log_value((NUM_AGENT_STEPS_SAMPLED_LIFETIME, agent), steps, reduce="lifetime_sum")
        metrics.log_value(WEIGHTS_SEQ_NO, self._weights_seq_no, window=1)

    def get_metrics(self) -> dict[str, Any]:
        if self.env is not None:
            self._episodes.log(self.metrics)
        return self.metrics.reduce()

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Counters, the first draws not yet used, the modules' weights; not the chains: they begin anew."""
        state: dict[str, Any] = {NUM_ENV_STEPS_SAMPLED_LIFETIME: self.num_env_steps_sampled_lifetime}
        if self.env is not None and components is None:
            state[_FIRST_DRAW] = int(self.env.simulator.state.replication.max()) + 1
        if self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = self.module.get_state(
                components=self._get_subcomponents(COMPONENT_RL_MODULE, components),
                not_components=self._get_subcomponents(COMPONENT_RL_MODULE, not_components),
                **kwargs,
            )
            state[WEIGHTS_SEQ_NO] = self._weights_seq_no
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        if COMPONENT_RL_MODULE in state:
            number = state.get(WEIGHTS_SEQ_NO, 0)
            if number == 0 or self._weights_seq_no < number:
                weights = state[COMPONENT_RL_MODULE]
                self.module.set_state(ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights)
            if number > 0:
                self._weights_seq_no = number
        if NUM_ENV_STEPS_SAMPLED_LIFETIME in state:
            self.num_env_steps_sampled_lifetime = state[NUM_ENV_STEPS_SAMPLED_LIFETIME]
        if _FIRST_DRAW in state and self.env is not None:
            self._first_draw = state[_FIRST_DRAW]
            self.make_env()

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[()], dict[str, Any]]:
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        return [(COMPONENT_RL_MODULE, self.module)]

    def assert_healthy(self) -> None:
        assert self.module is not None
        assert self.env is not None or self.worker_index == 0

    def stop(self) -> None:
        self.env = None


def _acting(others: Mapping[str, Policy], chain: Chain) -> list[tuple[Policy, NDArray[np.int64]]]:
    """Each policy once, with the nodes that it orders for."""
    nodes: dict[int, tuple[Policy, list[int]]] = {}
    for role, policy in others.items():
        if role in chain.roles:
            nodes.setdefault(id(policy), (policy, []))[1].extend(chain.roles[role].nodes)
    return [(policy, np.array(indices, np.int64)) for policy, indices in nodes.values()]
