"""The optimum of a network by whichever method fits it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hmarl.errors import InputError
from hmarl.exact import fixed_cost, lost_sales, newsvendor, serial, tree
from hmarl.exact.proof import Optimum
from hmarl.network.config import Network


class Method(NamedTuple):
    """A way to an optimum.

    Attributes
    ----------
    refusal
        Why it does not fit a network; None if it does.
    solve
        The optimum of a network that is not refused.
    """

    refusal: Callable[[Network], str | None]
    solve: Callable[[Network], Optimum]


METHODS: dict[str, Method] = {
    "one node, backorders": Method(newsvendor.refusal, newsvendor.solve),
    "one node, backorders, a fixed order cost": Method(fixed_cost.refusal, fixed_cost.solve),
    "stages in series, backorders": Method(serial.refusal, serial.solve),
    "one store, lost sales": Method(lost_sales.refusal, lost_sales.solve),
    "stores behind a warehouse": Method(tree.refusal, tree.solve),
}
"""What is solved, and how."""


def optimal_cost(network: Network) -> Optimum:
    """The lowest long-run average cost of a network, a policy that has it, and the proof.

    Raises
    ------
    InputError
        If the network is of no kind that is solved, or too large; it says why, method by method.

    Examples
    --------
    >>> round(optimal_cost(load_network("lost_sales", lead_time=2, penalty=4)).cost, 4)
    4.3953
    """
    reasons = []
    for kind, method in METHODS.items():
        reason = method.refusal(network)
        if reason is None:
            return method.solve(network)
        reasons.append(f"{kind} ({reason})")
    raise InputError(f"network {network.name}: its optimum is not known; what is solved: {'; '.join(reasons)}")
