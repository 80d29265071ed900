"""The exact cost of a constant order with lost sales, whose stock has no limit: a random walk that stops at 0."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import solve_banded
from scipy.optimize import brentq

from hmarl.exact.distribution import Array, day_demand, mean_of
from hmarl.network.config import Network
from hmarl.policies.rules import ConstantOrder
from hmarl.roles import Chain

_TAIL = 1e-13  # probability of more stock than is looked at


def constant_order_cost(network: Network, policy: ConstantOrder) -> float:
    """Long-run average cost of a constant order, money a day; infinite where it is not below mean demand.

    With z the order, what is left at the end of a day follows ``W' = max(W + z - D, 0)`` (Lindley 1952, "The theory of
    queues with a single server", Proceedings of the Cambridge Philosophical Society 48), whatever the lead time, and
    what is lost is on average ``E D - z`` a day (Xin and Goldberg 2016, "Optimality gap of constant-order policies
    decays exponentially in the lead time for lost sales models", Operations Research 64). W has no upper
    limit, but ``P(W > w) <= exp(-theta w)`` with ``E exp(theta (z - D)) = 1`` (Kingman 1964, "A martingale inequality
    in the theory of queues", Proceedings of the Cambridge Philosophical Society 60).
    """
    chain = Chain(network)
    order = int(chain.step(policy.orders(chain)).ordered.item())
    params = chain.simulator.params
    demand = network.item(network.node_names[0], network.skus[0]).demand
    assert demand is not None
    probabilities = day_demand(demand, True, 1.0)
    mean = mean_of(probabilities, 1.0)
    if order >= mean * (1 - 1e-9):  # the mean is rounded
        return math.inf
    lost, ordering = params.shortage_cost.item() * (mean - order), params.order_cost.item() * (order > 0)
    return lost + ordering + params.holding_cost.item() * _mean_left(probabilities, order)


def _mean_left(demand: Array, order: int) -> float:
    """Mean of W, units, for an order below mean demand."""
    step = order - np.arange(len(demand))
    if not demand[:order].any():
        return 0.0
    high = 1.0
    while demand @ np.exp(high * step) < 1:
        high *= 2
    low = high
    while demand @ np.exp(low * step) >= 1:
        low /= 2
    theta = brentq(lambda t: float(demand @ np.exp(t * step)) - 1, low, high)
    most = math.ceil(-math.log(_TAIL) / theta)
    # balance of the states 1 to `most`, with P(W = 0) as the unit: (I - Q') x = probabilities of leaving 0 for them
    below, above = order, max(len(demand) - 1 - order, 0)
    bands = np.zeros((below + above + 1, most))
    for d, p in enumerate(demand):
        offset = d - order  # from row j (where to) to column i (where from): i - j
        bands[above - offset] = -p
    bands[above] += 1
    leaving = np.zeros(most)
    leaving[: min(order, most)] = demand[:order][::-1][: min(order, most)]
    stock = solve_banded((below, above), bands, leaving)
    return float(stock @ np.arange(1, most + 1) / (1 + stock.sum()))
