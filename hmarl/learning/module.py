"""The actor-critic of a role: the actor sees what its agent sees, the critic, in training only, the chain."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

LOCAL, GLOBAL = "local", "global"


class _Tanh(torch.autograd.Function):
    """tanh x = 2 sigmoid 2x - 1: to 1e-7 the same as torch.tanh, which is up to ten times slower on a CPU."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        outputs = torch.sigmoid(inputs + inputs).mul_(2).sub_(1)
        ctx.save_for_backward(outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (outputs,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(gradient, outputs)


class MLP(nn.Module):
    """Linear layers with tanh between them; orthogonal weights, biases 0.

    Parameters
    ----------
    sizes
        Units from input to output.
    gain
        Of the last layer's weights; the others have sqrt(2).
    generator
        Draws the weights.
    """

    def __init__(self, sizes: Sequence[int], gain: float, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(sizes))
        for k, layer in enumerate(self.layers, start=2):
            nn.init.orthogonal_(layer.weight, gain if k == len(sizes) else 2**0.5, generator)
            nn.init.zeros_(layer.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            inputs = _Tanh.apply(layer(inputs))
        return last(inputs)


class ValueScale(nn.Module):
    """Running mean and spread of the critic's targets; values are predicted in these units.

    The first batch sets them, each later one moves them by `momentum`. Left alone they are 0 and 1.
    """

    momentum = 0.1
    mean: Tensor
    std: Tensor
    batches: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def update(self, targets: Tensor) -> None:
        """Move towards the mean and standard deviation of a batch of targets."""
        weight = 1.0 if self.batches == 0 else self.momentum
        self.batches += 1
        self.mean.lerp_(targets.mean(), weight)
        self.std.lerp_(targets.std(correction=0).clamp_min(1e-4), weight)

    def normalise(self, values: Tensor) -> Tensor:
        """Values in units of the spread, from the mean."""
        return (values - self.mean) / self.std

    def forward(self, normalised: Tensor) -> Tensor:
        return normalised * self.std + self.mean


class ActorCritic(TorchRLModule, InferenceOnlyAPI, ValueFunctionAPI):
    """Centralised training, decentralised execution in one RLModule.

    Observation: ``Dict(local=Box(features), global=Box(critic features))``. The actor reads `local`, the
    critic `global`; in inference (env runners) the critic does not exist and `global` need not be there.
    Actions are discrete. ``model_config``: hidden (units of the tanh layers), seed (draws the first weights).
    """

    def setup(self) -> None:
        spaces, config = self.observation_space, self.model_config
        generator = torch.Generator().manual_seed(config["seed"])
        hidden, n_actions = config["hidden"], int(self.action_space.n)
        self.actor = MLP([spaces[LOCAL].shape[0], *hidden, n_actions], 0.01, generator)
        if not self.inference_only:
            self.critic = MLP([spaces[GLOBAL].shape[0], *hidden, 1], 1.0, generator)
            self.value_scale = ValueScale()

    def get_non_inference_attributes(self) -> list[str]:
        return ["critic", "value_scale"]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.actor(batch[Columns.OBS][LOCAL])}

    def normalised_values(self, observations: Tensor) -> Tensor:
        """What the critic says of global observations ``(..., features)``, in the units of the scale."""
        return self.critic(observations).squeeze(-1)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        return self.value_scale(self.normalised_values(batch[Columns.OBS][GLOBAL]))


def sample_actions(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw actions from ``(..., actions)`` logits (Gumbel's way)."""
    noise = torch.empty_like(logits).exponential_(generator=generator).log_()
    return (logits - noise).argmax(-1)


def greedy_actions(logits: Tensor) -> Tensor:
    """The likeliest actions, the lowest of equals."""
    return logits.argmax(-1)


def log_probs_of(logits: Tensor, actions: Tensor) -> Tensor:
    """Log-probabilities of actions ``(...)`` under ``(..., actions)`` logits."""
    return logits.log_softmax(-1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def actor_weights(module: ActorCritic) -> dict[str, np.ndarray]:
    """The actor alone, as it is deployed: ``layers.0.weight (out, in)``, ``layers.0.bias`` ...; copies."""
    return {name: value.numpy(force=True).copy() for name, value in module.actor.state_dict().items()}


def load_actor(module: ActorCritic, weights: Mapping[str, np.ndarray]) -> None:
    """Put weights in :func:`actor_weights`' naming into a module's actor.

    Raises
    ------
    RuntimeError
        If a name or a shape is not the module's.
    """
    module.actor.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
