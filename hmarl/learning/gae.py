"""Generalised advantage estimation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    ends: NDArray[np.bool_],
    gamma: float,
    lambda_: float,
) -> Array:
    """Advantages of a rollout: Schulman et al. 2016, equation 16.

    Parameters
    ----------
    rewards, values
        ``(T, ...)`` reward of each day and value of the observation that its action was chosen on.
    next_values
        ``(T, ...)`` value of the observation the day led to, before any reset: 0 where an episode terminated,
        the critic's value where it was only cut short (truncated), else the next row of `values`.
    ends
        ``(T, ...)`` whether an episode ended with the day, either way; broadcast to `rewards`.
    gamma, lambda_
        Discount a day; weight of the longer estimates.

    Returns
    -------
    ``(T, ...)`` advantages; with `values` added they are the critic's targets.
    """
    advantages = rewards + gamma * next_values - values
    carry = gamma * lambda_ * (1 - np.asarray(ends, advantages.dtype))
    for t in range(len(advantages) - 2, -1, -1):
        advantages[t] += carry[t] * advantages[t + 1]
    return advantages
