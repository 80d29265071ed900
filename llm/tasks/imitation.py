"""A fast copy of a slow policy: a small network fitted to the decisions that it took.

Rolling a language model out on thousands of futures is out of reach; a copy of it is not. With the copy as the
continuation of the reward the training is policy iteration from the model itself, and no rule's knowledge is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmarl.policies import Policy
from hmarl.roles import Chain
from llm.tasks.supply_chain import SupplyChainTask

Array = NDArray[np.float64]
Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]

_HIDDEN = (64, 64)
_STEPS, _BATCH, _RATE = 400, 256, 3e-3  # of Adam
_LAST_DAYS = 6  # of a finite episode, told apart
_CLOSE = 1 / 8  # of a day's mean demand: decisions this near to each other count as the same


@dataclass(frozen=True)
class Decisions:
    """What a policy saw and decided, one row a decision."""

    features: NDArray[np.float32]  # (n, F)
    orders: Array  # (n,) days of the agent's mean demand


class Observed:
    """A policy whose decisions are written down while it plays.

    A share of its orders is replaced by others nearby, so that states around its path are met too; what is written
    down is what it decided itself.

    Parameters
    ----------
    task
        Whose agents it decides for.
    share
        Of the orders that are replaced, by as many units more or less as a day's mean demand has at most.
    seed
        Of these.
    """

    def __init__(self, task: SupplyChainTask, policy: Policy, share: float, seed: int) -> None:
        self.task, self.policy, self.share, self.name = task, policy, share, policy.name
        self._rng = np.random.default_rng((seed, 5))
        self._features: list[NDArray[np.float32]] = []
        self._orders: list[Array] = []

    def orders(self, chain: Chain) -> Array:
        """Orders ``(B, N, S)`` of this morning, units."""
        out = self.policy.orders(chain)
        nodes, skus, mean = _places(self.task, chain)
        own = out[:, nodes, skus]
        days = chain.simulator.state.day.tolist()
        asked = np.array([[self.task.decides(agent, day) for agent in self.task.agents] for day in days])
        self._features.append(features(self.task, chain)[asked])
        self._orders.append((own / mean)[asked])
        other = own + self._rng.uniform(-1.0, 1.0, own.shape) * mean
        other = np.clip(np.rint(other) if self.task.whole else other, 0.0, self.task.highest)
        out[:, nodes, skus] = np.where(self._rng.random(own.shape) < self.share, other, own)
        return out

    def decisions(self) -> Decisions:
        """All until now."""
        return Decisions(np.concatenate(self._features), np.concatenate(self._orders))


@dataclass(frozen=True)
class Imitation:
    """A perceptron with rectified units that orders for a task's agents; the task's continuation for all others.

    Attributes
    ----------
    layers
        Weights ``(in, out)`` and biases ``(out,)``.
    """

    task: SupplyChainTask
    layers: Layers
    name: str = "self"

    def orders(self, chain: Chain) -> Array:
        """Orders ``(B, N, S)`` of this morning, units."""
        out = self.task.continuation.orders(chain)
        nodes, skus, mean = _places(self.task, chain)
        order = self.days(features(self.task, chain)) * mean
        out[:, nodes, skus] = np.clip(np.rint(order) if self.task.whole else order, 0.0, self.task.highest)
        return out

    def days(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Orders for features ``(..., F)``, days of mean demand."""
        *hidden, (weight, bias) = self.layers
        for w, b in hidden:
            x = np.maximum(x @ w + b, 0.0)
        return (x @ weight + bias)[..., 0]

    def agreement(self, decisions: Decisions) -> float:
        """Share of decisions that it takes alike: no further apart than an eighth of a day's mean demand."""
        ordered = np.maximum(self.days(decisions.features), 0.0)
        return float((np.abs(ordered - decisions.orders) <= _CLOSE).mean())

    def to_json(self) -> list[Any]:
        """Plain data, exact."""
        return [[weight.tolist(), bias.tolist()] for weight, bias in self.layers]

    @classmethod
    def from_json(cls, task: SupplyChainTask, data: list[Any]) -> Imitation:
        """The reverse of :meth:`to_json`."""
        return cls(task, [(np.array(weight, np.float32), np.array(bias, np.float32)) for weight, bias in data])


def features(task: SupplyChainTask, chain: Chain) -> NDArray[np.float32]:
    """What prompts tell each agent of this morning, in numbers of order one, ``(B, agents, F)``.

    Stock of the evening, arrivals by day, what was not shipped, inventory position; the weekday; the last days of a
    finite episode; which agent; with the economics also the forecast and its uncertainty.
    """
    state, network = chain.simulator.state, chain.network
    nodes, skus, mean = _places(task, chain)
    place = (slice(None), nodes, skus)
    lead_time = max(network.longest_lead_time(network.node_names[node]) for node in nodes)
    quantities = [
        (state.on_hand - state.received + state.overflow)[place],
        state.received[place],
        *np.moveaxis(state.in_transit[place], -1, 0)[: lead_time - 1],
        (state.owed + state.orders_sent.sum(-1))[place],
        chain.simulator.inventory_position()[place],
    ]
    parts = [np.stack(quantities, -1) / (mean[:, None] * (lead_time + 1) / 2) - 1]
    if task.wording.economics:
        parts.append(np.stack([chain.forecast[place], chain.uncertainty[place]], -1) / mean[:, None] - 1)
    calendar = []
    if network.period == "day":
        calendar.append(state.day[:, None] % 7 == np.arange(7))
    if network.finite:
        calendar.append(network.days - state.day[:, None] == np.arange(1, _LAST_DAYS + 1))
    shape = len(state.day), len(nodes)
    parts += [np.broadcast_to(told[:, None], (*shape, told.shape[-1])) for told in calendar]
    if len(nodes) > 1:
        parts.append(np.broadcast_to(np.eye(len(nodes)), (*shape, len(nodes))))
    return np.concatenate(parts, -1, dtype=np.float32)


def imitate(task: SupplyChainTask, decisions: Decisions, seed: int) -> Imitation:
    """Fit a perceptron to the mean of decisions: squared loss, Adam, a rate that falls to 0.

    The same decisions and seed give the same weights.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for matrices this small, and sums are always rounded alike
    try:
        layers = _fit(decisions, seed)
    finally:
        torch.set_num_threads(threads)
    return Imitation(task, layers)


def _fit(decisions: Decisions, seed: int) -> Layers:
    import torch
    from torch.nn.functional import mse_loss

    rng = np.random.default_rng((seed, 6))
    x, y = torch.from_numpy(decisions.features), torch.from_numpy(decisions.orders.astype(np.float32))
    parameters = [
        torch.from_numpy((rng.uniform(-1, 1, shape) / first**0.5).astype(np.float32)).requires_grad_()
        for first, last in pairwise((x.shape[1], *_HIDDEN, 1))
        for shape in ((first, last), (last,))
    ]
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    optimiser = torch.optim.Adam(parameters, lr=_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, _STEPS)
    for rows in torch.from_numpy(rng.integers(0, len(x), (_STEPS, _BATCH))):
        found = x[rows]
        for weight, bias in layers[:-1]:
            found = torch.relu(found @ weight + bias)
        weight, bias = layers[-1]
        loss = mse_loss((found @ weight + bias)[:, 0], y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return [(weight.detach().numpy(), bias.detach().numpy()) for weight, bias in layers]


def _places(task: SupplyChainTask, chain: Chain) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Node, SKU and mean demand, units a day, of each agent."""
    nodes, skus = np.array(list(task.agents.values())).T
    return nodes, skus, chain.simulator.params.mean_demand[nodes, skus]
