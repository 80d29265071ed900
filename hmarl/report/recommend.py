"""Today's orders, and why: what a policy orders in a state, in words that a planner can check."""

from __future__ import annotations

import datetime
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from hmarl.network.config import WEEKDAYS
from hmarl.policies import Policy
from hmarl.roles import Chain
from hmarl.roles.plan import protection_days

HORIZON = 90


@dataclass(frozen=True)
class Recommendation:
    """What to order of one SKU at one node today; units and periods."""

    node: str
    sku: str
    order: float
    cover: float | None  # periods that stock, what is coming and this order last; None: no demand expected
    forecast: float  # a period
    uncertainty: float  # standard deviation of its errors
    on_hand: float
    coming: float  # in transit, or ordered and not yet shipped
    owed: float  # to customers and to the nodes below
    position: float  # before the order
    target: float  # planned position: forecast and safety stock until the next order could arrive
    lasts: int | None  # periods until stock runs out when nothing is ordered; None: not within 90
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and text."""
        return asdict(self)


def recommend(chain: Chain, policy: Policy, date: datetime.date) -> list[Recommendation]:
    """What a policy orders this morning, node by node and SKU by SKU.

    Parameters
    ----------
    chain
        One replication in today's state.
    policy
        Whose orders they are.
    date
        Today, for the dates in the reasons.
    """
    asked = policy.orders(chain)
    orders = chain.clone().step(asked).ordered[0].copy()
    params, state, network = chain.simulator.params, chain.simulator.state, chain.network
    expected, intervals = expected_demand(chain, HORIZON), protection_days(params)
    debts = _debts(chain)
    found = []
    for n, node in enumerate(network.node_names):
        protection = float(intervals[n, 0])
        for s, sku in enumerate(network.skus):
            arrivals = state.in_transit[0, n, s]
            coming = float(arrivals.sum() + state.owed[0, n, s] + state.orders_sent[0, n, s].sum())
            back, on_hand, order = float(debts[n, s]), float(state.on_hand[0, n, s]), float(orders[n, s])
            spread = float(chain.uncertainty[0, n, s])
            mean = float(np.interp(protection, np.arange(HORIZON + 1), np.r_[0, expected[n, s].cumsum()]))
            safety = float(ndtri(params.target_service[n, s])) * math.sqrt(
                protection * spread**2 + float(params.lead_variance[n]) * float(chain.forecast[0, n, s]) ** 2
            )
            position = on_hand + coming - back
            facts = Recommendation(
                node=node,
                sku=sku,
                order=order,
                cover=cover(position + order, expected[n, s]),
                forecast=float(expected[n, s, 0]),
                uncertainty=spread,
                on_hand=on_hand,
                coming=coming,
                owed=back,
                position=position,
                target=mean + safety,
                lasts=lasts(on_hand - back, arrivals, expected[n, s]),
                reason="",
            )
            lead = float(params.lead_time[n] + params.order_lead_time[n])
            words = _reason(facts, float(asked[0, n, s]), lead, protection, safety, date, network.period)
            found.append(Recommendation(**{**asdict(facts), "reason": words}))
    return found


def expected_demand(chain: Chain, periods: int) -> np.ndarray:
    """``(N, S, periods)`` forecast of the periods from today on, of the first replication.

    A seasonal forecast follows the weekdays; the others stay as they are.
    """
    known, network = chain.known, chain.network
    if network.forecast.method != "seasonal" or network.period == "week":
        return np.repeat(chain.forecast[0][..., None], periods, axis=-1)
    first = WEEKDAYS.index(network.first_weekday) + int(chain.simulator.state.day[0])
    return known.level[0][..., None] * known.factor[0][..., (first + np.arange(periods)) % 7]


def cover(units: float, expected: np.ndarray) -> float | None:
    """Periods that `units` last at the expected demand ``(periods,)``; beyond it, at its mean."""
    used = np.r_[0.0, expected.cumsum()]
    if used[-1] <= 0:
        return None
    if units >= used[-1]:
        return len(expected) + (units - float(used[-1])) / float(expected.mean())
    return float(np.interp(max(units, 0.0), used, np.arange(len(used))))


def lasts(stock: float, arrivals: np.ndarray, expected: np.ndarray) -> int | None:
    """Whole periods that stock and arrivals (``[k]`` comes in k + 1 periods) meet the expected demand.

    None where they meet all of it.
    """
    coming = np.zeros(len(expected))
    known = min(len(arrivals), len(expected) - 1)
    coming[1 : 1 + known] = arrivals[:known]
    short = np.flatnonzero(stock + (coming - expected).cumsum() < -1e-9)
    return int(short[0]) if len(short) else None


def _debts(chain: Chain) -> np.ndarray:
    """``(N, S)`` units owed to customers and to the nodes below."""
    state = chain.simulator.state
    debts = state.backorders[0].copy()
    for n, above in enumerate(chain.simulator.params.parent):
        if above >= 0:
            debts[above] += state.owed[0, n]
    return debts


def _reason(
    r: Recommendation,
    asked: float,
    lead: float,
    protection: float,
    safety: float,
    date: datetime.date,
    period: str,
) -> str:
    step = datetime.timedelta(days=1 if period == "day" else 7)
    debts = f", {_units(r.owed)} owed" if r.owed > 0 else ""
    days = _periods(protection, period)
    parts = [
        f"Forecast {_units(r.forecast)} a {period} (give or take {_units(r.uncertainty)}).",
        f"Position {_units(r.position)}: {_units(r.on_hand)} on hand, {_units(r.coming)} coming{debts}.",
        f"Target {_units(r.target)}: {days} of forecast, safety stock {_units(safety)}.",
    ]
    if r.lasts is None:
        parts.append(f"With no order stock lasts more than {HORIZON} {period}s.")
    else:
        out = (date + r.lasts * step).isoformat()
        arrival = (date + math.ceil(lead) * step).isoformat()
        last = f"With no order stock lasts {_periods(r.lasts, period)} and runs out on {out}"
        parts.append(f"{last}; an order placed today serves from {arrival}.")
    after = r.position + r.order
    if r.order == 0:
        gap = r.target - r.position
        rest = "the position is above the target" if gap <= 0 else f"the policy waits, {_units(gap)} below the target"
        parts.append(f"Order nothing: {rest}.")
    else:
        where = "above" if after >= r.target else "below"
        rest = _units(abs(after - r.target))
        parts.append(f"Order {_units(r.order)}: position {_units(after)}, {rest} {where} the target.")
    if abs(asked - r.order) > 0.5:
        parts.append(f"(The policy asked for {_units(asked)}; capacity, case pack or minimum order made it this.)")
    return " ".join(parts)


def _units(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:,.1f}"


def _periods(count: float, period: str) -> str:
    return f"{count:g} {period}{'' if count == 1 else 's'}"
