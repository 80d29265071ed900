"""The exact cost of a policy: its Markov chain, played day by day by the simulator.

From the opening stock on, every state that the policy can reach is listed. In each it is asked for its orders once,
and the simulator plays the day with every demand that customers can have. That gives the cost expected of a day in
each state and the states of the next morning. With T the operator

    (T v)(s) = cost(s) + sum over demands d of P(d) v(next(s, d))

the long-run average cost lies between the smallest and the largest component of T v - v, whatever v (Odoni 1969, "On
finding the maximal gain for Markov decision processes", Operations Research 17; Puterman 1994, "Markov Decision
Processes", section 8.5). Value iteration brings the two together; it is damped, so that it does so for periodic
chains too. Demands of a probability below 1e-12 all together are left out.

Some policies have no limit of stock: an actor that orders a unit however much there is. Days that lead beyond a limit
then lead back to the opening stock instead; the limit is raised until they are rarer than :data:`RARE`, which is the
average of another cost, 1 on such days.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hmarl.errors import InputError
from hmarl.exact.conditions import complication
from hmarl.exact.constant_order import constant_order_cost
from hmarl.exact.distribution import Array, day_demand
from hmarl.network.config import Network
from hmarl.policies.rules import ConstantOrder, Policy
from hmarl.roles import Chain
from hmarl.simulator import Params, State, compile_network, day_costs

MOST_STATES = 2_000_000
MOST_DEMANDS = 1_000_000  # of all customers together, a day
MOST_TRANSITIONS = 20_000_000  # states x demands
TOLERANCE = 1e-7  # half the width between the two bounds, relative to the cost where that is above 1
RARE = 1e-9  # share of days, in the long run, that may lead to more units than are followed

_TAKEN = (
    "skus",
    "customers",
    "storage_capacity",
    "order_capacity",
    "order_lead_time",
    "case_pack",
    "order_cost",
    "holding_cost",
)
_FEW_UNITS, _MORE_UNITS = 100, 4  # above the opening stock in the first try, and how many times as many in the next
_MOST_UNITS, _MOST_DAYS = 1000, 365  # the limit in the last: so many units and so many days of mean demand

_NEGLIGIBLE = 1e-12  # demands that are left out have this probability, all together
_FEW_ROWS, _ROWS = 512, 8192  # states, or states and demands, played at once
_DAMPING = 0.9
_MOST_SWEEPS = 5_000
_STOCK = ("on_hand", "in_transit", "owed", "backorders", "orders_sent")  # what makes up a state


def policy_cost(network: Network, policy: Policy, *, most_transitions: int = MOST_TRANSITIONS) -> float:
    """The exact long-run average cost of a policy: holding, shortage and order cost of all nodes, money a day.

    Parameters
    ----------
    network
        Whole units, stationary demand, fixed lead times; nothing gets lost and orders may be placed every day.
    policy
        Its orders depend on stock, shipments and orders under way alone: most rules; a learned policy whose roles
        observe ``stock``.
    most_transitions
        Limit of states x demands.

    Returns
    -------
    float
        Right within :data:`TOLERANCE`; of a policy without a limit of stock, but for days that are rarer than
        :data:`RARE`.

    Raises
    ------
    InputError
        If the network is of no such kind, the policy looks at the past, the day or chance, it reaches too many
        states, or its cost depends on how it begins.

    Examples
    --------
    >>> network = load_network("lost_sales", lead_time=2, penalty=4)
    >>> round(policy_cost(network, make_policy("base_stock", network, level=16)), 4)
    4.6386
    """
    reason = complication(network, *_TAKEN)
    if reason is not None:
        raise InputError(f"network {network.name}: its policies have no exact cost: {reason}")
    demands, probabilities = _joint_demand(network, compile_network(network))
    if isinstance(policy, ConstantOrder) and _stock_may_grow(network) and len(probabilities) > 1:
        return constant_order_cost(network, policy)
    place = f"{network.name}: policy {policy.name!r}"
    explorer = _Explorer(network, policy, demands, probabilities, min(MOST_STATES, most_transitions // len(demands)))
    for most_units in explorer.limits():
        after, cost, beyond = explorer.explore(most_units)
        if beyond.any() and _average(after, probabilities, beyond, RARE / 4)[1] > RARE:
            continue
        low, high = _average(after, probabilities, cost, TOLERANCE)
        if high - low > _width(high, TOLERANCE):
            raise InputError(
                f"{place}: a cost between {low:g} and {high:g} a day: it depends on how it begins, or on what is very "
                "rare"
            )
        return (low + high) / 2
    raise InputError(f"{place}: more than {most_units:,} units pile up: no exact cost")


def _stock_may_grow(network: Network) -> bool:
    """One store that loses sales and finds room for everything."""
    lone = len(network.nodes) == 1 and len(network.skus) == 1 and network.unmet_demand == "lost"
    return lone and all(node.storage_capacity is None for node in network.nodes.values())


def _joint_demand(network: Network, params: Params) -> tuple[Array, Array]:
    """All demands of a day, ``(D, N, S)`` units, and their probabilities."""
    places, single = [], []
    for n, name in enumerate(network.node_names):
        for s, sku in enumerate(network.skus):
            demand = network.item(name, sku).demand
            if demand is not None:
                places.append((n, s))
                single.append(day_demand(demand, True, 1.0))
    count = math.prod(len(p) for p in single)
    if count > MOST_DEMANDS:
        raise InputError(f"{network.name}: {count:,} different demands a day, an exact cost takes {MOST_DEMANDS:,}")
    joint = np.ones(())
    for p in single:
        joint = np.multiply.outer(joint, p)
    order = np.argsort(joint, axis=None)
    likely = np.sort(order[np.cumsum(joint.flat[order]) > _NEGLIGIBLE])
    demands = np.zeros((len(likely), *params.mean_demand.shape))
    for (n, s), units in zip(places, np.unravel_index(likely, joint.shape), strict=True):
        demands[:, n, s] = units
    probabilities = joint.flat[likely]
    return demands, probabilities / probabilities.sum()


class _Explorer:
    """Lists the states that a policy reaches, with the cost and the next states of a day in each."""

    def __init__(
        self, network: Network, policy: Policy, demands: Array, probabilities: Array, most_states: int
    ) -> None:
        self.network, self.policy = network, policy
        self.demands, self.probabilities = demands, probabilities
        self.chains = [(Chain(network, rows), _elsewhere(network, rows)) for rows in (_FEW_ROWS, _ROWS)]
        self.opening = _read(self.chains[0][0].simulator.state)[:1]
        self.states = np.empty((most_states + _ROWS, self.opening.shape[1]), np.int32)
        self.slots = np.empty(2 ** math.ceil(math.log2(2 * len(self.states))), np.int32)
        self.most_states = most_states

    def limits(self) -> Iterator[int]:
        """Units that are followed anywhere, in one try after the other."""
        mean, opening = float(compile_network(self.network).mean_demand.max()), int(self.opening.max())
        few, most = _FEW_UNITS + opening, _MOST_UNITS + opening + math.ceil(_MOST_DAYS * mean)
        while few < most:
            yield few
            few *= _MORE_UNITS
        yield most

    def explore(self, most_units: int) -> tuple[NDArray[np.int32], Array, Array]:
        """Of a day in each state: the next states ``(states, D)``, the expected cost ``(states,)``, and the probability
        ``(states,)`` that it leads beyond so many units; then it leads to the opening stock instead."""
        self.slots[:] = -1
        self.count = _number(self.opening, self.states, 0, self.slots, np.empty(1, np.int32))
        after, costs, beyond, done = [], [], [], 0
        while done < self.count:
            last = min(self.count, done + _ROWS)
            states = self.states[done:last]
            orders = self._orders(states)
            cost, lost = np.zeros(len(states)), np.zeros(len(states))
            pairs = len(states) * len(self.demands)
            for first in range(0, pairs, _ROWS):
                pair = np.arange(first, min(first + _ROWS, pairs))
                which, demand = np.divmod(pair, len(self.demands))
                money, reached = self._play(states[which], orders[which], demand)
                far = reached.max(1) > most_units
                reached[far] = self.opening
                cost += np.bincount(which, weights=money * self.probabilities[demand], minlength=len(cost))
                lost += np.bincount(which, weights=far * self.probabilities[demand], minlength=len(lost))
                after.append(self._numbers(reached))
            costs.append(cost)
            beyond.append(lost)
            done = last
        return np.concatenate(after).reshape(self.count, -1), np.concatenate(costs), np.concatenate(beyond)

    def _play(
        self, states: NDArray[np.int32], orders: Array, demand: NDArray[np.int64]
    ) -> tuple[Array, NDArray[np.int32]]:
        """Cost of a day in each state, and the states it leads to."""
        count = len(states)
        simulator = self.chains[count > _FEW_ROWS][0].simulator
        _write(simulator.state, states)
        simulator.set_demand(self.demands[np.resize(demand, simulator.replications)])
        outcome = simulator.step(np.resize(orders, simulator.shape))
        return day_costs(simulator.params, outcome).cost[:count].sum((1, 2)), _read(simulator.state)[:count]

    def _numbers(self, reached: NDArray[np.int32]) -> NDArray[np.int32]:
        """The numbers of states."""
        numbers = np.empty(len(reached), np.int32)
        self.count = _number(reached, self.states, self.count, self.slots, numbers)
        if self.count > self.most_states:
            raise InputError(
                f"{self.network.name}: policy {self.policy.name!r}: more than {self.most_states:,} states, each with "
                f"{len(self.demands):,} demands a day: too many for an exact cost"
            )
        return numbers

    def _orders(self, states: NDArray[np.int32]) -> Array:
        """The policy's orders in some states, at most as many as are played at once."""
        asked = []
        for chain in self.chains[len(states) > _FEW_ROWS]:
            _write(chain.simulator.state, states)
            asked.append(self.policy.orders(chain)[: len(states)])
        if not np.array_equal(asked[0], asked[1]):
            raise InputError(
                f"{self.network.name}: policy {self.policy.name!r}: its orders depend on more than stock, shipments "
                "and orders under way: no exact cost"
            )
        return asked[0]


def _elsewhere(network: Network, rows: int) -> Chain:
    """A chain on another day, of another past and other draws."""
    chain, rng = Chain(network, rows, seed=1), np.random.default_rng(0)
    for array in (*chain.known, *chain.simulator.outcome):
        array[...] = rng.uniform(0, 20, array.shape)
    chain.simulator.state.day[:] = rng.integers(1, network.days + 1, rows)
    return chain


def _read(state: State) -> NDArray[np.int32]:
    """States ``(B, columns)``."""
    parts = [getattr(state, name) for name in _STOCK]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(np.int32)


def _write(state: State, states: NDArray[np.int32]) -> None:
    """Go to these states; where they are fewer than the replications, again from the first one on."""
    rows, column = np.resize(states, (len(state.day), states.shape[1])), 0
    for name in _STOCK:
        part = getattr(state, name)
        width = math.prod(part.shape[1:])
        part[...] = rows[:, column : column + width].reshape(part.shape)
        column += width


@njit(cache=True)
def _number(rows, states, count, slots, numbers):
    """Number rows by their place among the first `count` states; new ones are added. Returns how many there are then.

    `slots` is a hash table of these numbers, open addressing, -1 where free.
    """
    mask = np.uint64(len(slots) - 1)
    for i in range(len(rows)):
        code = np.uint64(14695981039346656037)
        for j in range(rows.shape[1]):
            code = (code ^ np.uint64(rows[i, j])) * np.uint64(1099511628211)
        slot = (code ^ (code >> np.uint64(29))) & mask
        while slots[slot] >= 0 and not np.array_equal(states[slots[slot]], rows[i]):
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] < 0:
            slots[slot] = count
            states[count] = rows[i]
            count += 1
        numbers[i] = slots[slot]
    return count


@njit(cache=True)
def _sweep(after, probabilities, cost, value, gain):
    for s in range(len(after)):
        expected = cost[s]
        for d in range(after.shape[1]):
            expected += probabilities[d] * value[after[s, d]]
        gain[s] = expected - value[s]


def _average(after: NDArray[np.int32], probabilities: Array, cost: Array, tolerance: float) -> tuple[float, float]:
    """Two bounds of the average cost a day, as close as the tolerance asks for where they come so close."""
    value, gain = np.zeros(len(cost)), np.empty(len(cost))
    for _ in range(_MOST_SWEEPS):
        _sweep(after, probabilities, cost, value, gain)
        low, high = float(gain.min()), float(gain.max())
        if high - low <= _width(high, tolerance):
            break
        value += _DAMPING * (gain - low)
    return low, high


def _width(cost: float, tolerance: float) -> float:
    return 2 * tolerance * max(1.0, abs(cost))
