"""What a plan aims at: safety stock, planned position, the textbook base-stock level.

An order of day t with lead time L serves the demand of day t + L, the next one comes a review period R
later: stock must last P = L + R days, the protection interval (the order's own way added where that takes
time). With a demand of mean m and standard deviation sigma a day and z the normal score of the target
service,

    reorder point = base-stock level = m P + z sqrt(P sigma^2 + m^2 var L)

(Silver, Pyke and Thomas, "Inventory and Production Management in Supply Chains", 4th ed., chapters 6 and 7;
var L the variance of the lead time). An upstream node's demand is that of all stores below it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from hmarl.simulator import Params

Array = NDArray[np.float64]


def safety_stock(uncertainty: Array | float, target_service: Array, lead_time: Array) -> Array:
    """``z(target service) x uncertainty x sqrt(L + 1)`` in units; negative below a target of 0.5."""
    return ndtri(target_service) * uncertainty * np.sqrt(lead_time + 1.0)


def planned_position(forecast: Array, uncertainty: Array, target_service: Array, lead_time: Array) -> Array:
    """``forecast x (L + 1) + safety stock`` in units: what stock and open orders should add up to."""
    return forecast * (lead_time + 1.0) + safety_stock(uncertainty, target_service, lead_time)


def protection_days(params: Params) -> Array:
    """Days of demand that an order must last for, ``(N, 1)``."""
    days = params.lead_time + params.order_lead_time + params.review_period
    return days[:, None].astype(np.float64)


def demand_of_interval(params: Params, days: Array | None = None, variance: Array | None = None) -> tuple[Array, Array]:
    """Mean and standard deviation of the demand of the protection interval, ``(N, S)`` units.

    Parameters
    ----------
    days, variance
        Length of the interval and variance of it, ``(N, 1)``; the node's own where left out.
    """
    days = protection_days(params) if days is None else days
    variance = params.lead_variance[:, None] if variance is None else variance
    mean = params.mean_demand * days
    return mean, np.sqrt(days * params.demand_std**2 + params.mean_demand**2 * variance)


def base_stock_level(params: Params, safety_factor: Array | None = None) -> Array:
    """m P + z sigma sqrt(P), ``(N, S)`` units; z is `safety_factor`, else that of the target service."""
    mean, std = demand_of_interval(params)
    z = ndtri(params.target_service) if safety_factor is None else safety_factor
    return np.maximum(mean + z * std, 0.0)
