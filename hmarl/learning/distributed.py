"""What several learners do together. With one of them each function is what it says of its own data."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist


def learners() -> int:
    """How many processes train the same modules."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average(tensor: Tensor) -> None:
    """Put the mean over the learners in the place of a tensor."""
    if learners() > 1:
        dist.all_reduce(tensor)
        tensor.div_(learners())


def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (of the population) of all learners' values together."""
    if learners() == 1:
        return values.mean(), values.std(correction=0)
    wide = values.double()
    sums = torch.stack([torch.ones_like(wide).sum(), wide.sum(), wide.square().sum()])
    dist.all_reduce(sums)
    mean = sums[1] / sums[0]
    return mean.to(values.dtype), (sums[2] / sums[0] - mean.square()).clamp_min(0).sqrt().to(values.dtype)
