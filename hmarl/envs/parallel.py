"""The supply chain as a PettingZoo environment: an agent for each node and SKU, all acting every day.

>>> from hmarl.envs import parallel_env
>>> env = parallel_env("two_store", roles=["store"])
>>> observations, infos = env.reset(seed=1)
>>> observations, rewards, terminations, truncations, infos = env.step(
...     {agent: env.action_space(agent).sample() for agent in env.agents}
... )
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import seeding
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import parallel_to_aec

from hmarl.envs.seats import Seats
from hmarl.envs.text import day_text
from hmarl.network.config import Network
from hmarl.policies import Policy
from hmarl.simulator import Split, day_costs


class SupplyChain(ParallelEnv[str, np.ndarray, Any]):
    """A supply chain whose agents order every day; see :func:`parallel_env`.

    An episode has `network.days` days and then truncates: a chain has no last day. That of a `finite`
    network terminates. A reset without a seed goes on to the next episode's draws.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - PettingZoo's name and type
        "name": "hmarl_supply_chain_v0",
        "render_modes": ["ansi", "human"],
        "is_parallelizable": True,
    }

    def __init__(
        self,
        network: Network | str | Path,
        roles: Sequence[str] | None = None,
        others: Policy | str = "base_stock",
        *,
        split: Split = "train",
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode: {render_mode!r}: ansi, human or none")
        self._seats = Seats(network, roles, others, split=split)
        self._finite, self._seeded = self._seats.network.finite, False
        self.render_mode = render_mode
        chain = self._seats.chain
        self._place = self._seats.places()
        self.possible_agents = list(self._place)
        self.agents: list[str] = []
        self.observation_spaces, self.action_spaces = {}, {}
        for agent, (role, _) in self._place.items():
            shape = (len(chain.roles[role].features),)
            self.observation_spaces[agent] = Box(-np.inf, np.inf, shape, np.float32)
            self.action_spaces[agent] = chain.roles[role].action_space
        self.state_space = Box(-np.inf, np.inf, self.state().shape, np.float32)

    def observation_space(self, agent: str) -> Box:
        """Space of an agent's observation, the same object every time."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Discrete | Box:
        """Space of an agent's actions, the same object every time."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Begin an episode; `options` are not used."""
        if seed is None and self._seeded:
            self._seats.restart()
        else:
            self._seats.begin(seeding.np_random()[1] if seed is None else int(seed))
        self._seeded = True
        self.agents = self.possible_agents[:]
        return self._observations(), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play a day. An info says what the agent `ordered` (accepted, units) and its `profit` (money).

        Continuous actions are ``(1,)`` arrays; numbers below -1 and above 1 count as -1 and 1.

        Raises
        ------
        ValueError
            If an action is missing, of no agent, or none that the agent has.
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        self._seats.play(self._by_role(actions))
        if self.render_mode == "human":
            self.render()
        over = bool(self._seats.over()[0])
        played = self.agents
        terminations = dict.fromkeys(played, over and self._finite)
        truncations = dict.fromkeys(played, over and not self._finite)
        if over:
            self.agents = []
        return self._observations(), self._rewards(), terminations, truncations, self._infos()

    def state(self) -> np.ndarray:
        """What the critics see in training: the views of all agents, role by role, one after another."""
        return np.concatenate([view[0].ravel() for view in self._seats.critic_views().values()])

    def agent_state(self, agent: str) -> np.ndarray:
        """What the critic of one agent sees: its length does not grow with the number of stores."""
        role, k = self._place[agent]
        return self._seats.critic_views()[role][0, k]

    def render(self) -> str | None:
        """The day as a table: returned ("ansi") or printed ("human")."""
        if self.render_mode is None:
            return None
        text = day_text(self._seats.chain.simulator)
        if self.render_mode == "ansi":
            return text
        print(text)
        return None

    def _by_role(self, actions: Mapping[str, Any]) -> dict[str, np.ndarray]:
        for agent in {*actions, *self.agents}:
            if agent not in self._place:
                raise ValueError(f"actions: {agent!r}: no agent; one of {', '.join(self.agents)}")
            if agent not in actions:
                raise ValueError(f"actions: {agent!r}: missing; every agent acts every day")
            _check(agent, self.action_spaces[agent], actions[agent])
        return self._seats.by_role(actions)

    def _observations(self) -> dict[str, np.ndarray]:
        seen = self._seats.observations()
        return {agent: seen[role][0, k] for agent, (role, k) in self._place.items()}

    def _rewards(self) -> dict[str, float]:
        paid = self._seats.rewards()
        return {agent: float(paid[role][0, k]) for agent, (role, k) in self._place.items()}

    def _infos(self) -> dict[str, dict[str, Any]]:
        chain, skus = self._seats.chain, len(self._seats.network.skus)
        ordered = chain.simulator.outcome.ordered[0]
        profit = day_costs(chain.simulator.params, chain.simulator.outcome).profit[0]
        infos = {}
        for agent, (role, k) in self._place.items():
            place = chain.roles[role].nodes[k // skus], k % skus
            infos[agent] = {"ordered": float(ordered[place]), "profit": float(profit[place])}
        return infos


def _check(agent: str, space: Discrete | Box, action: Any) -> None:
    if isinstance(space, Discrete):
        good, allowed = space.contains(action), f"a whole number from 0 to {space.n - 1}"
    else:
        good, allowed = np.shape(action) == (1,) and bool(np.isfinite(action).all()), "an array of one finite number"
    if not good:
        raise ValueError(f"actions: {agent}: {action!r}: {allowed}")


def parallel_env(
    network: Network | str | Path = "two_store",
    roles: Sequence[str] | None = None,
    others: Policy | str = "base_stock",
    *,
    split: Split = "train",
    render_mode: str | None = None,
) -> SupplyChain:
    """A supply chain as PettingZoo's `ParallelEnv`.

    Parameters
    ----------
    network
        A network, or the name of a preset or a file.
    roles
        The roles whose nodes are agents; left out: all.
    others
        The rule that orders for the other roles: a policy or its name.
    split
        Stream of the random draws: "train", "validation" or "test".
    render_mode
        "ansi": :meth:`SupplyChain.render` returns the day as text; "human": it is printed every day.
    """
    return SupplyChain(network, roles, others, split=split, render_mode=render_mode)


def aec_env(network: Network | str | Path = "two_store", **settings: Any) -> AECEnv:
    """The same with the agents asked one by one (PettingZoo's AEC); settings as in :func:`parallel_env`."""
    return parallel_to_aec(parallel_env(network, **settings))
