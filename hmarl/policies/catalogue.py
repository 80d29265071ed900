"""The rules by name, with their textbook parameters, and how they are written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from hmarl.errors import InputError, unknown
from hmarl.network.config import Network
from hmarl.policies import levels
from hmarl.policies.calendar import Cover, OrderUpTo, make_cover, make_order_up_to
from hmarl.policies.forecast import CappedForecastBaseStock, ForecastBaseStock, make_forecast_base_stock
from hmarl.policies.myopic import Myopic
from hmarl.policies.rules import (
    BaseStock,
    CappedBaseStock,
    ConstantOrder,
    EchelonBaseStock,
    NoOrder,
    Policy,
    RandomOrder,
    ReorderQuantity,
    ReorderUpTo,
    as_levels,
)
from hmarl.roles.plan import base_stock_level, protection_days
from hmarl.simulator import Params, compile_network

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """A rule of the catalogue.

    Attributes
    ----------
    parameters
        Name -> textbook value ``(N, S)`` of a network.
    build
        The policy from the network, its name and its parameters.
    """

    description: str
    parameters: Callable[[Network, Params], dict[str, Array]]
    build: Callable[..., Policy]


def _textbook_s_q(network: Network, params: Params) -> dict[str, Array]:
    review = params.mean_demand * params.review_period[:, None]
    quantity = np.maximum(levels.economic_order_quantity(params, network.days), review)
    return {"reorder_point": base_stock_level(params), "quantity": quantity}


def _textbook_s_s(network: Network, params: Params) -> dict[str, Array]:
    point = base_stock_level(params)
    return {
        "reorder_point": point,
        "order_up_to": point + levels.economic_order_quantity(params, network.days),
    }


def _textbook_cap(params: Params) -> Array:
    """What a review period asks for at most, at the target service."""
    days = params.review_period[:, None]
    return params.mean_demand * days + ndtri(params.target_service) * params.demand_std * np.sqrt(days)


def _simple(kind: Callable[..., Policy]) -> Callable[..., Policy]:
    """A builder of a rule that needs its parameters alone."""

    def build(network: Network, name: str, **parameters: Array) -> Policy:
        return kind(**parameters, name=name)

    return build


def _newsvendor(network: Network, name: str, critical_ratio: Array) -> Policy:
    return BaseStock(levels.newsvendor_level(compile_network(network), critical_ratio), name=name)


def _forecast(network: Network, name: str, safety_factor: Array, cap: Array | None = None) -> Policy:
    return make_forecast_base_stock(network, safety_factor, name, cap)


def _myopic(network: Network, name: str, critical_ratio: Array) -> Policy:
    from hmarl.exact.conditions import complication
    from hmarl.exact.distribution import day_demand

    reasons = {
        f"there are {len(network.nodes)} nodes": len(network.nodes) > 1,
        "unmet demand is backordered": network.unmet_demand == "backorder",
    }
    taken = ("storage_capacity", "order_capacity", "case_pack", "order_cost", "holding_cost")
    reason = next((reason for reason, holds in reasons.items() if holds), None) or complication(network, *taken)
    if reason is not None:
        raise InputError(
            f"policy {name}: {network.name}: {reason}; it is for one store with lost sales, a fixed lead time and "
            "whole units, whose demand is the same every day"
        )
    node, demand = network.nodes[network.node_names[0]], network.item(network.node_names[0], network.skus[0]).demand
    assert isinstance(node.lead_time, int)
    assert demand is not None
    return Myopic(critical_ratio, day_demand(demand, True, 1.0), node.lead_time, name)


RULES: dict[str, Rule] = {
    "no_order": Rule("order nothing", lambda n, p: {}, _simple(NoOrder)),
    "random": Rule(
        "order 0 to twice a review period's mean demand, at random",
        lambda n, p: {"high": 2 * p.mean_demand * p.review_period[:, None]},
        _simple(RandomOrder),
    ),
    "constant": Rule(
        "order the mean demand of a review period",
        lambda n, p: {"quantity": p.mean_demand * p.review_period[:, None]},
        _simple(ConstantOrder),
    ),
    "s_Q": Rule("(s, Q): at or below s order the economic quantity Q", _textbook_s_q, _simple(ReorderQuantity)),
    "s_S": Rule("(s, S): at or below s order up to S, textbook levels", _textbook_s_s, _simple(ReorderUpTo)),
    "base_stock": Rule(
        "order up to a level every day, textbook level",
        lambda n, p: {"level": base_stock_level(p)},
        _simple(BaseStock),
    ),
    "capped_base_stock": Rule(
        "base-stock, at most a cap an order",
        lambda n, p: {"level": base_stock_level(p), "cap": _textbook_cap(p)},
        _simple(CappedBaseStock),
    ),
    "echelon_base_stock": Rule(
        "order up to a level of the stock of the node and all below it",
        lambda n, p: {"level": levels.echelon_level(p)},
        _simple(EchelonBaseStock),
    ),
    "order_up_to": Rule(
        "base-stock that orders nothing which would arrive after the last day",
        lambda n, p: {"level": base_stock_level(p)},
        make_order_up_to,
    ),
    "cover": Rule(
        "order up to what the calendar expects until the next order arrives, and a margin",
        lambda n, p: {"margin": base_stock_level(p) - p.mean_demand * protection_days(p)},
        make_cover,
    ),
    "newsvendor": Rule(
        "base-stock at the critical fractile of the lead time's demand",
        lambda n, p: {"critical_ratio": levels.critical_ratio(n, p)},
        _newsvendor,
    ),
    "myopic": Rule(
        "of one store with lost sales: what is best for the day on which the order arrives",
        lambda n, p: {"critical_ratio": levels.critical_ratio(n, p)},
        _myopic,
    ),
    "forecast": Rule(
        "base-stock whose level follows forecast, season and weekday",
        lambda n, p: {"safety_factor": ndtri(p.target_service)},
        _forecast,
    ),
    "capped_forecast": Rule(
        "forecast, at most a cap an order, which follows season and weekday too",
        lambda n, p: {"safety_factor": ndtri(p.target_service), "cap": _textbook_cap(p)},
        _forecast,
    ),
}

TUNABLE = (
    "s_S",
    "base_stock",
    "capped_base_stock",
    "echelon_base_stock",
    "forecast",
    "capped_forecast",
    "s_Q",
    "constant",
)

POLICIES: dict[str, str] = {
    **{name: rule.description for name, rule in RULES.items()},
    **{
        f"tuned_{name}": f"{name}, tuned by exact cost where there is one, else by simulation on the validation paths"
        for name in TUNABLE
    },
    "optimal": "the proven optimum, where the network is small enough for one",
}
"""Name -> one line; what :func:`make_policy` makes."""

_NAME_OF: dict[type, str] = {
    NoOrder: "no_order",
    RandomOrder: "random",
    ConstantOrder: "constant",
    ReorderQuantity: "s_Q",
    ReorderUpTo: "s_S",
    BaseStock: "base_stock",
    CappedBaseStock: "capped_base_stock",
    EchelonBaseStock: "echelon_base_stock",
    OrderUpTo: "order_up_to",
    Cover: "cover",
    Myopic: "myopic",
    ForecastBaseStock: "forecast",
    CappedForecastBaseStock: "capped_forecast",
}
_UNITS = ("high", "quantity", "reorder_point", "order_up_to", "level", "cap", "margin")
_PARAMETERS = (*_UNITS, "safety_factor", "critical_ratio")
_SIGNED = ("safety_factor", "margin")  # may be below 0


def make_policy(name: str, network: Network, **parameters: Any) -> Policy:
    """A rule for a network.

    Parameters
    ----------
    name
        One of :data:`POLICIES`.
    parameters
        Instead of the textbook's: numbers, or arrays that broadcast to ``(N, S)``. For a tuned rule the
        arguments of :func:`hmarl.policies.tune`.

    Raises
    ------
    InputError
        An unknown name or parameter, a value that is not allowed, or an optimum that is not in reach.

    Examples
    --------
    >>> make_policy("s_S", load_network("two_store"), reorder_point=200, order_up_to=300).name
    's_S'
    """
    if name not in POLICIES:
        raise unknown("policy", name, POLICIES)
    if name.startswith("tuned_"):
        from hmarl.policies.tuning import tune

        return tune(name.removeprefix("tuned_"), network, **parameters)
    if name == "optimal":
        from hmarl.exact import optimal_cost

        if parameters:
            raise InputError(f"policy {name}: {next(iter(parameters))}: it has none")
        return optimal_cost(network).policy
    params = compile_network(network)
    values = RULES[name].parameters(network, params)
    for key, value in parameters.items():
        if key not in values:
            nothing = InputError(f"policy {name}: {key}: it has none")
            raise unknown(f"policy {name}", key, values) if values else nothing
        lowest = -np.inf if key in _SIGNED else 0.0
        values[key] = as_levels(f"policy {name}: {key}", value, params.mean_demand.shape, lowest=lowest)
        if key == "critical_ratio" and not ((values[key] > 0) & (values[key] < 1)).all():
            raise InputError(f"policy {name}: {key}: {value!r}: above 0 and below 1")
    return RULES[name].build(network, name, **values)


def rule_to_json(policy: Policy) -> dict[str, Any]:
    """A rule as plain numbers: its kind, its name, its parameters by node and SKU.

    Raises
    ------
    InputError
        If the policy is not a rule of the catalogue.
    """
    rule = _NAME_OF.get(type(policy))
    if rule is None:
        raise InputError(f"policy: {policy.name!r}: only the rules {', '.join(RULES)} can be written down")
    values = {key: np.asarray(getattr(policy, key)).tolist() for key in _PARAMETERS if hasattr(policy, key)}
    return {"rule": rule, "name": policy.name, "parameters": values}


def rule_from_json(data: Any, written_for: Network, network: Network) -> Policy:
    """The reverse of :func:`rule_to_json`.

    On a network of other nodes or SKUs each role keeps its levels in days of mean demand, the mean over its
    places.

    Raises
    ------
    InputError
        If the entry is not one that :func:`rule_to_json` writes.
    """
    try:
        rule, name, values = data["rule"], data["name"], data["parameters"]
    except (TypeError, KeyError) as error:
        raise InputError(f"rule: {data!r}: a mapping with rule, name and parameters") from error
    if rule not in RULES or not isinstance(values, dict):
        raise unknown("rule", rule, RULES)
    old = compile_network(written_for)
    same = (written_for.node_names, written_for.skus) == (network.node_names, network.skus)
    moved = {}
    for key, value in values.items():
        lowest = -np.inf if key in _SIGNED else 0.0
        array = as_levels(f"rule {rule}: {key}", value, old.mean_demand.shape, lowest=lowest)
        moved[key] = array if same else _moved(array, key in _UNITS, written_for, network)
    made = make_policy(rule, network, **moved)
    return RULES[rule].build(network, str(name), **{key: getattr(made, key) for key in moved})


def _moved(values: Array, scaled: bool, old: Network, new: Network) -> Array:
    """Each role's mean level, in days of mean demand where it is units, at the new network's nodes."""
    old_mean, new_mean = compile_network(old).mean_demand, compile_network(new).mean_demand
    relative = values / np.where(old_mean > 0, old_mean, 1.0) if scaled else values
    out = np.full(new_mean.shape, relative.mean())
    for n, name in enumerate(new.node_names):
        rows = [old.node_names.index(other) for other in old.nodes_of(new.role_of(name))]
        if rows:
            out[n] = relative[rows].mean()
    return out * new_mean if scaled else out
