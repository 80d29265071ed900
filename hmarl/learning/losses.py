"""PPO's losses and their gradients as pure functions of tensors."""

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


def surrogate_gradient(ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Gradient of :func:`surrogate_loss` by the log-probability of each action."""
    free, clipped = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    return torch.where(free <= clipped, free, 0.0).mul_(-1 / len(ratio))


def value_loss(predictions: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Mean squared error, or ("huber") twice Huber's loss, which is the same up to an error of 1."""
    if kind == "squared":
        return functional.mse_loss(predictions, targets)
    return 2 * functional.huber_loss(predictions, targets)


def value_gradient(predictions: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Gradient of :func:`value_loss` by each prediction."""
    errors = predictions - targets
    return (errors if kind == "squared" else errors.clamp_(-1, 1)).mul_(2 / len(errors))
