"""What the agents of a role may choose, and the values that their choices stand for."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Discrete

from hmarl.network.config import Action, Quantities


def space_of(action: Action) -> Discrete | Box:
    """What one agent may choose: one of a list, or a number from -1 to 1."""
    if action.continuous:
        return Box(-1, 1, (1,), np.float32)
    return Discrete(int(action.high // action.step) + 1 if isinstance(action, Quantities) else len(action.values))


def bounds_of(action: Action) -> tuple[float, float]:
    """The lowest and the highest value."""
    if not isinstance(action, Quantities):
        return min(action.values), max(action.values)
    return 0.0, action.high if action.continuous else action.high // action.step * action.step


def values_of(action: Action, chosen: np.ndarray) -> np.ndarray:
    """The values that actions stand for, in the unit of their kind.

    Parameters
    ----------
    chosen
        Positions in the list of values. Where continuous numbers: -1 is the lowest value, 1 the highest, those
        between are linear, those outside count as the nearer end.
    """
    if action.continuous:
        low, high = bounds_of(action)
        share = (np.clip(chosen, -1.0, 1.0, dtype=np.float64) + 1) / 2
        return low * (1 - share) + high * share
    if isinstance(action, Quantities):
        return chosen * float(action.step)
    return np.asarray(action.values)[chosen]
