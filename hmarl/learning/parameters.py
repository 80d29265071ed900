"""The parameters of networks in one piece of memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn


class FlatParameters:
    """Parameters and their gradients as views of two vectors.

    Two vectors are clipped, reduced among learners and stepped at a fraction of what a dozen small tensors cost. The
    parameters stay what they were to everybody else; only ``.to(device)`` must not follow.

    Parameters
    ----------
    groups
        Parameters that are to be stepped together or not at all.

    Attributes
    ----------
    groups
        A vector for each group, with its ``grad``: what an optimizer is given.
    gradients
        All gradients, one vector.
    """

    def __init__(self, groups: Sequence[Iterable[nn.Parameter]]) -> None:
        parts = [list(group) for group in groups]
        sizes = [sum(parameter.numel() for parameter in part) for part in parts]
        values = torch.cat([parameter.detach().flatten() for part in parts for parameter in part])
        self.gradients = torch.zeros_like(values)
        self.groups = []
        for part, vector, gradient in zip(parts, values.split(sizes), self.gradients.split(sizes), strict=True):
            group = nn.Parameter(vector)
            group.grad = gradient
            self.groups.append(group)
            lengths = [parameter.numel() for parameter in part]
            for parameter, value, slope in zip(part, vector.split(lengths), gradient.split(lengths), strict=True):
                parameter.data = value.view_as(parameter)
                parameter.grad = slope.view_as(parameter)

    def clip(self, largest: float) -> None:
        """Scale all gradients down where their common norm is above `largest`."""
        self.gradients.mul_((self.norm() + 1e-6).reciprocal_().mul_(largest).clamp_max_(1))

    def norm(self) -> torch.Tensor:
        """Of all gradients together."""
        return torch.linalg.vector_norm(self.gradients)
