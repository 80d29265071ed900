"""Families of networks: textbook settings with a few arguments, those whose optima are known among them.

Their agents see their stock and what is on its way, order quantities and are paid minus the cost (the whole chain's
where there is more than one node), so that what they learn can be held against the optimum.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, create_model

from hmarl.network.config import Config, Money, Network, Periods, Role
from hmarl.network.overrides import build

Mean = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Means = Annotated[list[Mean], Field(min_length=1, max_length=1000)]
Shape = Literal["constant", "poisson", "geometric", "normal", "uniform"]


def lost_sales(
    demand: Shape = "poisson",
    mean: Mean = 5,
    std: Money | None = None,
    lead_time: Periods = 2,
    penalty: Money = 4,
    holding_cost: Money = 1,
    order_cost: Money = 0,
) -> Network:
    """One store, lost sales: Zipkin (2008), "Old and New Methods for Lost-Sales Inventory Systems".

    With ``unmet_demand="backorder"`` it is the newsvendor over L + 1 days, with `order_cost` the (s, S)
    problem.

    Parameters
    ----------
    demand
        Distribution of a day's demand.
    mean, std
        Its mean, and for a normal demand its standard deviation (default 30 % of the mean), units.
        A normal demand makes quantities real, the others whole. A uniform demand is 0 to twice the mean.
    lead_time
        Days from the order to the day whose demand it can serve.
    penalty, holding_cost
        Cost a unit short, and a unit left at the end of a day.
    order_cost
        Cost an order.

    Textbook rules aim at the newsvendor's critical ratio, where both `penalty` and `holding_cost` are above 0.
    """
    store: dict[str, Any] = {
        "lead_time": lead_time,
        "opening_stock": _stock(mean, lead_time),
        "holding_cost": holding_cost,
        "shortage_cost": penalty,
        "order_cost": order_cost,
        "demand": _demand(demand, mean, std),
    }
    if penalty > 0 and holding_cost > 0:
        store["target_service"] = penalty / (penalty + holding_cost)
    return _network("lost_sales", {"store": store}, _roles({"store": mean}, "cost"), real=demand == "normal")


def serial(
    mean: Mean = 5,
    std: Money = 2,
    lead_times: Annotated[list[Periods], Field(min_length=1, max_length=50)] = (4, 3, 4, 2),  # type: ignore[assignment]
    holding_costs: Annotated[list[Money], Field(min_length=1)] = (1, 0.5, 0.2, 0.1),  # type: ignore[assignment]
    penalty: Money = 9,
    demand: Shape = "normal",
) -> Network:
    """Stages in series, backorders, real quantities: Clark and Scarf (1960).

    Parameters
    ----------
    mean, std, demand
        A day's demand at the store, units.
    lead_times, holding_costs
        By stage, the store first; a holding cost is local, a unit and day.
    penalty
        Cost a unit backordered at the store, a day.
    """
    if len(lead_times) != len(holding_costs):
        raise ValueError(f"holding_costs: {len(holding_costs)} of them: as many as lead_times")
    stages = len(lead_times)
    between = ["warehouse"] if stages == 3 else [f"warehouse_{i}" for i in range(1, stages - 1)]
    names = ["store", *between, "supplier"][:stages] if stages > 1 else ["store"]
    nodes: dict[str, dict[str, Any]] = {}
    for stage in reversed(range(stages)):
        nodes[names[stage]] = {
            "upstream": names[stage + 1] if stage + 1 < stages else None,
            "lead_time": lead_times[stage],
            "opening_stock": _stock(mean, lead_times[stage]),
            "holding_cost": holding_costs[stage],
        }
    nodes["store"].update(shortage_cost=penalty, demand=_demand(demand, mean, std))
    means: dict[Role, float] = {"store": mean}
    means.update({"warehouse": mean} if stages > 2 else {})
    means.update({"supplier": mean} if stages > 1 else {})
    return _network("serial", nodes, _roles(means, "chain_cost"), real=True, unmet_demand="backorder")


def one_warehouse(
    mean_demand: Means | Mean = (2, 2),  # type: ignore[assignment]
    penalty: Money = 4,
    warehouse_holding: Money = 0.3,
    holding_cost: Money = 1,
) -> Network:
    """A warehouse with an unlimited source and stores with Poisson demand; lost sales, all lead times 1.

    What the warehouse cannot ship is cancelled; a shortage is shared so that shortfalls end equal.

    Parameters
    ----------
    mean_demand
        Mean demand of each store, units a day.
    penalty, holding_cost
        At the stores: cost a unit short, and a unit left at the end of a day.
    warehouse_holding
        Cost of a unit that stays at the warehouse after shipping, a day.
    """
    means = _list(mean_demand)
    total = sum(means)
    warehouse = {
        "role": "warehouse",
        "lead_time": 1,
        "opening_stock": _stock(total, 1),
        "holding_cost": warehouse_holding,
    }
    nodes = {"warehouse": warehouse, **_stores(means, penalty, holding_cost)}
    roles = _roles({"store": max(means), "warehouse": total}, "chain_cost", len(means))
    return _network("one_warehouse", nodes, roles, unfilled_orders="cancel", shortage="equal_shortfall")


def one_supplier(
    mean_demand: Means | Mean = (1, 1),  # type: ignore[assignment]
    penalty: Money = 9,
    warehouse_holding: Money = 0.3,
    supplier_holding: Money = 0.1,
    holding_cost: Money = 1,
) -> Network:
    """:func:`one_warehouse` behind a supplier, whose lead time is 1 too.

    Parameters
    ----------
    supplier_holding
        Cost of a unit that stays at the supplier after shipping, a day; the others as there.
    """
    means = _list(mean_demand)
    total = sum(means)
    stock = _stock(total, 1)
    nodes = {
        "supplier": {"lead_time": 1, "opening_stock": stock, "holding_cost": supplier_holding},
        "warehouse": {
            "upstream": "supplier",
            "lead_time": 1,
            "opening_stock": stock,
            "holding_cost": warehouse_holding,
        },
        **_stores(means, penalty, holding_cost),
    }
    roles = _roles({"store": max(means), "warehouse": total, "supplier": total}, "chain_cost", len(means))
    return _network("one_supplier", nodes, roles, unfilled_orders="cancel", shortage="equal_shortfall")


def _list(means: Any) -> list[float]:
    return list(means) if isinstance(means, list | tuple) else [means]


def _stock(mean: float, lead_time: int) -> int:
    """Opening stock: mean demand until an order of the first day has arrived and served its day."""
    return math.ceil(mean * (lead_time + 1))


def _demand(shape: str, mean: float, std: float | None) -> dict[str, Any]:
    if std is not None and shape != "normal":
        raise ValueError(f"std: {std}: a normal demand takes one, a {shape} demand does not")
    if shape == "uniform":
        return {"distribution": shape, "low": 0, "high": 2 * mean}
    if shape == "normal":
        return {"distribution": shape, "mean": mean, "std": 0.3 * mean if std is None else std}
    return {"distribution": shape, "mean": mean}


def _stores(means: list[float], penalty: float, holding_cost: float) -> dict[str, dict[str, Any]]:
    return {
        f"store_{i}": {
            "upstream": "warehouse",
            "lead_time": 1,
            "opening_stock": _stock(mean, 1),
            "holding_cost": holding_cost,
            "shortage_cost": penalty,
            "demand": _demand("poisson", mean, None),
        }
        for i, mean in enumerate(means, 1)
    }


def _roles(means: dict[Role, float], reward: str, stores: int = 1) -> dict[str, Any]:
    """Every role may order 0 to three times its mean demand in at most 60 steps; stores know which one they are."""
    roles: dict[str, Any] = {}
    for role, mean in means.items():
        high = max(4, math.ceil(3 * mean))
        action = {"kind": "quantity", "high": high, "step": max(1, math.ceil(high / 60))}
        roles[role] = {"observation": "stock", "action": action, "reward": reward}
    roles["store"]["identity"] = stores > 1
    return roles


def _network(
    name: str, nodes: dict[str, Any], roles: dict[str, Any], *, real: bool = False, **settings: Any
) -> Network:
    quantities = "real" if real else "integer"
    general = {"name": name, "days": 100, "warmup": 20, "quantities": quantities, "skus": ["sku_1"]}
    return build({**general, **settings, "nodes": nodes, "roles": roles}, name)


FAMILIES: dict[str, Callable[..., Network]] = {
    "lost_sales": lost_sales,
    "serial": serial,
    "one_warehouse": one_warehouse,
    "one_supplier": one_supplier,
}


def arguments(family: str) -> type[Config]:
    """The arguments of a family as a model: names, types and what is allowed."""
    parameters = inspect.signature(FAMILIES[family], eval_str=True).parameters
    fields: Any = {name: (parameter.annotation, parameter.default) for name, parameter in parameters.items()}
    return create_model(family, __config__=ConfigDict(extra="forbid", frozen=True), **fields)
