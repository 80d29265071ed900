"""A commented network configuration for the stores and SKUs of a sales history."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hmarl.errors import InputError
from hmarl.network.config import Network
from hmarl.network.fit import fit_demand
from hmarl.network.sales import SalesHistory, weekday_of

LEAD_TIMES = {"day": (2, 3, 4), "week": (1, 1, 2)}  # store, warehouse, supplier
COVER = {"day": (5, 9, 9), "week": (3, 4, 4)}  # periods of mean demand that they open with
_COMMENTS = 28
EPISODE = {"day": (90, 7), "week": (52, 8)}  # periods, warm-up


def network_yaml(history: SalesHistory) -> str:
    """The text of a network file: every store of the history behind one warehouse and one supplier.

    Stores, SKUs, opening stocks and demand come from the history; lead times, prices and costs are a start to
    edit.

    Raises
    ------
    InputError
        If what the history holds makes no network (nothing was ever sold).
    """
    if history.demand.sum() == 0:
        raise InputError(f"{history.source}: nothing was ever sold: units above 0 in some row are needed")
    warehouse, supplier = (_free_name(name, history) for name in ("warehouse", "supplier"))
    lines = [
        *_head(history),
        "nodes:",
        *_source(history, supplier, "supplier", upstream=None),
        *_source(history, warehouse, "warehouse", upstream=supplier),
        *(line for n in range(len(history.stores)) for line in _store(history, n, warehouse)),
    ]
    text = "\n".join(_aligned(line) for line in lines)
    Network.model_validate(yaml.safe_load(text))
    return text


def _head(history: SalesHistory) -> list[str]:
    period, (days, warmup) = history.period, EPISODE[history.period]
    count = f"{_counted(history.stores, 'store')}, {_counted(history.skus, 'SKU')}, {len(history)} {period}s"
    return [
        f"# {count} from {history.dates[0]} to {history.dates[-1]}, made by",
        f"#     python -m hmarl.network init --sales {json.dumps(Path(history.source).name)}",
        "# Sales say which stores and SKUs there are and what customers buy, and nothing about the rest:",
        "# edit every line marked EDIT (the tree too: any node may stand behind any other) and check it with",
        "#     python -m hmarl.validate --network THIS_FILE",
        f"# Times are in {period}s, quantities in units, money in one currency.",
        "",
        f"name: {_quoted(_title(history))}",
        f"period: {period} # what a period is: day or week; every time and rate below is per {period}",
        f"days: {days} # {period}s of an episode (one simulated run)",
        f"warmup: {warmup} # {period}s at its start that no figure counts",
        f"first_weekday: {weekday_of(history.dates[0])} # weekday of the first day (daily networks)",
        f"quantities: {'integer' if history.integer else 'real'} # integer: whole units; real: any quantity",
        "unmet_demand: lost # EDIT lost: customers who find nothing go away; backorder: they wait",
        "unfilled_orders: keep # EDIT keep: what a node cannot ship it still owes; cancel: it forgets",
        "shortage: proportional # EDIT how too little is shared; or equal_shortfall: shortfalls end equal",
        "forecast: # what agents and rules expect, from past demand alone",
        f"  method: {'seasonal' if period == 'day' else 'exponential'}         "
        "# moving_average, exponential, or seasonal (with weekdays)",
        f"  window: {14 if period == 'day' else 8} # {period}s that the spread of its errors looks back",
        "  smoothing: 0.2 # weight of the newest period (exponential, seasonal)",
        f"skus: [{', '.join(_quoted(sku) for sku in history.skus)}]",
        "",
    ]


def _source(history: SalesHistory, name: str, role: str, upstream: str | None) -> list[str]:
    """The warehouse's or the supplier's entry."""
    period, place = history.period, 1 if role == "warehouse" else 2
    mean = history.mean.sum(axis=0)
    holding = "0.25" if role == "warehouse" else "0.10"
    arrives = "from its upstream's shipment" if upstream else "from a production order"
    capacity = math.ceil(1.6 * float(mean.sum()))
    lines = [
        f"  {_quoted(name)}:",
        *([f"    upstream: {_quoted(upstream)} # who delivers to it"] if upstream else []),
        f"    lead_time: {LEAD_TIMES[period][place]} # EDIT {period}s {arrives} to its stock",
    ]
    if upstream is None:
        lines[0] += " # no upstream: an unlimited source; its orders are production"
        lines.append(f"    # order_capacity: {capacity} # EDIT most units produced a {period}, all SKUs; no line: any")
        lines.append("    unit_cost: 12.50 # EDIT paid for each unit that it orders")
    else:
        lines.append(f"    # storage_capacity: {20 * capacity} # EDIT most units it holds, all SKUs; no line: any")
        lines.append("    unit_cost: 12.50 # EDIT value of a unit")
    lines += [
        f"    holding_cost: {holding} # EDIT a unit left at the end of a {period}",
        "    order_cost: 25 # EDIT an order, whatever its size",
        "    skus: # what differs by SKU; any line above may be repeated here",
    ]
    cover = COVER[period][place]
    for s, sku in enumerate(history.skus):
        stock = math.ceil(cover * mean[s])
        lines.append(f"      {_quoted(sku)}:")
        lines.append(f"        opening_stock: {stock} # EDIT {cover} {period}s of the {mean[s]:.4g} sold a {period}")
    return [*lines, ""]


def _store(history: SalesHistory, n: int, warehouse: str) -> list[str]:
    period = history.period
    lines = [
        f"  {_quoted(history.stores[n])}:",
        f"    upstream: {_quoted(warehouse)} # who delivers to it",
        f"    lead_time: {LEAD_TIMES[period][0]} # EDIT {period}s from shipment to the {period} it can serve",
        f"    review_period: 1 # EDIT it may order every so many {period}s",
        "    price: 24.99 # EDIT what a customer pays for a unit",
        "    unit_cost: 12.50 # EDIT value of a unit",
        f"    holding_cost: 0.50 # EDIT a unit left at the end of a {period}",
        "    shortage_cost: 10 # EDIT a unit of demand not met, beside the sale itself",
        "    order_cost: 25 # EDIT an order, whatever its size",
        "    # minimum_order: 10 # EDIT smallest order; no line: any",
        "    # case_pack: 6 # EDIT orders are multiples of it; no line: any",
        "    target_service: 0.95 # EDIT share of demand to be met, which plans and rules aim at",
        "    skus: # what differs by SKU; any line above may be repeated here. demand: what",
        " " * _COMMENTS + " # customers are taken to buy without --sales; with it the history is used",
    ]
    demand = fit_demand(history, "distribution")
    cover = COVER[period][0]
    for s, sku in enumerate(history.skus):
        if not history.sold[n, s]:
            lines.append(f"      {_quoted(sku)}: {{}} # not sold here")
            continue
        mean = float(history.mean[n, s])
        text = _demand(history, n, s, demand[history.stores[n], sku].weekday)
        lines += [
            f"      {_quoted(sku)}:",
            f"        opening_stock: {math.ceil(cover * mean)} # EDIT {cover} {period}s of mean demand",
            f"        demand: {text}",
        ]
    return [*lines, ""]


def _demand(history: SalesHistory, n: int, s: int, weekday: list[float] | None) -> str:
    """Mean and spread of a series as a demand that a reader can follow, on one line."""
    values = history.demand[:, n, s]
    if weekday is not None:
        first = (np.datetime64(history.dates[0], "D").astype(int) + 3) % 7
        profile = np.array(weekday)[(first + np.arange(len(values))) % 7]
        values = values - values.mean() * profile + values.mean()
    mean, variance = float(values.mean()), float(values.var())
    fields: dict[str, Any] = {"distribution": "poisson", "mean": round(mean, 3)}
    if variance == 0:
        fields["distribution"] = "constant"
    elif not history.integer or not 0.75 * mean <= variance <= 1.3 * mean:
        geometric = history.integer and mean < 10 and variance > mean * (1 + mean / 2)
        fields |= {"distribution": "geometric"} if geometric else {"distribution": "normal"}
        fields |= {} if geometric else {"std": round(math.sqrt(variance), 3)}
    if weekday is not None:
        fields["weekday"] = [round(factor, 2) for factor in weekday]
    return yaml.safe_dump(fields, default_flow_style=True, sort_keys=False, width=10**6).strip()


def _aligned(line: str) -> str:
    """The line with its comment in one column with the others'."""
    key, _, comment = line.rpartition(" # ")
    return f"{key.rstrip():<{_COMMENTS}} # {comment}" if key.strip() else line


def _counted(names: tuple[str, ...], word: str) -> str:
    return f"{len(names)} {word}{'' if len(names) == 1 else 's'}"


def _free_name(name: str, history: SalesHistory) -> str:
    while name in history.stores:
        name = f"central_{name}"
    return name


def _title(history: SalesHistory) -> str:
    stem = "".join(c if c.isalnum() or c in "_-" else "_" for c in Path(history.source).stem)[:50]
    return f"network_of_{stem}" if stem else "network"


def _quoted(name: str) -> str:
    """A name as YAML reads it back as text: quoted where a plain one would be a number, a date or true."""
    return name if name.isidentifier() and isinstance(yaml.safe_load(name), str) else json.dumps(name)
