"""Checks of a network before agents are trained in it: what would make the training pointless."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hmarl.errors import InputError
from hmarl.network.config import Multiples, Network, OrderUpTo, Quantities
from hmarl.policies.catalogue import make_policy
from hmarl.roles import Chain
from hmarl.roles.actions import values_of
from hmarl.simulator import Params, compile_network

REPLICATIONS = 64
DEMAND_TOLERANCE = 0.1
UNIT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Check:
    """What a check found: `detail` says what holds, or where and why it does not."""

    name: str
    ok: bool
    detail: str


def check_network(network: Network, seed: int = 0) -> list[Check]:
    """All checks of a network, those by rule first, then those by simulation.

    Parameters
    ----------
    seed
        Of the simulated days (validation stream).

    Returns
    -------
    list of Check
        One for each check, whether it holds or not.
    """
    params = compile_network(network)
    checks = []
    for name, (promise, find) in _RULES.items():
        faults = find(network, params)
        checks.append(Check(name, not faults, "; ".join(faults) or promise))
    return [*checks, *_simulated(network, params, seed)]


def require_valid(network: Network) -> None:
    """Refuse a network that fails a check.

    Raises
    ------
    InputError
        One line that names the checks that fail, and where.
    """
    failed = [check for check in check_network(network) if not check.ok]
    if failed:
        faults = "; ".join(f"{check.name}: {check.detail}" for check in failed)
        raise InputError(f"{network.name}: {faults} (hmarl validate tells more)")


def _demand(network: Network, params: Params) -> list[str]:
    sold = params.mean_demand > 0
    faults = [
        f"{name} has no node below it and no demand"
        for n, name in enumerate(network.nodes)
        if not network.children(name) and not sold[n].any()
    ]
    return faults + [f"{sku} is sold nowhere" for s, sku in enumerate(network.skus) if not sold[:, s].any()]


def _production(network: Network, params: Params) -> list[str]:
    wanted = params.mean_demand.sum(1)
    return [
        f"{name}: order_capacity {params.order_capacity[n]:g} a day is below the mean demand {wanted[n]:g}"
        for n, name in enumerate(network.nodes)
        if params.order_capacity[n] < wanted[n]
    ]


def _longest_wait(network: Network, params: Params) -> np.ndarray:
    """Days from an order of the first node of a branch to the shelf of each node, at most, ``(N,)``."""
    wait = np.zeros(len(params.parent), np.int64)
    late = params.delay.max(0) + params.lead_days.max(1) + params.order_lead_time
    for n in params.order:
        above = params.parent[n]
        wait[n] = late[n] + (wait[above] if above >= 0 else 0)
    return wait


def _lead_time(network: Network, params: Params) -> list[str]:
    wait = _longest_wait(network, params)
    return [
        f"{name}: goods take up to {wait[n]} {network.period}s from the source, an episode is {network.days}"
        for n, name in enumerate(network.nodes)
        if wait[n] >= network.days
    ]


def _warmup(network: Network, params: Params) -> list[str]:
    if network.warmup < network.days:
        return []
    return [f"warmup {network.warmup} leaves nothing of an episode of {network.days} {network.period}s"]


def _storage(network: Network, params: Params) -> list[str]:
    wanted = params.mean_demand.sum(1) * params.review_period
    return [
        f"{name}: storage_capacity {params.storage_capacity[n]:g} is below the mean demand {wanted[n]:g} "
        "from one order to the next"
        for n, name in enumerate(network.nodes)
        if params.storage_capacity[n] < wanted[n]
    ]


def _opening_stock(network: Network, params: Params) -> list[str]:
    stock = params.opening_stock.sum(1)
    return [
        f"{name}: opening_stock {stock[n]:g} is above storage_capacity {params.storage_capacity[n]:g}"
        for n, name in enumerate(network.nodes)
        if stock[n] > params.storage_capacity[n]
    ]


def _actions(network: Network, params: Params) -> list[str]:
    """The largest action must keep up with mean demand, and be an order that the node may place."""
    faults = []
    for n, name in enumerate(network.nodes):
        action = network.role_settings(network.role_of(name)).action
        review = int(params.review_period[n])
        for s, sku in enumerate(network.skus):
            mean, agent = params.mean_demand[n, s], f"{name}/{sku}"
            if mean == 0:
                continue
            if isinstance(action, Quantities):
                largest = values_of(action).max()
            elif isinstance(action, Multiples):
                largest = values_of(action).max() * mean
            elif isinstance(action, OrderUpTo):
                days = params.lead_time[n] + params.order_lead_time[n] + review
                largest = values_of(action).max() / days * review * mean
            else:
                continue
            if largest < mean * review * (1 - 1e-9):
                faults.append(f"{agent}: the largest action keeps up with {largest:g}, demand is {mean * review:g}")
            elif 2 * largest < max(params.minimum_order[n, s], params.case_pack[n, s]):
                faults.append(f"{agent}: the largest action, {largest:g}, is no order that minimum and pack allow")
    return faults


_RULES: dict[str, tuple[str, Callable[[Network, Params], list[str]]]] = {
    "demand": ("every last node has customers, every SKU is sold", _demand),
    "production": ("order capacities cover mean demand", _production),
    "lead time": ("goods get from the source to the customers within an episode", _lead_time),
    "warm-up": ("shorter than an episode", _warmup),
    "storage": ("holds mean demand from one order to the next", _storage),
    "opening stock": ("fits into storage", _opening_stock),
    "actions": ("every agent can keep up with its mean demand", _actions),
}


def _simulated(network: Network, params: Params, seed: int) -> list[Check]:
    """Play base-stock and no order on the same days and look at what comes out."""
    days = network.days + int(_longest_wait(network, params).max())
    chain = Chain(network, REPLICATIONS, seed, split="validation")
    idle = Chain(network, REPLICATIONS, seed, split="validation")
    policy = make_policy("base_stock", network)
    nothing = np.zeros(chain.simulator.shape)
    shape = chain.simulator.shape
    demand, sold, in_episode = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    gone, made, idle_sold = np.zeros(shape), np.zeros(shape), 0.0
    finite: dict[str, None] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for day in range(days):
            for role, agents in chain.roles.items():
                if not np.isfinite(chain.observe(role)).all():
                    finite[f"{role}: an observation of {', '.join(agents.agents[:3])} is not finite"] = None
            outcome = chain.step(policy.orders(chain))
            for role in chain.roles:
                if not np.isfinite(chain.rewards(role)).all():
                    finite[f"{role}: a reward is not finite"] = None
            demand += outcome.demand
            sold += outcome.sold
            gone += outcome.overflow + outcome.lost
            made += outcome.filled * (params.parent < 0)[:, None]
            if day < network.days:
                in_episode += outcome.demand
            idle_sold += float(idle.step(nothing).sold.sum())
    state = chain.simulator.state
    stock = state.on_hand + state.in_transit.sum(-1) + state.overflow
    balance = params.opening_stock.sum(0) + (made - sold - gone - stock).sum(1)
    return [
        _drawn(network, params, in_episode / network.days),
        _conserved(network, balance, UNIT_TOLERANCE * (1 + demand.sum((0, 1)))),
        Check("numbers", not finite, "; ".join(finite) or "observations and rewards are finite"),
        _worth_ordering(float(sold.sum()), idle_sold, float(demand.sum())),
    ]


def _drawn(network: Network, params: Params, means: np.ndarray) -> Check:
    """Whether draws have the mean that rules, observations and rewards take for theirs."""
    mean, error = means.mean(0), means.std(0, ddof=1) / np.sqrt(len(means))
    own = np.array([[network.item(n, s).demand is not None for s in network.skus] for n in network.nodes])
    expected = _own_mean(params)
    wrong = own & (np.abs(mean - expected) > DEMAND_TOLERANCE * expected + 4 * error + 1e-9)
    faults = [
        f"{network.node_names[n]}/{network.skus[s]}: {mean[n, s]:.3g} a {network.period} are drawn, "
        f"the configuration says {expected[n, s]:.3g}"
        for n, s in np.argwhere(wrong)
    ]
    return Check("drawn demand", not faults, "; ".join(faults) or "has the mean that the configuration says")


def _own_mean(params: Params) -> np.ndarray:
    """Mean demand of each node's own customers, ``(N, S)``; `params` counts all below a node."""
    own = params.mean_demand.copy()
    for n, above in enumerate(params.parent):
        if above >= 0:
            own[above] -= params.mean_demand[n]
    return own


def _conserved(network: Network, balance: np.ndarray, tolerance: np.ndarray) -> Check:
    lost = np.abs(balance).max(0)
    faults = [
        f"{sku}: {lost[s]:g} units too many or too few; stocks are too large to be counted exactly"
        for s, sku in enumerate(network.skus)
        if not lost[s] <= tolerance[s]
    ]
    return Check("units", not faults, "; ".join(faults) or "opening stock + production = sold + lost + left")


def _worth_ordering(sold: float, idle: float, demand: float) -> Check:
    ok = sold > idle
    share, without = (100 * x / demand if demand else 0.0 for x in (sold, idle))
    comparison = f"base-stock serves {share:.1f} % of demand, no order {without:.1f} %"
    return Check("orders", ok, comparison if ok else f"{comparison}: ordering changes nothing")
