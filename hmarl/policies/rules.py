"""Classical ordering rules, vectorised over replications, nodes and SKUs.

Every parameter is an array that broadcasts to ``(B, N, S)``: one value a node and SKU, or one a replication,
so that candidates can be tried side by side. A rule keeps no state; it orders for every node, and who uses
it for some takes those. Position is the inventory position of :meth:`hmarl.Simulator.inventory_position`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hmarl.errors import InputError, unknown
from hmarl.network.config import ROLES
from hmarl.roles import Chain
from hmarl.simulator.rng import RELIABILITY, make_key, uniform

Array = NDArray[np.float64]

_RANDOM_ORDERS = RELIABILITY + 1000  # a stream of draws that the simulator does not use


class Policy(Protocol):
    """What decides the orders of a day."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def orders(self, chain: Chain) -> Array:
        """Orders ``(B, N, S)`` of this morning, units, for every node of the chain."""


@dataclass(frozen=True)
class NoOrder:
    """Order nothing."""

    name: str = "no_order"

    def orders(self, chain: Chain) -> Array:
        return np.zeros(chain.simulator.shape)


@dataclass(frozen=True)
class RandomOrder:
    """Order 0 to `high` units, every whole number (every real one in a network of such) equally likely."""

    high: Array
    name: str = "random"

    def orders(self, chain: Chain) -> Array:
        simulator, out = chain.simulator, np.empty(chain.simulator.shape)
        _random_orders(
            make_key(simulator.seed, simulator.split), simulator.state.replication, simulator.state.day,
            np.broadcast_to(self.high, out.shape), simulator.params.integer, out,
        )  # fmt: skip
        return out


@njit(cache=True, error_model="numpy")
def _random_orders(key, replication, day, high, integer, out):
    replications, nodes, skus = out.shape
    for b in range(replications):
        for n in range(nodes):
            for k in range(skus):
                u = uniform(key[0], key[1], replication[b], day[b], n * skus + k, _RANDOM_ORDERS)
                out[b, n, k] = np.floor(u * (np.floor(high[b, n, k]) + 1.0)) if integer else u * high[b, n, k]


@dataclass(frozen=True)
class ConstantOrder:
    """Order the same `quantity` every day."""

    quantity: Array
    name: str = "constant"

    def orders(self, chain: Chain) -> Array:
        return np.broadcast_to(self.quantity, chain.simulator.shape).copy()


@dataclass(frozen=True)
class ReorderQuantity:
    """(s, Q): order `quantity` when the position is at or below `reorder_point`."""

    reorder_point: Array
    quantity: Array
    name: str = "s_Q"

    def orders(self, chain: Chain) -> Array:
        position = chain.simulator.inventory_position()
        return np.where(position <= self.reorder_point, self.quantity, 0.0)


@dataclass(frozen=True)
class ReorderUpTo:
    """(s, S): order up to `order_up_to` when the position is at or below `reorder_point`."""

    reorder_point: Array
    order_up_to: Array
    name: str = "s_S"

    def orders(self, chain: Chain) -> Array:
        position = chain.simulator.inventory_position()
        return np.where(position <= self.reorder_point, np.maximum(self.order_up_to - position, 0.0), 0.0)


@dataclass(frozen=True)
class BaseStock:
    """Order what lifts the position to `level`."""

    level: Array
    name: str = "base_stock"

    def orders(self, chain: Chain) -> Array:
        return np.maximum(self.level - chain.simulator.inventory_position(), 0.0)


@dataclass(frozen=True)
class CappedBaseStock:
    """Order what lifts the position to `level`, at most `cap`.

    Xin (2021), "Understanding the performance of capped base-stock policies in lost-sales inventory models".
    """

    level: Array
    cap: Array
    name: str = "capped_base_stock"

    def orders(self, chain: Chain) -> Array:
        return np.clip(self.level - chain.simulator.inventory_position(), 0.0, self.cap)


@dataclass(frozen=True)
class EchelonBaseStock:
    """Order what lifts the position of the node and all below it to `level` (Clark and Scarf 1960)."""

    level: Array
    name: str = "echelon_base_stock"

    def orders(self, chain: Chain) -> Array:
        return np.maximum(self.level - chain.simulator.echelon_position(), 0.0)


@dataclass(frozen=True)
class ByRole:
    """Each role orders by a policy of its own; a role without one orders nothing.

    Raises
    ------
    InputError
        For a role that does not exist.
    """

    policies: Mapping[str, Policy]
    name: str = field(default="by_role")

    def __post_init__(self) -> None:
        for role in self.policies:
            if role not in ROLES:
                raise unknown("role", role, ROLES)

    def orders(self, chain: Chain) -> Array:
        out = np.zeros(chain.simulator.shape)
        asked: dict[int, Array] = {}
        for role, agents in chain.roles.items():
            policy = self.policies.get(role)
            if policy is None:
                continue
            if id(policy) not in asked:
                asked[id(policy)] = policy.orders(chain)
            out[:, agents.place] = asked[id(policy)][:, agents.place]
        return out


def as_levels(place: str, value: object, shape: tuple[int, int], *, lowest: float = 0.0) -> Array:
    """A parameter as an array by node and SKU.

    Parameters
    ----------
    place
        Its name, for the message.
    value
        A number, or numbers that broadcast to `shape`.
    shape
        Nodes and SKUs.
    lowest
        Smallest value allowed.

    Raises
    ------
    InputError
        If it is no number, of another shape, not finite, or too small.
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: {value!r}: a number, or numbers by node and SKU") from error
    try:
        array = np.broadcast_to(array, shape).copy()
    except ValueError as error:
        raise InputError(f"{place}: shape {array.shape}: a number, or one by (node, SKU) {shape}") from error
    if not np.isfinite(array).all() or (array < lowest).any():
        wrong = array[~np.isfinite(array) | (array < lowest)][0]
        raise InputError(
            f"{place}: {wrong:g}: a finite number{f', at least {lowest:g}' if np.isfinite(lowest) else ''}"
        )
    return array
