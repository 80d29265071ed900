"""Chains some of whose roles are played from outside while a rule plays the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hmarl.errors import InputError
from hmarl.network.config import Network
from hmarl.network.presets import load_network
from hmarl.policies import Policy, make_policy
from hmarl.roles import Chain, critic_view
from hmarl.simulator import Outcome, Split


class Seats:
    """A batch of chains and who decides where: what every interface of this package plays on.

    Parameters
    ----------
    network
        A network, or the name of a preset or a file.
    roles
        The roles played from outside; left out: all that the network has.
    others
        The rule that orders for the other roles: a policy or its name.
    replications
        Chains side by side, B.
    split
        Stream of the random draws: "train", "validation" or "test".

    Attributes
    ----------
    chain
        The batch; a new object after each :meth:`begin`.
    roles
        Those played from outside, in the order store, warehouse, supplier.

    Raises
    ------
    InputError
        If the network has no such role.
    """

    def __init__(
        self,
        network: Network | str | Path,
        roles: Sequence[str] | None = None,
        others: Policy | str = "base_stock",
        *,
        replications: int = 1,
        split: Split = "train",
    ) -> None:
        self.network = network if isinstance(network, Network) else load_network(network)
        self.replications, self.split = replications, split
        self.begin(0)
        present = tuple(self.chain.roles)
        for role in roles or ():
            if role not in present:
                raise InputError(f"roles: {role!r}: some of {', '.join(present)}")
        self.roles = tuple(role for role in present if roles is None or role in roles)
        if not self.roles:
            raise InputError(f"roles: []: some of {', '.join(present)}")
        self._others: Policy | None = None
        if self.roles != present:
            self._others = make_policy(others, self.network) if isinstance(others, str) else others

    def begin(self, seed: int) -> None:
        """Start all chains with the draws of a seed."""
        self.chain = Chain(self.network, self.replications, seed, split=self.split)

    def restart(self, rows: np.ndarray | None = None) -> None:
        """Begin all chains, or the rows named by ``(B,)`` booleans, anew with fresh draws."""
        self.chain.reset(np.ones(self.replications, bool) if rows is None else rows)

    def play(self, actions: Mapping[str, np.ndarray]) -> Outcome:
        """Play the day.

        Parameters
        ----------
        actions
            For each role of `roles` ``(B, agents)`` integers, or ``(B, agents, 1)`` numbers where continuous.
        """
        chain = self.chain
        orders = np.zeros(chain.simulator.shape) if self._others is None else self._others.orders(chain)
        shape = (self.replications, -1, len(self.network.skus))
        for role in self.roles:
            orders[:, chain.roles[role].place] = chain.orders(role, actions[role]).reshape(shape)
        return chain.step(orders)

    def places(self) -> dict[str, tuple[str, int]]:
        """The agents played from outside: the role of each and its number in the role."""
        roles = self.chain.roles
        return {agent: (role, k) for role in self.roles for k, agent in enumerate(roles[role].agents)}

    def by_role(self, actions: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Actions by agent, of a single chain, as :meth:`play` takes them."""
        roles = self.chain.roles
        return {role: np.array([[actions[agent] for agent in roles[role].agents]]) for role in self.roles}

    def over(self) -> np.ndarray:
        """Which chains have played all days of an episode, ``(B,)`` booleans."""
        return self.chain.simulator.state.day >= self.network.days

    def observations(self) -> dict[str, np.ndarray]:
        """What each role played from outside sees, ``(B, agents, features)`` float32."""
        return {role: self.chain.observe(role) for role in self.roles}

    def rewards(self) -> dict[str, np.ndarray]:
        """What each role played from outside is paid for the day just played, ``(B, agents)``."""
        return {role: self.chain.rewards(role) for role in self.roles}

    def critic_views(self) -> dict[str, np.ndarray]:
        """What the critic of each role of the chain sees, ``(B, agents, critic features)`` float32."""
        return critic_view(self.network, {role: self.chain.observe(role) for role in self.chain.roles})
