"""What the critic sees in training: an agent's own state, those upstream of it, and the stores' pooled."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import numpy as np

from hmarl.network.config import ROLES, Network


def critic_features(network: Network, features: dict[str, int]) -> dict[str, int]:
    """Length of each role's critic view; `features` is the length of each role's observation."""
    return {role: features[role] + sum(features[r] for r in _others(role, features)) for role in features}


def critic_view(
    network: Network, observations: Mapping[str, np.ndarray], roles: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """The critic's view of every agent, made of local observations alone.

    Parameters
    ----------
    observations
        By role ``(..., agents, features)``: agents of a role node by node, SKU by SKU.
    roles
        Whose views; all roles observed where left out.

    Returns
    -------
    dict
        By role ``(..., agents, critic features)``: the agent's own observation; then that of each role upstream of it
        (the mean where there are several such nodes on its path, zeros where there is none); then the mean over all
        stores of the same SKU. The length does not grow with the number of stores.
    """
    skus = len(network.skus)
    by_node = {r: o.reshape(*o.shape[:-2], o.shape[-2] // skus, skus, o.shape[-1]) for r, o in observations.items()}
    lengths = critic_features(network, {role: seen.shape[-1] for role, seen in by_node.items()})
    views = {}
    for role in [role for role in ROLES if role in observations] if roles is None else roles:
        own = by_node[role]
        view = np.empty((*own.shape[:-1], lengths[role]), own.dtype)
        begin = own.shape[-1]
        view[..., :begin] = own
        for other in _others(role, observations):
            seen = by_node[other]
            end = begin + seen.shape[-1]
            if other == "store":
                view[..., begin:end] = seen.mean(-3, keepdims=True)
            else:
                for node, above in enumerate(_upstream(network, role, other)):
                    view[..., node, :, begin:end] = seen[..., above, :, :].mean(-3) if above else 0
            begin = end
        views[role] = view.reshape(*observations[role].shape[:-1], lengths[role])
    return views


def _others(role: str, present: Container[str]) -> list[str]:
    """Roles whose pooled observation is appended for `role`, in order: the roles above it, and the stores."""
    above = [r for r in ROLES[ROLES.index(role) + 1 :] if r in present]
    return above + (["store"] if "store" in present else [])


def _upstream(network: Network, role: str, other: str) -> list[list[int]]:
    """For each node of a role, which of the other role's nodes are upstream of it."""
    places = {name: place for place, name in enumerate(network.nodes_of(other))}
    found: list[list[int]] = []
    for name in network.nodes_of(role):
        found.append([])
        above = network.nodes[name].upstream
        while above is not None:
            if above in places:
                found[-1].append(places[above])
            above = network.nodes[above].upstream
    return found
