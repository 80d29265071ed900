"""What an order is worth: the same state and the same futures, once with it and once with a rule's own order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmarl.network.config import Shaping
from hmarl.policies import Policy
from hmarl.roles import Chain
from hmarl.simulator import day_costs
from llm.tasks.situations import MOST_REPLICATIONS

Array = NDArray[np.float64]
Index = NDArray[np.int64]

MOST_FUTURES = (1 << 32) // MOST_REPLICATIONS - 1  # a draw's key has 32 bits for the replication
_SIDE_BY_SIDE = 65_536  # replications of a simulation


@dataclass(frozen=True)
class Counterfactual:
    """Rolls orders out on futures that are drawn anew, under a rule that goes on after them.

    Attributes
    ----------
    policy
        The continuation: orders for all other agents, and for all from the next day on. The reward is approximate
        rollout over it (Bertsekas, "Rollout, Policy Iteration, and Distributed Reinforcement Learning", 2020): no
        better than one step of policy improvement teaches.
    days
        H, the day of the order included; fewer where the network is finite and its days end.
    futures
        K, at most 2,047: demand, lead times and losses; the same for all orders of a state.
    """

    policy: Policy
    days: int
    futures: int

    def gains(self, chain: Chain, role: str, places: Index, states: Index, orders: Array) -> tuple[Array, Array]:
        """What orders earn beyond what the rule's own order does.

        Parameters
        ----------
        chain
            The states, one a replication.
        role
            Of the agents that decide.
        places
            ``(B, 2)`` node and SKU of the agent that decides in each state.
        states, orders
            ``(M,)`` in which state which order is tried, units. Equal ones are simulated once.

        Returns
        -------
        tuple
            ``(M,)`` money until the horizon, mean over the futures, leftover stock valued; and ``(M,)`` the shaping
            bonus of the role beyond that of the rule's own order.
        """
        pairs, where = np.unique(np.stack([states.astype(np.float64), orders]), axis=1, return_inverse=True)
        asked = np.unique(states)
        tried = np.concatenate([pairs[0].astype(np.int64), asked])
        values = np.concatenate([pairs[1], np.full(len(asked), np.nan)])
        most = max(1, _SIDE_BY_SIDE // self.futures)
        parts = [
            self._roll_out(chain, role, places, tried[first : first + most], values[first : first + most])
            for first in range(0, len(tried), most)
        ]
        profit, bonus = (np.concatenate(column) for column in zip(*parts, strict=True))
        own = pairs.shape[1] + np.searchsorted(asked, states)
        where = where.ravel()
        return profit[where] - profit[own], bonus[where] - bonus[own]

    def _roll_out(self, chain: Chain, role: str, places: Index, states: Index, orders: Array) -> tuple[Array, Array]:
        """Profit and bonus of each order, mean over the futures; NaN stands for the rule's own order."""
        rows = np.repeat(states, self.futures)
        future = np.tile(np.arange(1, self.futures + 1), len(states)) * MOST_REPLICATIONS
        branch = chain.take(rows, chain.simulator.state.replication[rows] + future)
        network, simulator, nodes, skus = chain.network, branch.simulator, places[rows, 0], places[rows, 1]
        first = self.policy.orders(branch)
        tried = np.repeat(orders, self.futures)
        given = np.flatnonzero(~np.isnan(tried))
        first[given, nodes[given], skus[given]] = tried[given]
        profit, bonus = np.zeros(len(rows)), np.zeros(len(rows))
        for day in range(self.days):
            counts = (simulator.state.day < network.days) | (not network.finite)
            outcome = branch.step(self.policy.orders(branch) if day else first)
            profit += counts * day_costs(simulator.params, outcome).profit.sum((1, 2))
            if day == 0 and network.role_settings(role).shaping != Shaping():
                agent = np.searchsorted(branch.roles[role].nodes, nodes) * len(network.skus) + skus
                bonus = branch.bonuses(role)[np.arange(len(rows)), agent]
        profit += leftover_value(branch)
        return profit.reshape(-1, self.futures).mean(1), bonus.reshape(-1, self.futures).mean(1)


def leftover_value(chain: Chain) -> Array:
    """What stock is worth where the simulation stops, ``(B,)`` money.

    Units on hand and in transit, and those paid for and not yet shipped, at their unit cost; customers who wait still
    pay the price of the unit that they get. Nothing where the days of a finite network are over.
    """
    params, state = chain.simulator.params, chain.simulator.state
    paid = (params.parent < 0)[:, None] * (state.owed + state.orders_sent.sum(-1))
    units = state.on_hand + state.in_transit.sum(-1) + paid - state.backorders
    value = (params.unit_cost * units + params.price * state.backorders).sum((1, 2))
    return np.where(chain.network.finite & (state.day >= chain.network.days), 0.0, value)
