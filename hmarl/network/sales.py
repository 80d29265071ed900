"""Sales histories: read, checked line by line, as arrays.

A file is CSV (comma, header line) or Parquet with one row for each date, store and SKU. Every series (a
store's SKU) must hold every period from the file's first date to its last; with ``fill_gaps="zero"`` a
missing one counts as nothing sold. A store need not sell every SKU.

Sales are not demand on days without stock. With a column ``in_stock`` (yes or no) or ``stock`` (units on
hand at the day's end) such days are treated as censored: demand was at least what was sold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from hmarl.errors import InputError
from hmarl.network.config import WEEKDAYS
from hmarl.network.table import Table, shown

REQUIRED = ("date", "store", "sku", "units")
OPTIONAL = ("in_stock", "stock")
MIN_PERIODS = 8
_STEPS: dict[int, Literal["day", "week"]] = {1: "day", 7: "week"}
LONGEST = 20_000


@dataclass(frozen=True)
class SalesHistory:
    """Sales by date, store and SKU: T periods, N stores, S SKUs."""

    dates: np.ndarray  # (T,) datetime64[D]
    stores: tuple[str, ...]
    skus: tuple[str, ...]
    units: np.ndarray  # (T, N, S) sold; nan where a store does not sell a SKU
    in_stock: np.ndarray  # (T, N, S) False: demand may have been higher than sales
    period: Literal["day", "week"]
    stock_known: bool
    source: str

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the results should know, one line each."""
        if self.stock_known:
            return ()
        return (
            f"{self.source}: no column 'in_stock' or 'stock': sales are taken for demand, too low for "
            f"{self.period}s without stock",
        )

    @property
    def sold(self) -> np.ndarray:
        """``(N, S)`` booleans: the store sells the SKU."""
        return ~np.isnan(self.units).any(axis=0)

    @property
    def next_date(self) -> np.datetime64:
        """The first date after the history."""
        return self.dates[-1] + np.timedelta64(1 if self.period == "day" else 7, "D")

    @property
    def integer(self) -> bool:
        """Whether all quantities are whole numbers."""
        return bool(np.all(np.mod(self.units[:, self.sold], 1) == 0))

    @cached_property
    def demand(self) -> np.ndarray:
        """``(T, N, S)`` units; 0 where a SKU is not sold.

        A period without stock takes the mean of the series' periods with stock (of the same weekday where the
        history is daily and has some), or what was sold where that is more. A series never in stock keeps its
        sales.
        """
        demand = np.nan_to_num(self.units, nan=0.0)
        for n, s in np.argwhere((~self.in_stock).any(axis=0) & self.sold):
            demand[:, n, s] = self._imputed(demand[:, n, s], self.in_stock[:, n, s])
        return demand

    def _imputed(self, units: np.ndarray, in_stock: np.ndarray) -> np.ndarray:
        if not in_stock.any():
            return units
        filled = units.copy()
        weekday = np.arange(len(units)) % (7 if self.period == "day" else 1)
        for t in np.flatnonzero(~in_stock):
            alike = in_stock & (weekday == weekday[t])
            expected = units[alike if alike.any() else in_stock].mean()
            filled[t] = max(units[t], round(expected) if self.integer else expected)
        return filled

    @property
    def mean(self) -> np.ndarray:
        """``(N, S)`` mean demand, units a period."""
        return self.demand.mean(axis=0)

    @property
    def std(self) -> np.ndarray:
        """``(N, S)`` standard deviation of demand, units a period."""
        return self.demand.std(axis=0)

    def part(self, first: int, last: int) -> SalesHistory:
        """The periods from `first` to before `last`, counted as in a slice."""
        chosen = slice(first, last)
        return replace(self, dates=self.dates[chosen], units=self.units[chosen], in_stock=self.in_stock[chosen])

    def split(self, fraction: float = 0.7) -> tuple[SalesHistory, SalesHistory]:
        """Split in time: the first `fraction` of the periods to learn from, the rest to judge on.

        Raises
        ------
        InputError
            If the history has fewer than 8 periods.
        """
        if len(self) < MIN_PERIODS:
            raise InputError(
                f"{self.source}: {len(self)} {self.period}s: at least {MIN_PERIODS} are needed: one part to "
                "learn from, one to be judged on the other"
            )
        if not 0 < fraction < 1:
            raise InputError(f"fraction: {fraction}: between 0 and 1, both left out")
        cut = min(max(round(fraction * len(self)), 1), len(self) - 1)
        return self.part(0, cut), self.part(cut, len(self))


def read_sales(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    fill_gaps: Literal["refuse", "zero"] = "refuse",
) -> SalesHistory:
    """Read a sales history.

    Parameters
    ----------
    path
        CSV, or Parquet where the name ends in ``.parquet`` or ``.pq``. Dates are YYYY-MM-DD.
    columns
        The file's names for date, store, sku, units, in_stock, stock where they differ: ``{"units": "qty"}``.
    fill_gaps
        What a missing period of a series means: ``"refuse"`` or ``"zero"`` (nothing was sold).

    Returns
    -------
    SalesHistory
        Daily or weekly, by the most common step between its dates; stores and SKUs in the order of the file.

    Raises
    ------
    InputError
        One line with file, row, value and what is allowed.
    """
    if fill_gaps not in ("refuse", "zero"):
        raise InputError(f"fill_gaps: {fill_gaps!r}: refuse or zero")
    table = Table.read(path, REQUIRED, OPTIONAL, columns)
    if not len(table):
        raise InputError(f"{table.path}: no row: a row for each date, store and sku is needed")
    dates, stores, skus = table.dates("date"), table.names("store"), table.names("sku")
    units = table.numbers("units", "a number, 0 or more (leave returns out)")
    in_stock = _in_stock(table)
    period = _period(table, dates)
    step = 1 if period == "day" else 7
    store_names, store = _codes(stores)
    sku_names, sku = _codes(skus)
    days = (dates - dates.min()).astype(int)
    if (days % step).any():
        row = int(np.flatnonzero(days % step)[0])
        raise table.error(row, "date", f"not a whole number of weeks after the first date, {dates.min()}")
    index = (days // step, store, sku)
    shape = (int(days.max()) // step + 1, len(store_names), len(sku_names))
    if shape[0] > LONGEST:
        row = int(days.argmax())
        raise table.error(row, "date", f"at most {LONGEST:,} {period}s after the first date, {dates.min()}")
    _refuse_duplicates(table, index, shape)
    grid, stocked = np.full(shape, np.nan), np.ones(shape, bool)
    grid[index], stocked[index] = units, in_stock
    missing = np.isnan(grid) & (~np.isnan(grid)).any(axis=0)
    all_dates = dates.min() + np.arange(shape[0]) * np.timedelta64(step, "D")
    if missing.any() and fill_gaps == "refuse":
        t, n, s = (int(i) for i in np.argwhere(missing)[0])
        raise InputError(
            f"{table.path}: store {store_names[n]!r}, sku {sku_names[s]!r}: nothing for {all_dates[t]} and "
            f"{int(missing.sum()) - 1} more: every {period} from {all_dates[0]} to {all_dates[-1]}, or "
            "--fill-gaps zero"
        )
    grid[missing] = 0.0
    known = any(table.has(field) for field in OPTIONAL)
    return SalesHistory(all_dates, store_names, sku_names, grid, stocked, period, known, str(table.path))


def weekday_of(date: np.datetime64) -> str:
    """The weekday of a date, as a network names it."""
    return WEEKDAYS[pd.Timestamp(date).weekday()]


def _in_stock(table: Table) -> np.ndarray:
    if table.has("in_stock"):
        return table.booleans("in_stock")
    if table.has("stock"):
        return table.numbers("stock", "units on hand at the end of the period, 0 or more") > 0
    return np.ones(len(table), bool)


def _codes(names: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    codes, unique = pd.factorize(names)
    return tuple(str(name) for name in unique), codes


def _period(table: Table, dates: np.ndarray) -> Literal["day", "week"]:
    unique = np.unique(dates)
    if len(unique) < 2:
        what = "one row" if len(dates) == 1 else "one date only"
        raise InputError(f"{table.path}: {what} ({unique[0]}): at least two days or weeks are needed")
    steps, counts = np.unique(np.diff(unique).astype(int), return_counts=True)
    step = int(steps[counts.argmax()])
    if step not in _STEPS:
        raise InputError(f"{table.path}: most dates are {step} days apart: 1 (daily) or 7 (weekly)")
    return _STEPS[step]


def _refuse_duplicates(table: Table, index: tuple[np.ndarray, ...], shape: tuple[int, ...]) -> None:
    flat = pd.Series(np.ravel_multi_index(index, shape))
    twice = np.flatnonzero(flat.duplicated())
    if len(twice):
        row = int(twice[0])
        first = table.line(int(np.flatnonzero(flat == flat[row])[0]))
        series = f"store {shown(table.cell(row, 'store'))}, sku {shown(table.cell(row, 'sku'))}"
        raise table.error(row, "date", f"{series} is there already (row {first}); once each")
