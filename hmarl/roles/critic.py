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
            means: dict[bytes, np.ndarray | float] = {}
            for node, weights in enumerate(pooling_weights(network, role, other)):
                key = weights.tobytes()
                if key not in means:
                    means[key] = sum(float(weights[m]) * seen[..., m, :, :] for m in np.flatnonzero(weights))
                view[..., node, :, begin:end] = means[key]
            begin = end
        views[role] = view.reshape(*observations[role].shape[:-1], lengths[role])
    return views


def _others(role: str, present: Container[str]) -> list[str]:
    """Roles whose pooled observation is appended for `role`, in order: the roles above it, and the stores."""
    above = [r for r in ROLES[ROLES.index(role) + 1 :] if r in present]
    return above + (["store"] if "store" in present else [])


def pooling_weights(network: Network, role: str, other: str) -> np.ndarray:
    """Weights ``(nodes of role, nodes of other)``: the mean over the nodes upstream, or over all stores."""
    rows, columns = network.nodes_of(role), network.nodes_of(other)
    if other == "store":
        return np.full((len(rows), len(columns)), 1 / len(columns))
    weights = np.zeros((len(rows), len(columns)))
    for i, name in enumerate(rows):
        above = network.nodes[name].upstream
        while above is not None:
            if above in columns:
                weights[i, columns.index(above)] = 1
            above = network.nodes[above].upstream
        weights[i] /= max(weights[i].sum(), 1)
    return weights
