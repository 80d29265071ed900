"""Playing policies on the same test paths: so many episodes, or until a precision is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace

import numpy as np

from hmarl.network.config import Network
from hmarl.policies.rules import Policy
from hmarl.report.sampling import Plan, Precision, more_replications
from hmarl.report.statistics import batch_correlation, estimate

Values = dict[str, np.ndarray]  # metric -> (replications * batches,)
Played = dict[str, dict[str, Values]]  # scenario -> policy -> values
Progress = Callable[[int, int], None]

_SIDE_BY_SIDE = 32_768  # replications of a simulation, times places (nodes x SKUs)
_DOUBT = 0.01  # probability that independent batches are called correlated


def play(
    networks: Mapping[str, Network],
    policies: Mapping[str, Policy],
    plan: Plan,
    *,
    seed: int = 0,
    first: int = 0,
    progress: Progress | None = None,
) -> Played:
    """The figures of every policy in every scenario.

    Parameters
    ----------
    networks
        By scenario.
    first
        Number of the first replication: those before were played already.
    progress
        Called with (simulations done, simulations in all) before each and at the end.
    """
    total, done = len(networks) * len(policies), 0
    values: Played = {scenario: {} for scenario in networks}
    for scenario, network in networks.items():
        for name, policy in policies.items():
            if progress:
                progress(done, total)
            values[scenario][name] = _simulated(network, policy, plan, seed, first)
            done += 1
    if progress:
        progress(done, total)
    return values


def play_until(
    networks: Mapping[str, Network],
    policies: Mapping[str, Policy],
    plan: Plan,
    goal: float,
    most: int,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Played, Plan, Precision]:
    """Rounds of new replications until every policy's mean cost is known to a share of `goal`.

    Parameters
    ----------
    plan
        Of the first round.
    most
        Replications of all rounds together.

    Returns
    -------
    tuple
        The figures, what was played in all, and the precision that it has.
    """
    values = play(networks, policies, plan, seed=seed, progress=progress)
    while True:
        found = furthest_off(values, goal)
        have, want = plan.replications, more_replications(plan.replications, found.reached, goal, most)
        if want == have:
            return values, plan, found
        more = play(
            networks, policies, replace(plan, replications=want - have), seed=seed, first=have, progress=progress
        )
        values = {
            scenario: {policy: _joined([row, more[scenario][policy]]) for policy, row in rows.items()}
            for scenario, rows in values.items()
        }
        plan = replace(plan, replications=want)


def furthest_off(values: Played, goal: float) -> Precision:
    """The policy whose mean cost (mean reward where it has none) is known least well."""
    judged = (
        Precision(goal, estimate(row[metric]).relative_half, policy, metric) for policy, metric, row in _rows(values)
    )
    return max(judged, key=lambda precision: precision.reached)


def correlated(values: Played, batches: int) -> list[str]:
    """A line for the policy whose batch means depend most on one another; none where chance alone could explain it.

    The probability that any of the policies is named by chance is at most 1 % (Bonferroni).
    """
    if batches == 1:
        return []
    found = [
        (batch_correlation(row[metric].reshape(-1, batches)), policy, metric) for policy, metric, row in _rows(values)
    ]
    worst, policy, metric = min(found)
    if worst.p_value * len(found) > _DOUBT:
        return []
    return [
        f"{policy}: its {batches} batches are too short: their means of {metric} have a lag-1 autocorrelation of "
        f"{worst.lag_1:.2f}, so that intervals are too narrow: ask for more --days"
    ]


def _rows(values: Played) -> Iterator[tuple[str, str, Values]]:
    """Policies with the metric they are judged by."""
    for rows in values.values():
        for policy, row in rows.items():
            yield policy, "cost" if row["cost"].any() else "reward", row


def _simulated(network: Network, policy: Policy, plan: Plan, seed: int, first: int) -> Values:
    from hmarl.policies import simulate

    last, most = first + plan.replications, max(1, _SIDE_BY_SIDE // (len(network.nodes) * len(network.skus)))
    parts = []
    for begin in range(first, last, most):
        ids = np.arange(begin, min(begin + most, last))
        part = replace(plan, replications=len(ids))
        parts.append(simulate(network, policy, **asdict(part), seed=seed, ids=ids).metrics)
    return _joined(parts)


def _joined(parts: list[Values]) -> Values:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
