"""A network as arrays: what the kernels read."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hmarl.network.config import WEEKDAYS, Network, Node
from hmarl.network.demand import Demand
from hmarl.simulator.rng import poisson_mode_table

NO_DEMAND, CONSTANT, POISSON, GEOMETRIC, NORMAL, UNIFORM, DISCRETE, HISTORY, PATH = range(9)
_KINDS = {
    "constant": CONSTANT,
    "poisson": POISSON,
    "geometric": GEOMETRIC,
    "normal": NORMAL,
    "uniform": UNIFORM,
    "discrete": DISCRETE,
    "history": HISTORY,
    "path": PATH,
}
_LONGEST_CALENDAR = 40_000


class DemandParams(NamedTuple):
    """Customers' demand. N nodes, S SKUs, P profiles (distinct day-to-day patterns), C days of calendar."""

    kind: np.ndarray  # (N, S)
    first: np.ndarray  # (N, S) mean, low or block length
    second: np.ndarray  # (N, S) std or high
    values: np.ndarray  # (N, S, K) discrete values, history or path
    cumulative: np.ndarray  # (N, S, K) discrete distribution
    length: np.ndarray  # (N, S) how many of the K count
    profile: np.ndarray  # (N, S) row of the tables below
    multiplier: np.ndarray  # (P, C)
    addition: np.ndarray  # (P, C)
    poisson_pmf: np.ndarray  # (P, C) of the mode of that day's mean
    poisson_cdf: np.ndarray  # (P, C)
    calendar: np.ndarray  # (2,) from day [0] on the calendar repeats every [1] days
    spike: np.ndarray  # (N, S, 3) probability, multiplier, days
    autocorrelation: np.ndarray  # (N, S)
    weekly_blocks: bool  # blocks of a history begin on the weekday they replay


class Params(NamedTuple):
    """N nodes, S SKUs; times in days, quantities in units, costs a unit and day where not said otherwise."""

    parent: np.ndarray  # (N,) node that delivers, -1 none
    order: np.ndarray  # (N,) nodes from the source down
    child_start: np.ndarray  # (N + 1,) children of n are child[child_start[n]:child_start[n + 1]]
    child: np.ndarray
    lead_days: np.ndarray  # (N, K)
    lead_cumulative: np.ndarray  # (N, K)
    lead_time: np.ndarray  # (N,) mean
    lead_variance: np.ndarray  # (N,)
    order_lead_time: np.ndarray  # (N,)
    review_period: np.ndarray  # (N,)
    storage_capacity: np.ndarray  # (N,) inf: none
    order_capacity: np.ndarray  # (N,) inf: none
    reliability: np.ndarray  # (N,)
    order_loss: np.ndarray  # (N,)
    shipment_loss: np.ndarray  # (N,)
    outage: np.ndarray  # (C', N) 1 on days without deliveries; the last row is kept
    delay: np.ndarray  # (C', N) days added
    opening_stock: np.ndarray  # (N, S)
    minimum_order: np.ndarray  # (N, S)
    case_pack: np.ndarray  # (N, S)
    price: np.ndarray  # (N, S)
    unit_cost: np.ndarray  # (N, S)
    holding_cost: np.ndarray  # (N, S)
    shortage_cost: np.ndarray  # (N, S)
    order_cost: np.ndarray  # (N, S) an order
    target_service: np.ndarray  # (N, S)
    mean_demand: np.ndarray  # (N, S) the node's own and all below it
    demand_std: np.ndarray  # (N, S) the same, nodes independent
    demand: DemandParams
    integer: bool
    backorder: bool
    keep_unfilled: bool
    equal_shortfall: bool
    transit_days: int  # longest lead time, at least 1
    order_days: int  # longest order lead time, at least 1


def compile_network(network: Network) -> Params:
    """The arrays of a network; nodes and SKUs in the order of the configuration."""
    names, skus = network.node_names, network.skus
    nodes = [network.nodes[name] for name in names]
    index = {name: i for i, name in enumerate(names)}
    parent = np.array([-1 if n.upstream is None else index[n.upstream] for n in nodes], np.int64)
    order = _from_the_source_down(parent)
    children = [[i for i in range(len(names)) if parent[i] == n] for n in range(len(names))]
    items = [[network.item(name, sku) for sku in skus] for name in names]

    def per_item(field: str) -> np.ndarray:
        return np.array([[float(getattr(item, field)) for item in row] for row in items])

    def per_node(field: str, missing: float = math.inf) -> np.ndarray:
        values = [getattr(node, field) for node in nodes]
        return np.array([missing if v is None else float(v) for v in values])

    moments = np.array([network.lead_time_moments(name) for name in names]).T.copy()
    lead_days, lead_cumulative = _lead_time_tables(nodes)
    outage, delay = _windows(nodes)
    demands = [[item.demand for item in row] for row in items]
    mean, variance = _demand_moments(network, demands)
    for n in order[::-1]:
        if parent[n] >= 0:
            mean[parent[n]] += mean[n]
            variance[parent[n]] += variance[n]
    longest = int(lead_days.max() + delay.max())
    return Params(
        parent=parent,
        order=order,
        child_start=np.cumsum([0] + [len(c) for c in children]).astype(np.int64),
        child=np.array([c for row in children for c in row], np.int64),
        lead_days=lead_days,
        lead_cumulative=lead_cumulative,
        lead_time=moments[0],
        lead_variance=moments[1],
        order_lead_time=per_node("order_lead_time").astype(np.int64),
        review_period=per_node("review_period").astype(np.int64),
        storage_capacity=per_node("storage_capacity"),
        order_capacity=per_node("order_capacity"),
        reliability=per_node("reliability"),
        order_loss=per_node("order_loss"),
        shipment_loss=per_node("shipment_loss"),
        outage=outage,
        delay=delay,
        opening_stock=per_item("opening_stock"),
        minimum_order=per_item("minimum_order"),
        case_pack=per_item("case_pack"),
        price=per_item("price"),
        unit_cost=per_item("unit_cost"),
        holding_cost=per_item("holding_cost"),
        shortage_cost=per_item("shortage_cost"),
        order_cost=per_item("order_cost"),
        target_service=per_item("target_service"),
        mean_demand=mean,
        demand_std=np.sqrt(variance),
        demand=_demand_params(network, demands),
        integer=network.quantities == "integer",
        backorder=network.unmet_demand == "backorder",
        keep_unfilled=network.unfilled_orders == "keep",
        equal_shortfall=network.shortage == "equal_shortfall",
        transit_days=max(1, longest),
        order_days=max(1, max(node.order_lead_time for node in nodes)),
    )


def _from_the_source_down(parent: np.ndarray) -> np.ndarray:
    depth = np.zeros(len(parent), np.int64)
    for n in range(len(parent)):
        above = parent[n]
        while above >= 0:
            depth[n] += 1
            above = parent[above]
    return np.argsort(depth, kind="stable").astype(np.int64)


def _lead_time_tables(nodes: list[Node]) -> tuple[np.ndarray, np.ndarray]:
    tables = [
        ([node.lead_time], [1.0]) if isinstance(node.lead_time, int) else node.lead_time.distribution()
        for node in nodes
    ]
    width = max(len(days) for days, _ in tables)
    lead_days = np.zeros((len(nodes), width), np.int64)
    cumulative = np.ones((len(nodes), width))
    for n, (days, probabilities) in enumerate(tables):
        lead_days[n, : len(days)] = days
        lead_days[n, len(days) :] = days[-1]
        cumulative[n, : len(days) - 1] = np.cumsum(probabilities)[:-1]
    return lead_days, cumulative


def _windows(nodes: list[Node]) -> tuple[np.ndarray, np.ndarray]:
    windows = [w for node in nodes for w in (*node.outages, *node.delays)]
    length = max([w.last + 1 for w in windows], default=0) + 1
    outage, delay = np.zeros((length, len(nodes)), np.int64), np.zeros((length, len(nodes)), np.int64)
    for n, node in enumerate(nodes):
        for window in node.outages:
            outage[window.first : window.last + 1, n] = 1
        for late in node.delays:
            delay[late.first : late.last + 1, n] += late.days
    return outage, delay


def _demand_moments(network: Network, demands: list[list[Demand | None]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a day's demand around that day's mean, averaged over an episode."""
    days, first_weekday = np.arange(network.days), WEEKDAYS.index(network.first_weekday)
    shape = (len(demands), len(demands[0]))
    mean, variance = np.zeros(shape), np.zeros(shape)
    for n, row in enumerate(demands):
        for s, demand in enumerate(row):
            if demand is not None:
                multiplier, addition = demand.levels(days, first_weekday)
                drawn = np.full(len(days), demand.base_mean)
                if demand.distribution == "path" and demand.mean is None:
                    drawn = np.asarray(demand.values)[np.minimum(days, len(demand.values or []) - 1)]
                scale = 1.0
                if demand.spikes is not None:
                    share = 1 - (1 - demand.spikes.probability) ** demand.spikes.duration
                    scale += share * (demand.spikes.multiplier - 1)
                mean[n, s] = float((drawn * multiplier).mean()) * scale + float(addition.mean())
                variance[n, s] = demand.base_variance(network.quantities == "integer")
    return mean, variance


def _demand_params(network: Network, demands: list[list[Demand | None]]) -> DemandParams:
    shape = (len(demands), len(demands[0]))
    present = [d for row in demands for d in row if d is not None]
    width = max([len(d.values) for d in present if d.values is not None], default=1)
    kind, first, second = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    values, cumulative, length = np.zeros((*shape, width)), np.ones((*shape, width)), np.ones(shape, np.int64)
    spike, autocorrelation = np.zeros((*shape, 3)), np.zeros(shape)
    profile = np.zeros(shape, np.int64)
    profiles: dict[str, tuple[int, Demand]] = {}
    for n, row in enumerate(demands):
        for s, demand in enumerate(row):
            if demand is None:
                continue
            kind[n, s] = _KINDS[demand.distribution]
            first[n, s] = {"uniform": demand.low, "history": demand.block}.get(demand.distribution, demand.mean) or 0
            second[n, s] = (demand.high if demand.distribution == "uniform" else demand.std) or 0
            if demand.values is not None:
                length[n, s] = len(demand.values)
                values[n, s, : length[n, s]] = demand.values
            if demand.probabilities is not None:
                cumulative[n, s, : length[n, s] - 1] = np.cumsum(demand.probabilities)[:-1]
            if demand.spikes is not None:
                spike[n, s] = demand.spikes.probability, demand.spikes.multiplier, demand.spikes.duration
            autocorrelation[n, s] = demand.autocorrelation
            mean = demand.mean if demand.distribution == "poisson" else None
            pattern = demand.model_copy(update={"values": None, "probabilities": None, "std": None, "mean": mean})
            profile[n, s] = profiles.setdefault(pattern.model_dump_json(), (len(profiles), demand))[0]
    calendar = _calendar([demand for _, demand in profiles.values()])
    days = np.arange(calendar.sum())
    first_weekday = WEEKDAYS.index(network.first_weekday)
    levels = [demand.levels(days, first_weekday) for _, demand in profiles.values()] or [
        (np.ones(len(days)), np.zeros(len(days)))
    ]
    multiplier, addition = np.array([m for m, _ in levels]), np.array([a for _, a in levels])
    means = [d.mean if d.distribution == "poisson" else 0.0 for _, d in profiles.values()] or [0.0]
    pmf, cdf = poisson_mode_table(
        multiplier * np.array(means, float)[:, None] + addition * (np.array(means) > 0)[:, None]
    )
    return DemandParams(
        kind, first, second, values, cumulative, length, profile, multiplier, addition, pmf, cdf,
        calendar, spike, autocorrelation, network.period == "day",
    )  # fmt: skip


def _calendar(demands: list[Demand]) -> np.ndarray:
    parts = [demand.level_calendar() for demand in demands]
    start, cycle = max([s for s, _ in parts], default=0), math.lcm(*[c for _, c in parts]) if parts else 1
    return np.array([start, min(cycle, _LONGEST_CALENDAR)], np.int64)
