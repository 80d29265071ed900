"""A simulated supply chain and what its agents know, may do and are paid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box, Discrete

from hmarl.network.config import ROLES, WEEKDAYS, Multiples, Network, OrderUpTo, Quantities, RoleSettings
from hmarl.roles.action import space_of, values_of
from hmarl.roles.knowledge import Knowledge, begin, learn, make_knowledge, smoothing_of
from hmarl.roles.observation import FEATURES, feature_names, observe_default, observe_pipeline, pipeline_days
from hmarl.roles.plan import base_stock_level, planned_position, safety_stock
from hmarl.roles.reward import cost_rate, reward_default
from hmarl.simulator import Outcome, Simulator, day_costs


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
        self.known: Knowledge = make_knowledge(params, network.forecast, replications)
        self._lead_time = params.lead_time[:, None]
        self._safety = safety_stock(1.0, params.target_service, self._lead_time)
        self._textbook = base_stock_level(params)
        self._smoothing = smoothing_of(network.forecast)
        self._first_weekday = WEEKDAYS.index(network.first_weekday)
        self._weekdays = network.period == "day"
        self._leaf_start, self._leaf = _leaves_below(params.parent)
        self._planned = self.known.forecast.copy()
        self._uncertain = self.known.variance.copy()
        self._position = np.zeros(self.simulator.shape)
        self._shaped = any(s != (0, 0, 0) for s in (self._weights(role) for role in self.roles))
        self.reset()

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
        simulator = self.simulator
        self._planned[:] = self.known.forecast
        self._uncertain[:] = self.known.variance
        if self._shaped:
            self._position[:] = simulator.inventory_position() + orders
        outcome = simulator.step(orders)
        learn(
            simulator.params, simulator.state, outcome, self.known, self._smoothing, self._first_weekday, self._weekdays
        )
        return outcome

    def clone(self) -> Chain:
        """A copy in the same state with the same future draws."""
        other = object.__new__(Chain)
        other.__dict__.update(self.__dict__)
        other.simulator = self.simulator.clone()
        other.known = Knowledge(*(array.copy() for array in self.known))
        other._planned, other._uncertain = self._planned.copy(), self._uncertain.copy()
        other._position = self._position.copy()
        return other

    def observe(self, role: str) -> np.ndarray:
        """What each agent of a role sees this morning, ``(B, agents, features)`` float32."""
        agents, sim = self.roles[role], self.simulator
        out = np.empty((self.replications, len(agents.agents), len(agents.features)), np.float32)
        observe_default(
            ROLES.index(agents.name), agents.nodes, sim.params, sim.state, sim.outcome, self.known,
            self._leaf_start, self._leaf, self.mean_demand, out[..., : len(FEATURES[role])],
        )  # fmt: skip
        if agents.settings.observation == "pipeline":
            observe_pipeline(
                agents.nodes, sim.params, sim.state, self.known, sim.echelon_position(), self._seasons(),
                self.mean_demand, self.cost_rate,
                pipeline_days(self.network, role), self.network.days,
                self._first_weekday, self._weekdays, len(FEATURES[role]), out,
            )  # fmt: skip
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
        agents, action = self.roles[role], self.roles[role].settings.action
        skus = len(self.network.skus)
        value = values_of(action, np.asarray(actions).reshape(self.replications, len(agents.nodes), skus))
        if isinstance(action, Quantities):
            quantity = value
        else:
            mean = self.mean_demand[agents.nodes]
            if isinstance(action, Multiples):
                quantity = value * self.forecast[:, agents.nodes]
            else:
                echelon = isinstance(action, OrderUpTo) and action.echelon
                position = self.simulator.echelon_position() if echelon else self.simulator.inventory_position()
                position = position[:, agents.nodes]
                target = value * mean if isinstance(action, OrderUpTo) else value * mean + self._textbook[agents.nodes]
                quantity = np.maximum(target - position, 0.0)
        return quantity.reshape(self.replications, -1)

    def rewards(self, role: str) -> np.ndarray:
        """What each agent of a role is paid for the day just booked, ``(B, agents)`` float64."""
        agents, sim = self.roles[role], self.simulator
        out = np.empty((self.replications, len(agents.agents)))
        if agents.settings.reward == "default":
            reward_default(
                ROLES.index(agents.name), agents.nodes, sim.params, sim.outcome, self.known, self._leaf_start,
                self._leaf, self.mean_demand, self._safety, self._uncertain, self._planned, out,
            )  # fmt: skip
        else:
            out[:] = self._money_reward(agents)
        return out + self._shaping(agents) if self._shaped else out

    def _money_reward(self, agents: RoleAgents) -> np.ndarray:
        """Minus the cost, or the profit, of the agent or of the whole chain."""
        kind, params = agents.settings.reward, self.simulator.params
        costs = day_costs(params, self.simulator.outcome)
        money = -costs.cost if kind.endswith("cost") else costs.profit
        scale = self.mean_demand * self.cost_rate
        if kind.startswith("chain"):
            leaves = np.setdiff1d(np.arange(len(params.parent)), params.parent)
            total = money.sum((1, 2)) / scale[leaves].sum()
            return np.broadcast_to(total[:, None], (self.replications, len(agents.agents)))
        return (money / scale)[:, agents.nodes].reshape(self.replications, -1)

    def _shaping(self, agents: RoleAgents) -> np.ndarray:
        """Bonuses: position near the plan, orders ahead of a peak, no extreme orders."""
        target_stock, anticipation, extreme = self._weights(agents.name)
        nodes, params = agents.nodes, self.simulator.params
        mean, ordered = self.mean_demand[nodes], self.simulator.outcome.ordered[:, nodes]
        uncertainty = np.sqrt(self._uncertain)
        planned = planned_position(self._planned, uncertainty, params.target_service, self._lead_time)[:, nodes]
        planned = np.maximum(planned, 1e-9)
        bonus = target_stock * (1 - np.abs(self._position[:, nodes] - planned) / planned)
        bonus -= extreme * np.maximum(ordered / mean - 3, 0)
        if anticipation:
            peak = self._season(self.simulator.state.day - 1, params.lead_time)[:, nodes, None]
            bonus += anticipation * np.maximum(peak - 1, 0) * np.minimum(ordered / mean, 3)
        return bonus.reshape(self.replications, -1)

    def _seasons(self) -> np.ndarray:
        """The calendar's multiplier today and on the day that today's order serves, ``(B, N, 2)``."""
        day, lead_time = self.simulator.state.day, self.simulator.params.lead_time
        return np.stack([self._season(day, np.zeros_like(lead_time)), self._season(day, lead_time)], axis=-1)

    def _season(self, day: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """Multiplier of the customers' mean demand some days ahead, ``(B, N)``; the mean over the nodes below."""
        params, demand = self.simulator.params, self.simulator.params.demand
        start, cycle = demand.calendar
        target = day[:, None] + np.ceil(ahead).astype(int)
        column = np.where(target < start, target, start + (target - start) % cycle)
        season = np.empty(column.shape)
        for n in range(len(params.parent)):
            below = self._leaf[self._leaf_start[n] : self._leaf_start[n + 1]]
            season[:, n] = demand.multiplier[demand.profile[below, 0][None], column[:, n, None]].mean(1)
        return season


def _leaves_below(parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leaves below each node (itself for a leaf), as starts ``(N + 1,)`` and indices."""
    below: list[list[int]] = [[] for _ in parent]
    for leaf in np.setdiff1d(np.arange(len(parent)), parent):
        above = int(leaf)
        while above >= 0:
            below[above].append(int(leaf))
            above = int(parent[above])
    return np.cumsum([0] + [len(row) for row in below]), np.array([n for row in below for n in row], np.int64)
