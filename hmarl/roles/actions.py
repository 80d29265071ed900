"""What the agents of a role may choose, and what their choices ask for."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Discrete
from numba import njit, types

from hmarl.network.config import Action, Multiples, OrderUpTo, Quantities
from hmarl.roles.observation import nodes_of
from hmarl.simulator import rows
from hmarl.simulator.day import position_of
from hmarl.simulator.memory import declare, fields

declare(types.float64, 2, "textbook position_rows")

_UNITS, _MULTIPLES, _UP_TO, _CORRECTION = range(4)


def space_of(action: Action) -> Discrete | Box:
    """What one agent may choose: one of a list, or a number from -1 to 1."""
    if action.continuous:
        return Box(-1, 1, (1,), np.float32)
    return Discrete(len(values_of(action)))


def values_of(action: Action) -> np.ndarray:
    """What an action may stand for, in the unit of its kind: every value, or the two ends where it is continuous."""
    if isinstance(action, Quantities):
        if action.continuous:
            return np.array([0.0, action.high])
        return np.arange(int(action.high // action.step) + 1) * float(action.step)
    values = np.array(action.values, np.float64)
    return np.array([values.min(), values.max()]) if action.continuous else values


def chosen_values(values: np.ndarray, chosen: np.ndarray, continuous: bool) -> np.ndarray:
    """The values that actions stand for.

    Parameters
    ----------
    values
        Of :func:`values_of`.
    chosen
        Positions among the values. Where continuous numbers: -1 is the lowest value, 1 the highest, those
        between are linear, those outside count as the nearer end.
    """
    if not continuous:
        return values.take(chosen)
    share = (np.clip(chosen, -1.0, 1.0, dtype=np.float64) + 1) / 2
    return values[0] * (1 - share) + values[1] * share


def action_kind(action: Action) -> tuple[int, bool]:
    """How :func:`quantities` reads an action, and whether it looks at the echelon's position."""
    if isinstance(action, OrderUpTo):
        return _UP_TO, action.echelon
    if isinstance(action, Quantities):
        return _UNITS, False
    return (_MULTIPLES if isinstance(action, Multiples) else _CORRECTION), False


@njit(error_model="numpy")
def _lift(value, mean, least, position, out):
    for b in range(len(out)):
        out[b] = max(value[b] * mean + least - position[b], 0.0)


@njit(error_model="numpy")
def _multiply(value, forecast, out):
    for b in range(len(out)):
        out[b] = value[b] * forecast[b]


@njit(cache=True, nogil=True, error_model="numpy")
def quantities(w, role, kind, echelon, values, out):
    """Fill ``out (B, agents)`` with the units that the values of actions ``(B, agents)`` ask for."""
    below_start, below = fields(w, "below_start below")
    forecast, mean, textbook, work = fields(w, "forecast mean textbook position_rows")
    replications, agents = out.shape
    nodes = nodes_of(w, role)
    skus = agents // len(nodes)
    position, part = work[0], work[1]
    for a in range(agents):
        n, k = nodes[a // skus], a % skus
        if kind == _UNITS:
            rows.copy(out[:, a], values[:, a])
        elif kind == _MULTIPLES:
            _multiply(values[:, a], forecast[n, k], out[:, a])
        else:
            position_of(w, n, k, 0, replications, position)
            for j in range(below_start[n], below_start[n + 1] if echelon else below_start[n]):
                if below[j] != n:
                    position_of(w, below[j], k, 0, replications, part)
                    rows.add(position, part)
            _lift(values[:, a], mean[n, k], textbook[n, k] if kind == _CORRECTION else 0.0, position, out[:, a])
