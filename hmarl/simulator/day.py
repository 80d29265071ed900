"""The order of a day.

1. Shipments due today join the stock (`begin_day`, run at the end of the day before).
2. Agents order, today's demand unseen (`accept_orders`).
3. From the source down, each node fills today's orders and what it owes (`fill_orders`).
4. Customers' demand is met from stock; the rest is lost or backordered (`meet_demand`).
5. The day is booked on what is left.

Each function plays one part of the day for all replications b, nodes n and SKUs k.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from hmarl.simulator.demand import BLOCK_DAYS, draw_demand
from hmarl.simulator.rng import LEAD_TIME, ORDER_LOSS, RELIABILITY, SHIPMENT_LOSS, uniform
from hmarl.simulator.sharing import cut_to_capacity, share_equal_shortfall, share_proportionally, split_overflow


@njit(error_model="numpy")
def _rounded_order(quantity, minimum, pack, integer):
    """The nearest quantity that the node's minimum and case pack allow."""
    if not quantity > 0.0:
        return 0.0
    if pack > 0.0:
        quantity = np.rint(quantity / pack) * pack
    elif integer:
        quantity = np.rint(quantity)
    if 0.0 < quantity < minimum:
        if 2.0 * quantity < minimum:
            return 0.0
        quantity = math.ceil(minimum / pack) * pack if pack > 0.0 else minimum
    return quantity


@njit(error_model="numpy")
def accept_orders(p, s, o, orders, k0, k1):
    """Round the orders to what a node may order, and send them; `owed` grows by what the source hears today."""
    day, replication, owed, sent_orders = s.day, s.replication, s.owed, s.orders_sent
    ordered, heard, incoming = o.ordered, o.heard, o.incoming
    review, capacity, wait, loss = p.review_period, p.order_capacity, p.order_lead_time, p.order_loss
    minimum, pack, integer = p.minimum_order, p.case_pack, p.integer
    replications, nodes, skus = orders.shape
    for b in range(replications):
        for n in range(nodes):
            open_today = review[n] == 1 or day[b] % review[n] == 0
            for k in range(skus):
                quantity = orders[b, n, k] if open_today else 0.0
                ordered[b, n, k] = _rounded_order(quantity, minimum[n, k], pack[n, k], integer)
            if capacity[n] < np.inf:
                cut_to_capacity(ordered, b, n, capacity[n], pack, integer)
            for k in range(skus):
                sent = ordered[b, n, k]
                if loss[n] > 0.0 and uniform(k0, k1, replication[b], day[b], n * skus + k, ORDER_LOSS) < loss[n]:
                    sent = 0.0
                if wait[n] > 0:
                    arriving = sent_orders[b, n, k, 0]
                    for i in range(wait[n] - 1):
                        sent_orders[b, n, k, i] = sent_orders[b, n, k, i + 1]
                    sent_orders[b, n, k, wait[n] - 1] = sent
                    sent = arriving
                owed[b, n, k] += sent
                heard[b, n, k] = sent
                incoming[b, n, k] = 0.0


@njit(error_model="numpy")
def _delivers(k0, k1, replication, day, n, outage, reliability):
    """Whether the node's source can fill orders today."""
    if outage[min(day, outage.shape[0] - 1), n] > 0:
        return False
    return reliability[n] >= 1.0 or uniform(k0, k1, replication, day, n, RELIABILITY) < reliability[n]


@njit(error_model="numpy")
def fill_orders(p, s, o, k0, k1):
    """From the source down, share what a node has among the nodes below, and ship it."""
    day, replication, on_hand, owed, share = s.day, s.replication, s.on_hand, s.owed, s.share
    in_transit, scratch = s.in_transit, s.scratch
    heard, incoming = o.heard, o.incoming
    order, parent, child_start, child = p.order, p.parent, p.child_start, p.child
    capacity, pack, integer, keep, equal = p.order_capacity, p.case_pack, p.integer, p.keep_unfilled, p.equal_shortfall
    outage, reliability, storage = p.outage, p.reliability, p.storage_capacity
    received, overflow, filled, lost = o.received, o.overflow, o.filled, o.lost
    lead_days, lead_cumulative, delay, shipment_loss = p.lead_days, p.lead_cumulative, p.delay, p.shipment_loss
    replications, nodes, skus = on_hand.shape
    for b in range(replications):
        for j in range(nodes):
            n = order[j]
            first, last = child_start[n], child_start[n + 1]
            if parent[n] < 0:
                up = _delivers(k0, k1, replication[b], day[b], n, outage, reliability)
                for k in range(skus):
                    share[b, n, k] = owed[b, n, k] if up else 0.0
                if capacity[n] < np.inf:
                    cut_to_capacity(share, b, n, capacity[n], pack, integer)
            # what the source gave n (its own source came before it in `order`) is shipped
            for k in range(skus):
                quantity = share[b, n, k]
                owed[b, n, k] = max(0.0, owed[b, n, k] - quantity) if keep else 0.0
                filled[b, n, k] = quantity
                lost[b, n, k] = 0.0
                if quantity <= 0.0:
                    continue
                place = n * skus + k
                if shipment_loss[n] > 0.0 and (
                    uniform(k0, k1, replication[b], day[b], place, SHIPMENT_LOSS) < shipment_loss[n]
                ):
                    lost[b, n, k] = quantity
                    continue
                lead = lead_days[n, 0]
                if lead_cumulative[n, 0] < 1.0:
                    u = uniform(k0, k1, replication[b], day[b], place, LEAD_TIME)
                    i = 0
                    while u > lead_cumulative[n, i]:
                        i += 1
                    lead = lead_days[n, i]
                lead += delay[min(day[b], delay.shape[0] - 1), n]
                if lead > 0:
                    in_transit[b, n, k, lead - 1] += quantity
                    continue
                received[b, n, k] += quantity
                room = storage[n]
                if room < np.inf:
                    for i in range(skus):
                        room -= on_hand[b, n, i]
                    excess = max(0.0, quantity - max(room, 0.0))
                    overflow[b, n, k] += excess
                    quantity -= excess
                on_hand[b, n, k] += quantity
            if first == last:
                continue
            for i in range(first, last):
                up = _delivers(k0, k1, replication[b], day[b], child[i], outage, reliability)
                for k in range(skus):
                    share[b, child[i], k] = owed[b, child[i], k] if up else 0.0
            for k in range(skus):
                total, orders_heard = 0.0, 0.0
                for i in range(first, last):
                    total += share[b, child[i], k]
                    orders_heard += heard[b, child[i], k]
                incoming[b, n, k] = orders_heard
                available = on_hand[b, n, k]
                if total <= available:
                    on_hand[b, n, k] = available - total
                    continue
                if equal:
                    share_equal_shortfall(share, scratch, child, first, last, b, k, available, total, integer)
                else:
                    share_proportionally(share, scratch, child, first, last, b, k, available, total, integer)
                for i in range(first, last):
                    available -= share[b, child[i], k]
                on_hand[b, n, k] = max(available, 0.0)


@njit(error_model="numpy")
def meet_demand(s, o, backorder):
    """Serve customers from stock, old backorders first, and book what is left."""
    day, drawn_until, drawn, on_hand, backorders = s.day, s.drawn_until, s.demand, s.on_hand, s.backorders
    o_demand, o_sold, o_unmet, o_short, o_left = o.demand, o.sold, o.unmet, o.short, o.left
    replications, nodes, skus = on_hand.shape
    for b in range(replications):
        column = day[b] - drawn_until[b] + BLOCK_DAYS
        for n in range(nodes):
            for k in range(skus):
                demand, stock, before = drawn[b, column, n, k], on_hand[b, n, k], backorders[b, n, k]
                sold = min(stock, before + demand)
                unmet = demand - min(demand, max(0.0, stock - before))
                on_hand[b, n, k] = stock - sold
                if backorder:
                    backorders[b, n, k] = before + demand - sold
                o_demand[b, n, k] = demand
                o_sold[b, n, k] = sold
                o_unmet[b, n, k] = unmet
                o_short[b, n, k] = backorders[b, n, k] if backorder else unmet
                o_left[b, n, k] = stock - sold


@njit(error_model="numpy")
def begin_day(s, storage, integer):
    """Tomorrow's morning: shipments due join the stock; what finds no room is split in proportion and lost."""
    day, on_hand, in_transit, received, overflow = s.day, s.on_hand, s.in_transit, s.received, s.overflow
    replications, nodes, skus, days = in_transit.shape
    for b in range(replications):
        day[b] += 1
        for n in range(nodes):
            total, arrived = 0.0, 0.0
            for k in range(skus):
                due = in_transit[b, n, k, 0]
                for i in range(days - 1):
                    in_transit[b, n, k, i] = in_transit[b, n, k, i + 1]
                in_transit[b, n, k, days - 1] = 0.0
                received[b, n, k] = due
                overflow[b, n, k] = 0.0
                on_hand[b, n, k] += due
                total += on_hand[b, n, k]
                arrived += due
            if total > storage[n] and arrived > 0.0:
                split_overflow(overflow, received, on_hand, b, n, min(total - storage[n], arrived), arrived, integer)


@njit(cache=True, nogil=True, error_model="numpy")
def step(p, s, o, orders, key):
    """Play today for all replications, up to tomorrow's arrivals."""
    k0, k1 = key[0], key[1]
    o.received[:] = s.received
    o.overflow[:] = s.overflow
    accept_orders(p, s, o, orders, k0, k1)
    fill_orders(p, s, o, k0, k1)
    draw_demand(p.demand, s.day, s.replication, s.drawn_until, s.noise, s.demand, p.integer, k0, k1)
    meet_demand(s, o, p.backorder)
    begin_day(s, p.storage_capacity, p.integer)


@njit(cache=True, nogil=True, error_model="numpy")
def inventory_position(s, parent, out):
    """On hand + in transit + owed and not yet heard by the source - owed to customers and to the nodes below."""
    on_hand, in_transit, owed, backorders, sent = s.on_hand, s.in_transit, s.owed, s.backorders, s.orders_sent
    replications, nodes, skus = on_hand.shape
    for b in range(replications):
        for n in range(nodes):
            for k in range(skus):
                total = on_hand[b, n, k] + owed[b, n, k] - backorders[b, n, k]
                for d in range(in_transit.shape[3]):
                    total += in_transit[b, n, k, d]
                for d in range(sent.shape[3]):
                    total += sent[b, n, k, d]
                out[b, n, k] = total
        for n in range(nodes):
            if parent[n] >= 0:
                for k in range(skus):
                    out[b, parent[n], k] -= owed[b, n, k]
