"""The order of a day.

1. Shipments due today join the stock (`begin_day`, run at the end of the day before).
2. Agents order, today's demand unseen (`accept_orders`).
3. From the source down, each node fills today's orders and what it owes (`fill_orders`).
4. Customers' demand is met from stock; the rest is lost or backordered (`meet_demand`).
5. The day is booked on what is left.

Each function plays one part of the day for all nodes n, SKUs k and replications b; w is the table of arrays
(:mod:`hmarl.simulator.memory`). What is rare (random lead times, losses, outages, storage that is full) is played
replication by replication, all else by rows.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from hmarl.simulator import rows
from hmarl.simulator.demand import BLOCK_DAYS, draw_demand
from hmarl.simulator.memory import fields
from hmarl.simulator.rng import LEAD_TIME, ORDER_LOSS, RELIABILITY, SHIPMENT_LOSS, uniform
from hmarl.simulator.sharing import cut_to_capacity, share_equal_shortfall, share_proportionally, split_overflow


@njit(error_model="numpy")
def _all_finite(numbers):
    wrong = 0
    for i in range(len(numbers)):
        wrong += not abs(numbers[i]) < np.inf
    return wrong == 0


@njit(error_model="numpy")
def _round_to_units(asked, rounded, integer):
    for b in range(len(asked)):
        quantity = max(asked[b], 0.0)
        rounded[b] = np.rint(quantity) if integer else quantity


@njit(error_model="numpy")
def _round_to_packs(asked, rounded, minimum, pack, integer):
    """The nearest quantity that the node's minimum and case pack allow."""
    least = math.ceil(minimum / pack) * pack if pack > 0.0 else minimum
    for b in range(len(asked)):
        quantity = max(asked[b], 0.0)
        if pack > 0.0:
            quantity = np.rint(quantity / pack) * pack
        elif integer:
            quantity = np.rint(quantity)
        if quantity < minimum:
            quantity = least if 2.0 * quantity >= minimum else 0.0
        rounded[b] = quantity


@njit(error_model="numpy")
def accept_orders(w):
    """Round the orders to what a node may order, and send them; `owed` grows by what the source hears today."""
    orders, ordered, heard, owed, sent_orders = fields(w, "orders ordered heard owed orders_sent")
    day, replication, scratch, k0, k1 = fields(w, "day replication scratch_rows key_0 key_1")
    review, capacity, wait, loss = fields(w, "review_period order_capacity order_lead_time order_loss")
    minimum, pack, integer = fields(w, "minimum_order case_pack integer")
    nodes, skus, replications = ordered.shape
    for n in range(nodes):
        for k in range(skus):
            if pack[n, k] > 0.0 or minimum[n, k] > 0.0:
                _round_to_packs(orders[n, k], ordered[n, k], minimum[n, k], pack[n, k], integer)
            else:
                _round_to_units(orders[n, k], ordered[n, k], integer)
            for b in range(replications if review[n] > 1 else 0):
                if day[b] % review[n] != 0:
                    ordered[n, k, b] = 0.0
        if capacity[n] < np.inf:
            cut_to_capacity(ordered[n], scratch[0], capacity[n], pack[n], integer)
        for k in range(skus):
            sent = heard[n, k]
            rows.copy(sent, ordered[n, k])
            for b in range(replications if loss[n] > 0.0 else 0):
                if uniform(k0, k1, replication[b], day[b], n * skus + k, ORDER_LOSS) < loss[n]:
                    sent[b] = 0.0
            if wait[n] > 0:
                waiting = sent_orders[n, k, : wait[n]]
                rows.copy(scratch[0], sent)
                rows.copy(sent, waiting[0])
                rows.shift(waiting)
                rows.copy(waiting[wait[n] - 1], scratch[0])
            rows.add(owed[n, k], sent)


@njit(error_model="numpy")
def _withhold(w, share, n):
    """Nothing is shipped to node n, `share (S, B)`, where its source cannot fill orders today."""
    outage, reliability, day, replication = fields(w, "outage reliability day replication")
    k0, k1 = fields(w, "key_0 key_1")
    for b in range(len(day)):
        delivers = outage[min(day[b], len(outage) - 1), n] == 0
        if delivers and reliability[n] < 1.0:
            delivers = uniform(k0, k1, replication[b], day[b], n, RELIABILITY) < reliability[n]
        for k in range(len(share) if not delivers else 0):
            share[k, b] = 0.0


@njit(error_model="numpy")
def _settle(share, filled, owed, keep):
    for b in range(len(share)):
        owed[b] = max(0.0, owed[b] - share[b]) if keep else 0.0
        filled[b] = share[b]


@njit(error_model="numpy")
def _ship(w, n, k):
    """Send off node n's share of SKU k, however long it takes and whatever gets lost or finds no room."""
    day, replication, share, on_hand, in_transit = fields(w, "day replication share on_hand in_transit")
    received, overflow, lost, k0, k1 = fields(w, "received overflow lost key_0 key_1")
    lead_days, lead_cumulative, delay = fields(w, "lead_days lead_cumulative delay")
    shipment_loss, storage = fields(w, "shipment_loss storage_capacity")
    skus = share.shape[1]
    place = n * skus + k
    for b in range(len(day)):
        quantity = share[n, k, b]
        lost[n, k, b] = 0.0
        if quantity <= 0.0:
            continue
        if shipment_loss[n] > 0.0 and (
            uniform(k0, k1, replication[b], day[b], place, SHIPMENT_LOSS) < shipment_loss[n]
        ):
            lost[n, k, b] = quantity
            continue
        lead = lead_days[n, 0]
        if lead_cumulative[n, 0] < 1.0:
            u = uniform(k0, k1, replication[b], day[b], place, LEAD_TIME)
            i = 0
            while u > lead_cumulative[n, i]:
                i += 1
            lead = lead_days[n, i]
        lead += delay[min(day[b], len(delay) - 1), n]
        if lead > 0:
            in_transit[n, k, lead - 1, b] += quantity
            continue
        received[n, k, b] += quantity
        room = storage[n]
        if room < np.inf:
            for i in range(skus):
                room -= on_hand[n, i, b]
            excess = max(0.0, quantity - max(room, 0.0))
            overflow[n, k, b] += excess
            quantity -= excess
        on_hand[n, k, b] += quantity


@njit(error_model="numpy")
def _hand_out(available, total, rest):
    """Take out what was shared; how many replications had too little."""
    short = 0
    for b in range(len(available)):
        rest[b] = available[b] - total[b]
        short += total[b] > available[b]
    return short


@njit(error_model="numpy")
def _keep_rest(available, total, rest, shared):
    """`rest` where it was enough for all, else what `shared` left."""
    for b in range(len(available)):
        available[b] = max(shared[b], 0.0) if total[b] > available[b] else rest[b]


@njit(error_model="numpy")
def fill_orders(w):
    """From the source down, share what a node has among the nodes below, and ship it."""
    on_hand, owed, share, in_transit, scratch = fields(w, "on_hand owed share in_transit scratch")
    heard, incoming, filled, received = fields(w, "heard incoming filled received")
    order, parent, child_start, child = fields(w, "order parent child_start child")
    capacity, pack, integer, keep, equal = fields(
        w, "order_capacity case_pack integer keep_unfilled equal_shortfall"
    )  # fmt: skip
    always, plain, lead_days, scratch_rows = fields(w, "always_delivers plain_shipping lead_days scratch_rows")
    nodes, skus, replications = on_hand.shape
    total, rest, left = scratch_rows[0], scratch_rows[1], scratch_rows[2]
    for j in range(nodes):
        n = order[j]
        first, last = child_start[n], child_start[n + 1]
        if parent[n] < 0:
            for k in range(skus):
                rows.copy(share[n, k], owed[n, k])
            if not always[n]:
                _withhold(w, share[n], n)
            if capacity[n] < np.inf:
                cut_to_capacity(share[n], total, capacity[n], pack[n], integer)
        # what the source gave n (its own source came before it in `order`) is shipped
        for k in range(skus):
            _settle(share[n, k], filled[n, k], owed[n, k], keep)
            if not plain[n]:
                _ship(w, n, k)
            elif lead_days[n, 0] > 0:
                rows.add(in_transit[n, k, lead_days[n, 0] - 1], share[n, k])
            else:
                rows.add(received[n, k], share[n, k])
                rows.add(on_hand[n, k], share[n, k])
        if first == last:
            continue
        for i in range(first, last):
            c = child[i]
            for k in range(skus):
                rows.copy(share[c, k], owed[c, k])
            if not always[c]:
                _withhold(w, share[c], c)
        for k in range(skus):
            available = on_hand[n, k]
            rows.fill(total, 0.0)
            rows.fill(incoming[n, k], 0.0)
            for i in range(first, last):
                rows.add(total, share[child[i], k])
                rows.add(incoming[n, k], heard[child[i], k])
            if _hand_out(available, total, rest) == 0:
                rows.copy(available, rest)
                continue
            if equal:
                for b in range(replications):
                    if total[b] > available[b]:
                        share_equal_shortfall(
                            share, scratch, child, first, last, k, b, available[b], total[b], integer
                        )  # fmt: skip
            else:
                share_proportionally(share, scratch, child, first, last, k, available, total, left, integer)
            rows.copy(left, available)
            for i in range(first, last):
                rows.subtract(left, share[child[i], k])
            _keep_rest(available, total, rest, left)


@njit(error_model="numpy")
def _sell(demand, stock, before, sold, unmet):
    for b in range(len(stock)):
        sold[b] = min(stock[b], before[b] + demand[b])
        unmet[b] = demand[b] - min(demand[b], max(0.0, stock[b] - before[b]))


@njit(error_model="numpy")
def _owe(backorders, demand, sold):
    for b in range(len(sold)):
        backorders[b] = backorders[b] + demand[b] - sold[b]


@njit(error_model="numpy")
def meet_demand(w):
    """Serve customers from stock, old backorders first, and book what is left."""
    day, drawn_until, drawn, on_hand, backorders = fields(w, "day drawn_until drawn on_hand backorders")
    demand, sold, unmet, short, left = fields(w, "demand sold unmet short left")
    kind, backorder, column = fields(w, "kind backorder scratch_days")
    nodes, skus, replications = on_hand.shape
    for b in range(replications):
        column[b] = day[b] - drawn_until[b] + BLOCK_DAYS
    for n in range(nodes):
        for k in range(skus):
            if kind[n, k] > 0:
                for b in range(replications):
                    demand[n, k, b] = drawn[n, k, column[b], b]
            _sell(demand[n, k], on_hand[n, k], backorders[n, k], sold[n, k], unmet[n, k])
            rows.subtract(on_hand[n, k], sold[n, k])
            if backorder:
                _owe(backorders[n, k], demand[n, k], sold[n, k])
            rows.copy(short[n, k], backorders[n, k] if backorder else unmet[n, k])
            rows.copy(left[n, k], on_hand[n, k])


@njit(error_model="numpy")
def _drop_overflow(received, overflow, on_hand, storage, integer):
    """Arrays ``(S, B)`` of a node: what finds no room is split in proportion and lost."""
    skus, replications = on_hand.shape
    for b in range(replications):
        total, arrived = 0.0, 0.0
        for k in range(skus):
            overflow[k, b] = 0.0
            total += on_hand[k, b]
            arrived += received[k, b]
        if total > storage and arrived > 0.0:
            split_overflow(overflow, received, on_hand, b, min(total - storage, arrived), arrived, integer)


@njit(error_model="numpy")
def begin_day(w):
    """Tomorrow's morning: shipments due join the stock."""
    day, on_hand, in_transit, integer = fields(w, "day on_hand in_transit integer")
    received, overflow, storage = fields(w, "received_today overflow_today storage_capacity")
    nodes, skus, days, replications = in_transit.shape
    for b in range(replications):
        day[b] += 1
    for n in range(nodes):
        for k in range(skus):
            rows.copy(received[n, k], in_transit[n, k, 0])
            rows.shift(in_transit[n, k])
            rows.fill(in_transit[n, k, days - 1], 0.0)
            rows.add(on_hand[n, k], received[n, k])
        if storage[n] < np.inf:
            _drop_overflow(received[n], overflow[n], on_hand[n], storage[n], integer)


@njit(cache=True, nogil=True, error_model="numpy")
def step(w):
    """Play today, up to tomorrow's arrivals, and return True; or do nothing where an order is not finite."""
    orders, received, received_today, overflow, overflow_today = fields(
        w, "orders received received_today overflow overflow_today"
    )
    if not _all_finite(orders.reshape(orders.size)):
        return False
    rows.copy(received.reshape(orders.size), received_today.reshape(orders.size))
    rows.copy(overflow.reshape(orders.size), overflow_today.reshape(orders.size))
    accept_orders(w)
    fill_orders(w)
    draw_demand(w)
    meet_demand(w)
    begin_day(w)
    return True


@njit(error_model="numpy")
def position_of(w, n, k, first, last, out):
    """Inventory position of a node and SKU, replications `first` to `last`.

    On hand + in transit + owed and not yet heard by the source - owed to customers and to the nodes below.
    """
    on_hand, in_transit, owed, backorders, sent = fields(w, "on_hand in_transit owed backorders orders_sent")
    child_start, child = fields(w, "child_start child")
    _held(on_hand[n, k, first:last], owed[n, k, first:last], backorders[n, k, first:last], out)
    for d in range(in_transit.shape[2]):
        rows.add(out, in_transit[n, k, d, first:last])
    for d in range(sent.shape[2]):
        rows.add(out, sent[n, k, d, first:last])
    for i in range(child_start[n], child_start[n + 1]):
        rows.subtract(out, owed[child[i], k, first:last])


@njit(error_model="numpy")
def _held(on_hand, owed, backorders, out):
    for b in range(len(out)):
        out[b] = on_hand[b] + owed[b] - backorders[b]


@njit(cache=True, nogil=True, error_model="numpy")
def fill_positions(w, echelon, out):
    """Fill ``out (N, S, B)`` with inventory positions; where `echelon`, of a node and all below it together."""
    order, parent = fields(w, "order parent")
    nodes, skus, replications = out.shape
    for n in range(nodes):
        for k in range(skus):
            position_of(w, n, k, 0, replications, out[n, k])
    for j in range(nodes - 1 if echelon else -1, -1, -1):
        n = order[j]
        for k in range(skus if parent[n] >= 0 else 0):
            rows.add(out[parent[n], k], out[n, k])
