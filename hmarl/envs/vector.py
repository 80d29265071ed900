"""All agents of one role in a batch of chains as one Gymnasium vector environment, for other libraries.

>>> from hmarl.envs import RoleVectorEnv
>>> env = RoleVectorEnv("two_store", "store", replications=16)     # 16 chains x 2 stores = 32 slots
>>> observations, infos = env.reset(seed=1)
>>> observations, rewards, terminations, truncations, infos = env.step(env.action_space.sample())
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from hmarl.envs.seats import Seats
from hmarl.network.config import Network
from hmarl.policies import Policy
from hmarl.simulator import Split


class RoleVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Slot ``b * agents + k`` is agent k of the role in replication b; the other roles follow a rule.

    Parameters
    ----------
    network
        A network, or the name of a preset or a file.
    role
        The role to train: store, warehouse or supplier.
    replications
        Chains side by side.
    others
        The rule that orders for the other roles: a policy or its name.
    autoreset_mode
        What happens after an episode's last day. ``SAME_STEP``: the step returns the next episode's first
        observation and the last one under ``infos["final_obs"]``. ``NEXT_STEP``: the step returns the last
        observation; the step after it ignores its action, pays 0 and returns the next episode's first.
    stagger
        Whether the first episodes begin on days spread over the episode, so that not all chains end together.
    split
        Stream of the random draws: "train", "validation" or "test".

    Raises
    ------
    ValueError
        If the autoreset mode is neither of the two.
    InputError
        If the network has no such role.
    """

    def __init__(
        self,
        network: Network | str | Path = "two_store",
        role: str = "store",
        replications: int = 16,
        others: Policy | str = "base_stock",
        *,
        autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP,
        stagger: bool = False,
        split: Split = "train",
    ) -> None:
        if autoreset_mode not in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
            raise ValueError(f"autoreset_mode: {autoreset_mode}: SAME_STEP or NEXT_STEP")
        self._seats = Seats(network, [role], others, replications=replications, split=split)
        self._role, self._stagger, self._finite, self._seeded = role, stagger, self._seats.network.finite, False
        self.metadata = {"render_modes": [], "autoreset_mode": autoreset_mode}
        agents = self._seats.chain.roles[role]
        self._agents = len(agents.agents)
        self.num_envs = replications * self._agents
        self.single_observation_space = Box(-np.inf, np.inf, (len(agents.features),), np.float32)
        self.single_action_space = agents.action_space
        self._continuous = agents.settings.action.continuous
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._over = np.zeros(replications, bool)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every chain; without a seed with the next draws. `options` are not used.

        Returns
        -------
        observations
            ``(slots, features)`` float32.
        infos
            Empty.
        """
        super().reset(seed=seed)
        replications = self._seats.replications
        if seed is None and self._seeded:
            self._seats.restart()
        else:
            self._seats.begin(self.np_random_seed)
        if self._stagger:
            first_day = np.arange(replications) * self._seats.network.days // replications
            self._seats.chain.reset(np.ones(replications, bool), first_day)
        self._seeded = True
        self._over = np.zeros(replications, bool)
        return self._observations(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Play a day in every chain.

        Parameters
        ----------
        actions
            ``(slots,)`` integers; ``(slots, 1)`` numbers where the role's actions are continuous: those below -1
            and above 1 count as -1 and 1.

        Returns
        -------
        observations
            ``(slots, features)`` float32, a fresh array.
        rewards
            ``(slots,)`` float64.
        terminations, truncations
            ``(slots,)`` booleans.
        infos
            With ``SAME_STEP``, where a slot's episode has ended: "final_obs", "final_info" and their masks.

        Raises
        ------
        ValueError
            If the actions have another shape, are not below the number of actions, or are not finite.
        """
        seats = self._seats
        seats.play({self._role: self._checked(actions)})
        rewards = np.array(seats.chain.rewards(self._role))
        infos: dict[str, Any] = {}
        if self.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP:
            if self._over.any():
                rewards[self._over] = 0.0
                seats.restart(self._over)
            ended = self._over = seats.over()
        else:
            ended = seats.over()
            if ended.any():
                infos = self._final(np.repeat(ended, self._agents))
                seats.restart(ended)
        done = np.repeat(ended, self._agents)
        never = np.zeros(self.num_envs, bool)
        terminations, truncations = (done, never) if self._finite else (never, done)
        return self._observations(), rewards.reshape(-1), terminations, truncations, infos

    def _observations(self) -> np.ndarray:
        return self._seats.chain.observe(self._role).reshape(self.num_envs, -1)

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        actions = np.asarray(actions)
        kinds, words = ("f", "floats") if self._continuous else ("iu", "integers")
        if actions.shape != self.action_space.shape or actions.dtype.kind not in kinds:
            expected = f"{words} {self.action_space.shape}, one for each of {self.num_envs} slots"
            raise ValueError(f"actions: {actions.dtype} {actions.shape}: {expected}")
        if self._continuous:
            if not np.isfinite(actions).all():
                raise ValueError("actions: a number that is not finite")
        elif actions.min() < 0 or actions.max() >= self.single_action_space.n:
            highest = self.single_action_space.n - 1
            raise ValueError(f"actions: {actions.min()} to {actions.max()}: from 0 to {highest}")
        return actions.reshape(self._seats.replications, self._agents)

    def _final(self, ended: np.ndarray) -> dict[str, Any]:
        """Gymnasium's record of the last observations of the slots that ended."""
        last = self._observations()
        final = np.full(self.num_envs, None, dtype=object)
        for slot in np.flatnonzero(ended):
            final[slot] = last[slot]
        return {"final_obs": final, "_final_obs": ended, "final_info": {}, "_final_info": ended.copy()}
