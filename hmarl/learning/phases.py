"""The phases of a training: data, not classes. Reads neither Ray nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hmarl.errors import InputError
from hmarl.learning.settings import PPOSettings
from hmarl.network.config import Network
from hmarl.network.curriculum import Stage, stage_network
from hmarl.roles import Chain


@dataclass(frozen=True)
class Phase:
    """Who learns, and how.

    Roles that learned in a phase before act frozen; roles that no phase taught yet act by a tuned rule.
    """

    name: str
    learns: tuple[str, ...]
    starts_from: str | None = None
    """The phase before; None: nothing."""
    learning_rate: float = 1.0
    """Times PPO's own."""
    entropy: float = 1.0
    """Times PPO's own."""
    team: float = 0.0
    """Share of an agent's pay that is everybody's sum: upstream, what an order does to others is most of its worth."""
    critic_warmup: int = 0
    """First updates in which only the critics move: they know the chain with others who acted otherwise."""

    def ppo(self, settings: PPOSettings) -> PPOSettings:
        """PPO's settings in this phase."""
        return settings.model_copy(
            update={
                "learning_rate": settings.learning_rate * self.learning_rate,
                "final_learning_rate": settings.final_learning_rate * self.learning_rate,
                "entropy": settings.entropy * self.entropy,
                "final_entropy": settings.final_entropy * self.entropy,
                "team": max(settings.team, self.team),
                "critic_warmup": max(settings.critic_warmup, self.critic_warmup),
            }
        )


PHASES: tuple[Phase, ...] = (
    Phase("phase1_stores", ("store",)),
    Phase("phase2_warehouse", ("warehouse",), "phase1_stores", team=1),
    Phase("phase3_supplier", ("supplier",), "phase2_warehouse", team=1),
    Phase(
        "phase4_joint",
        ("store", "warehouse", "supplier"),
        "phase3_supplier",
        learning_rate=1 / 3,
        entropy=0.1,
        team=1,
        critic_warmup=5,
    ),
)


_FROM_SCRATCH: dict[str, Any] = {"starts_from": None, "learning_rate": 1.0, "entropy": 1.0, "critic_warmup": 0}
"""Of the first phase of a plan: nothing was learned before that care would have to be taken of."""


def plan(network: Network, names: Sequence[str] = ()) -> tuple[list[Phase], list[str]]:
    """The phases that a network has, and a line for each that is left out.

    Parameters
    ----------
    network
        The supply chain.
    names
        The phases wanted; none: all. A role whose phase is not wanted acts by rule in those that follow. A phase
        that comes first learns from scratch, at PPO's own rates: ``phase4_joint`` alone trains all roles together.

    Returns
    -------
    phases
        In order; ``learns`` holds the network's roles only, ``starts_from`` the phase before in this plan.
    skipped
        Why the others are not there.

    Raises
    ------
    InputError
        A phase that does not exist, or nothing left to train.
    """
    known = [phase.name for phase in PHASES]
    for name in names:
        if name not in known:
            raise InputError(f"--phases: {name!r}: one of {', '.join(known)}")
    phases: list[Phase] = []
    skipped: list[str] = []
    for phase in PHASES:
        if names and phase.name not in names:
            skipped.append(f"{phase.name}: not asked for")
            continue
        learns = tuple(role for role in phase.learns if network.nodes_of(role))
        reason = _reason(phase, learns)
        if reason and phase.name not in names:
            skipped.append(f"{phase.name}: skipped, {reason}")
        elif not learns:
            raise InputError(f"--phases: {phase.name!r}: {reason}")
        else:
            began = {"starts_from": phases[-1].name} if phases else _FROM_SCRATCH
            phases.append(Phase(**{**vars(phase), "learns": learns, **began}))
    return phases, skipped


def _reason(phase: Phase, learns: Sequence[str]) -> str | None:
    if not learns:
        return f"the network has no {' and no '.join(phase.learns)}"
    if len(phase.learns) > 1 and len(learns) == 1:
        return f"only one role learns, the {learns[0]}"
    return None


def agents_of(network: Network, roles: Sequence[str]) -> int:
    """How many agents these roles have: nodes times SKUs."""
    return len(network.skus) * sum(len(network.nodes_of(role)) for role in roles)


def check_stages(network: Network, stages: Sequence[Stage]) -> None:
    """Refuse a curriculum whose stages an actor cannot go through: it sees and may do the same in all of them.

    Raises
    ------
    InputError
        Naming the stage.
    """

    def shape(network: Network) -> dict[str, tuple[int, Any]]:
        return {role: (len(a.features), a.action_space) for role, a in Chain(network).roles.items()}

    own = shape(network)
    for stage in stages:
        other = shape(stage_network(network, stage))
        if other != own:
            raise InputError(
                f"curriculum: {stage.name}: its agents see or may do something else than the network's "
                f"{other} (features, actions): {own}"
            )
