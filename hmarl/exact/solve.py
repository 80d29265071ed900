"""The optimum of a network by whichever method fits it."""

from __future__ import annotations

from typing import Protocol

from hmarl.errors import InputError
from hmarl.exact import lost_sales, newsvendor, s_S, serial, warehouse
from hmarl.exact.proof import Optimum
from hmarl.network.config import Network


class Method(Protocol):
    """A way to an optimum, one module each."""

    def fits(self, network: Network) -> bool:
        """Whether the network is of the method's kind: its nodes, and what becomes of unmet demand."""

    def refusal(self, network: Network) -> str | None:
        """Why a network of its kind cannot be solved all the same; None where it can."""

    def solve(self, network: Network) -> Optimum:
        """The optimum of a network that is not refused."""


_METHODS: tuple[Method, ...] = (newsvendor, s_S, serial, lost_sales, warehouse)  # the first that fits is taken
_KINDS = "one node, nodes in a row with backorders, stores behind a warehouse with lost sales"


def optimal_cost(network: Network) -> Optimum:
    """The lowest long-run average cost of a network, a policy that has it, and the proof.

    Raises
    ------
    InputError
        If the network is of no kind that is solved, or has what its method does not take, or is too large.

    Examples
    --------
    >>> round(optimal_cost(load_network("lost_sales", lead_time=2, penalty=4)).cost, 4)
    4.3953
    """
    method = next((method for method in _METHODS if method.fits(network)), None)
    reason = f"it is none of {_KINDS}" if method is None else method.refusal(network)
    if method is None or reason is not None:
        raise InputError(f"network {network.name}: its optimum is not known: {reason}")
    return method.solve(network)
