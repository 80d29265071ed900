"""What a runner hands to a learner, and how a training batch is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing

from hmarl.learning.actions import Actions
from hmarl.learning.distributed import moments
from hmarl.learning.gae import gae
from hmarl.learning.module import GLOBAL, LOCAL, ActorCritic
from hmarl.network.config import Network
from hmarl.roles import Chain, critic_view

Observations = dict[str, NDArray[np.float32]]
"""Local observations by role, ``(..., agents, features)``: those of all roles, once a replication. What the
critic sees is worked out from them, in the learner."""


@dataclass
class Cuts:
    """Where chains began anew in a rollout, and what their agents saw on the morning that was not played."""

    day: NDArray[np.int64]  # (K,) of the rollout
    row: NDArray[np.int64]  # (K,) replication
    observations: Observations  # (K, agents, features)

    @classmethod
    def joined(cls, parts: Sequence[Cuts]) -> Cuts | None:
        """All cuts of a rollout; None where there are none."""
        if not parts:
            return None
        return cls(
            day=np.concatenate([part.day for part in parts]),
            row=np.concatenate([part.row for part in parts]),
            observations={
                role: np.concatenate([part.observations[role] for part in parts]) for role in parts[0].observations
            },
        )

    def among(self, rows: slice) -> Cuts:
        """Those of some replications, counted from the first of them."""
        chosen = (self.row >= rows.start) & (self.row < rows.stop)
        observations = {role: seen[chosen] for role, seen in self.observations.items()}
        return Cuts(self.day[chosen], self.row[chosen] - rows.start, observations)


@dataclass
class Block:
    """T days of B replications: what RLlib passes around in the place of a list of episodes.

    `observations` and `next_observations` hold all roles, the other columns those that learn.
    """

    observations: Observations  # (T, B, agents, features)
    next_observations: Observations  # (B, agents, features) after the last day
    cuts: Cuts | None
    ends: NDArray[np.bool_]  # (T, B) the chain began anew after this day
    actions: dict[str, NDArray[Any]]  # (T, B, agents, *shape of an action)
    inputs: dict[str, NDArray[np.float32]]  # (T, B, agents, size) of the distributions drawn from
    log_probs: dict[str, NDArray[np.float32]]  # (T, B, agents)
    rewards: dict[str, NDArray[np.float32]]  # (T, B, agents)

    @classmethod
    def empty(cls, chain: Chain, learns: Mapping[str, Actions], days: int) -> Block:
        """Room for `days` days of a chain; what is known only at the end is left out."""
        sizes = {role: (days, chain.replications, len(agents.agents)) for role, agents in chain.roles.items()}
        return cls(
            observations={
                role: np.empty((*size, len(chain.roles[role].features)), np.float32) for role, size in sizes.items()
            },
            next_observations={},
            cuts=None,
            ends=np.zeros((days, chain.replications), bool),
            actions={role: np.empty((*sizes[role], *kind.shape), kind.dtype) for role, kind in learns.items()},
            inputs={role: np.empty((*sizes[role], kind.size), np.float32) for role, kind in learns.items()},
            log_probs={},
            rewards={},
        )

    def __len__(self) -> int:
        return self.ends.size

    def __getitem__(self, steps: slice) -> Block:
        """Views of some replications: as many as have these environment steps, rounded up.

        RLlib divides what was sampled among several learners so; see :meth:`slice`.
        """
        days, replications = self.ends.shape
        first, last, _ = steps.indices(len(self))
        rows = slice(-(-first // days), -(-last // days))
        assert rows.stop <= replications

        def of(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            return {role: array[:, rows] for role, array in columns.items()}

        return Block(
            observations=of(self.observations),
            next_observations={role: seen[rows] for role, seen in self.next_observations.items()},
            cuts=self.cuts and self.cuts.among(rows),
            ends=self.ends[:, rows],
            actions=of(self.actions),
            inputs=of(self.inputs),
            log_probs=of(self.log_probs),
            rewards=of(self.rewards),
        )

    def slice(self, steps: slice, *, len_lookback_buffer: int | None = None) -> Block:
        """The same under the name and with the parameters of RLlib's episodes; nothing is looked back on."""
        return self[steps]

    def env_steps(self) -> int:
        """Days of all replications."""
        return self.ends.size

    def agent_steps(self) -> int:
        """Decisions of the agents that learn."""
        return sum(log_probs.size for log_probs in self.log_probs.values())


class TrainingBatch(ConnectorV2):
    """The learner connector: blocks in, for each role that learns a batch of agent-steps out.

    Each batch has the observations (local and global), actions, their log-probabilities and the inputs of the
    distributions they were drawn from, advantages (normalised over the batches of all learners), value targets and
    the values they were worked out with, as tensors on the learner's device.

    Parameters
    ----------
    network
        Says what the critics see.
    gamma, lambda_
        Of :func:`hmarl.learning.gae.gae`.
    same_draws
        So many neighbouring replications met the same demand: the mean of their advantages is what the demand did,
        not the actions, and is taken off. This is the baseline of Mao, Venkatakrishnan, Schwarzkopf and Alizadeh,
        "Variance reduction for reinforcement learning in input-driven environments" (ICLR 2019), made of the others.
    """

    def __init__(
        self,
        input_observation_space: gym.Space | None = None,
        input_action_space: gym.Space | None = None,
        *,
        network: Network,
        gamma: float,
        lambda_: float,
        same_draws: int = 1,
    ) -> None:
        super().__init__(input_observation_space, input_action_space)
        self.network, self.gamma, self.lambda_, self.same_draws = network, gamma, lambda_, same_draws

    @torch.no_grad()
    def __call__(self, *, rl_module: Any, batch: Any, episodes: Sequence[Block], **kwargs: Any) -> dict[str, Any]:
        parts: dict[str, list[dict[str, torch.Tensor]]] = {}
        for block in episodes:
            views = _Views(self.network, block)
            for role in block.actions:
                parts.setdefault(role, []).append(self._agent_steps(role, block, views, rl_module[role].unwrapped()))
        return {role: _joined(some) for role, some in parts.items()}

    def _agent_steps(self, role: str, block: Block, views: _Views, module: ActorCritic) -> dict[str, torch.Tensor]:
        device = next(module.parameters()).device

        def values(view: Mapping[str, NDArray[np.float32]]) -> tuple[torch.Tensor, NDArray[np.float32]]:
            seen = _tensor(view[role]).to(device)
            return seen, module.compute_values({Columns.OBS: {GLOBAL: seen}}).numpy(force=True)

        global_, now = values(views.days)
        following = np.concatenate([now[1:], values(views.last)[1][None]])
        if block.cuts is not None:
            following[block.cuts.day, block.cuts.row] = 0 if self.network.finite else values(views.cuts)[1]
        advantages = gae(block.rewards[role], now, following, block.ends[:, :, None], self.gamma, self.lambda_)
        columns: dict[str, NDArray[Any]] = {
            LOCAL: block.observations[role],
            Columns.ACTIONS: block.actions[role],
            Columns.ACTION_DIST_INPUTS: block.inputs[role],
            Columns.ACTION_LOGP: block.log_probs[role],
            Postprocessing.ADVANTAGES: self._over_common(advantages),
            Postprocessing.VALUE_TARGETS: advantages + now,
            Columns.VF_PREDS: now,
        }
        tensors = {name: _tensor(array).to(device) for name, array in columns.items()} | {GLOBAL: global_}
        return {name: tensor.flatten(0, 2) for name, tensor in tensors.items()}

    def _over_common(self, advantages: NDArray[np.float32]) -> NDArray[np.float32]:
        """Advantages ``(T, B, agents)`` less their mean over the replications of the same draws."""
        if self.same_draws == 1:
            return advantages
        days, replications, agents = advantages.shape
        groups = advantages.reshape(days, -1, self.same_draws, agents)
        return (groups - groups.mean(2, keepdims=True)).reshape(days, replications, agents)


class _Views:
    """What the critics of the roles that learn see of a block."""

    def __init__(self, network: Network, block: Block) -> None:
        learns = list(block.actions)
        self.days = critic_view(network, block.observations, learns)
        self.last = critic_view(network, block.next_observations, learns)
        self.cuts = {} if block.cuts is None else critic_view(network, block.cuts.observations, learns)


def _joined(parts: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
    batch: dict[str, Any] = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    batch[Columns.OBS] = {LOCAL: batch.pop(LOCAL), GLOBAL: batch.pop(GLOBAL)}
    mean, spread = moments(batch[Postprocessing.ADVANTAGES])
    batch[Postprocessing.ADVANTAGES] = (batch[Postprocessing.ADVANTAGES] - mean) / spread.clamp_min(1e-4)
    return batch


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    # What came through Ray's object store is read-only, which torch does not know.
    return torch.from_numpy(array if array.flags.writeable else array.copy())
