"""What happened under a policy day by day: stock over time, and where stock-outs came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hmarl.network.config import Network

if TYPE_CHECKING:
    from hmarl.policies import Policy


@dataclass(frozen=True)
class Course:
    """A policy's days after the warm-up; T days, N nodes, S SKUs."""

    stock: np.ndarray  # (T, N, S) at the day's end, first replication, units
    demand: np.ndarray  # (T, N, S) asked for by customers and the nodes below, units
    short: np.ndarray  # (T, N, S) of that not met on the day, units
    reasons: dict[str, dict[str, int]]  # node -> reason -> days with unmet demand, over replications and SKUs
    place_days: int  # days x replications x SKUs of one node
    first_day: int  # number of the first day counted
    replications: int


def follow(
    network: Network,
    policy: Policy,
    *,
    replications: int = 50,
    days: int | None = None,
    warmup: int | None = None,
    seed: int = 0,
) -> Course:
    """Play a policy on the first test paths and reconcile each day with its plan.

    Parameters
    ----------
    network, policy
        Who plays.
    replications
        Episodes that the reasons are counted over; the first of them is the one that is drawn.
    days, warmup
        Of an episode; the network's where left out.
    seed
        That of a comparison shows its paths.
    """
    from hmarl.roles import Chain
    from hmarl.roles.reconciliation import Ledger, reasons_table, stack

    days = network.days if days is None else days
    warmup = network.warmup if warmup is None else warmup
    chain = Chain(network, replications, seed)
    ledger = Ledger(chain)
    stock, demand, short = ([] for _ in range(3))
    for _ in range(days):
        outcome = chain.step(policy.orders(chain))
        day = ledger.record()
        stock.append(outcome.left[0].copy())
        demand.append((outcome.demand + outcome.incoming)[0].copy())
        short.append(day.short[0].copy())
    return Course(
        stock=np.array(stock[warmup:]),
        demand=np.array(demand[warmup:]),
        short=np.array(short[warmup:]),
        reasons=reasons_table(stack(ledger.days[warmup:]), network.node_names),
        place_days=(days - warmup) * replications * len(network.skus),
        first_day=warmup,
        replications=replications,
    )


def places(network: Network, course: Course, most: int = 12) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names and ``(T, places)`` stock, demand and shortage to draw.

    A place is a node and SKU; all SKUs of a node where there would be too many; of many nodes the first.
    """
    arrays = [course.stock, course.demand, course.short]
    if len(network.node_names) * len(network.skus) <= most:
        several = len(network.skus) > 1
        names = [f"{n}, {s}" if several else n for n in network.node_names for s in network.skus]
        stock, demand, short = (a.reshape(len(a), -1) for a in arrays)
    else:
        names = network.node_names[:most]
        stock, demand, short = (a.sum(axis=2)[:, :most] for a in arrays)
    return names, stock, demand, short
