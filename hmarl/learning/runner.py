"""The env runner: all replications of a chain at once, one forward a role that learns."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import ray
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.callbacks.utils import make_callback
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.env_runner import NUM_ENV_STEP_FAILURES_LIFETIME, EnvRunner
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
    TIME_BETWEEN_SAMPLING,
    WEIGHTS_SEQ_NO,
)

from hmarl.errors import InputError
from hmarl.learning.actions import actions_of
from hmarl.learning.blocks import Block
from hmarl.learning.episodes import REWARD_MEAN, Episodes
from hmarl.learning.module import GLOBAL, LOCAL
from hmarl.learning.sampler import Rewards, Sampler
from hmarl.network.config import Network
from hmarl.roles import Chain, critic_features

_FIRST_DRAW = "first_draw"
_GROUPS = 8  # of replications whose episodes end on one day
_ATTEMPTS = 3  # at a rollout before its error is raised
_logger = logging.getLogger(__name__)
Space = tuple[gym.Space, gym.Space]


class RolloutError(RuntimeError):
    """A rollout failed again and again, each time with fresh draws; its cause is the last error."""


def role_spaces(chain: Chain) -> dict[str, Space]:
    """Observation (local and global) and action space of an agent, by role."""

    def box(size: int) -> gym.spaces.Box:
        return gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    sizes = critic_features(chain.network, {name: len(role.features) for name, role in chain.roles.items()})
    return {
        name: (gym.spaces.Dict({LOCAL: box(len(role.features)), GLOBAL: box(sizes[name])}), role.action_space)
        for name, role in chain.roles.items()
    }


class BatchedEnvRunner(EnvRunner, Checkpointable):
    """Steps the replications of one :class:`hmarl.roles.Chain` side by side.

    ``num_envs_per_env_runner`` is the number of replications; the modules' names are the roles that learn.
    ``env_config``: network (Network), others ({role: Policy} for the roles that do not learn), endless
    (bool), team (float), same_draws (replications that meet the same demand; 1 in evaluation).

    An episode has the network's days and is cut short there, never terminated: what follows is worth the
    critic's value. The replications' first days are staggered, so that some episodes end in every rollout. An
    endless chain never begins anew; its returns are booked every so many days as the network has.

    Draws come from the split "train", in evaluation from "validation" (the same each time, from day 0 on); each
    runner has a seed of its own. A runner that takes the place of a dead one goes on to draws not yet used.

    With ``restart_failed_sub_environments`` an error in a rollout is logged, the chains begin anew with fresh draws
    and the rollout is played again.

    Raises
    ------
    InputError
        If callbacks want episodes (``on_episode_start`` ...): there are none here.
    RolloutError
        By :meth:`sample`, if a rollout fails three times in a row.
    """

    def __init__(self, *, config: AlgorithmConfig, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self.spaces = kwargs.get("spaces") or {}
        _check_callbacks(self.config)
        self._callbacks = [callback() for callback in force_list(self.config.callbacks_class)]
        self._env_runner_state_server = None
        self.num_env_steps_sampled_lifetime: int = 0
        self._weights_seq_no = 0
        self._first_draw = 0
        self._sampled_at: float | None = None
        self._logged: set[str] = set()
        self.failure: Exception | None = None  # that no other runner would be spared
        self.env: Chain | None = None
        self.num_envs = 0
        torch.set_num_threads(1)
        if self.worker_index != 0 or self.config.create_env_on_local_worker or self.config.num_env_runners == 0:
            self.make_env()
        self.module: MultiRLModule
        self.make_module()

    def __repr__(self) -> str:
        """What Ray's dashboard calls the actor."""
        purpose = "validation runner" if self.config.in_evaluation else "runner"
        return f"{purpose} {self.worker_index}: {', '.join(sorted(self.config.policies))}"

    def make_env(self) -> None:
        context, seed = self.config.env_config, self._seed or 0
        network: Network = context["network"]
        replications = self.config.num_envs_per_env_runner
        split = "validation" if self.config.in_evaluation else "train"
        self._group = np.arange(replications) // (1 if self.config.in_evaluation else context["same_draws"])
        self.env = chain = Chain(network, replications, seed, split=split, ids=self._group)
        chain.simulator.state.replication[:] += self._first_draw
        self.num_envs = replications
        learns = [role for role in chain.roles if role in self.config.policies]
        self._sampler = Sampler(
            chain,
            {role: actions_of(chain.roles[role].action_space) for role in learns},
            context["others"],
            endless=context["endless"],
            team=context["team"],
            seed=seed + self._first_draw,
        )
        smoothing = math.ceil(self.config.metrics_num_episodes_for_smoothing / max(1, self.config.num_env_runners))
        self._episodes = Episodes(
            {role: chain.roles[role].agents for role in learns},
            replications,
            network.days,
            None if self.config.in_evaluation else smoothing,
        )
        self._needs_reset = True
        self._call("on_environment_created", env=chain, env_context=context)

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
        num_timesteps: float | None = None,
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
            Begin anew first. A local runner always does in evaluation, where RLlib does not ask for it.
        """
        if self._sampled_at is not None:
            self.metrics.log_value(TIME_BETWEEN_SAMPLING, time.perf_counter() - self._sampled_at)
        self._pull_weights()
        how = {"explore": self.config.explore if explore is None else explore, "random_actions": random_actions}
        evaluates = self.config.in_evaluation
        with self.metrics.log_time(SAMPLE_TIMER):
            if num_episodes is not None or (num_timesteps is None and self.config.batch_mode == "complete_episodes"):
                blocks = []
                for batch in range(math.ceil((num_episodes or 1) / self.num_envs)):
                    self._reset(staggered=False, same_draws=evaluates and batch == 0)
                    blocks.append(self._rollout(self.chain.network.days, staggered=False, **how))
                self._needs_reset = True
            else:
                if num_timesteps is None:
                    num_timesteps = self.config.get_rollout_fragment_length(self.worker_index or 0) * self.num_envs
                if force_reset or self._needs_reset or (evaluates and not self.worker_index):
                    self._reset(staggered=not evaluates, same_draws=evaluates)
                days = max(1, math.ceil(num_timesteps / self.num_envs))
                blocks = [self._rollout(days, staggered=not evaluates, **how)]
            self._call("on_sample_end", samples=blocks)
        self._sampled_at = time.perf_counter()
        return blocks

    def _call(self, callback: str, **arguments: Any) -> None:
        make_callback(
            callback,
            callbacks_objects=self._callbacks,
            callbacks_functions=getattr(self.config, f"callbacks_{callback}"),
            kwargs={"env_runner": self, "metrics_logger": self.metrics, **arguments},
        )

    def _pull_weights(self) -> None:
        if self._env_runner_state_server is not None:
            state = ray.get(self._env_runner_state_server.pull_if_newer.remote(self._weights_seq_no))
            if state is not None:
                self.set_state(state)

    def _reset(self, *, staggered: bool, same_draws: bool = False) -> None:
        chain = self.chain
        days = self._group % _GROUPS * chain.network.days // _GROUPS if staggered else 0
        everything = np.ones(self.num_envs, bool)
        chain.reset(None if same_draws else everything, first_day=days)
        self._episodes.begin(everything)
        self._needs_reset = False

    def _rollout(self, days: int, *, staggered: bool, explore: bool, random_actions: bool) -> Block:
        """Some days of all replications; where that fails, they begin anew and the days are played again."""
        failures = 0
        while True:
            began = time.perf_counter()
            try:
                block, rewards = self._sampler.play(self.module, days, explore=explore, random_actions=random_actions)
                break
            except InputError as error:
                self.failure = error
                raise
            except Exception as error:
                failures += 1
                self.metrics.log_value(NUM_ENV_STEP_FAILURES_LIFETIME, 1, reduce="lifetime_sum")
                if not self.config.restart_failed_sub_environments:
                    raise
                if failures == _ATTEMPTS:
                    self.failure = RolloutError(f"a rollout failed {failures} times in a row: {_cause(error)}")
                    raise self.failure from error
                self._log_once(_cause(error))
                self._begin_with_fresh_draws(self._draws_used())
                self._reset(staggered=staggered)
        self._count(block, rewards, time.perf_counter() - began)
        return block

    def _log_once(self, cause: str) -> None:
        if cause not in self._logged:
            self._logged.add(cause)
            _logger.warning("runner %s plays a rollout again, with fresh draws: %s", self.worker_index or 0, cause)

    def _draws_used(self) -> int:
        return int(self.chain.simulator.state.replication.max()) + 1

    def _begin_with_fresh_draws(self, first: int) -> None:
        self._first_draw = first
        self.make_env()

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """RLlib's way to call a remote runner, which ends the runner after an error.

        An error that a new runner would meet again does not end it: `failure` keeps it, for :func:`raise_failures`.
        """
        try:
            return func(self, *args, **kwargs)
        except Exception as error:
            if error is self.failure:
                raise
            raised = error
        return super().apply(_raise, raised)

    def _count(self, block: Block, rewards: Rewards, seconds: float) -> None:
        ends, days = block.ends, self.chain.network.days
        if self._sampler.endless:
            ends = (self._episodes.days + np.arange(1, len(ends) + 1)[:, None]) % days == 0
        self._episodes.add(np.concatenate(list(rewards.values()), axis=2), ends, seconds)
        metrics, steps = self.metrics, block.env_steps()
        self.num_env_steps_sampled_lifetime += steps
        self._log_env_steps(self._metrics_num_env_steps_sampled, steps)
        metrics.log_value(NUM_ENV_STEPS_SAMPLED, steps, reduce="sum")
        metrics.log_value(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum", with_throughput=True)
        for role, earned in rewards.items():
            metrics.log_value((NUM_MODULE_STEPS_SAMPLED, role), earned.size, reduce="sum")
            metrics.log_value((NUM_MODULE_STEPS_SAMPLED_LIFETIME, role), earned.size, reduce="lifetime_sum")
            metrics.log_value((REWARD_MEAN, role), float(earned.mean()), window=1)
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
            state[_FIRST_DRAW] = self._draws_used()
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
        steps: int = state.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, self.num_env_steps_sampled_lifetime)
        if self.env is not None and not self.config.in_evaluation:
            if _FIRST_DRAW in state:
                self._begin_with_fresh_draws(state[_FIRST_DRAW])
            elif self.num_env_steps_sampled_lifetime == 0 < steps:
                # In the place of a dead runner, or after a checkpoint. A draw serves a step at least.
                self._begin_with_fresh_draws(steps)
        self.num_env_steps_sampled_lifetime = steps

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[()], dict[str, Any]]:
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        return [(COMPONENT_RL_MODULE, self.module)]

    def assert_healthy(self) -> None:
        assert self.module is not None
        assert self.env is not None or self.worker_index == 0

    def stop(self) -> None:
        self.env = None


def raise_failures(*, env_runner_group: Any, env_runner_indices: list[int], **kwargs: Any) -> None:
    """RLlib's callback ``on_env_runners_recreated``: raise, in the algorithm's process, what would come again.

    Without it an algorithm with remote runners goes on for ever without a step sampled.
    """
    for failure in env_runner_group.foreach_env_runner(
        lambda runner: runner.failure, remote_worker_ids=env_runner_indices, local_env_runner=False
    ):
        if failure is not None:
            raise failure


def _check_callbacks(config: AlgorithmConfig) -> None:
    for name in ("on_episode_created", "on_episode_start", "on_episode_step", "on_episode_end"):
        overridden = any(
            getattr(callback, name) is not getattr(RLlibCallback, name)
            for callback in force_list(config.callbacks_class)
        )
        if overridden or getattr(config, f"callbacks_{name}"):
            raise InputError(f"callbacks: {name}: the batched runner has no episodes: on_sample_end gets its blocks")


def _cause(error: Exception) -> str:
    """An error in a line, with the place that raised it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno}, in {place.name})"


def _raise(runner: EnvRunner, error: Exception) -> None:
    raise error
