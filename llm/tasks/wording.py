"""A state in words: what a model is told before it orders.

A decision sees the evening before: stock before the next morning's arrivals, what is on its way with these, the demand
of the day that ends. The order is placed in the morning. Day 1 is the evening before the first decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmarl.network import Network
from hmarl.network.config import WEEKDAYS
from hmarl.roles import Chain
from llm.tasks.task import Message

Index = NDArray[np.int64]

_HISTORY_DAYS = 7
_LONGEST_COVER = 30.0


class Wording:
    """The messages of a network's agents.

    Parameters
    ----------
    network
        The supply chain.
    agents
        Agent -> node and SKU, as indices. Where they are several a prompt names its own.
    highest
        Largest order, units.
    economics
        Whether the model is told the rules and the money (a system message), forecasts and the demand of the last
        days. Without, a prompt is as short as a tiny model wants it: the state alone.
    """

    def __init__(self, network: Network, agents: dict[str, tuple[int, int]], highest: float, economics: bool) -> None:
        self.network, self.agents, self.highest, self.economics = network, agents, highest, economics
        self._rules = {agent: self._system(agent) for agent in agents} if economics else {}
        self._weekday = WEEKDAYS.index(network.first_weekday)
        days = f" of {network.days + 1}" if network.finite else ""
        self._opening = f"{network.period.capitalize()} {{}}{days}"
        self._in = [_count(k + 1, network.period) for k in range(400)]

    def messages(
        self, chain: Chain, rows: Index, agents: Sequence[str], recommended: Sequence[float] | None = None
    ) -> list[list[Message]]:
        """What each agent is asked, one conversation a row.

        Parameters
        ----------
        chain
            The states.
        rows
            ``(M,)`` replications.
        agents
            ``(M,)`` who decides there.
        recommended
            ``(M,)`` what a base-stock rule would order, to be shown.
        """
        states = self.states(chain, rows, agents)
        if recommended is not None:
            states = [
                f"{text} Base-stock orders {_units(order)}." for text, order in zip(states, recommended, strict=True)
            ]
        if not self.economics:
            return [[{"role": "user", "content": f"{text} Order?"}] for text in states]
        question = " How many units do you order?"
        return [
            [{"role": "system", "content": self._rules[agent]}, {"role": "user", "content": text + question}]
            for agent, text in zip(agents, states, strict=True)
        ]

    def states(self, chain: Chain, rows: Index, agents: Sequence[str]) -> list[str]:
        """The states alone."""
        places = np.array([self.agents[agent] for agent in agents])
        facts = _Facts(chain, rows, places[:, 0], places[:, 1])
        return [self._state(facts, row, agent) for row, agent in enumerate(agents)]

    def _state(self, facts: _Facts, row: int, agent: str) -> str:
        network, arrivals, day = self.network, facts.arrivals[row], facts.day[row]
        node = network.node_names[self.agents[agent][0]]
        last = max([network.longest_lead_time(node), *(k + 1 for k, units in enumerate(arrivals) if units)])
        weekday = f", {WEEKDAYS[(day + self._weekday - 1) % 7].capitalize()}" if network.period == "day" else ""
        parts = [f"{agent}."] if len(self.agents) > 1 else []
        parts.append(f"{self._opening.format(day + 1)}{weekday}. Stock {_units(facts.stock[row])}.")
        if last:
            listed = (f"in {when} {_units(units)}" for when, units in zip(self._in, arrivals[:last], strict=False))
            parts.append(f"Arriving {', '.join(listed)}.")
        parts.append(f"Pending {_units(facts.pending[row])}.")
        if network.nodes[node].upstream is not None or network.nodes[node].order_lead_time:
            parts.append(f"Of this not shipped {_units(facts.unshipped[row])}.")
        if facts.has_debts[row]:
            parts.append(f"Owed to others {_units(facts.debts[row])}.")
        parts.append(f"Last demand {_units(facts.last_demand[row])}.")
        return " ".join([*parts, *(self._more(facts, row, node) if self.economics else [])])

    def _more(self, facts: _Facts, row: int, node: str) -> list[str]:
        """What a longer prompt adds."""
        network, period = self.network, self.network.period
        parts = [f"Inventory position {_units(facts.position[row])}."]
        past = facts.past(row, _HISTORY_DAYS)
        if past:
            parts.append(f"Demand of the last {_count(len(past), period)}: {', '.join(map(_units, past))}.")
        parts.append(
            f"Forecast {_units(facts.forecast[row])} a {period}, give or take {_units(facts.uncertainty[row])}."
        )
        upstream = network.nodes[node].upstream
        if upstream is not None and network.role_of(node) == "store":
            parts.append(f"The {network.role_of(upstream)} holds {_units(facts.stock_above[row])}.")
        below = facts.cover_below(row)
        if below:
            parts.append(
                f"Stock of the {len(below)} below lasts {_units(min(below))} {period}s at least, "
                f"{_units(float(np.mean(below)))} on average."
            )
        return parts

    def _system(self, agent: str) -> str:
        """The rules and the money of an agent's decisions; they never change."""
        network, period = self.network, self.network.period
        name = network.node_names[self.agents[agent][0]]
        sku = network.skus[self.agents[agent][1]]
        node, item = network.nodes[name], network.item(name, sku)
        soonest, latest = self._lead_times(name)
        arrival = _count(latest, period) if soonest == latest else f"{soonest} to {_count(latest, period)}"
        source = f"from {node.upstream}" if node.upstream else "from a source that never runs out"
        parts = [
            f"You order {sku} for {name}, a {network.role_of(name)}, {source}.",
            f"You decide in the evening; the order is placed next morning and arrives in {arrival}, "
            f"before that {period}'s demand.",
        ]
        if supplied := network.children(name):
            parts.append(f"You supply {', '.join(supplied)}.")
        if node.review_period > 1:
            parts.append(f"Orders are placed on every {node.review_period}th {period} only.")
        if item.case_pack:
            parts.append(f"Orders are multiples of {item.case_pack:g} units.")
        if node.order_capacity is not None:
            parts.append(f"At most {node.order_capacity:g} units can be ordered a {period}.")
        if item.demand is not None:
            parts.append(self._demand(name, sku))
            waits = "wait" if network.unmet_demand == "backorder" else "leave"
            parts.append(f"Customers who find no stock {waits}.")
        money = {
            "a unit sold brings": item.price,
            "a unit ordered costs" if node.upstream is None else "a unit is worth": item.unit_cost,
            "a unit of demand not met costs": item.shortage_cost,
            f"a unit left at a {period}'s end costs": item.holding_cost,
            "an order costs": item.order_cost,
        }
        parts.append(f"Money: {', '.join(f'{what} {value:g}' for what, value in money.items() if value)}.")
        if node.storage_capacity is not None:
            parts.append(f"At most {node.storage_capacity:g} units can be stored; what does not fit is lost.")
        if network.finite:
            parts.append(f"After {period} {network.days + 1} what is left is worth nothing.")
        parts.append(f"Order 0 to {self.highest:g} units so that profit is highest. End with: Decision: Order N units")
        return " ".join(parts)

    def _lead_times(self, name: str) -> tuple[int, int]:
        """Shortest and longest time from the evening of a decision to the morning of the arrival."""
        node = self.network.nodes[name]
        days = [node.lead_time] if isinstance(node.lead_time, int) else node.lead_time.distribution()[0]
        return min(days) + node.order_lead_time + 1, max(days) + node.order_lead_time + 1

    def _demand(self, name: str, sku: str) -> str:
        """Mean demand, by weekday where that matters."""
        demand = self.network.item(name, sku).demand
        assert demand is not None
        weekly = demand.weekday is not None or demand.weekday_add is not None
        first = WEEKDAYS.index(self.network.first_weekday)
        multiplier, addition = demand.levels(np.arange(max(7, self.network.days)), first)
        mean = demand.base_mean * multiplier + addition
        if not weekly:
            return f"Mean demand is {_units(float(mean.mean()))} a {self.network.period}."
        by_day = [(WEEKDAYS[(day + first) % 7].capitalize(), float(mean[day::7].mean())) for day in range(7)]
        return f"Mean demand: {', '.join(f'{day} {_units(units)}' for day, units in by_day)}."


class _Facts:
    """What some agents know, each attribute ``(M,)`` or a list of M; units."""

    def __init__(self, chain: Chain, rows: Index, nodes: Index, skus: Index) -> None:
        state, self._chain, self._places = chain.simulator.state, chain, (rows, nodes, skus)
        evening = state.on_hand - state.received + state.overflow
        coming = np.concatenate([state.received[*self._places][:, None], state.in_transit[*self._places]], axis=1)
        unshipped = (state.owed + state.orders_sent.sum(-1))[*self._places]
        parent = chain.simulator.params.parent
        backorders = state.backorders.copy()
        for node, above in enumerate(parent):
            if above >= 0:
                backorders[:, above] += state.owed[:, node]
        self.day = state.day[rows].tolist()
        self.stock = evening[*self._places].tolist()
        self.arrivals = coming[:, :-1].tolist()  # what comes last is ordered this morning
        self.unshipped = unshipped.tolist()
        self.pending = (coming.sum(1) + unshipped).tolist()
        self.has_debts = np.isin(nodes, parent) | (chain.network.unmet_demand == "backorder")
        self.debts = backorders[*self._places].tolist()
        seen = state.day[rows] > 0
        self.last_demand = np.where(seen, chain.known.yesterday[*self._places], 0.0).tolist()
        self.position = chain.simulator.inventory_position()[*self._places].tolist()
        self.forecast = chain.forecast[*self._places].tolist()
        self.uncertainty = chain.uncertainty[*self._places].tolist()
        self.stock_above = evening[rows, parent[nodes], skus].tolist()
        self._evening = evening

    def past(self, row: int, days: int) -> list[float]:
        """Demand of the last days, the newest last; where the forecast remembers it."""
        if self._chain.network.forecast.method != "moving_average":
            return []
        places = tuple(int(index[row]) for index in self._places)
        ring = self._chain.known.window[places]
        known = min(days, len(ring), self.day[row])
        return [float(ring[(self.day[row] - back) % len(ring)]) for back in range(known, 0, -1)]

    def cover_below(self, row: int) -> list[float]:
        """Days that the stock of each node below lasts at its forecast."""
        replication, node, sku = (int(index[row]) for index in self._places)
        below = np.flatnonzero(self._chain.simulator.params.parent == node)
        stock, forecast = self._evening[replication, below, sku], self._chain.forecast[replication, below, sku]
        return [
            min(float(s / f), _LONGEST_COVER) if f > 0 else _LONGEST_COVER for s, f in zip(stock, forecast, strict=True)
        ]


def _units(value: Any) -> str:
    """A whole number as one, another with a digit after the point."""
    return f"{round(value, 1):g}" if abs(value) < 1e5 else f"{value:.0f}"


def _count(number: int, period: str) -> str:
    return f"{number} {period}{'' if number == 1 else 's'}"
