"""Two stores, a warehouse and a supplier as most people would write them: a dict an agent, one Python loop.

The yardstick of ``python -m benchmarks.simulator``: the same day, observations and rewards as hmarl's on a
network like `two_store` (one SKU, fixed lead times of a day or more, one capacitated source, lost sales, owed
orders kept, shortages shared in proportion), and checked against it to the unit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from scipy.special import ndtri

from hmarl.network.config import Network
from hmarl.simulator.params import compile_network

Draw = Callable[[int, str], float]
WINDOW = 7


class PlainLoop:
    """One replication; `draw(day, store)` is the day's demand, left out: drawn here."""

    def __init__(self, network: Network, seed: int = 0, draw: Draw | None = None) -> None:
        params, sku = compile_network(network), network.skus[0]
        self.random = random.Random(seed)
        self.draw = draw or self._draw
        self.settings: dict[str, dict[str, Any]] = {}
        for n, name in enumerate(network.node_names):
            node, item = network.nodes[name], network.item(name, sku)
            self.settings[name] = {
                "role": network.role_of(name),
                "upstream": node.upstream,
                "below": network.children(name),
                "lead_time": int(params.lead_time[n]),
                "capacity": node.order_capacity,
                "demand": item.demand,
                "opening_stock": item.opening_stock,
                "mean": float(params.mean_demand[n, 0]),
                "std": float(params.demand_std[n, 0]),
                "safety": float(ndtri(item.target_service)) * math.sqrt(params.lead_time[n] + 1),
            }
        self.from_the_source_down = [network.node_names[n] for n in params.order]
        self.stores = [name for name, s in self.settings.items() if s["role"] == "store"]
        self.agents: dict[str, dict[str, Any]] = {}
        self.reset()

    def reset(self) -> None:
        """Begin again with the opening stock."""
        self.day = 0
        for name, s in self.settings.items():
            self.agents[name] = {
                "stock": s["opening_stock"],
                "pipeline": [0.0] * (s["lead_time"] - 1),
                "owed": 0.0,
                "owed_before": 0.0,
                "ordered": 0.0,
                "filled": 0.0,
                "asked": 0.0,
                "unmet": 0.0,
                "service": 1.0,
                "late": 0.0,
                "history": [s["mean"]] * WINDOW,
                "services": [1.0] * 7,
                "forecast": s["mean"],
                "variance": s["std"] ** 2,
            }

    def _draw(self, day: int, store: str) -> float:
        demand = self.settings[store]["demand"]
        mean = demand.mean
        if demand.season:
            angle = 2 * math.pi * (day + demand.season.phase) / demand.season.period
            mean *= 1 + demand.season.amplitude * math.sin(angle)
        return max(0.0, float(round(self.random.gauss(mean, demand.std))))

    def position(self, name: str) -> float:
        """Inventory position of a node, units."""
        agent = self.agents[name]
        below = sum(self.agents[child]["owed"] for child in self.settings[name]["below"])
        return float(agent["stock"] + sum(agent["pipeline"]) + agent["owed"] - below)

    def step(self, orders: dict[str, float]) -> tuple[dict[str, list[float]], dict[str, float]]:
        """Play a day: observations of the next morning and rewards of the day."""
        for name, agent in self.agents.items():
            capacity = self.settings[name]["capacity"]
            agent["ordered"] = float(round(max(0.0, orders[name])))
            if capacity is not None:
                agent["ordered"] = min(agent["ordered"], math.floor(capacity))
            agent["owed_before"] = agent["owed"]
            agent["owed"] += agent["ordered"]
        for name in self.from_the_source_down:
            if self.settings[name]["upstream"] is None:
                self._ship(name, min(self.agents[name]["owed"], self.settings[name]["capacity"] or math.inf))
            self._fill(name)
        for name in self.agents:
            self._meet_demand(name)
        rewards = {name: self._reward(name) for name in self.agents}
        for name in self.agents:
            self._learn(name)
        self.day += 1
        for agent in self.agents.values():
            agent["stock"] += agent["pipeline"].pop(0)
        return {name: self._observe(name) for name in self.agents}, rewards

    def _ship(self, name: str, quantity: float) -> None:
        agent = self.agents[name]
        agent["filled"] = quantity
        agent["owed"] -= quantity
        agent["pipeline"].append(quantity)

    def _fill(self, name: str) -> None:
        agent, below = self.agents[name], self.settings[name]["below"]
        asked = {child: self.agents[child]["owed"] for child in below}
        total = sum(asked.values())
        shares = dict(asked)
        if total > agent["stock"]:
            shares = {child: math.floor(asked[child] * agent["stock"] / total + 1e-9) for child in below}
            spare = agent["stock"] - sum(shares.values())
            for child in below:
                if spare >= 1 and shares[child] + 1 <= asked[child]:
                    shares[child] += 1
                    spare -= 1
        for child in below:
            agent["stock"] -= shares[child]
            self._ship(child, shares[child])

    def _meet_demand(self, name: str) -> None:
        agent, s = self.agents[name], self.settings[name]
        demand = self.draw(self.day, name) if s["demand"] else 0.0
        sold = min(agent["stock"], demand)
        agent["stock"] -= sold
        agent["unmet"] = demand - sold
        met, shipped, overdue, waiting = sold, 0.0, 0.0, 0.0
        for child in s["below"]:
            below = self.agents[child]
            old = min(below["filled"], below["owed_before"])
            demand += below["ordered"]
            met += below["filled"] - old
            shipped += below["filled"]
            overdue += old
            waiting += below["owed"]
        agent["asked"] = demand
        agent["service"] = met / demand if demand > 0 else 1.0
        agent["late"] = overdue / shipped if shipped > 0 else float(waiting > 0)

    def _learn(self, name: str) -> None:
        agent = self.agents[name]
        error = agent["asked"] - agent["forecast"]
        agent["variance"] += (error**2 - agent["variance"]) / (4 * WINDOW)
        agent["history"] = [*agent["history"][1:], agent["asked"]]
        agent["services"] = [*agent["services"][1:], agent["service"]]
        agent["forecast"] = sum(agent["history"]) / WINDOW

    def _reward(self, name: str) -> float:
        agent, s = self.agents[name], self.settings[name]
        holding = agent["stock"] / s["mean"]
        if s["role"] == "store":
            excess = max(0.0, agent["stock"] - s["safety"] * math.sqrt(agent["variance"]) - agent["forecast"])
            stockout = agent["unmet"] / s["mean"]
            return float(10 * agent["service"] - 0.1 * holding - 5 * stockout - 0.05 * excess / s["mean"])
        if s["role"] == "warehouse":
            stores = [self.agents[store] for store in self.stores]
            served = sum(store["service"] for store in stores) / len(stores)
            out = sum(store["unmet"] > 0 for store in stores) / len(stores)
            return float(5 * served - 0.05 * holding - 3 * out)
        return float(2 * agent["service"] - agent["late"] - 0.05 * holding)

    def _cover(self, name: str) -> float:
        forecast = self.agents[name]["forecast"]
        return min(max(self.position(name) / forecast, 0.0), 30.0) if forecast > 0 else 30.0

    def _observe(self, name: str) -> list[float]:
        agent, s = self.agents[name], self.settings[name]
        mean, week = s["mean"], sum(agent["services"]) / 7
        stock = agent["stock"] - sum(self.agents[child]["owed"] for child in s["below"])
        if s["role"] == "store":
            above = self.agents[s["upstream"]]["stock"] / self.settings[s["upstream"]]["mean"]
            deviation = math.sqrt(agent["variance"])
            return [stock / mean, agent["forecast"] / mean, deviation / mean, self._cover(name) / 10,
                    float(agent["unmet"] > 0), above / 10, week]  # fmt: skip
        inbound = sum(agent["pipeline"]) / mean
        if s["role"] == "warehouse":
            covers = [self._cover(store) / 10 for store in self.stores]
            served = sum(self.agents[store]["service"] for store in self.stores) / len(self.stores)
            return [
                agent["asked"] / mean,
                stock / mean,
                inbound,
                min(covers),
                sum(covers) / len(covers),
                served,
            ]
        room = min(max((s["capacity"] - agent["ordered"]) / mean, 0.0), 10.0)
        return [agent["asked"] / mean, stock / mean, inbound, room, s["lead_time"] / 10, week]
