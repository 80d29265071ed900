"""The nodes of the cluster that this process is connected to: which answer, which will go, what is free."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ANSWERS_IN = 1.0  # seconds
_ROUNDED = 1e-6


def leaving() -> frozenset[str]:
    """Ids of the nodes that are about to be taken away: a spot notice of the cloud, or an autoscaler's."""
    from ray._private.state import state

    return frozenset(state.get_draining_nodes())


@dataclass(frozen=True)
class Standing:
    """How the nodes stand.

    Attributes
    ----------
    free
        What is free on each that answers and stays.
    silent
        How many do not answer, though Ray does not know yet that they are gone: for some ten seconds it may still
        place processes there.
    """

    free: Sequence[Mapping[str, float]]
    silent: int

    def room_for(self, resources: Mapping[str, float]) -> int:
        """How many processes that need `resources` each would start now."""
        return sum(_fitting(free, resources) for free in self.free)


def standing() -> Standing:
    """Look at the nodes."""
    import ray
    from ray._private.state import available_resources_per_node

    free, going = available_resources_per_node(), leaving()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    answering = [node["NodeID"] for node in nodes if _answers(node)]
    return Standing([free.get(node, {}) for node in answering if node not in going], len(nodes) - len(answering))


def _fitting(free: Mapping[str, float], resources: Mapping[str, float]) -> int:
    return min(int((free.get(name, 0) + _ROUNDED) // amount) for name, amount in resources.items())


def _answers(node: Mapping[str, object]) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), _ANSWERS_IN).close()  # type: ignore[arg-type]
        return True
    return False
