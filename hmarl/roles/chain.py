"""A simulated supply chain and what its agents know, may do and are paid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from hmarl.network.config import ROLES, WEEKDAYS, Network, RoleSettings
from hmarl.roles.actions import action_kind, chosen_values, quantities, space_of, values_of
from hmarl.roles.knowledge import Knowledge, begin, forecast_constants, learn, make_arrays
from hmarl.roles.observation import (
    FEATURES,
    TILE,
    feature_names,
    observe,
    observe_pipeline,
    observe_stock,
    pipeline_days,
)
from hmarl.roles.plan import base_stock_level, planned_position, safety_stock
from hmarl.roles.reward import cost_rate, money_reward, reward
from hmarl.simulator import Outcome, Params, Simulator
from hmarl.simulator.memory import address_table
from hmarl.simulator.simulator import batch_first


@dataclass(frozen=True)
class RoleAgents:
    """The agents of one role: a node and a SKU each, node by node."""

    name: str
    nodes: np.ndarray  # (nodes,) indices
    agents: tuple[str, ...]  # "store_1/coffee"
    features: tuple[str, ...]  # of an observation
    action_space: Discrete | Box  # of one agent
    settings: RoleSettings

    @property
    def n_actions(self) -> int:
        """Outputs of a deployed actor: a logit for each action, or the mean of a continuous one."""
        return int(self.action_space.n) if isinstance(self.action_space, Discrete) else 1

    @cached_property
    def place(self) -> np.ndarray | slice:
        """`nodes` as an index, a slice where they follow one another: much faster."""
        first, last = int(self.nodes[0]), int(self.nodes[-1])
        follow = np.array_equal(self.nodes, np.arange(first, last + 1))
        return slice(first, last + 1) if follow else self.nodes


class _RoleKernels(NamedTuple):
    """What the kernels are told about a role."""

    number: int
    seen: tuple[int, int, int]  # shape of its observations
    paid: tuple[int, int]  # of its rewards
    observation: str
    identity: np.ndarray | None  # (agents,) where they see it
    apart: int  # days of arrivals told apart
    values: np.ndarray  # of its actions
    continuous: bool
    action: tuple[int, bool]  # how these are read
    default_reward: bool
    profit: bool  # else minus the cost
    chain_scale: float  # of the whole chain's money; 0: an agent is paid its own


class Chain:
    """A batch of replications of a supply chain with its agents.

    An agent is one node and one SKU. Parameters are those of :class:`hmarl.Simulator`.

    Attributes
    ----------
    roles
        The roles that have nodes, in the order store, warehouse, supplier.
    known
        Forecasts, their errors and past service.
    mean_demand, cost_rate
        ``(N, S)`` what observations and rewards are divided by.
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
        self.network = network
        self.simulator = Simulator(network, replications, seed, split=split, ids=ids)
        params = self.simulator.params
        self.replications = replications
        self.roles = {role: self._role_agents(role) for role in ROLES if network.nodes_of(role)}
        self.mean_demand = np.where(params.mean_demand > 0, params.mean_demand, 1.0)
        self.cost_rate = cost_rate(params)
        self._lead_time = params.lead_time[:, None]
        self._kernels = {role: self._role_kernels(agents) for role, agents in self.roles.items()}
        self._shaped = any(s != (0, 0, 0) for s in (self._weights(role) for role in self.roles))
        self._position = np.zeros(self.simulator.shape)
        self._constants = self._make_constants(params)
        self._arrays = make_arrays(params, network.forecast, replications)
        self._bind()
        self.reset()

    def _role_kernels(self, agents: RoleAgents) -> _RoleKernels:
        role, settings = agents.name, agents.settings
        return _RoleKernels(
            number=ROLES.index(role),
            seen=(self.replications, len(agents.agents), len(agents.features)),
            paid=(self.replications, len(agents.agents)),
            observation=settings.observation,
            apart=pipeline_days(self.network, role),
            identity=_identity(agents, len(self.network.skus)) if settings.identity else None,
            values=values_of(settings.action),
            continuous=settings.action.continuous,
            action=action_kind(settings.action),
            default_reward=settings.reward == "default",
            profit=settings.reward.endswith("profit"),
            chain_scale=self._chain_scale() if settings.reward.startswith("chain") else 0.0,
        )

    def _chain_scale(self) -> float:
        """What a day's demand of all customers is worth."""
        parent = self.simulator.params.parent
        leaves = np.setdiff1d(np.arange(len(parent)), parent)
        return float((self.mean_demand * self.cost_rate)[leaves].sum())

    def _make_constants(self, params: Params) -> dict[str, Any]:
        """What the kernels read besides the simulator's arrays and the knowledge; scratch."""
        network = self.network
        nodes = [self.roles[role].nodes if role in self.roles else np.zeros(0, np.int64) for role in ROLES]
        leaf_start, leaf = _below(params.parent, np.setdiff1d(np.arange(len(params.parent)), params.parent))
        below_start, below = _below(params.parent, np.arange(len(params.parent)))
        multiplier, profile = params.demand.multiplier, params.demand.profile[:, 0]
        patterns = [tuple(profile[leaf[i:j]]) for i, j in pairwise(leaf_start)]
        distinct = list(dict.fromkeys(patterns))
        return forecast_constants(network.forecast) | {
            "price": params.price,
            "unit_cost": params.unit_cost,
            "mean": self.mean_demand,
            "rate": self.cost_rate,
            "safety": safety_stock(1.0, params.target_service, self._lead_time),
            "textbook": base_stock_level(params),
            "role_start": np.cumsum([0] + [len(chosen) for chosen in nodes]),
            "role_nodes": np.concatenate(nodes),
            "leaf_start": leaf_start,
            "leaf": leaf,
            "below_start": below_start,
            "below": below,
            "season": np.array([multiplier[list(pattern)].mean(0) for pattern in distinct]),
            "season_row": np.array([distinct.index(pattern) for pattern in patterns]),
            "days_ahead": np.ceil(params.lead_time).astype(np.int64),
            "first_weekday": WEEKDAYS.index(network.first_weekday),
            "weekdays": network.period == "day",
            "episode_days": network.days,
            **_scratch(self.replications),
        }

    def _bind(self) -> None:
        """Show the arrays to Python and to the kernels."""
        self.known = Knowledge(*(batch_first(self._arrays[name]) for name in Knowledge._fields))
        self._planned, self._uncertain = batch_first(self._arrays["planned"]), batch_first(self._arrays["uncertain"])
        self._table = address_table(self.simulator.arrays | self._constants | self._arrays)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _BOUND}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._bind()

    def _weights(self, role: str) -> tuple[float, float, float]:
        shaping = self.network.role_settings(role).shaping
        return shaping.target_stock, shaping.anticipation, shaping.extreme_orders

    def _role_agents(self, role: str) -> RoleAgents:
        network = self.network
        names, settings = network.nodes_of(role), network.role_settings(role)
        return RoleAgents(
            name=role,
            nodes=np.array([network.node_names.index(name) for name in names]),
            agents=tuple(f"{name}/{sku}" for name in names for sku in network.skus),
            features=feature_names(network, role),
            action_space=space_of(settings.action),
            settings=settings,
        )

    @property
    def forecast(self) -> np.ndarray:
        """Causal forecast of today's demand, ``(B, N, S)`` units; orders from below count as demand."""
        return self.known.forecast

    @property
    def uncertainty(self) -> np.ndarray:
        """Standard deviation of the forecast's errors, ``(B, N, S)`` units."""
        return self.known.uncertainty

    def reset(self, rows: np.ndarray | None = None, first_day: int | np.ndarray = 0) -> None:
        """Begin again, all replications or the rows named; see :meth:`hmarl.Simulator.reset`."""
        self.simulator.reset(rows, first_day)
        begin(self.known, self.simulator.params, slice(None) if rows is None else np.asarray(rows, bool))

    def step(self, orders: np.ndarray) -> Outcome:
        """Play today with these orders ``(B, N, S)``, units, and learn from it."""
        if self._shaped:
            self._position[:] = self.simulator.inventory_position() + orders
        outcome = self.simulator.step(orders)
        learn(self._table)
        return outcome

    def clone(self) -> Chain:
        """A copy in the same state with the same future draws."""
        other = object.__new__(Chain)
        copies = {name: array.copy() for name, array in self._arrays.items()}
        own = {"simulator": self.simulator.clone(), "_arrays": copies, "_position": self._position.copy()}
        other.__setstate__(self.__getstate__() | own)
        return other

    def take(self, rows: np.ndarray, replications: np.ndarray | None = None) -> Chain:
        """A chain of some of the replications; see :meth:`hmarl.Simulator.take`."""
        other = object.__new__(Chain)
        width = len(rows)
        copies = {name: array.take(rows, axis=-1) for name, array in self._arrays.items()}
        kernels = {
            role: known._replace(seen=(width, *known.seen[1:]), paid=(width, *known.paid[1:]))
            for role, known in self._kernels.items()
        }
        own = {"simulator": self.simulator.take(rows, replications), "replications": width, "_kernels": kernels}
        own |= {"_arrays": copies, "_position": self._position[rows]}
        other.__setstate__(self.__getstate__() | own | {"_constants": self._constants | _scratch(width)})
        return other

    def observe(self, role: str, out: np.ndarray | None = None) -> np.ndarray:
        """What each agent of a role sees this morning, ``(B, agents, features)`` float32.

        A new array, or `out`: of that shape and type, contiguous.
        """
        kernels = self._kernels[role]
        if out is None:
            out = np.empty(kernels.seen, np.float32)
        if kernels.observation == "stock":
            observe_stock(self._table, kernels.number, kernels.apart, out)
        else:
            observe(self._table, kernels.number, out)
        if kernels.observation == "pipeline":
            observe_pipeline(self._table, kernels.number, kernels.apart, len(FEATURES[role]), out)
        if kernels.identity is not None:
            out[..., -1] = kernels.identity
        return out

    def orders(self, role: str, actions: np.ndarray) -> np.ndarray:
        """The quantities that actions ask for.

        Parameters
        ----------
        actions
            ``(B, agents)`` integers below the role's ``n_actions``; of a role with continuous actions numbers,
            ``(B, agents)`` or ``(B, agents, 1)``, clipped to -1 and 1.

        Returns
        -------
        numpy.ndarray
            ``(B, agents)`` units, before rounding to what the node may order.
        """
        kernels, out = self._kernels[role], np.empty(self._kernels[role].paid)
        values = chosen_values(kernels.values, actions, kernels.continuous).reshape(kernels.paid)
        quantities(self._table, kernels.number, *kernels.action, values, out)
        return out

    def rewards(self, role: str, out: np.ndarray | None = None) -> np.ndarray:
        """What each agent of a role is paid for the day just booked, ``(B, agents)`` float64.

        A new array, or `out`: of that shape and type, contiguous.
        """
        kernels = self._kernels[role]
        if out is None:
            out = np.empty(kernels.paid)
        if kernels.default_reward:
            reward(self._table, kernels.number, out)
        else:
            money_reward(self._table, kernels.number, kernels.profit, kernels.chain_scale, out)
        if self._shaped:
            out += self.bonuses(role)
        return out

    def bonuses(self, role: str) -> np.ndarray:
        """The role's shaping of the day just booked, ``(B, agents)``, part of the rewards: position near the plan,
        orders ahead of a peak, no extreme orders."""
        agents = self.roles[role]
        target_stock, anticipation, extreme = self._weights(agents.name)
        nodes, params = agents.nodes, self.simulator.params
        mean, ordered = self.mean_demand[nodes], self.simulator.outcome.ordered[:, nodes]
        uncertainty = np.sqrt(self._uncertain)
        planned = planned_position(self._planned, uncertainty, params.target_service, self._lead_time)[:, nodes]
        planned = np.maximum(planned, 1e-9)
        bonus = target_stock * (1 - np.abs(self._position[:, nodes] - planned) / planned)
        bonus -= extreme * np.maximum(ordered / mean - 3, 0)
        if anticipation:
            peak = self._peak()[:, nodes, None]
            bonus += anticipation * np.maximum(peak - 1, 0) * np.minimum(ordered / mean, 3)
        return bonus.reshape(self.replications, -1)

    def _peak(self) -> np.ndarray:
        """Multiplier of the customers' mean demand on the day that yesterday's order serves, ``(B, N)``."""
        start, cycle = self.simulator.params.demand.calendar
        day = self.simulator.state.day[:, None] - 1 + self._constants["days_ahead"]
        column = np.where(day < start, day, start + (day - start) % cycle)
        return self._constants["season"][self._constants["season_row"], column]


_BOUND = ("known", "_planned", "_uncertain", "_table")


def _scratch(replications: int) -> dict[str, np.ndarray]:
    """What the kernels work in."""
    return {
        "tile": np.zeros((4, min(TILE, replications))),
        "learn_rows": np.zeros((5, replications)),
        "position_rows": np.zeros((2, replications)),
    }


def _identity(agents: RoleAgents, skus: int) -> np.ndarray:
    """Which node of the role each agent is, ``(agents,)``: -1 the first to 1 the last."""
    return np.repeat(np.linspace(-1, 1, len(agents.nodes)), skus)


def _below(parent: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of some nodes are below each node or that node itself, as starts ``(N + 1,)`` and indices."""
    below: list[list[int]] = [[] for _ in parent]
    for node in nodes:
        above = int(node)
        while above >= 0:
            below[above].append(int(node))
            above = int(parent[above])
    return np.cumsum([0] + [len(row) for row in below]), np.array([n for row in below for n in row], np.int64)
