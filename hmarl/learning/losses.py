"""PPO's losses as pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def surrogate_loss(ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """The clipped surrogate, to be made small: Schulman et al. 2017, equation 7.

    Parameters
    ----------
    ratio
        Probability of each action now over that when it was taken.
    advantages
        Of those actions.
    clip
        The paper's epsilon.
    """
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


def value_loss(predictions: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Mean squared error, or ("huber") twice Huber's loss, which is the same up to an error of 1."""
    if kind == "squared":
        return functional.mse_loss(predictions, targets)
    return 2 * functional.huber_loss(predictions, targets)


def entropy(log_probs: Tensor) -> Tensor:
    """Mean entropy of categorical distributions given as ``(..., actions)`` log-probabilities, nats."""
    return -(log_probs.exp() * log_probs).sum(-1).mean()
