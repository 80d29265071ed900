"""The supply chain as RLlib's `MultiAgentEnv` on the new API stack.

>>> from ray.rllib.algorithms.ppo import PPOConfig
>>> from hmarl.envs.rllib import MultiAgentSupplyChain
>>> config = PPOConfig().environment(MultiAgentSupplyChain, env_config={"network": "two_store"})

RLlib's own models read flat observations: add its connector `FlattenObservations(multi_agent=True)` (the
actor then sees the critic's view too), or set ``"critic_view": False``: local observations alone.
:class:`hmarl.learning.module.ActorCritic` reads both parts as they are meant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Space
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from hmarl.envs.seats import Seats
from hmarl.errors import InputError
from hmarl.roles import critic_view
from hmarl.simulator import day_costs

SETTINGS = ("network", "roles", "others", "split", "critic_view")


class MultiAgentSupplyChain(MultiAgentEnv):
    """An agent for each node and SKU of the roles played; an episode has `network.days` days.

    Observations are ``{"local": what the agent sees, "global": what its critic sees in training}``. After the
    last day all agents truncate (terminate where the network is `finite`). A reset without a seed goes on to the next
    draws.

    Parameters
    ----------
    config
        `network` (default "two_store"), `roles`, `others`, `split` as in
        :func:`hmarl.envs.parallel_env`, and `critic_view` (default true): false leaves the local observation
        alone.

    Raises
    ------
    InputError
        On a key that is none of these.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        settings = dict(config or {})
        for key in settings:
            if key not in SETTINGS:
                raise InputError(f"env_config: {key!r}: one of {', '.join(SETTINGS)}")
        self._critic_view = settings.pop("critic_view", True)
        self._seats = Seats(settings.pop("network", "two_store"), **settings)
        self._worker, self._seeded = getattr(config, "worker_index", 0), False
        self.metadata: dict[str, Any] = {"render_modes": []}
        self.render_mode = None
        self._place = self._seats.places()
        self.possible_agents = list(self._place)
        self.agents = list(self._place)
        self.observation_spaces: dict[str, Space] = {}
        self.action_spaces: dict[str, Space] = {}
        widths = {role: view.shape[-1] for role, view in self._seats.critic_views().items()}
        for agent, (role, _) in self._place.items():
            agents = self._seats.chain.roles[role]
            local = Box(-np.inf, np.inf, (len(agents.features),), np.float32)
            seen_by_critic = Box(-np.inf, np.inf, (widths[role],), np.float32)
            both = Dict({"local": local, "global": seen_by_critic})
            self.observation_spaces[agent] = both if self._critic_view else local
            self.action_spaces[agent] = agents.action_space
        super().__init__()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode; `options` are not used."""
        super().reset(seed=seed)
        if seed is None and self._seeded:
            self._seats.restart()
        else:
            self._seats.begin(self._own_seed(self.np_random_seed))
        self._seeded = True
        return self._observations(), {}

    def step(
        self, action_dict: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Play a day. ``infos["__common__"]`` says which `day` that was and the chain's `profit` (money)."""
        simulator = self._seats.chain.simulator
        self._seats.play(self._seats.by_role(action_dict))
        paid = self._seats.rewards()
        rewards = {agent: float(paid[role][0, k]) for agent, (role, k) in self._place.items()}
        over = bool(self._seats.over()[0])
        everyone = [*self.possible_agents, "__all__"]
        profit = day_costs(simulator.params, simulator.outcome).profit.sum()
        return (
            self._observations(),
            rewards,
            dict.fromkeys(everyone, over and self._seats.network.finite),
            dict.fromkeys(everyone, over and not self._seats.network.finite),
            {"__common__": {"day": int(simulator.state.day[0]) - 1, "profit": float(profit)}},
        )

    def _own_seed(self, seed: int) -> int:
        """RLlib seeds environment i of worker w with seed + w + i, and workers would share draws."""
        if self._worker == 0:
            return seed
        return int(np.random.SeedSequence([seed, self._worker]).generate_state(1)[0])

    def _observations(self) -> dict[str, Any]:
        seats = self._seats
        everyone = {role: seats.chain.observe(role) for role in seats.chain.roles}
        if not self._critic_view:
            return {agent: everyone[role][0, k] for agent, (role, k) in self._place.items()}
        views = critic_view(seats.network, everyone)
        return {
            agent: {"local": everyone[role][0, k], "global": views[role][0, k]}
            for agent, (role, k) in self._place.items()
        }
