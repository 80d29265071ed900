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

from hmarl.learning.actions import Categorical, actions_of
from hmarl.learning.distributed import moments
from hmarl.learning.parameters import FlatParameters

LOCAL, GLOBAL = "local", "global"
FIRST_LOG_STD = -0.5
"""Of continuous actions, which go from -1 to 1."""


def _tanh_(values: Tensor) -> Tensor:
    """tanh x = 2 sigmoid 2x - 1, in place: to 1e-7 the same as torch.tanh, which is up to ten times slower on a CPU."""
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        outputs = _tanh_(inputs.clone())
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

        self._pairs = [(layer.weight, layer.bias) for layer in self.layers]

    def forward(self, inputs: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.activations(inputs.reshape(-1, inputs.shape[-1]))[-1].unflatten(0, inputs.shape[:-1])
        *hidden, last = self.layers
        for layer in hidden:
            inputs = _Tanh.apply(layer(inputs))
        return last(inputs)

    def activations(self, inputs: Tensor) -> list[Tensor]:
        """Inputs ``(n, features)``, what each hidden layer makes of them, and the outputs; without a graph.

        The outputs are a view of ``(outputs, n)``.
        """
        values = [inputs]
        for weight, bias in self._pairs[:-1]:
            values.append(_tanh_(torch.addmm(bias, values[-1], weight.t())))
        weight, bias = self._pairs[-1]
        values.append(torch.addmm(bias.unsqueeze(-1), weight, values[-1].t()).t())
        return values

    def backward(self, activations: Sequence[Tensor], gradient: Tensor) -> None:
        """Write into the parameters' ``grad`` the gradient of a loss whose gradient by the outputs is given.

        Parameters
        ----------
        activations
            Of :meth:`activations`.
        gradient
            ``(n, outputs)``.
        """
        for k in range(len(self._pairs) - 1, -1, -1):
            (weight, bias), inputs = self._pairs[k], activations[k]
            if weight.shape[1] < weight.shape[0]:  # BLAS wants the narrow side first: up to four times as fast
                weight.grad.copy_(torch.mm(inputs.t(), gradient).t())
            else:
                torch.mm(gradient.t(), inputs, out=weight.grad)
            torch.sum(gradient, 0, out=bias.grad)
            if k:
                gradient = torch.ops.aten.tanh_backward(gradient.mm(weight), inputs)


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
        """Move towards the mean and standard deviation of a batch of targets, all learners' together."""
        weight = 1.0 if self.batches == 0 else self.momentum
        self.batches += 1
        mean, std = moments(targets)
        self.mean.lerp_(mean, weight)
        self.std.lerp_(std.clamp_min(1e-4), weight)

    def normalise(self, values: Tensor) -> Tensor:
        """Values in units of the spread, from the mean."""
        return (values - self.mean) / self.std

    def forward(self, normalised: Tensor) -> Tensor:
        return normalised * self.std + self.mean


class ActorCritic(TorchRLModule, InferenceOnlyAPI, ValueFunctionAPI):
    """Centralised training, decentralised execution in one RLModule.

    Observation: ``Dict(local=Box(features), global=Box(critic features))``. The actor reads `local`, the
    critic `global`; in inference (env runners) the critic does not exist and `global` need not be there.
    Actions: ``Discrete``, or a ``Box`` of one dimension, whose normal distribution has the actor's outputs for means
    and a standard deviation that is learned, the same for all observations. ``model_config``: hidden (units of the tanh
    layers), seed (draws the first weights).
    """

    def setup(self) -> None:
        spaces, config = self.observation_space, self.model_config
        generator = torch.Generator().manual_seed(config["seed"])
        self.actions = actions_of(self.action_space)
        discrete = isinstance(self.actions, Categorical)
        hidden, outputs = config["hidden"], self.actions.size if discrete else self.actions.size // 2
        self.actor = MLP([spaces[LOCAL].shape[0], *hidden, outputs], 0.01, generator)
        self.log_std = None if discrete else nn.Parameter(torch.full((outputs,), FIRST_LOG_STD))
        if not self.inference_only:
            self.critic = MLP([spaces[GLOBAL].shape[0], *hidden, 1], 1.0, generator)
            self.value_scale = ValueScale()

    def get_non_inference_attributes(self) -> list[str]:
        return ["critic", "value_scale"]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.action_inputs(self.actor(batch[Columns.OBS][LOCAL]))}

    def action_inputs(self, outputs: Tensor) -> Tensor:
        """What describes the distribution of actions, ``(..., actions.size)``, of the actor's outputs."""
        if self.log_std is None:
            return outputs
        return torch.cat([outputs, self.log_std.expand_as(outputs)], -1)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        return self.value_scale(self.critic(batch[Columns.OBS][GLOBAL]).squeeze(-1))

    def flat_parameters(self) -> FlatParameters:
        """Bind the parameters to vectors: the actor's are the first group, the critic's the second."""
        actor = [*self.actor.parameters(), *([] if self.log_std is None else [self.log_std])]
        return FlatParameters([actor, self.critic.parameters()])

    def actor_backward(self, activations: Sequence[Tensor], gradient: Tensor) -> None:
        """Write into the actor's ``grad`` that of a loss.

        Parameters
        ----------
        activations
            Of the actor.
        gradient
            ``(n, actions.size)`` of the loss, by :meth:`action_inputs`.
        """
        if self.log_std is None:
            self.actor.backward(activations, gradient)
            return
        of_means, of_log_stds = gradient.chunk(2, -1)
        self.actor.backward(activations, of_means)
        torch.sum(of_log_stds, 0, out=self.log_std.grad)


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
