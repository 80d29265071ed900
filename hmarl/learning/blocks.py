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

from hmarl.learning.gae import gae
from hmarl.learning.module import GLOBAL, LOCAL, ActorCritic
from hmarl.network.config import Network
from hmarl.roles import critic_view

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


@dataclass
class Block:
    """T days of B replications: what RLlib passes around in the place of a list of episodes.

    `observations` and `next_observations` hold all roles, the other columns those that learn.
    """

    observations: Observations  # (T, B, agents, features)
    next_observations: Observations  # (B, agents, features) after the last day
    cuts: Cuts | None
    ends: NDArray[np.bool_]  # (T, B) the chain began anew after this day
    actions: dict[str, NDArray[Any]]  # (T, B, agents) integers, (T, B, agents, 1) where they are continuous
    log_probs: dict[str, NDArray[np.float32]]  # (T, B, agents)
    rewards: dict[str, NDArray[np.float32]]  # (T, B, agents)

    @classmethod
    def empty(cls, now: Observations, learns: Sequence[str], days: int) -> Block:
        """Room for `days` days; `now` is what the agents see, ``(B, agents, features)``."""
        shapes = {role: (days, *now[role].shape[:2]) for role in learns}
        return cls(
            observations={role: np.empty((days, *seen.shape), np.float32) for role, seen in now.items()},
            next_observations=now,
            cuts=None,
            ends=np.zeros((days, len(next(iter(now.values())))), bool),
            actions={role: np.empty(shape, np.int64) for role, shape in shapes.items()},
            log_probs={role: np.empty(shape, np.float32) for role, shape in shapes.items()},
            rewards={role: np.empty(shape, np.float32) for role, shape in shapes.items()},
        )

    def __len__(self) -> int:
        return self.ends.size

    def env_steps(self) -> int:
        """Days of all replications."""
        return self.ends.size

    def agent_steps(self) -> int:
        """Decisions of the agents that learn."""
        return sum(actions.size for actions in self.actions.values())


class TrainingBatch(ConnectorV2):
    """The learner connector: blocks in, for each role that learns a batch of agent-steps out.

    Each batch has the observations (local and global), actions, their log-probabilities, advantages
    (normalised over the batch), value targets and the values they were worked out with, as tensors on the
    learner's device.

    Parameters
    ----------
    network
        Says what the critics see.
    gamma, lambda_
        Of :func:`hmarl.learning.gae.gae`.
    """

    def __init__(
        self,
        input_observation_space: gym.Space | None = None,
        input_action_space: gym.Space | None = None,
        *,
        network: Network,
        gamma: float,
        lambda_: float,
    ) -> None:
        super().__init__(input_observation_space, input_action_space)
        self.network, self.gamma, self.lambda_ = network, gamma, lambda_

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
        advantages = gae(block.rewards[role], now, following, block.ends[:, :, None], self.gamma, self.lambda_).astype(
            np.float32
        )
        columns: dict[str, NDArray[Any]] = {
            LOCAL: block.observations[role],
            Columns.ACTIONS: block.actions[role],
            Columns.ACTION_LOGP: block.log_probs[role],
            Postprocessing.ADVANTAGES: advantages,
            Postprocessing.VALUE_TARGETS: advantages + now,
            Columns.VF_PREDS: now,
        }
        tensors = {name: _tensor(array).to(device) for name, array in columns.items()} | {GLOBAL: global_}
        return {name: tensor.flatten(0, 2) for name, tensor in tensors.items()}


class _Views:
    """What the critics see of a block."""

    def __init__(self, network: Network, block: Block) -> None:
        self.days = critic_view(network, block.observations)
        self.last = critic_view(network, block.next_observations)
        self.cuts = {} if block.cuts is None else critic_view(network, block.cuts.observations)


def _joined(parts: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
    batch: dict[str, Any] = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    batch[Columns.OBS] = {LOCAL: batch.pop(LOCAL), GLOBAL: batch.pop(GLOBAL)}
    advantages = batch[Postprocessing.ADVANTAGES]
    spread = advantages.std(correction=0).clamp_min(1e-4)
    batch[Postprocessing.ADVANTAGES] = (advantages - advantages.mean()) / spread
    return batch


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    # What came through Ray's object store is read-only, which torch does not know.
    return torch.from_numpy(array if array.flags.writeable else array.copy())
