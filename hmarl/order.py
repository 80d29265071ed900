"""``python -m hmarl.order --run ours --stock stock.csv``: what to order today, why, and how long it lasts."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hmarl import command
from hmarl.errors import InputError
from hmarl.files import run_folder, write_atomic

if TYPE_CHECKING:
    import numpy as np

    from hmarl.network.config import Network
    from hmarl.network.sales import SalesHistory
    from hmarl.policies import LearnedPolicy
    from hmarl.report.recommend import Recommendation
    from hmarl.roles import Chain

STALE = {"day": 7, "week": 28}  # days after the end of the sales from which their forecast is doubted
DESCRIPTION = "What to order today at every node, of every SKU: the quantity, the reason, and how long it lasts."
COLUMNS = (
    "node", "sku", "order", "cover", "forecast", "uncertainty", "on_hand", "coming", "owed", "position",
    "target", "lasts", "reason",
)  # fmt: skip


class OrderSettings(BaseModel):
    """What ``hmarl.order`` is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str = Field(description="name of a run of hmarl.train")
    stock: Path = Field(
        description="CSV or Parquet: node, sku, units on hand this morning; backorders where customers wait"
    )
    open_orders: Path | None = Field(
        None,
        description="node, sku, units to come, arrives_in (periods; 0: today) or date; neither: not shipped",
    )
    sales: Path | None = Field(None, description="recent sales that the forecast is made from (default: the run's)")
    sales_columns: dict[str, str] = Field({}, description="the sales file's names where they differ: units=qty")
    fill_gaps: Literal["refuse", "zero"] = Field("refuse", description="what a missing date in the sales means")
    date: datetime.date | None = Field(
        None, description="the day of the orders, YYYY-MM-DD (default: the one after --sales, else today)"
    )
    out: Path | None = Field(None, description="CSV to write")
    runs: Path = Field(Path("runs"), description="folder of all runs")
    json_: bool = Field(False, description="print the orders as one JSON object on the last line")


def main(argv: list[str]) -> int:
    """Read a state, ask the run's policy, print and write its orders."""
    settings = command.parse(OrderSettings, argv, "python -m hmarl.order", DESCRIPTION)
    folder = run_folder(settings.run, settings.runs)
    network, sales, note = _run(folder, settings)
    date = settings.date or (_after(sales) if settings.sales and sales is not None else datetime.date.today())
    chain, policy = warm_chain(network, folder / "policy", sales, date)
    if sales is not None and (date - _after(sales)).days > STALE[network.period]:
        old = f"{sales.source}: ends on {sales.dates[-1]}, long before {date}: give newer --sales"
        print(f"warning: {old}", file=sys.stderr)
    place(chain, settings.stock, settings.open_orders, date)
    from hmarl.report.recommend import recommend

    found = recommend(chain, policy, date)
    _print(found, settings.run, date, network.period, note)
    if settings.out is not None:
        write_atomic(settings.out, to_csv(found))
        print(f"written to {settings.out}")
    if settings.json_:
        content = {"run": settings.run, "date": date.isoformat(), "orders": [r.to_json() for r in found]}
        print(json.dumps(content, ensure_ascii=False))
    return 0


def _run(folder: Path, settings: OrderSettings) -> tuple[Network, SalesHistory | None, str]:
    """The run's network, the sales to forecast from, and a line that says which those are."""
    from hmarl.learning.folder import read_config
    from hmarl.network.config import Network
    from hmarl.network.fit import check_match
    from hmarl.network.sales import read_sales

    config = read_config(folder)
    network = Network.model_validate(config["network"])
    if not (folder / "policy").is_dir():
        raise InputError(f"{folder / 'policy'}: is not there: a run that hmarl.train has finished")
    before = config["settings"]
    if settings.sales is not None:
        sales = read_sales(settings.sales, settings.sales_columns, settings.fill_gaps)
    elif before.get("sales") and Path(before["sales"]).is_file():
        sales = read_sales(before["sales"], before.get("sales_columns"), before.get("fill_gaps") or "refuse")
    else:
        return network, None, "forecast: the run's mean demand (--sales FILE for recent sales)"
    check_match(network, sales)
    return network, sales, f"forecast: from {sales.source}, which ends on {sales.dates[-1]}"


def _after(sales: SalesHistory) -> datetime.date:
    return datetime.date.fromisoformat(str(sales.next_date))


def warm_chain(
    network: Network, folder: Path, sales: SalesHistory | None, date: datetime.date
) -> tuple[Chain, LearnedPolicy]:
    """A chain of one replication on the morning of `date` that has seen the sales, and its policy.

    Its forecasts are those of the sales; what it expects beside them and divides by is the network's.
    Stocks are those of a simulation; :func:`place` puts the real ones in.

    Parameters
    ----------
    folder
        The deployed policy.
    sales
        Recent sales; None: only what the network says of demand is known.
    """
    import numpy as np

    from hmarl.network.config import WEEKDAYS
    from hmarl.network.fit import network_playing, warmup_periods
    from hmarl.policies.learned import LearnedPolicy
    from hmarl.roles import Chain

    reviews = math.lcm(*(node.review_period for node in network.nodes.values()))
    if sales is None:
        endless = {"days": 10**6, "first_weekday": WEEKDAYS[date.weekday()]}
        played = network.model_copy(update=endless)
        return Chain(played), LearnedPolicy.load(folder, played)
    if date < _after(sales):
        raise InputError(f"--date: {date}: the sales end on {sales.dates[-1]}: a day after that")
    seen = sales.part(max(0, len(sales) - 4 * warmup_periods(network)), len(sales))
    unseen = (date - _after(sales)).days // (1 if network.period == "day" else 7)
    lead_in = -(len(seen) + unseen) % reviews  # so that today is a day on which every node may order
    first = seen.dates[0] - np.timedelta64(lead_in, "D" if network.period == "day" else "W")
    demand = np.concatenate([np.repeat(seen.demand[:1], lead_in, axis=0), seen.demand])
    mean, std = _expected(network, seen)
    played = network_playing(network, seen, np.array([first]), demand, mean, std)
    played = played.model_copy(update={"days": 10**6})
    chain, policy = Chain(played), LearnedPolicy.load(folder, played)
    chain.reset(first_day=lead_in)
    for _ in range(len(seen)):
        chain.step(policy.orders(chain))
    _skip(chain, unseen)
    _what_stores_saw(chain, seen)
    chain.known.late[:] = 0.0
    return chain, policy


def _skip(chain: Chain, periods: int) -> None:
    """Go to a later morning of which nothing is known but its weekday."""
    from hmarl.network.config import WEEKDAYS

    state, known, network = chain.simulator.state, chain.known, chain.network
    state.day[:] += periods
    state.drawn_until[:] = state.day
    if periods:
        known.yesterday[:] = known.forecast
    if network.forecast.method == "seasonal" and network.period == "day":
        weekday = (WEEKDAYS.index(network.first_weekday) + int(state.day[0])) % 7
        known.forecast[:] = known.level * known.factor[..., weekday]


def _expected(network: Network, sales: SalesHistory) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of a period's demand by store and SKU as the run knew them, ``(stores, SKUs)``."""
    import numpy as np

    from hmarl.simulator import compile_network

    params = compile_network(network)
    mean, variance = params.mean_demand.copy(), params.demand_std**2
    for n, above in enumerate(params.parent):
        if above >= 0:
            mean[above] -= params.mean_demand[n]
            variance[above] -= params.demand_std[n] ** 2
    nodes = [network.node_names.index(store) for store in sales.stores]
    skus = [network.skus.index(sku) for sku in sales.skus]
    chosen = np.ix_(nodes, skus)
    return np.maximum(mean[chosen], 0.0), np.sqrt(np.maximum(variance[chosen], 0.0))


def _what_stores_saw(chain: Chain, sales: SalesHistory) -> None:
    """The stores' service of the last days as the sales say it, instead of the simulated one."""
    import numpy as np

    known, day = chain.known, int(chain.simulator.state.day[0])
    names, skus = chain.network.node_names, chain.network.skus
    met = np.where(sales.demand > 0, np.nan_to_num(sales.units) / np.maximum(sales.demand, 1e-9), 1.0)
    for array in (known.service, known.week):
        array[:] = 1.0
    chain.simulator.outcome.unmet[:] = 0.0
    for n, store in enumerate(sales.stores):
        for s, sku in enumerate(sales.skus):
            place = (0, names.index(store), skus.index(sku))
            known.service[place] = met[-1, n, s]
            chain.simulator.outcome.unmet[place] = (1 - met[-1, n, s]) * sales.demand[-1, n, s]
            for back in range(1, min(known.week.shape[-1], len(sales)) + 1):
                known.week[(*place, (day - back) % known.week.shape[-1])] = met[-back, n, s]


def place(chain: Chain, stock: Path, open_orders: Path | None, date: datetime.date) -> None:
    """Put the real stock and open orders into a chain.

    Raises
    ------
    InputError
        A node or SKU that the network does not know; one whose stock is not there; a cell that is wrong.
    """
    from hmarl.network.table import Table

    network, state = chain.network, chain.simulator.state
    table = Table.read(stock, ("node", "sku", "units"), ("backorders",))
    units = table.numbers("units", "units on hand, 0 or more")
    back = table.numbers("backorders", "units owed to customers, 0 or more") if table.has("backorders") else 0 * units
    places = _places(table, network)
    _each_once(table, places, network)
    for array in (
        state.in_transit,
        state.owed,
        state.orders_sent,
        state.backorders,
        state.received,
        state.overflow,
    ):
        array[:] = 0.0
    for row, (n, s) in enumerate(places):
        state.on_hand[0, n, s], state.backorders[0, n, s] = units[row], back[row]
    if open_orders is None:
        return
    table = Table.read(open_orders, ("node", "sku", "units"), ("arrives_in", "date"))
    units, places = table.numbers("units", "units still to come, 0 or more"), _places(table, network)
    longest = state.in_transit.shape[-1]
    for row, (n, s) in enumerate(places):
        wait = _arrives_in(table, row, date, network.period)
        if wait is None:
            state.owed[0, n, s] += units[row]
        elif wait == 0:
            state.on_hand[0, n, s] += units[row]
        else:
            state.in_transit[0, n, s, min(wait, longest) - 1] += units[row]


def _places(table: Any, network: Network) -> list[tuple[int, int]]:
    """Node and SKU of each row, as indices."""
    nodes, skus = table.names("node"), table.names("sku")
    for row in range(len(table)):
        for field, value, known in (
            ("node", nodes[row], network.node_names),
            ("sku", skus[row], network.skus),
        ):
            if value not in known:
                shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
                raise table.error(row, field, f"the run knows {shown}")
    return [(network.node_names.index(n), network.skus.index(s)) for n, s in zip(nodes, skus, strict=True)]


def _each_once(table: Any, places: Sequence[tuple[int, int]], network: Network) -> None:
    seen: dict[tuple[int, int], int] = {}
    for row, pair in enumerate(places):
        if pair in seen:
            where = f"row {table.line(seen[pair])}"
            raise table.error(row, "sku", f"the stock of node {table.cell(row, 'node')!r} is there already, in {where}")
        seen[pair] = row
    for n, node in enumerate(network.node_names):
        for s, sku in enumerate(network.skus):
            if (n, s) not in seen:
                raise InputError(f"{table.path}: no row for node {node!r}, sku {sku!r}: a row for each, 0 where empty")


def _arrives_in(table: Any, row: int, date: datetime.date, period: str) -> int | None:
    """Periods until an open order arrives; None where nothing is said: not shipped yet."""
    text = {field: str(table.cell(row, field)).strip() for field in ("arrives_in", "date") if table.has(field)}
    if text.get("arrives_in"):
        number = text["arrives_in"].removesuffix(".0")
        if not number.isdecimal() or int(number) > 10_000:
            raise table.error(row, "arrives_in", f"{period}s until it arrives, a whole number, 0 or more")
        return int(number)
    if not text.get("date") or text["date"] in ("NaT", "None"):
        return None
    expected = table.date(row, "date")
    days = (expected - date).days
    if days < 0:
        raise table.error(row, "date", f"overdue on {date}: the day on which it is expected now, or nothing")
    return days if period == "day" else math.ceil(days / 7)


def to_csv(found: Sequence[Recommendation]) -> str:
    """The orders as CSV; no cell starts a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for r in found:
        writer.writerow([_cell(getattr(r, column)) for column in COLUMNS])
    return buffer.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{round(value, 3):g}" if abs(value) < 1e6 else f"{value:.0f}"
    text = str(value)
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def _print(found: Sequence[Recommendation], run: str, date: datetime.date, period: str, note: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Shown

    shown = Shown(title=escape(f"{run}: orders of {date}"), caption=escape(note), box=box.SIMPLE_HEAD)
    for column in ("node", "sku"):
        shown.add_column(column)
    for column in ("order", f"cover, {period}s"):
        shown.add_column(column, justify="right")
    shown.add_column("why")
    for r in found:
        cover = "-" if r.cover is None else f"{r.cover:,.1f}"
        shown.add_row(escape(r.node), escape(r.sku), f"[bold]{r.order:,.6g}[/]", cover, escape(r.reason))
    console = Console(file=sys.stdout, highlight=False)
    console.print(shown)


if __name__ == "__main__":
    command.run(main)
