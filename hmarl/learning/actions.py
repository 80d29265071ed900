"""What an actor's outputs mean: a distribution over discrete or continuous actions.

The outputs are laid out as RLlib's own distributions read them (``TorchCategorical``, ``TorchDiagGaussian``). What PPO
needs of them is written out here, gradients included: objects and a graph a minibatch cost more than its arithmetic.
"""

from __future__ import annotations

import math
from typing import Protocol

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor


class Evaluation(Protocol):
    """Actions under the distributions that an actor's outputs describe."""

    log_probs: Tensor
    """``(n,)`` of the actions (densities where they are continuous)."""
    entropy: Tensor
    """``(n,)`` of the distributions, nats."""

    def gradient(self, of_log_probs: Tensor, of_entropy: float) -> Tensor:
        """Gradient of a loss by the actor's outputs, ``(n, size)``; by each log-probability ``(n,)`` and each entropy
        it is given."""


class Actions(Protocol):
    """How to draw actions, and how likely they are. `inputs` are the actor's outputs, ``(..., size)``."""

    size: int
    """Of the actor's output."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one action."""

    @property
    def dtype(self) -> type[np.generic]:
        """Of one action's numbers."""

    def sample(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw actions, ``(..., *shape)``."""

    def likeliest(self, inputs: Tensor) -> Tensor:
        """The likeliest actions, ``(..., *shape)``."""

    def log_probs(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """Log-probabilities (densities) of actions, ``(...)``."""

    def evaluate(self, inputs: Tensor, actions: Tensor) -> Evaluation:
        """Actions ``(n, *shape)`` under inputs ``(n, size)``."""


class Categorical:
    """One of `n` actions; the inputs are logits."""

    shape = ()
    dtype = np.int64

    def __init__(self, n: int) -> None:
        self.size = n

    def sample(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(inputs).exponential_(generator=generator).log_()  # Gumbel's way
        return (inputs - noise).argmax(-1)

    def likeliest(self, inputs: Tensor) -> Tensor:
        return inputs.argmax(-1)

    def log_probs(self, inputs: Tensor, actions: Tensor) -> Tensor:
        flat = _CategoricalEvaluation(inputs.reshape(-1, self.size), actions.reshape(-1))
        return flat.log_probs.view(actions.shape)

    def evaluate(self, inputs: Tensor, actions: Tensor) -> Evaluation:
        return _CategoricalEvaluation(inputs, actions)


class _CategoricalEvaluation:
    """Works on logits of all rows by action: the other way round a softmax takes ten times as long."""

    def __init__(self, logits: Tensor, actions: Tensor) -> None:
        log_probs = logits.t().contiguous().log_softmax(0)
        self._taken = actions.unsqueeze(0)
        self._probs = log_probs.exp()
        self._weighted = self._probs * log_probs
        self.log_probs = log_probs.gather(0, self._taken).squeeze(0)
        self.entropy = -self._weighted.sum(0)

    def gradient(self, of_log_probs: Tensor, of_entropy: float) -> Tensor:
        # d log p(a) / dz = 1[a] - p;  dH / dz = -p (log p + H)
        shared = torch.add(of_log_probs, self.entropy, alpha=of_entropy)
        gradient = torch.addcmul(self._weighted * -of_entropy, self._probs, shared, value=-1)
        return gradient.scatter_add_(0, self._taken, of_log_probs.unsqueeze(0)).t()


class Gaussian:
    """Independent normal numbers; the inputs are their means and then the logarithms of their standard deviations."""

    dtype = np.float32

    def __init__(self, shape: tuple[int, ...]) -> None:
        (self.length,) = self.shape = shape
        self.size = 2 * self.length

    def sample(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        mean, log_std = inputs.chunk(2, -1)
        return mean + log_std.exp() * torch.empty_like(mean).normal_(generator=generator)

    def likeliest(self, inputs: Tensor) -> Tensor:
        return inputs[..., : self.length]

    def log_probs(self, inputs: Tensor, actions: Tensor) -> Tensor:
        return _GaussianEvaluation(inputs, actions).log_probs

    def evaluate(self, inputs: Tensor, actions: Tensor) -> Evaluation:
        return _GaussianEvaluation(inputs, actions)


class _GaussianEvaluation:
    def __init__(self, inputs: Tensor, actions: Tensor) -> None:
        mean, log_std = inputs.chunk(2, -1)
        self._precision = (-log_std).exp()
        self._score = (actions - mean) * self._precision
        self.log_probs = -(0.5 * self._score.square() + log_std + 0.5 * math.log(2 * math.pi)).sum(-1)
        self.entropy = (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def gradient(self, of_log_probs: Tensor, of_entropy: float) -> Tensor:
        weight = of_log_probs.unsqueeze(-1)
        of_mean = weight * self._score * self._precision
        of_log_std = weight * (self._score.square() - 1) + of_entropy
        return torch.cat([of_mean, of_log_std], -1)


def actions_of(space: gym.Space) -> Actions:
    """The distribution over an action space: ``Discrete``, or a ``Box`` of one dimension."""
    if isinstance(space, gym.spaces.Discrete):
        return Categorical(int(space.n))
    return Gaussian(tuple(space.shape))
