"""``python -m hmarl.network init --sales history.csv > my_network.yaml``: a network from a sales history."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hmarl import command
from hmarl.errors import unknown

ACTIONS = {
    "init": "print a commented network for the stores of a history: init --sales FILE > my_network.yaml",
    "example": "print a small sales history (2 stores, 3 SKUs, 200 days): example > history.csv",
}


class InitSettings(BaseModel):
    """What ``init`` is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sales: Path = Field(description="sales history, CSV or Parquet: date, store, sku, units, and in_stock or stock")
    sales_columns: dict[str, str] = Field({}, description="the file's names where they differ: units=qty; repeatable")
    fill_gaps: Literal["refuse", "zero"] = Field("refuse", description="what a missing date of a series means")


class ExampleSettings(BaseModel):
    """What ``example`` is told: nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def main(argv: list[str]) -> int | None:
    """Run one of the actions; text goes to standard output only when all of it is there."""
    if not argv or argv[0] in ("-h", "--help"):
        lines = [f"  {name:10}{line}" for name, line in ACTIONS.items()]
        print("\n".join(["usage: python -m hmarl.network ACTION [options]", "", *lines]))
        return 0 if argv else 2
    action, rest = argv[0], argv[1:]
    if action not in ACTIONS:
        raise unknown("action", action, ACTIONS)
    prog = f"python -m hmarl.network {action}"
    if action == "example":
        command.parse(ExampleSettings, rest, prog, ACTIONS[action])
        from hmarl.network.example import example_sales

        print(example_sales(), end="")
        return 0
    settings = command.parse(InitSettings, rest, prog, ACTIONS[action])
    from hmarl.network.init import network_yaml
    from hmarl.network.sales import read_sales

    history = read_sales(settings.sales, settings.sales_columns, settings.fill_gaps)
    text = network_yaml(history)
    for warning in history.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(text, end="")
    return 0


if __name__ == "__main__":
    command.run(main)
