"""Rules tuned by simulation on the validation paths, and to the exact cost where that can be computed.

Coordinate search on common random numbers: all candidates of a line play the same demand side by side, in
one batch. A line holds the present value and steps of 1, 2, 4, ... times the finest step to both sides, so
that it finds the region and refines it at once. After each round the search tries to go on in the direction
it came (Hooke and Jeeves 1961). A first pass on few paths is followed by a second on many. Where what counts is the
cost and that of a rule is exact (:func:`hmarl.exact.policy_evaluation.policy_cost`), a third goes on from there by it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from hmarl.errors import InputError, unknown
from hmarl.network.config import ROLES, Network, Shaping
from hmarl.policies.catalogue import RULES, TUNABLE
from hmarl.policies.rules import Policy
from hmarl.roles import Chain
from hmarl.simulator import compile_network, day_costs

Array = NDArray[np.float64]
Values = dict[str, Array]  # parameter -> (N, S)
Objective = Literal["reward", "cost", "profit"]

_COUNTED_DAYS = 32_000  # of the second pass, all paths and places (nodes x SKUs) together
_FEW = 4  # the first pass plays one path in so many
_MOST_BY_PLACE, _MOST_BY_SKU = 6, 9
_MOST_ROUNDS = (8, 4, 8)
_FINEST = 1 / 64  # step, days of mean demand (at least a unit where quantities are whole)
_FARTHEST = (4.0, 0.125)  # step of the first and second pass, days of mean demand
_FINEST_FACTOR, _FARTHEST_FACTOR = 0.05, (3.2, 0.2)  # of a safety factor
_MOST_TRANSITIONS = 2_000_000  # states x demands of a rule whose cost is computed exactly

_tuned: dict[tuple[object, ...], Policy] = {}


def tune(
    name: str,
    network: Network,
    objective: Objective = "reward",
    seed: int = 0,
    replications: int | None = None,
    days: int | None = None,
) -> Policy:
    """The best parameters of a rule, by simulation on the validation paths.

    Where nothing but cost counts and the network is so small that a rule's exact long-run cost takes a moment, the
    search ends on that: its result is right for the long run, not for episodes. Where a network has at most 6 places
    (nodes x SKUs) each has its own parameters; else they are set by role and SKU, or by role, in days of mean demand.
    The result is kept for the process.

    Parameters
    ----------
    name
        One of :data:`hmarl.policies.TUNABLE`.
    network
        The supply chain; episodes have its days and warm-up.
    objective
        "reward" of all agents together, "cost" (holding, shortage, orders) or "profit", a day.
    seed
        Of the validation paths.
    replications
        Paths of the second pass; left out, 32,000 days over paths and places (nodes x SKUs), 16 to 1,024
        paths.
    days
        Days of an episode instead of the network's.

    Raises
    ------
    InputError
        For a rule that cannot be tuned or an unknown objective.

    Examples
    --------
    >>> tune("base_stock", load_network("lost_sales"), "cost").level
    array([[16.]])
    """
    if name not in TUNABLE:
        raise unknown("tune", name, TUNABLE)
    if objective not in get_args(Objective):
        raise unknown("objective", objective, get_args(Objective))
    days = network.days if days is None else days
    counted = days - network.warmup
    if counted < 1:
        raise InputError(f"days: {days}: more than the {network.warmup} days of warm-up")
    if replications is None:
        replications = min(max(_COUNTED_DAYS // (counted * len(network.nodes) * len(network.skus)), 16), 1024)
    key = (name, network.model_dump_json(), objective, seed, replications, days)
    if key not in _tuned:
        space = _space(name, network)
        values = space.start
        for part, paths in enumerate((max(replications // _FEW, 8), replications)):
            judge = _Judge(network, space, objective, seed, min(paths, replications), days)
            values = _search(space, judge, values, part)
        if _cost_alone_counts(network, objective):
            values = _finished_exactly(network, space, values)
        _tuned[key] = space.build(values)
    return _tuned[key]


def _cost_alone_counts(network: Network, objective: Objective) -> bool:
    """Whether more of the objective is less cost of all nodes."""
    if objective != "reward":
        return objective == "cost"
    places = len(network.nodes) * len(network.skus)
    settings = [network.role_settings(role) for role in ROLES if network.nodes_of(role)]
    paid = {role.reward for role in settings}
    return paid <= ({"cost", "chain_cost"} if places == 1 else {"chain_cost"}) and all(
        role.shaping == Shaping() for role in settings
    )


def _finished_exactly(network: Network, space: _Space, values: Values) -> Values:
    """Go on by exact cost from what simulation found, where that has one."""
    judge = _ExactJudge(network, space)
    try:
        judge.cost(values)
    except InputError:
        return values
    return _search(space, judge, values, 2)


@dataclass(frozen=True)
class _Line:
    """A direction of the search: one parameter at some places."""

    parameter: str
    step: Array  # (N, S) the finest step, 0 elsewhere
    longest: tuple[int, int, int]  # of the powers of two, by pass


@dataclass(frozen=True)
class _Space:
    start: Values
    lowest: dict[str, float]
    lines: list[_Line]
    build: Callable[[Values], Policy]

    def moved(self, values: Values, *steps: tuple[_Line, float]) -> Values:
        """Some steps along lines."""
        for line, steps_along in steps:
            values = {**values, line.parameter: values[line.parameter] + steps_along * line.step}
        return self.limited(values)

    def limited(self, values: Values) -> Values:
        return {name: np.maximum(array, self.lowest[name]) for name, array in values.items()}


def _space(name: str, network: Network) -> _Space:
    params = compile_network(network)
    start = RULES[name].parameters(network, params)
    if name == "s_S":  # S as s and what comes on top, so that S is never below s
        start["order_up_to"] = start["order_up_to"] - start["reorder_point"]
    if params.integer:
        start = {key: array if key == "safety_factor" else np.rint(array) for key, array in start.items()}
    lines = []
    for places in _groups(network, params.mean_demand):
        for parameter in start:
            if parameter == "safety_factor":
                far = [math.floor(math.log2(f / _FINEST_FACTOR)) for f in _FARTHEST_FACTOR]
                lines.append(_Line(parameter, np.where(places, _FINEST_FACTOR, 0.0), (far[0], far[1], 0)))
                continue
            largest = float(params.mean_demand[places].max())
            finest = largest * _FINEST
            if params.integer:
                finest = max(1.0, float(np.rint(finest)))
            far = [max(0, math.ceil(math.log2(f * largest / finest))) for f in _FARTHEST]
            lines.append(_Line(parameter, places * params.mean_demand * (finest / largest), (far[0], far[1], 1)))

    def build(values: Values) -> Policy:
        if name == "s_S":
            values = {**values, "order_up_to": values["reorder_point"] + values["order_up_to"]}
        return RULES[name].build(network, f"tuned_{name}", **values)

    lowest = {key: -math.inf if key == "safety_factor" else 0.0 for key in start}
    return _Space(start, lowest, lines, build)


def _groups(network: Network, mean: Array) -> list[NDArray[np.bool_]]:
    """Places that share their parameters, each ``(N, S)`` booleans; places without demand are left out."""
    active = mean > 0
    if active.sum() <= _MOST_BY_PLACE:
        return [np.arange(mean.size).reshape(mean.shape) == place for place in np.flatnonzero(active)]
    roles = np.array([network.role_of(name) for name in network.node_names])
    by_role = [(roles == role)[:, None] & active for role in dict.fromkeys(roles)]
    by_sku = [group & (np.arange(mean.shape[1]) == k) for group in by_role for k in range(mean.shape[1])]
    groups = by_sku if len(by_sku) <= _MOST_BY_SKU else by_role
    return [group for group in groups if group.any()]


class _Judges(Protocol):
    network: Network

    def scores(self, candidates: list[Values]) -> Array:
        """Of each candidate, more is better."""


class _ExactJudge:
    """Computes the exact cost of candidates, once each."""

    def __init__(self, network: Network, space: _Space) -> None:
        self.network, self.space = network, space
        self._known: dict[bytes, float] = {}

    def scores(self, candidates: list[Values]) -> Array:
        """Minus the long-run cost a day of each candidate; of one without an exact cost the lowest number."""
        costs = np.full(len(candidates), math.inf)
        for k, candidate in enumerate(candidates):
            with suppress(InputError):
                costs[k] = self.cost(candidate)
        return -np.minimum(costs, sys.float_info.max)

    def cost(self, values: Values) -> float:
        """Long-run cost a day; InputError the first time it is asked for where there is none, infinity from then on."""
        from hmarl.exact.policy_evaluation import policy_cost

        key = b"".join(array.tobytes() for array in values.values())
        if key not in self._known:
            self._known[key] = math.inf
            self._known[key] = policy_cost(self.network, self.space.build(values), most_transitions=_MOST_TRANSITIONS)
        return self._known[key]


class _Judge:
    """Plays candidates side by side on the same validation paths."""

    def __init__(self, network: Network, space: _Space, objective: Objective, seed: int, paths: int, days: int) -> None:
        self.network, self.space, self.objective, self.seed = network, space, objective, seed
        self.paths, self.days = paths, days
        self._chains: dict[int, Chain] = {}

    def scores(self, candidates: list[Values]) -> Array:
        """Mean objective a day of each candidate, more is better."""
        count = len(candidates)
        stacked = {
            name: np.repeat(np.stack([c[name] for c in candidates]), self.paths, axis=0) for name in candidates[0]
        }
        policy = self.space.build(stacked)
        chain = self._chain(count)
        total = np.zeros(count * self.paths)
        for day in range(self.days):
            chain.step(policy.orders(chain))
            if day >= self.network.warmup:
                total += self._earned(chain)
        return total.reshape(count, self.paths).mean(1) / (self.days - self.network.warmup)

    def _earned(self, chain: Chain) -> Array:
        if self.objective == "reward":
            return np.sum([chain.rewards(role).sum(1) for role in chain.roles], axis=0)
        costs = day_costs(chain.simulator.params, chain.simulator.outcome)
        return (-costs.cost if self.objective == "cost" else costs.profit).sum((1, 2))

    def _chain(self, count: int) -> Chain:
        if count not in self._chains:
            ids = np.tile(np.arange(self.paths), count)
            self._chains[count] = Chain(self.network, len(ids), self.seed, split="validation", ids=ids)
        else:
            self._chains[count].reset()
        return self._chains[count]


def _search(space: _Space, judge: _Judges, values: Values, part: int) -> Values:
    """Lines in turn until a round changes nothing; `part` is 0 in the first pass, 1 in the second, 2 in the third."""
    for _ in range(_MOST_ROUNDS[part]):
        before, gained = values, 0.0
        for line in space.lines:
            powers = 2.0 ** np.arange(line.longest[part] + 1)
            offsets = np.concatenate([[0.0], powers, -powers])
            values, gain = _best(judge, [space.moved(values, (line, offset)) for offset in offsets])
            gained += gain
        if part == 2 and gained == 0.0:  # costs without noise tell diagonal neighbours apart
            neighbours = [
                space.moved(values, (first, a), (second, b))
                for first, second in combinations(space.lines, 2)
                for a, b in product((1.0, -1.0), repeat=2)
            ]
            values, gained = _best(judge, [values, *neighbours])
        if gained == 0.0:
            break
        ahead = [
            space.limited({name: values[name] + far * (values[name] - before[name]) for name in values})
            for far in (0.0, 0.5, 1.0, 2.0)
        ]
        values, _ = _best(judge, [_whole(candidate, judge.network) for candidate in ahead])
    return values


def _best(judge: _Judges, candidates: list[Values]) -> tuple[Values, float]:
    """The best candidate (the first of equals) and its gain on the first."""
    scores = judge.scores(candidates)
    best = int(scores.argmax())
    return candidates[best], float(scores[best] - scores[0])


def _whole(values: Values, network: Network) -> Values:
    if network.quantities == "real":
        return values
    return {name: array if name == "safety_factor" else np.rint(array) for name, array in values.items()}
