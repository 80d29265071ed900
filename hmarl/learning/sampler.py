"""Days of a chain played with modules for the roles that learn and policies for the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from torch import Tensor

from hmarl.learning.actions import Actions
from hmarl.learning.blocks import Block, Cuts
from hmarl.learning.module import LOCAL
from hmarl.roles import Chain

if TYPE_CHECKING:
    from hmarl.policies import Policy

Rewards = dict[str, NDArray[np.float32]]
"""By role ``(T, B, agents)``."""


class Sampler:
    """Plays all replications of a chain side by side.

    Parameters
    ----------
    chain
        Stepped and begun anew in place.
    learns
        By role that learns the distribution over its actions.
    others
        Who acts for the other roles.
    endless
        Whether chains never begin anew; else after the network's days.
    team
        Share of an agent's pay that is the sum of all agents' rewards.
    seed
        Of the actions drawn.
    """

    def __init__(
        self,
        chain: Chain,
        learns: Mapping[str, Actions],
        others: Mapping[str, Policy],
        *,
        endless: bool,
        team: float,
        seed: int,
    ) -> None:
        self.chain, self.learns = chain, learns
        self.endless, self.team = endless, team
        self._others = _acting(others, chain)
        self._generator = torch.Generator().manual_seed(seed)

    @torch.inference_mode()
    def play(
        self, modules: Mapping[str, Any], days: int, *, explore: bool = True, random_actions: bool = False
    ) -> tuple[Block, Rewards]:
        """Play some days: the block to learn from, and what the agents that learn earned themselves."""
        chain, block = self.chain, Block.empty(self.chain, self.learns, days)
        paid = list(chain.roles if self.team else self.learns)
        rewards = {role: np.empty(block.observations[role].shape[:3], np.float32) for role in paid}
        policies = {role: self._policy(role, modules[role], explore, random_actions) for role in self.learns}
        seen = {role: torch.from_numpy(block.observations[role]) for role in self.learns}
        cuts = []
        for t in range(days):
            for role, observations in block.observations.items():
                chain.observe(role, observations[t])
            orders = np.zeros(chain.simulator.shape)
            for policy, nodes in self._others:
                orders[:, nodes] = policy.orders(chain)[:, nodes]
            for role, act in policies.items():
                inputs, actions = act(seen[role][t])
                block.inputs[role][t], block.actions[role][t] = inputs.numpy(), actions.numpy()
                nodes = chain.roles[role].nodes
                orders[:, nodes] = chain.orders(role, actions.numpy()).reshape(len(orders), len(nodes), -1)
            chain.step(orders)
            for role in paid:
                rewards[role][t] = chain.rewards(role)
            ends = chain.simulator.state.day >= chain.network.days
            if not self.endless and ends.any():
                block.ends[t] = ends
                rows = np.flatnonzero(ends)
                last = {role: chain.observe(role)[rows] for role in chain.roles}
                cuts.append(Cuts(np.full(len(rows), t), rows, last))
                chain.reset(ends)
        block.next_observations = {role: chain.observe(role) for role in chain.roles}
        block.cuts = Cuts.joined(cuts)
        for role, kind in self.learns.items():
            inputs, actions = torch.from_numpy(block.inputs[role]), torch.from_numpy(block.actions[role])
            block.log_probs[role] = kind.log_probs(inputs, actions).numpy()
        block.rewards = self._pay(rewards)
        return block, {role: rewards[role] for role in self.learns}

    def _policy(self, role: str, module: Any, explore: bool, random_actions: bool) -> Callable[[Tensor], Any]:
        """How a role acts: from what its agents see to the inputs of their distributions and the actions."""
        kind, generator = self.learns[role], self._generator
        # Not `forward_exploration`: it puts the whole module in evaluation mode, where it is, at every call.
        forward = module._forward_exploration if explore else module._forward_inference

        def act(seen: Tensor) -> tuple[Tensor, Tensor]:
            inputs = forward({Columns.OBS: {LOCAL: seen}})[Columns.ACTION_DIST_INPUTS]
            if random_actions:
                inputs = torch.zeros_like(inputs)  # no action is preferred
            sampled = explore or random_actions
            return inputs, kind.sample(inputs, generator) if sampled else kind.likeliest(inputs)

        return act

    def _pay(self, rewards: Rewards) -> Rewards:
        """What the roles learn from: their agents' own rewards, mixed with everybody's sum."""
        if not self.team:
            return rewards
        everybody = np.sum([reward.sum(-1, keepdims=True) for reward in rewards.values()], axis=0)
        return {role: (1 - self.team) * rewards[role] + self.team * everybody for role in self.learns}


def _acting(others: Mapping[str, Policy], chain: Chain) -> list[tuple[Policy, NDArray[np.int64]]]:
    """Each policy once, with the nodes that it orders for."""
    nodes: dict[int, tuple[Policy, list[int]]] = {}
    for role, policy in others.items():
        if role in chain.roles:
            nodes.setdefault(id(policy), (policy, []))[1].extend(chain.roles[role].nodes)
    return [(policy, np.array(indices, np.int64)) for policy, indices in nodes.values()]
