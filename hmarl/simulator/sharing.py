"""How too little is shared: among nodes, and among the SKUs of a node. Odd units go to the lowest index.

Where an argument is a row, it holds a number for each replication.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from hmarl.simulator import rows

_WHOLE = 1e-9  # an integer that floating-point division brought just below itself


@njit(error_model="numpy")
def cut_to_capacity(values, total, capacity, pack, integer):
    """Scale `values (S, B)` down to `capacity`, in proportion; whole packs or units where they are asked for.

    `total` is a row of scratch.
    """
    rows.fill(total, 0.0)
    rows.add_all(total, values)
    for k in range(len(values)):
        _cut(values[k], total, capacity, pack[k], integer)


@njit(error_model="numpy")
def _cut(row, total, capacity, pack, integer):
    unit = pack if pack > 0.0 else 1.0
    whole = pack > 0.0 or integer
    for b in range(len(row)):
        cut = row[b] * capacity / total[b]
        if whole:
            cut = np.floor(cut / unit + _WHOLE) * unit
        row[b] = cut if total[b] > capacity else row[b]


@njit(error_model="numpy")
def share_proportionally(share, asked, child, first, last, k, available, total, left, integer):
    """Where `total > available` give each child its part of `available` in proportion to what it asks for.

    `share` holds what the children ask for and is changed in place; `asked` and the row `left` are scratch.
    """
    for b in range(len(left)):
        left[b] = available[b] if total[b] > available[b] else 0.0
    for i in range(first, last):
        rows.copy(asked[child[i], k], share[child[i], k])
        _take_part(share[child[i], k], available, total, integer)
        _take_from(left, share[child[i], k], available, total)
    for i in range(first, last if integer else first):
        _take_odd_unit(share[child[i], k], asked[child[i], k], left)


@njit(error_model="numpy")
def _take_part(share, available, total, integer):
    for b in range(len(share)):
        part = share[b] * available[b] / total[b]
        if integer:
            part = np.floor(part + _WHOLE)
        share[b] = part if total[b] > available[b] else share[b]


@njit(error_model="numpy")
def _take_from(left, share, available, total):
    for b in range(len(left)):
        left[b] -= share[b] if total[b] > available[b] else 0.0


@njit(error_model="numpy")
def _take_odd_unit(share, asked, left):
    for b in range(len(share)):
        unit = 1.0 if (left[b] >= 1.0 - _WHOLE) & (share[b] + 1.0 <= asked[b]) else 0.0
        share[b] += unit
        left[b] -= unit


@njit(error_model="numpy")
def share_equal_shortfall(share, scratch, child, first, last, k, b, available, total, integer):
    """Give the children so much that what each lacks ends as equal as possible (`share`, changed in place)."""
    short, active, lower, level = total - available, 0, 0.0, 0.0
    for i in range(first, last):
        if share[child[i], k, b] > 0.0:
            active += 1
    # each child goes `level` short, or all it asks for where that is less: raise the level until it adds up
    while active > 0:
        level = short / active
        removed = 0
        for i in range(first, last):
            asked = share[child[i], k, b]
            if lower < asked <= level:
                short -= asked
                removed += 1
        if removed == 0:
            break
        active -= removed
        lower = level
    if integer:
        level = math.floor(level + _WHOLE)
    over = -available
    for i in range(first, last):
        c = child[i]
        scratch[c, k, b] = max(0.0, share[c, k, b] - level)
        over += scratch[c, k, b]
    for i in range(last - 1, first - 1, -1):
        c = child[i]
        if integer and over >= 1.0 - _WHOLE and scratch[c, k, b] >= 1.0:
            scratch[c, k, b] -= 1.0
            over -= 1.0
        share[c, k, b] = scratch[c, k, b]


@njit(error_model="numpy")
def split_overflow(overflow, received, on_hand, b, excess, arrived, integer):
    """Take `excess` units of today's arrivals out of a node's stock, in proportion to what arrived of each SKU.

    Arrays ``(S, B)``.
    """
    left = excess
    for k in range(len(received)):
        part = received[k, b] * excess / arrived
        overflow[k, b] = math.floor(part + _WHOLE) if integer else part
        left -= overflow[k, b]
    for k in range(len(received)):
        if integer and left >= 1.0 - _WHOLE and overflow[k, b] + 1.0 <= received[k, b]:
            overflow[k, b] += 1.0
            left -= 1.0
        on_hand[k, b] -= overflow[k, b]
