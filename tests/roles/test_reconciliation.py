"""Reconciliation: each reason code worked out by hand, and the codes on random chains.

The node of the hand-worked days: lead time 3, forecast 10 a day, uncertainty 2, target 0.95. So
safety stock = 1.644854 x 2 x sqrt(4) = 6.579415 and planned position = 40 + 6.579415 = 46.579415.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hmarl.network.config import Delay, Network, Node, UniformLeadTime, Window
from hmarl.network.demand import Demand, Spikes
from hmarl.roles.chain import Chain
from hmarl.roles.plan import planned_position, safety_stock
from hmarl.roles.reconciliation import (
    REASONS,
    Ledger,
    Outcome,
    Plan,
    Reconciliation,
    Thresholds,
    reasons_table,
    reconcile,
    stack,
)
from hmarl.simulator import Params, Simulator


def safety_factor(params: Params) -> np.ndarray:
    """Stated once more here, in the design's words: z(target service) x sqrt(L + 1)."""
    return stats.norm.ppf(params.target_service) * np.sqrt(params.lead_time[:, None] + 1)


def grid(value: float) -> np.ndarray:
    return np.full((1, 1, 1), float(value))


def a_day(thresholds: Thresholds | None = None, **changes: float) -> Reconciliation:
    """A day that went as planned (demand 10 met, 8 left), with some of its numbers changed."""
    plan = dict(
        forecast=10, uncertainty=2, target_service=0.95, lead_time=3,
        order_forecast=10, order_uncertainty=2, order_position=46.579415, cover=4,
    )  # fmt: skip
    outcome = dict(
        demand=10, short=0, left=8, demand_since=40, late=0, not_filled=0,
        holding_cost=4, stockout_cost=0, ordering_cost=25,
    )  # fmt: skip
    assert set(changes) <= set(plan) | set(outcome)
    return reconcile(
        Plan(**{name: grid(changes.get(name, value)) for name, value in plan.items()}),
        Outcome(**{name: grid(changes.get(name, value)) for name, value in outcome.items()}),
        thresholds,
    )


def reason(thresholds: Thresholds | None = None, **changes: float) -> str:
    return REASONS[a_day(thresholds, **changes).reason.item()]


def test_the_numbers_of_a_day() -> None:
    day = a_day(demand=20, short=5, left=0, stockout_cost=50)
    assert day.service_level.item() == 0.75
    assert day.safety_stock.item() == pytest.approx(6.579415, abs=1e-6)
    assert day.planned_position.item() == pytest.approx(46.579415, abs=1e-6)
    assert day.excess.item() == 0
    assert (day.holding_cost.item(), day.stockout_cost.item(), day.ordering_cost.item()) == (4, 50, 25)
    # 30 left, 6.579415 safety stock and one day's forecast wanted
    assert a_day(left=30).excess.item() == pytest.approx(30 - 6.579415 - 10, abs=1e-6)


def test_service_is_full_on_a_day_without_demand() -> None:
    assert a_day(demand=0, short=0).service_level.item() == 1


def test_safety_stock_below_an_even_chance_is_negative() -> None:
    assert safety_stock(grid(2), grid(0.05), grid(3)).item() == pytest.approx(-6.579415, abs=1e-6)
    assert planned_position(grid(10), grid(2), grid(0.05), grid(3)).item() == pytest.approx(33.420585, abs=1e-6)


def test_on_target() -> None:
    assert reason() == "on_target"
    # late, unfilled and a peak, all taken up by the safety stock
    assert reason(late=6, not_filled=6, demand=16, left=2) == "on_target"


def test_supplier_delay() -> None:
    # 6 short, 3 of them under way and late: half of them, enough
    assert reason(demand=16, short=6, left=0, late=3, not_filled=6) == "supplier_delay"
    assert reason(demand=16, short=6, left=0, late=2.9, not_filled=6) == "upstream_shortage"


def test_upstream_shortage() -> None:
    assert reason(demand=30, short=6, left=0, not_filled=3) == "upstream_shortage"
    assert reason(demand=30, short=6, left=0, not_filled=2.9) == "demand_spike"


def test_demand_spike() -> None:
    # the line is 10 + 2 x 2 = 14; 14.5 is 4.5 above the forecast, at least half of 6 short
    assert reason(demand=14.5, short=6, left=0) == "demand_spike"
    assert reason(demand=14, short=6, left=0) != "demand_spike"
    assert reason(demand=14.5, short=9.5, left=0) != "demand_spike"


def test_demand_drop() -> None:
    # 27 left is an excess of 10.42, above one day's forecast; demand 4 is 6 below it, over half of the excess
    assert reason(demand=4, left=27) == "demand_drop"
    assert reason(demand=6, left=27) == "over_ordering"  # not below 10 - 2 x 2
    assert reason(demand=4, left=30) == "over_ordering"  # 6 is less than half of 13.42


def test_forecast_error_too_low() -> None:
    # 47 in four days of 10: 7 above the forecast, more than the safety stock of 6.58 and than half of 4
    assert reason(demand=13, short=4, left=0, demand_since=47) == "forecast_error"
    assert reason(demand=13, short=4, left=0, demand_since=46) == "thin_safety_stock"


def test_forecast_error_too_high() -> None:
    # 33 in four days: 7 below the forecast, over half of an excess of 10.42
    assert reason(demand=9, left=27, demand_since=33) == "forecast_error"
    assert reason(demand=9, left=27, demand_since=34) == "over_ordering"


def test_thin_safety_stock() -> None:
    # 43 covers the 40 forecast, not the 45 asked for
    assert reason(demand=12, short=2, left=0, demand_since=45, order_position=43) == "thin_safety_stock"
    assert reason(demand=12, short=2, left=0, demand_since=45, order_position=40) == "thin_safety_stock"


def test_under_ordering() -> None:
    assert reason(demand=12, short=6, left=0, demand_since=45, order_position=39) == "under_ordering"


def test_over_ordering() -> None:
    # one day's forecast of excess is allowed: 26.58 left
    assert reason(left=26.5) == "on_target"
    assert reason(left=26.7) == "over_ordering"


def test_a_source_that_does_not_run_lacks_no_stock() -> None:
    """Short because shipping stopped, with stock enough on the shelf."""
    assert reason(demand=12, short=12, left=15) == "on_target"
    assert reason(demand=12, short=12, left=4, order_position=30) == "under_ordering"  # 8 lacking


def test_thresholds_move_the_lines() -> None:
    assert reason(Thresholds(shortage=0.5), demand=12, short=6, left=0) == "on_target"
    assert reason(Thresholds(excess_days=2), left=30) == "on_target"
    assert reason(Thresholds(cause_share=1), demand=16, short=6, left=0, late=3, not_filled=6) == "upstream_shortage"
    assert reason(Thresholds(spike_sigma=3), demand=15, short=4, left=0, order_position=30) == "under_ordering"
    assert reason(Thresholds(drop_sigma=4), demand=4, left=27) == "over_ordering"


def test_exhaustive_exclusive_and_vectorised() -> None:
    """Any numbers get one code, the one they get alone."""
    rng = np.random.default_rng(1)
    shape = (50, 4, 3)
    plan = {
        name: rng.integers(0, high, shape).astype(float)
        for name, high in dict(
            forecast=20, uncertainty=5, lead_time=5, order_forecast=20, order_uncertainty=5, order_position=80
        ).items()
    }
    plan |= {"target_service": np.full(shape, 0.95), "cover": plan["lead_time"] + 1}
    outcome = {
        name: rng.integers(-high // 2, high, shape).clip(0).astype(float)
        for name, high in dict(
            demand=40,
            left=60,
            demand_since=100,
            late=20,
            not_filled=20,
            holding_cost=9,
            stockout_cost=9,
            ordering_cost=9,
        ).items()
    }
    outcome["short"] = np.where(outcome["left"] > 0, 0, outcome["demand"] * rng.random(shape).round())
    reasons = reconcile(Plan(**plan), Outcome(**outcome)).reason
    assert set(np.unique(reasons)) == set(range(len(REASONS)))
    for place in np.ndindex(shape):
        alone = reconcile(
            Plan(**{k: v[place].reshape(1, 1, 1) for k, v in plan.items()}),
            Outcome(**{k: v[place].reshape(1, 1, 1) for k, v in outcome.items()}),
        )
        assert alone.reason.item() == reasons[place]
    lacking = (outcome["short"] - outcome["left"]).clip(0) > 0
    wanted = plan["forecast"] * 2 + safety_stock(plan["uncertainty"], plan["target_service"], plan["lead_time"])
    heavy = outcome["left"] > wanted + 1e-6
    names = np.array(REASONS)[reasons]
    assert lacking[np.isin(names, ["supplier_delay", "upstream_shortage", "demand_spike"])].all()
    assert lacking[np.isin(names, ["thin_safety_stock", "under_ordering"])].all()
    assert heavy[np.isin(names, ["demand_drop", "over_ordering"])].all()
    assert ((names == "on_target") == ~(lacking | heavy)).all()


def test_reasons_table_counts_stockouts_by_node() -> None:
    days = stack([
        a_day(demand=16, short=6, left=0, late=6),
        a_day(demand=16, short=6, left=0, late=6),
        a_day(demand=30, short=6, left=0),
        a_day(left=50),
    ])  # fmt: skip
    assert days.reason.shape == (4, 1, 1, 1)
    table = reasons_table(days, ["shop"])
    assert list(table["shop"]) == list(REASONS)
    assert {k: v for k, v in table["shop"].items() if v} == {"supplier_delay": 2, "demand_spike": 1}
    assert reasons_table(days, ["shop"], stockouts=False)["shop"]["over_ordering"] == 1


# What the ledger sees: a shop that orders 10 a day for a demand of 10 a day, forecast 10 with uncertainty 2.


class Followed:
    """A simulator with a forecast that never changes: all that a ledger needs of a chain."""

    def __init__(self, network: Network, seed: int = 0, replications: int = 1) -> None:
        self.simulator = Simulator(network, replications, seed)
        self.forecast = np.full(self.simulator.shape, 10.0)
        self.uncertainty = np.full(self.simulator.shape, 2.0)


def shop(demand: list[float] | None = None, **changes: object) -> Network:
    settings = dict(lead_time=2, opening_stock=20, demand=Demand(distribution="path", values=demand or [10]))
    return Network(nodes={"shop": Node(**(settings | changes))})


def reasons_of(network: Network, orders: list[float], node: int = 0) -> list[str]:
    chain = Followed(network)
    ledger = Ledger(chain)  # type: ignore[arg-type]
    for order in orders:
        chain.simulator.step(np.full(chain.simulator.shape, order))
        ledger.record()
    return [REASONS[day.reason[0, node, 0]] for day in ledger.days]


def test_ledger_all_as_planned() -> None:
    assert reasons_of(shop(), [10] * 9) == ["on_target"] * 9


def test_ledger_late_shipment() -> None:
    """Day 3's shipment, due on day 5, comes on day 7."""
    network = shop(delays=[Delay(first=3, last=3, days=2)])
    assert reasons_of(network, [10] * 9) == ["on_target"] * 5 + ["supplier_delay"] + ["on_target"] * 3


def test_ledger_lost_shipments() -> None:
    assert reasons_of(shop(shipment_loss=1), [10] * 4) == ["on_target"] * 2 + ["supplier_delay"] * 2


def test_ledger_source_out() -> None:
    """Nothing is filled on day 3; with owed orders kept, day 4 makes up for it and day 6 is served."""
    network = shop(outages=[Window(first=3, last=3)])
    assert reasons_of(network, [10] * 8) == ["on_target"] * 5 + ["upstream_shortage"] + ["on_target"] * 2


def test_ledger_cancelled_and_lost_orders() -> None:
    cancelled = shop(outages=[Window(first=3, last=3)]).model_copy(update={"unfilled_orders": "cancel"})
    assert reasons_of(cancelled, [10] * 6)[5] == "upstream_shortage"
    lost = shop(order_loss=1, order_lead_time=1, opening_stock=30)
    assert reasons_of(lost, [10] * 5) == ["on_target"] * 3 + ["upstream_shortage"] * 2


def test_ledger_peak() -> None:
    """17 on the shelf, 30 asked for: 13 short, 20 of them a surprise."""
    network = shop(demand=[10, 10, 10, 10, 10, 30, 10], opening_stock=27)
    assert reasons_of(network, [10] * 6)[5] == "demand_spike"


def test_ledger_orders_stop() -> None:
    """The last order, of day 2, serves day 4; the orders of day 3 on were for nothing."""
    assert reasons_of(shop(), [10] * 3 + [0] * 4) == ["on_target"] * 5 + ["under_ordering"] * 2


def test_ledger_above_a_shop() -> None:
    """A warehouse of 5 a day, asked for 10: it under-orders, its shop goes short for want of supply."""
    network = Network(
        nodes={
            "warehouse": Node(lead_time=1, order_capacity=5),
            "shop": Node(
                upstream="warehouse",
                lead_time=1,
                opening_stock=10,
                demand=Demand(distribution="constant", mean=10),
                shortage_cost=3,
            ),
        }
    )
    assert reasons_of(network, [10] * 4, node=0) == ["under_ordering"] * 4
    assert reasons_of(network, [10] * 4, node=1) == ["on_target"] + ["upstream_shortage"] * 3
    chain = Followed(network)
    ledger = Ledger(chain)  # type: ignore[arg-type]
    for _ in range(3):
        chain.simulator.step(np.full((1, 2, 1), 10.0))
        ledger.record()
    days = stack(ledger.days)
    # warehouse: 0 of 10, then 5 of 20 and 5 of 25: all of it for the oldest orders
    assert days.short[:, 0, 0, 0].tolist() == [10, 10, 10]
    # shop: 10 in stock, nothing, then the 5 shipped on day 1
    assert days.short[:, 0, 1, 0].tolist() == [0, 10, 5]
    assert days.service_level[:, 0, 1, 0].tolist() == [1, 0, 0.5]
    assert days.stockout_cost[:, 0, 1, 0].tolist() == [0, 30, 15]


def test_shortage_is_demand_less_order_plus_what_is_missing() -> None:
    """Stock less debts = position after the order - demand since - late - not filled, whatever the orders."""
    rng = np.random.default_rng(3)
    demand = Demand(distribution="poisson", mean=9)
    network = Network(
        unmet_demand="backorder",
        nodes={
            "plant": Node(lead_time=3, order_capacity=25, opening_stock=60, outages=[Window(first=9, last=12)]),
            "depot": Node(upstream="plant", lead_time=2, order_lead_time=2, opening_stock=70, reliability=0.7),
            "north": Node(upstream="depot", lead_time=0, opening_stock=20, demand=demand),
            "south": Node(upstream="depot", lead_time=1, order_lead_time=1, opening_stock=20, demand=demand),
        },
    )
    chain = Followed(network, replications=20)
    ledger = Ledger(chain)  # type: ignore[arg-type]
    lead = [3, 4, 0, 2]
    for day in range(60):
        chain.simulator.step(rng.integers(0, 22, chain.simulator.shape).astype(float))
        ledger.record()
        plan, outcome, state = ledger.plan, ledger.outcome, chain.simulator.state
        assert plan is not None
        assert outcome is not None
        debts = state.backorders.copy()
        debts[:, 0] += state.owed[:, 1]
        debts[:, 1] += state.owed[:, 2] + state.owed[:, 3]
        expected = plan.order_position - outcome.demand_since - outcome.late - outcome.not_filled
        for node in range(4):
            if day >= lead[node]:
                np.testing.assert_allclose((outcome.left - debts)[:, node], expected[:, node], atol=1e-9)
    reasons = np.unique(stack(ledger.days).reason)
    assert len(reasons) >= 5


def random_network(rng: np.random.Generator) -> Network:
    demand = Demand(distribution="poisson", mean=9, spikes=Spikes(probability=0.05, multiplier=4))
    chance = {"order_loss": 0.03, "shipment_loss": 0.03, "reliability": 0.9}
    nodes = {"plant": Node(lead_time=int(rng.integers(0, 4)), order_capacity=60, opening_stock=30, **chance)}
    for name, upstream in (("depot", "plant"), ("north", "depot"), ("south", "depot")):
        low = int(rng.integers(0, 3))
        nodes[name] = Node(
            upstream=upstream,
            lead_time=UniformLeadTime(low=low, high=low + int(rng.integers(0, 3))),
            order_lead_time=int(rng.integers(0, 2)),
            opening_stock=20,
            storage_capacity=[None, 80][int(rng.integers(2))],
            demand=None if name == "depot" else demand,
            **chance,
        )
    return Network(
        skus=["tea", "salt"],
        nodes=nodes,
        unmet_demand=["lost", "backorder"][int(rng.integers(2))],
        unfilled_orders=["keep", "cancel"][int(rng.integers(2))],
    )


@pytest.mark.parametrize("seed", range(6))
def test_every_day_of_a_random_chain_has_one_reason(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chain = Chain(random_network(rng), replications=30, seed=seed)
    ledger = Ledger(chain)
    heavy, lacking = [], []
    for _ in range(50):
        uncertainty = chain.uncertainty.copy()
        wanted = chain.forecast + safety_factor(chain.simulator.params) * uncertainty
        chain.step(rng.poisson(12, chain.simulator.shape) * rng.integers(0, 2, chain.simulator.shape))
        day, left = ledger.record(), chain.simulator.outcome.left
        np.testing.assert_allclose(day.excess, np.maximum(0, left - wanted))  # as the stores' reward has it
        np.testing.assert_allclose(day.service_level, chain.known.service, atol=1e-9)  # as agents see it
        heavy.append(day.excess > wanted - safety_factor(chain.simulator.params) * uncertainty + 1e-9)
        lacking.append(day.short > left + 1e-9)
    days = stack(ledger.days)
    assert days.reason.shape == (50, 30, 4, 2)
    names = np.array(REASONS)[days.reason]
    assert ((names == "on_target") == ~(np.array(heavy) | np.array(lacking))).all()
    assert np.array(lacking)[np.isin(names, ["supplier_delay", "upstream_shortage", "under_ordering"])].all()
    assert ((days.service_level >= 0) & (days.service_level <= 1)).all()
    table = reasons_table(days, chain.network.node_names, stockouts=False)
    assert [sum(counts.values()) for counts in table.values()] == [50 * 30 * 2] * 4
