"""The myopic order of one store with lost sales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hmarl.roles import Chain

Array = NDArray[np.float64]

_NEVER = 1e-15  # probability below which a stock is not followed


@dataclass(frozen=True)
class Myopic:
    """Order what is best for the day on which it arrives, and for that day alone.

    Of one store and SKU with lost sales. With x the stock on the morning of day t + L without today's order, which
    depends on what is on hand, what arrives until then and what is sold, the order z is the smallest with

        P(D <= x + z) >= critical ratio

    D the demand of that day: it minimises the expected holding and shortage cost of day t + L (Morton 1971, "The
    near-myopic nature of the lagged-proportional-cost inventory problem with lost sales", Operations Research 19;
    Zipkin 2008, "Old and new methods for lost-sales inventory systems", Operations Research 56).

    Parameters
    ----------
    critical_ratio
        ``(1, 1)``, or broadcastable to ``(B, 1, 1)``.
    demand
        ``(most + 1,)`` probability of 0, 1, 2, ... units a day.
    lead_time
        L, days.
    """

    critical_ratio: Array
    demand: Array
    lead_time: int
    name: str = "myopic"

    def orders(self, chain: Chain) -> Array:
        state, out = chain.simulator.state, np.empty(chain.simulator.shape)
        ratio = np.broadcast_to(self.critical_ratio, out.shape)
        arriving = state.in_transit[:, 0, 0, : self.lead_time].astype(np.int64)
        on_hand = state.on_hand[:, 0, 0].astype(np.int64)
        _myopic_orders(on_hand, arriving, ratio[:, 0, 0], self.demand, np.cumsum(self.demand), out[:, 0, 0])
        return out


@njit(cache=True, error_model="numpy")
def _myopic_orders(on_hand, arriving, ratio, demand, cumulative, out):
    """`arriving (B, L)` units on the mornings that follow."""
    for b in range(len(out)):
        stock = np.zeros(on_hand[b] + arriving[b].sum() + 1)  # probabilities of 0, 1, 2, ... units
        stock[on_hand[b]] = 1.0
        most = on_hand[b]
        for quantity in arriving[b]:
            most = _next_morning(stock, most, quantity, demand, cumulative)
        low, high = -1, len(demand) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if _served(stock, most, middle, cumulative) >= ratio[b]:
                high = middle
            else:
                low = middle
        out[b] = high


@njit(error_model="numpy")
def _next_morning(stock, most, quantity, demand, cumulative):
    """Sell a day's demand from `stock`, in place, and add what arrives; returns the largest stock there can be."""
    for x in range(most + 1):
        probability = stock[x]
        stock[x] = 0.0
        if probability < _NEVER:
            continue
        for d in range(min(x, len(demand))):
            stock[x - d] += probability * demand[d]
        left = probability * (1.0 - cumulative[x - 1]) if 0 < x <= len(demand) else probability * (x == 0)
        stock[0] += left
    if quantity > 0:
        for x in range(most, -1, -1):
            stock[x + quantity] = stock[x]
        stock[:quantity] = 0.0
    return most + quantity


@njit(error_model="numpy")
def _served(stock, most, order, cumulative):
    """Probability that stock and order are enough for a day."""
    served, last = 0.0, len(cumulative) - 1
    for x in range(most + 1):
        served += stock[x] * cumulative[min(x + order, last)]
    return served
