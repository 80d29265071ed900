"""The simulator: a batch of replications of one supply chain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hmarl.network.config import Network
from hmarl.simulator.day import inventory_position, step
from hmarl.simulator.demand import BLOCK_DAYS
from hmarl.simulator.params import Params, compile_network
from hmarl.simulator.rng import make_key


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
    noise: np.ndarray  # (B, N, S) normal score of the last draw (autocorrelated demand)
    demand: np.ndarray  # (B, block, N, S) drawn ahead; not for agents
    drawn_until: np.ndarray  # (B,)
    share: np.ndarray  # (B, N, S) scratch
    scratch: np.ndarray  # (B, N, S) scratch


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
        self._key = np.array(make_key(seed, split), np.uint64)
        self._ids = np.arange(replications) if ids is None else np.array(ids, np.int64)
        if self._ids.shape != (replications,):
            raise ValueError(f"ids: shape {self._ids.shape}: ({replications},)")
        self._stride = int(self._ids.max()) + 1
        shape = (replications, *self.params.opening_stock.shape)
        self.state = State(
            day=np.zeros(replications, np.int64),
            replication=self._ids.copy(),
            on_hand=np.zeros(shape),
            in_transit=np.zeros((*shape, self.params.transit_days)),
            owed=np.zeros(shape),
            backorders=np.zeros(shape),
            orders_sent=np.zeros((*shape, self.params.order_days)),
            received=np.zeros(shape),
            overflow=np.zeros(shape),
            noise=np.zeros(shape),
            demand=np.zeros((replications, BLOCK_DAYS, *shape[1:])),
            drawn_until=np.zeros(replications, np.int64),
            share=np.zeros(shape),
            scratch=np.zeros(shape),
        )
        self.outcome = Outcome(*(np.zeros(shape) for _ in Outcome._fields))
        self.reset()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Replications, nodes, SKUs."""
        return self.state.on_hand.shape

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
        orders = np.ascontiguousarray(orders, np.float64)
        if orders.shape != self.shape:
            raise ValueError(f"orders: shape {orders.shape}: {self.shape} (replications, nodes, skus)")
        if not np.isfinite(orders).all():
            raise ValueError("orders: a number that is not finite")
        step(self.params, self.state, self.outcome, orders, self._key)
        return self.outcome

    def clone(self) -> Simulator:
        """A copy in the same state with the same future draws."""
        other = object.__new__(Simulator)
        other.__dict__.update(self.__dict__)
        other._ids = self._ids.copy()
        other.state = State(*(array.copy() for array in self.state))
        other.outcome = Outcome(*(array.copy() for array in self.outcome))
        return other

    def inventory_position(self) -> np.ndarray:
        """On hand + in transit + ordered and not yet shipped - owed to customers and to the nodes below, (B, N, S)."""
        position = np.empty(self.shape)
        inventory_position(self.state, self.params.parent, position)
        return position

    def echelon_position(self) -> np.ndarray:
        """Inventory position of each node and all below it together, (B, N, S)."""
        position, params = self.inventory_position(), self.params
        for n in params.order[::-1]:
            if params.parent[n] >= 0:
                position[:, params.parent[n]] += position[:, n]
        return position
