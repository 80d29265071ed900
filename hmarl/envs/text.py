"""A day of a chain in words, for people who watch."""

from __future__ import annotations

from hmarl.simulator import Simulator

_HEADER = f"{'node/sku':<24}{'on hand':>10}{'coming':>10}{'owed':>10}{'ordered':>10}{'demand':>10}{'met':>10}"


def day_text(simulator: Simulator, row: int = 0) -> str:
    """One replication as a table: this morning's stock, shipments, open orders; yesterday's orders, demand.

    Demand is the customers' and the orders from the nodes below; met is what was sold and shipped of it.
    """
    network, state, outcome = simulator.network, simulator.state, simulator.outcome
    shipped = outcome.filled[row]
    lines = [f"{network.name}: {network.period} {int(state.day[row])} of {network.days}", _HEADER]
    for n, name in enumerate(network.node_names):
        below = [network.node_names.index(child) for child in network.children(name)]
        for s, sku in enumerate(network.skus):
            numbers = (
                state.on_hand[row, n, s],
                state.in_transit[row, n, s].sum(),
                state.owed[row, n, s],
                outcome.ordered[row, n, s],
                outcome.demand[row, n, s] + outcome.incoming[row, n, s],
                outcome.sold[row, n, s] + shipped[below, s].sum(),
            )
            lines.append(f"{f'{name}/{sku}':<24}" + "".join(f"{number:>10.4g}" for number in numbers))
    return "\n".join(lines)
