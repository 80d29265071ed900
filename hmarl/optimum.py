"""The proven optimum of a small network: its cost, the proof, what the optimal policy orders; else a lower bound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hmarl import command
from hmarl.errors import InputError

if TYPE_CHECKING:
    from hmarl.exact import Optimum
    from hmarl.network import Network
    from hmarl.policies import Policy

_STATES = 10  # that the table shows
_DAYS, _WARMUP, _PATHS = 120, 20, 200  # on which they are counted
_LEVELS = ("level", "reorder_point", "order_up_to", "quantity")


class OptimumSettings(BaseModel):
    """Options of ``python -m hmarl.optimum``."""

    model_config = ConfigDict(extra="forbid")

    network: str = Field("lost_sales", description="a preset's name or a network's YAML file")
    set_: dict[str, Any] = Field({}, description="change of the network, as lead_time=2; repeatable")
    decentralised: bool = Field(False, description="also search for what stores reach that see only their own stock")
    json_: bool = Field(False, description="print the result as one JSON object on the last line")


def main(argv: list[str]) -> int:
    """Print the optimum; where none is in reach the lower bound, and the reason as an error."""
    settings = command.parse(OptimumSettings, argv, "python -m hmarl.optimum", __doc__ or "")
    from hmarl.exact import best_decentralised, optimal_cost
    from hmarl.network import load_network

    network = load_network(settings.network, **settings.set_)
    try:
        optimum = optimal_cost(network)
    except InputError as error:
        content = _print_bound(network) | {"reason": str(error)}
        if settings.json_:
            print(json.dumps(content, allow_nan=False))
        raise
    found = best_decentralised(network) if settings.decentralised else None
    content = _print_optimum(network, optimum, found)
    if settings.json_:
        print(json.dumps(content, allow_nan=False))
    return 0


def _print_bound(network: Network) -> dict[str, Any]:
    from hmarl.exact import lower_bound

    bound = lower_bound(network)
    if bound is None:
        print(f"{network.name}: no useful bound on the cost")
        return {"network": network.name, "cost": None, "lower_bound": None}
    print(f"{network.name}: no policy costs less than {bound.value:.4f} a {network.period}")
    print(f"  bound    {bound.name}")
    print(f"  source   {bound.source}")
    written = {"value": bound.value, "name": bound.name, "source": bound.source}
    return {"network": network.name, "cost": None, "lower_bound": written}


def _print_optimum(network: Network, optimum: Optimum, decentralised: float | None) -> dict[str, Any]:
    proof = optimum.proof
    searched = ", ".join(f"{name} up to {largest:g}" for name, largest in proof.bounds.items())
    print(f"{network.name}: the optimal cost is {optimum.cost:.5f} a {network.period}")
    print(f"  method     {proof.method}")
    print(f"  tolerance  {proof.tolerance:.1e}" if proof.tolerance else "  tolerance  exact")
    if searched:
        print(f"  searched   {searched} units")
    print(f"  source     {proof.source}")
    if decentralised is not None:
        above = f"{decentralised / optimum.cost - 1:+.2%}" if optimum.cost > proof.tolerance else "optimum 0"
        print(f"\nStores that see only their own stock reach {decentralised:.5f} ({above}), by local search, no proof.")
    levels = policy_levels(network, optimum.policy)
    states = [] if levels else common_states(network, optimum.policy)
    if levels:
        print("\nThe optimal policy's levels, units:")
        rows = [
            {("", name): f"{value:g}" if name != "node" else value for name, value in row.items()} for row in levels
        ]
    else:
        print("\nWhat the optimal policy orders in the states that it meets most often, units:")
        rows = [_state_columns(state) for state in states]
    print("\n".join(_table(rows)))
    return {
        "network": network.name,
        "cost": optimum.cost,
        "method": proof.method,
        "tolerance": proof.tolerance,
        "bounds": dict(proof.bounds),
        "source": proof.source,
        "decentralised_cost": decentralised,
        "policy": levels or states,
    }


def policy_levels(network: Network, policy: Policy) -> list[dict[str, Any]]:
    """A row a node of the levels of a policy that has such; none of another one."""
    found = {name: getattr(policy, name) for name in _LEVELS if hasattr(policy, name)}
    shape = (len(network.nodes), len(network.skus))
    return [
        {"node": node, **{name: float(np.broadcast_to(value, shape)[n, 0]) for name, value in found.items()}}
        for n, node in enumerate(network.node_names if found else [])
    ]


def common_states(network: Network, policy: Policy) -> list[dict[str, Any]]:
    """The states that a policy meets most often: on hand, arriving in 1, 2, ... days, ordered; the share of days."""
    from hmarl.roles import Chain

    chain = Chain(network, _PATHS)
    nodes, days = len(network.nodes), chain.simulator.params.transit_days - 1
    seen = []
    for day in range(_DAYS):
        orders = policy.orders(chain)
        if day >= _WARMUP:
            state = chain.simulator.state
            arriving = state.in_transit[:, :, 0, :days].reshape(_PATHS, nodes * days)
            seen.append(np.hstack([state.on_hand[:, :, 0], arriving, orders[:, :, 0]]))
        chain.step(orders)
    rows, counts = np.unique(np.concatenate(seen), axis=0, return_counts=True)
    return [
        {
            "on_hand": dict(zip(network.node_names, row[:nodes].tolist(), strict=True)),
            "arriving": dict(zip(network.node_names, row[nodes:-nodes].reshape(nodes, days).tolist(), strict=True)),
            "order": dict(zip(network.node_names, row[-nodes:].tolist(), strict=True)),
            "share": float(share),
        }
        for row, share in sorted(zip(rows, counts / counts.sum(), strict=True), key=lambda pair: -pair[1])[:_STATES]
    ]


def _state_columns(state: dict[str, Any]) -> dict[tuple[str, str], str]:
    """The cells of a state by heading, the group above the node."""
    columns = {("on hand", node): f"{units:g}" for node, units in state["on_hand"].items()}
    for node, arriving in state["arriving"].items():
        columns |= {
            (f"in {k} days" if k > 1 else "in 1 day", node): f"{units:g}" for k, units in enumerate(arriving, 1)
        }
    columns |= {("order", node): f"{units:g}" for node, units in state["order"].items()}
    return columns | {("share", "of days"): f"{state['share']:.1%}"}


def _table(rows: list[dict[tuple[str, str], str]]) -> list[str]:
    """Lines of a table; a heading's group stands above the first of its columns."""
    headings = list(rows[0])
    groups = ["" if k and headings[k - 1][0] == group else group for k, (group, _) in enumerate(headings)]
    top = [groups] if any(groups) else []
    cells = [*top, [name for _, name in headings], *([row[h] for h in headings] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells]


if __name__ == "__main__":
    command.run(main)
