"""The rows of the reference tables as networks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hmarl.network import Network, load_network


@dataclass(frozen=True)
class Row:
    """A row; `tolerance` is that of its costs, money a day: four decimals, or as many as it has.

    Attributes
    ----------
    rules
        Costs of the best policies of some kinds, and their parameters.
    """

    name: str
    network: Network
    optimum: float
    tolerance: float = 1e-4
    rules: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def _table(file: str, *keys: str) -> Any:
    """An entry of a file; rows by column name."""
    data = json.loads((Path(__file__).parent / file).read_text())
    for key in keys:
        data = data[key]
    return [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]] if "rows" in data else data


def _lost_sales(row: dict[str, Any]) -> Row:
    arguments = {key: row[key] for key in ("demand", "lead_time", "penalty")}
    capped = {key: row[f"capped_base_stock_{key}"] for key in ("level", "cap")}
    rules = {
        "base_stock": (row["best_base_stock_cost"], {"level": row["best_base_stock_level"]}),
        "capped_base_stock": (row["capped_base_stock_cost"], capped),
        "myopic": (row["myopic_cost"], {}),
    }
    name = f"lost_sales-{row['demand']}-L{row['lead_time']}-p{row['penalty']}"
    return Row(name, load_network("lost_sales", **arguments), row["optimal_cost"], rules=rules)


def _backorders(row: dict[str, Any]) -> Row:
    arguments = {"lead_time": row["lead_time"], "penalty": row["penalty"], "unmet_demand": "backorder"}
    rules = {"base_stock": (row["optimal_cost"], {"level": row["optimal_base_stock"]})}
    name = f"backorders-poisson-L{row['lead_time']}-p{row['penalty']}"
    return Row(name, load_network("lost_sales", **arguments), row["optimal_cost"], rules=rules)


def _normal_backorders(row: dict[str, Any]) -> Row:
    arguments = {"lead_time": row["lead_time"], "penalty": row["penalty"], "unmet_demand": "backorder"}
    network = load_network("lost_sales", demand="normal", std=1.6, **arguments)
    return Row(f"backorders-normal-L{row['lead_time']}-p{row['penalty']}", network, row["optimal_cost"])


def _s_S(row: dict[str, Any]) -> Row:
    costs = {"holding_cost": row["holding"], "penalty": row["penalty"], "order_cost": row["fixed_cost"]}
    network = load_network("lost_sales", mean=row["mean"], lead_time=0, unmet_demand="backorder", **costs)
    rules = {"s_S": (row["cost"], {"reorder_point": row["s"], "order_up_to": row["S"]})}
    return Row(f"s_S-poisson-{row['mean']}", network, row["cost"], 1e-3, rules)


def _tree(family: str, row: dict[str, Any]) -> Row:
    costs = ("mean_demand", "penalty", "warehouse_holding", "supplier_holding")
    network = load_network(family, **{key: row[key] for key in costs if key in row})
    stores = row.get("base_stock_stores") or [row["base_stock_store"]] * 2
    above = [row[f"base_stock_{role}"] for role in ("supplier", "warehouse") if f"base_stock_{role}" in row]
    levels = np.array([[level] for level in [*above, *stores]])
    rules = {"echelon_base_stock": (row["best_base_stock_cost"], {"level": levels})}
    return Row(f"{family}-m{row['mean_demand'][0]}-p{row['penalty']}", network, row["optimal_cost"], rules=rules)


def _serial(name: str, network: Network, row: dict[str, Any], cost: float) -> Row:
    rules = {"echelon_base_stock": (cost, {"level": np.array(row["echelon_base_stock"])[::-1, None]})}
    return Row(name, network, cost, row["tolerance"], rules)


_EXAMPLE_6_1 = _table("serial.json", "foundations_of_supply_chain_theory_example_6_1")
_FOUR_ECHELONS = _table("serial.json", "four_echelon_serial")

LOST_SALES = [_lost_sales(row) for row in _table("lost_sales.json")]
BACKORDERS = [_backorders(row) for row in _table("backorders.json")]
NORMAL_BACKORDERS = [_normal_backorders(row) for row in _table("backorders.json", "normal_demand")]
S_S = [_s_S(row) for row in _table("serial.json", "s_S")]
WAREHOUSE = [_tree("one_warehouse", row) for row in _table("networks.json", "warehouse_and_two_stores")]
SUPPLIER = [_tree("one_supplier", row) for row in _table("networks.json", "supplier_warehouse_and_two_stores")]
SERIAL = [
    _serial(
        "serial-example-6-1",
        load_network("serial", std=1, lead_times=[0, 1, 2], holding_costs=[7, 4, 2], penalty=37.12),
        _EXAMPLE_6_1,
        _EXAMPLE_6_1["cost_without_transit_holding"],
    ),
    _serial("serial-four-echelons", load_network("serial"), _FOUR_ECHELONS, _FOUR_ECHELONS["cost"]),
]
ROWS = [*LOST_SALES, *BACKORDERS, *NORMAL_BACKORDERS, *S_S, *WAREHOUSE, *SUPPLIER, *SERIAL]

_LONG_PIPELINES = [row for row in BACKORDERS if row.network.longest_lead_time("store") == 4]  # too many states to list
WITH_EXACT_COSTS = [row for row in ROWS if row.network.quantities == "integer" and row not in _LONG_PIPELINES]
