"""What a planner who knew all demand beforehand would earn: a bound above every policy, path by path.

A linear programme a path. Variables of day t, node n and SKU k, units, all at least 0:

========= =========================================================================================
shipped   to the node; as an order costs nothing, a source without limit ships just what it is asked
left      stock at the day's end
sold      to customers
overflow  arrivals that find no room
owed      backorders at the day's end, where unmet demand waits
========= =========================================================================================

It maximises the profit that the simulator books (:mod:`hmarl.simulator.costs`) on the days after the warm-up. What any
policy does on a path is feasible and earns no more: quantities need not be whole, an order costs nothing and knows no
minimum, case pack or review day, a node may hold back stock, overflow is shared as the planner likes. So this is the
bound of a relaxation: foresight that orders whole units and pays for orders may earn less, and a policy that does not
know demand cannot come near it in general (perfect information relaxation: Brown, Smith and Sun (2010), Information
relaxations and duality in stochastic dynamic programs, Operations Research 58(4)). It is tightest where the horizon is
finite; elsewhere foresight also stocks up for nothing in the warm-up and sells out at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from hmarl.errors import InputError
from hmarl.exact.conditions import complication
from hmarl.network.config import Network
from hmarl.simulator.params import Params, compile_network

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

_TAKEN = (
    "finite", "skus", "quantities", "delays", "order_lead_time", "review_period", "storage_capacity", "order_capacity",
    "order_cost", "case_pack", "holding_cost", "customers", "demand",
)  # fmt: skip
_TOGETHER = 4000  # variables of the paths that are solved at once


def clairvoyant_profit(network: Network, demand: Array, warmup: int | None = None) -> Array:
    """The most profit that foresight could make on each demand path, money an episode.

    Parameters
    ----------
    network
        Any whose deliveries are certain: fixed lead times (scheduled delays too), no losses, no outages.
    demand
        ``(paths, days, N, S)`` units that customers ask for.
    warmup
        Days at the start that do not count; the network's where left out.

    Returns
    -------
    numpy.ndarray
        ``(paths,)``: no policy earns more on that path from the network's opening stock.

    Raises
    ------
    InputError
        If chance decides about more than demand.
    """
    reason = complication(network, *_TAKEN)
    if reason is not None:
        raise InputError(f"{network.name}: no clairvoyant bound: {reason}; only demand may be left to chance")
    paths, days = demand.shape[:2]
    programme = _programme(compile_network(network), days, network.warmup if warmup is None else warmup)
    step = max(1, _TOGETHER // len(programme.value))
    asked = demand.reshape(paths, -1)
    return np.concatenate([_solve(programme, asked[i : i + step]) for i in range(0, paths, step)])


class _Variables(NamedTuple):
    """Numbers of the variables, each ``(days, N, S)``."""

    shipped: Numbers
    left: Numbers
    sold: Numbers
    overflow: Numbers
    owed: Numbers


class _Programme(NamedTuple):
    """The programme of a path; :func:`_solve` fills in its demand."""

    value: Array  # (variables,) money a unit, to be maximised
    highest: Array  # (variables,)
    balances: Any  # sparse (equations, variables): of stock, then of backorders
    supplied: Array  # (equations,) right-hand sides
    limits: Any  # sparse (inequalities, variables)
    limit: Array  # (inequalities,) right-hand sides
    sold: Numbers  # (days * N * S,)
    waits: bool  # demand is the right-hand side of the backorders' balances; else the most that may be sold
    lost: Array  # (days * N * S,) money a unit of demand, to be paid unless it is sold


class _Rows:
    """Rows of a sparse matrix and their right-hand sides."""

    def __init__(self) -> None:
        self.right: list[Array] = []
        self.entries: list[tuple[Numbers, Numbers, Array]] = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]

    def add(self, right: Array) -> Numbers:
        """New rows, their numbers in the shape of their right-hand sides."""
        first = sum(part.size for part in self.right)
        self.right.append(right)
        return np.arange(first, first + right.size).reshape(right.shape)

    def put(self, rows: Numbers, variables: Numbers, coefficient: float) -> None:
        """Add a coefficient for each variable in its row; rows are repeated along axes that they lack."""
        numbers = np.broadcast_to(rows, variables.shape).ravel()
        self.entries.append((numbers, variables.ravel(), np.full(variables.size, coefficient)))

    def matrix(self, variables: int) -> tuple[Any, Array]:
        """The matrix and the right-hand sides."""
        right = np.concatenate([np.zeros(0), *(part.ravel() for part in self.right)])
        rows, columns, values = (np.concatenate(part) for part in zip(*self.entries, strict=True))
        return sparse.csr_array((values, (rows, columns)), (len(right), variables)), right


def _solve(programme: _Programme, demand: Array) -> Array:
    """The highest profit of each path of `demand (paths, days * N * S)`: one programme, its paths apart."""
    paths, places = demand.shape
    highest, supplied = (np.tile(row, (paths, 1)) for row in (programme.highest, programme.supplied))
    if programme.waits:
        supplied[:, places:] = demand
    else:
        highest[:, programme.sold] = demand
    each = sparse.eye_array(paths)
    found = linprog(
        -np.tile(programme.value, paths),
        A_ub=sparse.kron(each, programme.limits, "csr"),
        b_ub=np.tile(programme.limit, paths),
        A_eq=sparse.kron(each, programme.balances, "csr"),
        b_eq=supplied.ravel(),
        bounds=np.stack([np.zeros(highest.size), highest.ravel()], 1),
        method="highs",
    )
    if found.status:
        raise RuntimeError(f"clairvoyant bound: {found.message}")
    profit: Array = found.x.reshape(paths, -1) @ programme.value - demand @ programme.lost
    return profit


def _programme(params: Params, days: int, warmup: int) -> _Programme:
    shape = days, *params.opening_stock.shape
    variables = _Variables(*np.arange(5 * np.prod(shape)).reshape(5, *shape))
    arrivals = list(_arrivals(params, days))
    balances, limits = _Rows(), _Rows()
    _balance(balances, params, variables, arrivals)
    for n in np.flatnonzero(np.isfinite(params.storage_capacity)):
        _limit_storage(limits, params, variables, arrivals, int(n))
    for n in np.flatnonzero(np.isfinite(params.order_capacity)):
        _limit_orders(limits, params, variables, int(n))
    value, lost = _money(params, variables, warmup)
    highest = np.full(value.size, np.inf)
    for n, wait in enumerate(params.order_lead_time):
        highest[variables.shipped[:wait, n]] = 0  # nothing has been asked for yet
    highest[variables.overflow[:, np.isinf(params.storage_capacity)]] = 0
    if not params.backorder:
        highest[variables.owed] = 0
    return _Programme(
        value, highest, *balances.matrix(value.size), *limits.matrix(value.size), variables.sold.ravel(),
        params.backorder, lost,
    )  # fmt: skip


def _arrivals(params: Params, days: int) -> Iterator[tuple[int, int, int]]:
    """Day of shipment, day of arrival, node; of what arrives within the horizon."""
    for sent in range(days):
        late = params.delay[min(sent, len(params.delay) - 1)]
        for n, arrived in enumerate(sent + params.lead_days[:, 0] + late):
            if arrived < days:
                yield sent, int(arrived), n


def _balance(rows: _Rows, params: Params, v: _Variables, arrivals: list[tuple[int, int, int]]) -> None:
    """Stock: yesterday's + arrivals - overflow - sold - shipped to the nodes below; backorders + demand - sold."""
    opening = np.zeros(v.left.shape)
    opening[0] = params.opening_stock
    stock = rows.add(opening)
    rows.put(stock, v.left, 1)
    rows.put(stock[1:], v.left[:-1], -1)
    rows.put(stock, v.sold, 1)
    rows.put(stock, v.overflow, 1)
    for sent, arrived, n in arrivals:
        rows.put(stock[arrived, n], v.shipped[sent, n], -1)
    for n, parent in enumerate(params.parent):
        if parent >= 0:
            rows.put(stock[:, parent], v.shipped[:, n], 1)
    if params.backorder:
        waiting = rows.add(np.zeros(v.owed.shape))
        rows.put(waiting, v.owed, 1)
        rows.put(waiting[1:], v.owed[:-1], -1)
        rows.put(waiting, v.sold, 1)


def _limit_storage(rows: _Rows, params: Params, v: _Variables, arrivals: list[tuple[int, int, int]], n: int) -> None:
    """A morning's stock finds room, unless it was there at the beginning; only arrivals overflow."""
    room = max(params.storage_capacity[n], params.opening_stock[n].sum())
    morning = rows.add(np.full(len(v.left), room))[:, None]
    rows.put(morning, v.left[:, n], 1)
    rows.put(morning, v.sold[:, n], 1)
    for child in np.flatnonzero(params.parent == n):
        rows.put(morning, v.shipped[:, child], 1)
    arrived_at_most = rows.add(np.zeros(v.overflow[:, n].shape))
    rows.put(arrived_at_most, v.overflow[:, n], 1)
    for sent, arrived, node in arrivals:
        if node == n:
            rows.put(arrived_at_most[arrived], v.shipped[sent, n], -1)


def _limit_orders(rows: _Rows, params: Params, v: _Variables, n: int) -> None:
    """So many a day; a node with a source may have been owed some of them, so that days add up."""
    days, capacity = len(v.shipped), params.order_capacity[n]
    if params.parent[n] < 0:
        rows.put(rows.add(np.full(days, capacity))[:, None], v.shipped[:, n], 1)
        return
    so_far = rows.add(capacity * np.arange(1, days + 1))
    for day in range(days):
        rows.put(so_far[day], v.shipped[: day + 1, n], 1)


def _money(params: Params, v: _Variables, warmup: int) -> tuple[Array, Array]:
    """Of a unit of each variable, and of a unit of demand that is lost; 0 in the warm-up."""
    value, lost = np.zeros(sum(part.size for part in v)), np.zeros(v.sold.shape)
    value[v.left[warmup:]] = -params.holding_cost
    if params.backorder:
        value[v.sold[warmup:]] = params.price
        value[v.owed[warmup:]] = -params.shortage_cost
    else:
        value[v.sold[warmup:]] = params.price + params.shortage_cost
        lost[warmup:] = params.shortage_cost
    for n in np.flatnonzero(params.parent < 0):
        value[v.shipped[warmup + params.order_lead_time[n] :, n]] = -params.unit_cost[n]
    return value, lost.ravel()
