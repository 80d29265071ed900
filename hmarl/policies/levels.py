"""Textbook levels of a network.

The base-stock level and the protection interval are those of :mod:`hmarl.roles.plan`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import nbdtrik, ndtri, pdtrik

from hmarl.network.config import Network
from hmarl.roles.plan import demand_of_interval, protection_days
from hmarl.simulator import Params
from hmarl.simulator.params import CONSTANT, NORMAL, UNIFORM

Array = NDArray[np.float64]


def echelon_level(params: Params) -> Array:
    """Base-stock level of the echelon position: the interval reaches down to the stores, ``(N, S)`` units."""
    below, below_variance = way_to_stores(params)
    days, variance = protection_days(params) + below, params.lead_variance[:, None] + below_variance
    mean, std = demand_of_interval(params, days, variance)
    return np.maximum(mean + ndtri(params.target_service) * std, 0.0)


def way_to_stores(params: Params) -> tuple[Array, Array]:
    """Mean and variance of the longest way from each node down to a store, ``(N, 1)`` days; 0 for a store."""
    below, variance = np.zeros((len(params.parent), 1)), np.zeros((len(params.parent), 1))
    for n in params.order[::-1]:
        above = params.parent[n]
        way = params.lead_time[n] + params.order_lead_time[n] + below[n]
        if above >= 0 and way > below[above]:
            below[above], variance[above] = way, params.lead_variance[n] + variance[n]
    return below, variance


def economic_order_quantity(params: Params, most_days: int) -> Array:
    """sqrt(2 K D / h), ``(N, S)`` units; at most the demand of `most_days` (where holding costs nothing)."""
    holding = np.maximum(params.holding_cost, 1e-12)
    quantity = np.sqrt(2 * params.order_cost * params.mean_demand / holding)
    return np.minimum(quantity, params.mean_demand * most_days)


def critical_ratio(network: Network, params: Params) -> Array:
    """Underage over underage + overage cost, ``(N, S)``.

    Underage is the shortage cost, and the margin where the sale is lost; overage the holding cost until the
    next review. Where being short costs nothing (warehouses, suppliers) it is the target service.
    """
    margin = np.maximum(params.price - params.unit_cost, 0.0) * (network.unmet_demand == "lost")
    underage = params.shortage_cost + margin * (params.price > 0)
    overage = params.holding_cost * params.review_period[:, None]
    ratio = underage / np.where(underage + overage > 0, underage + overage, 1.0)
    return np.where((ratio > 0) & (ratio < 1), ratio, params.target_service)


def newsvendor_level(params: Params, ratio: Array) -> Array:
    """Quantile `ratio` of the demand of the protection interval, ``(N, S)`` units.

    Where demand is counted (no normal, uniform or constant demand at the node or below): Poisson where
    variance and mean agree, negative binomial where the variance is larger; else normal.
    """
    mean, std = demand_of_interval(params)
    level = mean + ndtri(ratio) * std
    if params.integer:
        measured = np.isin(params.demand.kind, (CONSTANT, NORMAL, UNIFORM))
        for n in params.order[::-1]:
            if params.parent[n] >= 0:
                measured[params.parent[n]] |= measured[n]
        m, variance = np.maximum(mean, 1e-9), np.maximum(std**2, 1e-18)
        with np.errstate(all="ignore"):
            poisson = np.ceil(pdtrik(ratio, m) - 1e-9)
            over = variance > 1.01 * m
            size, p = (
                np.where(over, m * m / np.where(over, variance - m, 1.0), 1.0),
                np.where(over, m / variance, 0.5),
            )
            binomial = np.ceil(nbdtrik(ratio, size, p) - 1e-9)
        counts = np.where(over, binomial, poisson)
        level = np.where(~measured & (variance >= 0.99 * m) & np.isfinite(counts), counts, np.ceil(level - 1e-9))
    return np.where(mean > 0, np.maximum(level, 0.0), 0.0)
