"""What an actor's outputs mean: a distribution over discrete or continuous actions.

The outputs are laid out as RLlib's own distributions read them (``TorchCategorical``, ``TorchDiagGaussian``); here the
few things that PPO needs are plain functions of tensors, because an object a minibatch costs as much as its arithmetic.
"""

from __future__ import annotations

import math
from typing import Protocol

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor


class Actions(Protocol):
    """How to draw actions, and how likely they are. `inputs` are the actor's outputs, ``(..., size)``."""

    size: int
    """Of the actor's output."""
    shape: tuple[int, ...]
    """Of one action."""
    dtype: type[np.generic]

    def sample(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw actions, ``(..., *shape)``."""

    def likeliest(self, inputs: Tensor) -> Tensor:
        """The likeliest actions, ``(..., *shape)``."""

    def uniform(self, like: Tensor) -> Tensor:
        """Inputs under which no action is preferred, ``(..., size)``."""

    def log_probs(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """Log-probabilities (densities) of actions, ``(...)``."""

    def log_probs_and_entropy(self, inputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and the mean entropy of the distributions, nats."""


class Categorical:
    """One of `n` actions; the inputs are logits."""

    dtype = np.int64

    def __init__(self, n: int) -> None:
        self.size, self.shape = n, ()

    def sample(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(inputs).exponential_(generator=generator).log_()  # Gumbel's way
        return (inputs - noise).argmax(-1)

    def likeliest(self, inputs: Tensor) -> Tensor:
        return inputs.argmax(-1)

    def uniform(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)

    def log_probs(self, inputs: Tensor, actions: Tensor) -> Tensor:
        return inputs.log_softmax(-1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    def log_probs_and_entropy(self, inputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = inputs.log_softmax(-1)
        entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
        return log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1), entropy


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

    def uniform(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)

    def log_probs(self, inputs: Tensor, actions: Tensor) -> Tensor:
        mean, log_std = inputs.chunk(2, -1)
        score = (actions - mean) * (-log_std).exp()
        return -(0.5 * score * score + log_std).sum(-1) - 0.5 * self.length * math.log(2 * math.pi)

    def log_probs_and_entropy(self, inputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        entropy = inputs[..., self.length :].sum(-1).mean() + 0.5 * self.length * math.log(2 * math.pi * math.e)
        return self.log_probs(inputs, actions), entropy


def actions_of(space: gym.Space) -> Actions:
    """The distribution over an action space: ``Discrete``, or a ``Box`` of one dimension."""
    if isinstance(space, gym.spaces.Discrete):
        return Categorical(int(space.n))
    return Gaussian(tuple(space.shape))
