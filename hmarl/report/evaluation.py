"""How good one policy is on one network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from hmarl.network.config import Network
from hmarl.report.metrics import ALL_METRICS, decimals, number
from hmarl.report.sampling import in_words, make_plan
from hmarl.report.statistics import Estimate, estimate

if TYPE_CHECKING:
    from rich.table import Table

    from hmarl.policies import Policy


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found: each figure a mean with its 95 % interval over replications or their batches.

    Amounts are a day (a week where the network's period is one), for the whole chain; shares are 0 to 1.

    Examples
    --------
    >>> evaluate(load_network("two_store"), "s_S").service_level
    Estimate(mean=0.98..., low=..., high=..., n=200)
    """

    network: str
    policy: str
    period: str
    days: int  # counted a replication, after the warm-up
    warmup: int
    replications: int
    batches: int  # of a replication, each a value of its own
    seed: int
    cost: Estimate  # holding, orders, shortage; money
    reward: Estimate  # of all agents
    profit: Estimate  # money
    service_level: Estimate  # share of a day's demand met, mean over days
    fill_rate: Estimate  # all demand met over all demand
    stockout_days: Estimate  # share of days with unmet demand
    holding_cost: Estimate  # money
    stock: Estimate  # units at the stores at a day's end
    ordered: Estimate  # units
    bullwhip: Estimate  # order variance over demand variance

    def estimates(self) -> dict[str, Estimate]:
        """The figures by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Estimate)}

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and numbers."""
        return {k: v.to_json() if isinstance(v, Estimate) else v for k, v in vars(self).items()}

    def table(self) -> Table:
        """For a terminal."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        horizon = in_words(self.replications, self.days, self.batches, self.period)
        title = f"{self.policy} on {self.network}: {horizon}"
        table = Table("", "mean", "95 % interval", "unit", title=escape(title), box=box.SIMPLE_HEAD)
        for name, value in self.estimates().items():
            metric = ALL_METRICS[name]
            digits = decimals(metric, [value])
            mean, low, high = (number(metric, v, digits) for v in value[:3])
            table.add_row(metric.label, mean, f"{low} to {high}", metric.unit(self.period))
        return table


def evaluate(
    network: Network,
    policy: str | Policy,
    days: int | None = None,
    warmup: int | None = None,
    replications: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Play a policy on the test paths and say how good it is, with 95 % intervals.

    Parameters
    ----------
    network
        The supply chain.
    policy
        A rule's name (``hmarl.policies.POLICIES``) or a policy.
    days, warmup
        Length of an episode and how many periods at its start do not count; the network's where left out.
    replications
        Episodes, each with its own demand; 200, fewer where they are long, if left out. Few long ones are cut into
        batches: :func:`hmarl.report.sampling.make_plan`.
    seed
        Same seed, same demand: evaluations of two policies are paired.

    Raises
    ------
    InputError
        An unknown policy; days or replications that leave nothing to count.
    """
    from hmarl.policies import make_policy, simulate

    plan = make_plan(network, days, warmup, replications)
    chosen = make_policy(policy, network) if isinstance(policy, str) else policy
    paths = simulate(network, chosen, **asdict(plan), seed=seed)
    return Evaluation(
        network=network.name,
        policy=chosen.name,
        period=network.period,
        days=paths.days - paths.warmup,
        warmup=paths.warmup,
        replications=plan.replications,
        batches=plan.batches,
        seed=seed,
        **{f.name: estimate(paths.metrics[f.name]) for f in fields(Evaluation) if f.type == "Estimate"},
    )
