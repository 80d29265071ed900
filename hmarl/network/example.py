"""A small sales history of our own making: two stores, three SKUs, 200 days, the same every time."""

from __future__ import annotations

import numpy as np

STORES = ("north", "south")
SKUS = ("coffee", "tea", "cocoa")
DAYS = 200
FIRST_DATE = np.datetime64("2024-01-01")  # a Monday
MEAN = np.array([[40.0, 15.0, 6.0], [25.0, 20.0, 4.0]])  # units a day, (stores, SKUs)
WEEKDAY = np.array([0.8, 0.85, 0.9, 1.0, 1.2, 1.5, 0.75])
SEASON = 0.2  # relative, over 120 days
OUT_OF_STOCK = 0.02  # share of days on which a store ran out after part of the day's demand


def example_sales(seed: int = 7) -> str:
    """The history as CSV: date, store, sku, units, in_stock.

    Poisson demand with a weekday profile and a slow season; on some days the store ran out and sold less.
    """
    rng = np.random.default_rng(seed)
    day = np.arange(DAYS)
    level = WEEKDAY[day % 7] * (1 + SEASON * np.sin(2 * np.pi * day / 120))
    demand = rng.poisson(level[:, None, None] * MEAN)
    out = rng.random(demand.shape) < OUT_OF_STOCK
    units = np.where(out, np.floor(demand * rng.uniform(0.3, 0.9, demand.shape)), demand).astype(int)
    lines = ["date,store,sku,units,in_stock"]
    for t in day:
        for n, store in enumerate(STORES):
            for s, sku in enumerate(SKUS):
                stocked = "no" if out[t, n, s] else "yes"
                lines.append(f"{FIRST_DATE + np.timedelta64(int(t), 'D')},{store},{sku},{units[t, n, s]},{stocked}")
    return "\n".join(lines) + "\n"
