"""The simulator: a batch of replications of one supply chain."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types

from hmarl.network.config import Network
from hmarl.simulator.day import fill_positions, step
from hmarl.simulator.demand import BLOCK_DAYS
from hmarl.simulator.memory import address_table, declare
from hmarl.simulator.params import Params, compile_network
from hmarl.simulator.rng import make_key

declare(types.float64, 1, "lead_time storage_capacity order_capacity reliability order_loss shipment_loss")
declare(types.float64, 2, "lead_cumulative minimum_order case_pack holding_cost shortage_cost order_cost first second")
declare(types.float64, 2, "multiplier addition poisson_pmf poisson_cdf autocorrelation")
declare(types.float64, 3, "values cumulative spike")
declare(types.int64, 1, "parent order child_start child order_lead_time review_period calendar")
declare(types.int64, 2, "lead_days outage delay kind length profile")
declare(types.int64, 0, "integer backorder keep_unfilled equal_shortfall weekly_blocks key_0 key_1")
declare(types.int64, 1, "always_delivers plain_shipping day replication drawn_until")
declare(types.float64, 3, "on_hand owed backorders received_today overflow_today noise share scratch")
declare(types.float64, 4, "in_transit orders_sent drawn scores")
declare(types.float64, 3, "orders demand sold unmet short ordered heard incoming filled received overflow lost left")
declare(types.int64, 1, "scratch_due scratch_days scratch_columns scratch_numbers scratch_guide")
declare(types.float64, 1, "scratch_function")
declare(types.float64, 2, "scratch_rows")


class State(NamedTuple):
    """Where the chain stands on a morning: B replications, N nodes, S SKUs; units."""

    day: np.ndarray  # (B,) of the episode, 0 the first
    replication: np.ndarray  # (B,) number that keys the random draws
    on_hand: np.ndarray  # (B, N, S) after this morning's arrivals
    in_transit: np.ndarray  # (B, N, S, days) [k] arrives in k + 1 days
    owed: np.ndarray  # (B, N, S) what its source owes the node
    backorders: np.ndarray  # (B, N, S) what the node owes customers
    orders_sent: np.ndarray  # (B, N, S, days) [k] is heard by the source in k days from today's orders on
    received: np.ndarray  # (B, N, S) this morning's arrivals, overflow included
    overflow: np.ndarray  # (B, N, S) the part of them that found no room
    noise: np.ndarray  # (B, N, S) normal score of the last draw, which may be ahead (autocorrelated demand)
    demand: np.ndarray  # (B, N, S, block) drawn ahead; not for agents
    drawn_until: np.ndarray  # (B,)


class Outcome(NamedTuple):
    """What a day did: each array ``(B, N, S)``, units."""

    demand: np.ndarray  # customers'
    sold: np.ndarray  # to customers, old backorders included
    unmet: np.ndarray  # of today's demand
    short: np.ndarray  # what the shortage cost is paid on: lost sales, or backorders at the day's end
    ordered: np.ndarray  # accepted: rounded, cut to capacity, 0 between reviews
    heard: np.ndarray  # by the node's source today
    incoming: np.ndarray  # orders heard from the nodes below
    filled: np.ndarray  # shipped to the node by its source
    received: np.ndarray  # arrivals of the day, overflow included
    overflow: np.ndarray  # arrivals that found no room
    lost: np.ndarray  # in transit
    left: np.ndarray  # stock at the day's end


class Simulator:
    """A batch of replications of a supply chain.

    Parameters
    ----------
    network
        The supply chain.
    replications
        How many run side by side, B.
    seed, split
        Key of all random draws: the same seed and split give the same demand, lead times and losses whatever the
        orders and whatever the batch. ``split`` is "train", "validation" or "test": three disjoint streams.
    ids
        ``(B,)`` numbers of the replications, 0 to B - 1 where left out; rows of equal number see the same draws.

    Examples
    --------
    >>> simulator = Simulator(load_network("two_store"), replications=2)
    >>> outcome = simulator.step(np.zeros((2, 4, 1)))

    Notes
    -----
    A step never ends an episode: a run can be endless. Arrays of `state` and `outcome` are reused from step to step;
    copy what you keep.
    """

    def __init__(
        self,
        network: Network,
        replications: int = 1,
        seed: int = 0,
        *,
        split: str = "test",
        ids: np.ndarray | None = None,
    ) -> None:
        if replications < 1:
            raise ValueError(f"replications: {replications}: at least 1")
        self.network = network
        self.params: Params = compile_network(network)
        self.replications = replications
        self.seed, self.split = seed, split
        self._ids = np.arange(replications) if ids is None else np.array(ids, np.int64)
        if self._ids.shape != (replications,):
            raise ValueError(f"ids: shape {self._ids.shape}: ({replications},)")
        self._stride = int(self._ids.max()) + 1
        nodes, skus = self.params.opening_stock.shape
        self.shape = replications, nodes, skus  # of orders, of most arrays of `state` and `outcome`
        self._constants = _constants(self.params, make_key(seed, split))
        self._arrays = _make_arrays(self.params, replications)
        self._bind()
        self.reset()

    def _bind(self) -> None:
        """Show the arrays to Python and to the kernels."""
        arrays = self._arrays
        self.state = State(*(batch_first(arrays[_STATE_ARRAYS.get(name, name)]) for name in State._fields))
        self.outcome = Outcome(*(batch_first(arrays[name]) for name in Outcome._fields))
        self._orders = batch_first(arrays["orders"])
        self._table = address_table(self.arrays)

    @property
    def arrays(self) -> dict[str, Any]:
        """What the kernels read and write, by name: see :mod:`hmarl.simulator.memory`."""
        return self._constants | self._arrays

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _BOUND}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._bind()

    def reset(self, rows: np.ndarray | None = None, first_day: int | np.ndarray = 0) -> State:
        """Begin again with the opening stock.

        Parameters
        ----------
        rows
            ``(B,)`` booleans: the replications to begin anew, each with fresh draws. Left out: all, with the draws
            they began with.
        first_day
            The day of the episode to begin on, one or ``(B,)``.
        """
        state = self.state
        if rows is None:
            state.replication[:] = self._ids
            chosen: np.ndarray | slice = slice(None)
        else:
            state.replication[rows] += self._stride
            chosen = np.asarray(rows, bool)
        days = np.broadcast_to(np.asarray(first_day, np.int64), (self.replications,))
        state.day[chosen] = days[chosen]
        state.drawn_until[chosen] = days[chosen]
        state.on_hand[chosen] = self.params.opening_stock
        for array in (state.in_transit, state.owed, state.backorders, state.orders_sent, state.received):
            array[chosen] = 0.0
        for array in (state.overflow, state.noise, *self.outcome):
            array[chosen] = 0.0
        return state

    def step(self, orders: np.ndarray) -> Outcome:
        """Play today with these orders, up to tomorrow's arrivals.

        Parameters
        ----------
        orders
            ``(B, N, S)`` units each node orders from its source. Rounded to what the node may order; a node without
            upstream orders from an unlimited source (it produces).

        Raises
        ------
        ValueError
            If the shape is not ``(B, N, S)`` or a number is not finite.
        """
        if orders.shape != self.shape:
            raise ValueError(f"orders: shape {orders.shape}: {self.shape} (replications, nodes, skus)")
        self._orders[...] = orders
        if not step(self._table):
            raise ValueError("orders: a number that is not finite")
        return self.outcome

    def set_demand(self, demand: np.ndarray) -> None:
        """Let customers ask for `demand (B, N, S)` units today; from tomorrow on it is drawn as ever."""
        self.state.demand[..., -1] = demand
        self.state.drawn_until[:] = self.state.day + 1

    def clone(self) -> Simulator:
        """A copy in the same state with the same future draws."""
        other = object.__new__(Simulator)
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        other.__setstate__(self.__getstate__() | {"_arrays": arrays, "_ids": self._ids.copy()})
        return other

    def take(self, rows: np.ndarray, replications: np.ndarray | None = None) -> Simulator:
        """A simulator of some of the replications, each as often as it is named, in the same state.

        Parameters
        ----------
        rows
            ``(M,)`` indices of the replications.
        replications
            ``(M,)`` numbers that key the draws from today on: rows of equal number meet the same future. Left out:
            each goes on with its own. Autocorrelated demand follows on what it was yesterday; a spell of peaks that has
            begun, or a block of the past that is replayed, does not go on.
        """
        other = object.__new__(Simulator)
        arrays = _make_arrays(self.params, len(rows))
        for name in arrays.keys() - _OF_NO_REPLICATION:
            np.take(self._arrays[name], rows, axis=-1, out=arrays[name])
        own = {"replications": len(rows), "shape": (len(rows), *self.shape[1:]), "_ids": self._ids[rows]}
        other.__setstate__(self.__getstate__() | own | {"_arrays": arrays})
        if replications is not None:
            other.state.replication[:] = replications
            other.state.noise[:] = self._scores_of_yesterday()[rows]
            other.state.drawn_until[:] = other.state.day
        return other

    def _scores_of_yesterday(self) -> np.ndarray:
        """Normal score of the newest demand that is not ahead, ``(B, N, S)``."""
        state, scores = self.state, batch_first(self._arrays["scores"])
        if not self.params.demand.autocorrelation.any():
            return state.noise
        ahead = (state.drawn_until - state.day)[:, None, None, None]
        chosen = np.take_along_axis(scores, np.clip(BLOCK_DAYS - 1 - ahead, 0, None), axis=-1)[..., 0]
        return np.where(ahead[..., 0] > 0, chosen, state.noise)

    def inventory_position(self) -> np.ndarray:
        """On hand + in transit + ordered and not yet shipped - owed to customers and to the nodes below, (B, N, S)."""
        return self._positions(echelon=False)

    def echelon_position(self) -> np.ndarray:
        """Inventory position of each node and all below it together, (B, N, S)."""
        return self._positions(echelon=True)

    def _positions(self, echelon: bool) -> np.ndarray:
        position = np.empty(self._arrays["orders"].shape)
        fill_positions(self._table, echelon, position)
        return position.transpose(2, 0, 1)


_STATE_ARRAYS = {"received": "received_today", "overflow": "overflow_today", "demand": "drawn"}
_OF_NO_REPLICATION = {"scratch_guide", "scratch_function"}
_BOUND = ("state", "outcome", "_orders", "_table")


def batch_first(array: np.ndarray) -> np.ndarray:
    """The same numbers with the replications, the last axis, in front."""
    return array.transpose(array.ndim - 1, *range(array.ndim - 1))


def _make_arrays(params: Params, replications: int) -> dict[str, np.ndarray]:
    """Where the chain stands and what a day did; scratch."""
    nodes, skus = params.opening_stock.shape
    shape = nodes, skus, replications
    rows = ("day", "replication", "drawn_until", "due", "days", "columns", "numbers")
    full = (*Outcome._fields, "on_hand", "owed", "backorders", "received_today", "overflow_today", "noise", "orders")
    arrays: dict[str, np.ndarray] = {name: np.zeros(shape) for name in (*full, "share", "scratch")}
    arrays |= {name if name in State._fields else f"scratch_{name}": np.zeros(replications, np.int64) for name in rows}
    return arrays | {
        "in_transit": np.zeros((nodes, skus, params.transit_days, replications)),
        "orders_sent": np.zeros((nodes, skus, params.order_days, replications)),
        "drawn": np.zeros((nodes, skus, BLOCK_DAYS, replications)),
        "scores": np.zeros((nodes, skus, BLOCK_DAYS if params.demand.autocorrelation.any() else 1, replications)),
        "scratch_guide": np.zeros(256, np.int64),
        "scratch_function": np.zeros(1024),
        "scratch_rows": np.zeros((4, replications)),
    }


def _constants(params: Params, key: tuple[int, int]) -> dict[str, Any]:
    """What a day never changes."""
    always = (params.reliability >= 1) & ~params.outage.any(0)
    plain = (params.shipment_loss == 0) & (params.lead_cumulative[:, 0] >= 1) & ~params.delay.any(0)
    plain &= np.isinf(params.storage_capacity)
    return (
        params._asdict()
        | params.demand._asdict()
        | {
            "key_0": key[0],
            "key_1": key[1],
            "always_delivers": always.astype(np.int64),
            "plain_shipping": plain.astype(np.int64),
        }
    )
