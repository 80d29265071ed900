"""Rules that know the calendar: how long an order must last, and when the days are over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmarl.network.config import Network
from hmarl.policies.forecast import demand_ahead, last_useful_order, table_row
from hmarl.roles import Chain
from hmarl.roles.plan import protection_days
from hmarl.simulator import compile_network

Array = NDArray[np.float64]


@dataclass(frozen=True)
class OrderUpTo:
    """Order what lifts the position to `level`; nothing that would reach no store before all days are over.

    Parameters
    ----------
    level
        ``(N, S)``, or broadcastable to ``(B, N, S)``, units.
    last_order
        ``(N, 1)`` last day on which an order can still be of use, inf in a network that goes on.
    """

    level: Array
    last_order: Array
    name: str = "order_up_to"

    def orders(self, chain: Chain) -> Array:
        missing = np.maximum(self.level - chain.simulator.inventory_position(), 0.0)
        return np.where(chain.simulator.state.day[:, None, None] <= self.last_order, missing, 0.0)


@dataclass(frozen=True)
class Cover:
    """Order up to the demand that the calendar expects until the next order arrives, plus a margin.

    Parameters
    ----------
    margin
        ``(N, S)``, or broadcastable to ``(B, N, S)``, units.
    expected
        ``(days, N, S)`` demand of the protection interval that begins on each day, units; from the last `cycle` rows
        on it repeats.
    last_order
        As of :class:`OrderUpTo`.
    """

    margin: Array
    expected: Array
    cycle: int
    last_order: Array
    name: str = "cover"

    def orders(self, chain: Chain) -> Array:
        row = table_row(chain.simulator.state.day, len(self.expected), self.cycle)
        return OrderUpTo(self.expected[row] + self.margin, self.last_order).orders(chain)


def make_order_up_to(network: Network, name: str, level: Array) -> OrderUpTo:
    """The rule for a network."""
    return OrderUpTo(level, last_useful_order(network, compile_network(network)), name)


def make_cover(network: Network, name: str, margin: Array) -> Cover:
    """The rule for a network, from what its calendar says."""
    params = compile_network(network)
    days = protection_days(params)[:, 0]
    ahead, _, cycle = demand_ahead(network, params, np.zeros_like(days), days)
    return Cover(margin, params.mean_demand * ahead, cycle, last_useful_order(network, params), name)
