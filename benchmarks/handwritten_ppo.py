"""PPO on a batched supply chain without a framework: the yardstick of `benchmarks.training`.

What one writes by hand for this one purpose: plain PyTorch, autograd and fused Adam; all replications stepped
side by side; one actor-critic a role. Actors see what their agents see, critics hmarl's global view, so that the
work is hmarl's. Learning rate and entropy stay at their first values; `team` and `critic_warmup` are not read.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hmarl.learning.settings import PPOSettings
from hmarl.network import Network
from hmarl.policies import Policy
from hmarl.roles import Chain, critic_view
from hmarl.roles.chain import RoleAgents

Observations = dict[str, np.ndarray]  # by role


@dataclass
class Rollout:
    """T days of B replications; `observations` of all roles, the other columns of those that learn."""

    observations: Observations  # (T + 1, B, agents, features)
    actions: dict[str, np.ndarray]  # (T, B, agents)
    log_probs: dict[str, np.ndarray]  # (T, B, agents)
    rewards: dict[str, np.ndarray]  # (T, B, agents)
    ends: np.ndarray  # (T, B) an episode ended with this day
    last_seen: list[tuple[int, np.ndarray, Observations]]  # day, (B,) which ended, what their agents saw then


def mlp(sizes: Sequence[int], gain: float) -> nn.Sequential:
    """Linear layers with tanh between them; orthogonal weights, those of the last layer with this gain."""
    layers = [nn.Linear(size, following) for size, following in itertools.pairwise(sizes)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, gain if layer is layers[-1] else 2**0.5)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.Tanh())))[:-1]


def gae(rewards: Tensor, values: Tensor, following: Tensor, ends: Tensor, gamma: float, lambda_: float) -> Tensor:
    """Advantages ``(T, ...)``; `following`: the value of what each day led to, before any reset."""
    advantages = rewards + gamma * following - values
    carried = gamma * lambda_ * (1 - ends)
    for t in reversed(range(len(advantages) - 1)):
        advantages[t] += carried[t] * advantages[t + 1]
    return advantages


class ActorCritic:
    """The networks of one role, their optimiser, and the critic's units: running mean and spread of its targets."""

    def __init__(self, role: RoleAgents, critic_features: int, settings: PPOSettings) -> None:
        self.settings = settings
        self.actor = mlp([len(role.features), *settings.hidden, role.n_actions], 0.01)
        self.critic = mlp([critic_features, *settings.hidden, 1], 1.0)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, settings.learning_rate, eps=1e-5, fused=True)
        self.mean, self.std, self.updates = 0.0, 1.0, 0

    def act(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sampled actions ``(...)`` and their log-probabilities."""
        log_probs = self.log_probs(torch.from_numpy(observations))
        actions = torch.multinomial(log_probs.exp().flatten(0, -2), 1).reshape(*log_probs.shape[:-1], 1)
        return actions.squeeze(-1).numpy(), log_probs.gather(-1, actions).squeeze(-1).numpy()

    def log_probs(self, observations: Tensor) -> Tensor:
        return self.actor(observations).log_softmax(-1)

    def values(self, views: np.ndarray) -> Tensor:
        """What the critic says of its views ``(..., critic features)``."""
        return self.critic(torch.from_numpy(views)).squeeze(-1) * self.std + self.mean

    def update(self, batch: dict[str, Tensor]) -> None:
        """All epochs over a rollout's agent-steps, in minibatches by a random permutation."""
        batch["targets"] = self.normalised(batch["targets"])
        for _ in range(self.settings.epochs):
            order = torch.randperm(len(batch["targets"]))
            shuffled = [column[order].split(self.settings.minibatch) for column in batch.values()]
            for minibatch in zip(*shuffled, strict=True):
                loss = self.loss(dict(zip(batch, minibatch, strict=True)))
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters, self.settings.gradient_clip)
                self.optimizer.step()

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        settings, advantages = self.settings, batch["advantages"]
        log_probs = self.log_probs(batch["observations"])
        ratio = (log_probs.gather(1, batch["actions"][:, None])[:, 0] - batch["log_probs"]).exp()
        clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
        of_policy = -torch.minimum(ratio * advantages, clipped * advantages).mean()
        values = self.critic(batch["views"]).squeeze(-1)
        if settings.value_loss == "squared":
            of_values = nn.functional.mse_loss(values, batch["targets"])
        else:
            of_values = 2 * nn.functional.huber_loss(values, batch["targets"])
        entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
        return of_policy + settings.value_coefficient * of_values - settings.entropy * entropy

    def normalised(self, targets: Tensor) -> Tensor:
        """Targets in the critic's units, after these have moved towards the targets' mean and spread."""
        if self.settings.normalise_values:
            step = 0.1 if self.updates else 1.0
            self.mean += step * (float(targets.mean()) - self.mean)
            self.std += step * (max(float(targets.std(correction=0)), 1e-4) - self.std)
            self.updates += 1
        return (targets - self.mean) / self.std


class HandwrittenPPO:
    """The loop: sample a rollout, train every role that `learns` on it; `others` orders for the rest."""

    def __init__(self, network: Network, settings: PPOSettings, learns: Sequence[str], others: Policy | None) -> None:
        replications = settings.replications
        self.network, self.settings, self.others = network, settings, others
        self.chain = Chain(network, replications, split="train")
        self.chain.reset(np.ones(replications, bool), np.arange(replications) * network.days // replications)
        self.seen, roles = self.observe(), self.chain.roles
        views = critic_view(network, self.seen)
        self.agents = {role: ActorCritic(roles[role], views[role].shape[-1], settings) for role in learns}

    def iterate(self) -> int:
        """Sample and learn; the agent-steps sampled, each trained on once an epoch."""
        rollout = self.sample()
        self.learn(rollout)
        return sum(actions.size for actions in rollout.actions.values())

    def observe(self) -> Observations:
        return {role: self.chain.observe(role) for role in self.chain.roles}

    @torch.no_grad()
    def sample(self) -> Rollout:
        """Play a rollout with sampled actions."""
        chain, days = self.chain, self.settings.days
        shapes = {role: (days, *self.seen[role].shape[:2]) for role in self.agents}
        rollout = Rollout(
            {role: np.empty((days + 1, *seen.shape), np.float32) for role, seen in self.seen.items()},
            {role: np.empty(shape, np.int64) for role, shape in shapes.items()},
            {role: np.empty(shape, np.float32) for role, shape in shapes.items()},
            {role: np.empty(shape, np.float32) for role, shape in shapes.items()},
            np.zeros((days, self.settings.replications), bool),
            [],
        )
        for t in range(days):
            for role, seen in self.seen.items():
                rollout.observations[role][t] = seen
            orders = np.zeros(chain.simulator.shape) if self.others is None else self.others.orders(chain)
            for role, agent in self.agents.items():
                actions, rollout.log_probs[role][t] = agent.act(self.seen[role])
                rollout.actions[role][t], nodes = actions, chain.roles[role].nodes
                orders[:, nodes] = chain.orders(role, actions).reshape(len(orders), len(nodes), -1)
            chain.step(orders)
            for role in self.agents:
                rollout.rewards[role][t] = chain.rewards(role)
            self.seen = self.observe()
            ends = chain.simulator.state.day >= self.network.days
            if ends.any() and not self.settings.endless:
                rollout.ends[t] = ends
                rollout.last_seen.append((t, ends, {role: seen[ends] for role, seen in self.seen.items()}))
                chain.reset(ends)
                self.seen = self.observe()
        for role, seen in self.seen.items():
            rollout.observations[role][days] = seen
        return rollout

    def learn(self, rollout: Rollout) -> None:
        """Train every role that learns on a rollout."""
        views = critic_view(self.network, rollout.observations)
        for role, agent in self.agents.items():
            agent.update(self._batch(role, rollout, views[role]))

    @torch.no_grad()
    def _batch(self, role: str, rollout: Rollout, views: np.ndarray) -> dict[str, Tensor]:
        agent, settings = self.agents[role], self.settings
        values = agent.values(views)
        now, following = values[:-1], values[1:].clone()
        for t, rows, seen in rollout.last_seen:
            following[t, rows] = agent.values(critic_view(self.network, seen)[role])
        rewards, ends = torch.from_numpy(rollout.rewards[role]), torch.from_numpy(rollout.ends)[:, :, None].float()
        advantages = gae(rewards, now, following, ends, settings.gamma, settings.gae_lambda)
        columns = {
            "observations": torch.from_numpy(rollout.observations[role][:-1]),
            "views": torch.from_numpy(views[:-1]),
            "actions": torch.from_numpy(rollout.actions[role]),
            "log_probs": torch.from_numpy(rollout.log_probs[role]),
            "advantages": (advantages - advantages.mean()) / advantages.std(correction=0),
            "targets": advantages + now,
        }
        return {name: column.flatten(0, 2) for name, column in columns.items()}
