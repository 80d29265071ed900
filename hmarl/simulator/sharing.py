"""How too little is shared: among nodes, and among the SKUs of a node. Odd units go to the lowest index."""

from __future__ import annotations

import math

from numba import njit

_WHOLE = 1e-9  # an integer that floating-point division brought just below itself


@njit(error_model="numpy")
def cut_to_capacity(values, b, n, capacity, pack, integer):
    """Scale row (b, n) of `values` down to `capacity`, in proportion; whole packs or units where they are asked for."""
    total = 0.0
    for k in range(values.shape[2]):
        total += values[b, n, k]
    if total <= capacity:
        return
    for k in range(values.shape[2]):
        cut = values[b, n, k] * capacity / total
        if pack[n, k] > 0.0:
            cut = math.floor(cut / pack[n, k] + _WHOLE) * pack[n, k]
        elif integer:
            cut = math.floor(cut + _WHOLE)
        values[b, n, k] = cut


@njit(error_model="numpy")
def share_proportionally(share, scratch, child, first, last, b, k, available, total, integer):
    """Give each child its part of `available` in proportion to what it asks for (`share`, changed in place)."""
    left = available
    for i in range(first, last):
        asked = share[b, child[i], k]
        part = asked * available / total
        if integer:
            part = math.floor(part + _WHOLE)
        scratch[b, child[i], k] = asked
        share[b, child[i], k] = part
        left -= part
    for i in range(first, last if integer else first):
        c = child[i]
        if left >= 1.0 - _WHOLE and share[b, c, k] + 1.0 <= scratch[b, c, k]:
            share[b, c, k] += 1.0
            left -= 1.0


@njit(error_model="numpy")
def share_equal_shortfall(share, scratch, child, first, last, b, k, available, total, integer):
    """Give the children so much that what each lacks ends as equal as possible (`share`, changed in place)."""
    short, active, lower, level = total - available, 0, 0.0, 0.0
    for i in range(first, last):
        if share[b, child[i], k] > 0.0:
            active += 1
    # each child goes `level` short, or all it asks for where that is less: raise the level until it adds up
    while active > 0:
        level = short / active
        removed = 0
        for i in range(first, last):
            asked = share[b, child[i], k]
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
        scratch[b, c, k] = max(0.0, share[b, c, k] - level)
        over += scratch[b, c, k]
    for i in range(last - 1, first - 1, -1):
        c = child[i]
        if integer and over >= 1.0 - _WHOLE and scratch[b, c, k] >= 1.0:
            scratch[b, c, k] -= 1.0
            over -= 1.0
        share[b, c, k] = scratch[b, c, k]


@njit(error_model="numpy")
def split_overflow(overflow, received, on_hand, b, n, excess, arrived, integer):
    """Take `excess` units of today's arrivals at node n out of its stock, in proportion to what arrived of each SKU."""
    left = excess
    for k in range(received.shape[2]):
        part = received[b, n, k] * excess / arrived
        overflow[b, n, k] = math.floor(part + _WHOLE) if integer else part
        left -= overflow[b, n, k]
    for k in range(received.shape[2]):
        if integer and left >= 1.0 - _WHOLE and overflow[b, n, k] + 1.0 <= received[b, n, k]:
            overflow[b, n, k] += 1.0
            left -= 1.0
        on_hand[b, n, k] -= overflow[b, n, k]
