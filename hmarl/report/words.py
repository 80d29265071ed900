"""A network and a comparison in a planner's words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hmarl.network.config import Network, Node
from hmarl.report.comparison import OPTIMAL, Comparison
from hmarl.report.metrics import METRICS, RELATIVE, Metric, number, per_cent_decimals
from hmarl.report.statistics import LEVEL, Estimate

_MANY = 6
_NOTHING = 1e-6  # money a day: an optimal cost below is that of a network which can be run for nothing
_PER_CENT = "\N{NO-BREAK SPACE}%"
_RULES = {
    "s_S": "(s, S) rule",
    "s_Q": "(s, Q) rule",
    "base_stock": "base-stock rule",
    "capped_base_stock": "capped base-stock rule",
    "echelon_base_stock": "echelon base-stock rule",
    "newsvendor": "newsvendor rule",
    "forecast": "forecast-driven base-stock rule",
    "constant": "constant order",
}


def listing(names: Sequence[str]) -> str:
    """``a, b and c``; of many the first few and how many more."""
    shown = list(names)
    if len(shown) > _MANY:
        shown = [*shown[: _MANY - 1], f"{len(shown) - _MANY + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def counted(count: int, noun: str) -> str:
    """``1 store``, ``3 stores``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def describe(network: Network) -> list[str]:
    """The supply chain in sentences: who delivers to whom, how fast, what happens to what is short."""
    period = network.period
    sentences = []
    for role in ("store", "warehouse", "supplier"):
        names = network.nodes_of(role)
        if names:
            sentences.append(_who(network, role, names))
    lost = "is lost" if network.unmet_demand == "lost" else "waits until there is stock"
    sentences.append(f"Customers' demand that is not met {lost}.")
    if len(network.nodes) > 1:
        kept = "are still owed" if network.unfilled_orders == "keep" else "are cancelled"
        sentences.append(f"Orders between places that cannot be filled {kept}.")
    length = f"An episode is {counted(network.days, period)}"
    left = f"the first {network.warmup} are a warm-up, figures count the other {network.days - network.warmup}"
    sentences.append(f"{length}; {left}." if network.warmup else f"{length}.")
    return sentences


def _who(network: Network, role: str, names: Sequence[str]) -> str:
    """``2 stores (a and b) sell 1 product to customers and are supplied by w within 2 days.``"""
    one = len(names) == 1
    if one:
        subject = f"The {role}" if names[0] == role else f"The {role} {names[0]}"
    else:
        subject = f"{counted(len(names), role)} ({listing(names)})"
    parts = []
    if all(any(network.item(name, sku).demand for sku in network.skus) for name in names):
        parts.append(f"{'sells' if one else 'sell'} {counted(len(network.skus), 'product')} to customers")
    for upstream in dict.fromkeys(network.nodes[name].upstream for name in names):
        nodes = [network.nodes[name] for name in names if network.nodes[name].upstream == upstream]
        if upstream is None and role == "supplier":
            parts.append(f"{'produces' if one else 'produce'} {_wait(network, nodes)}{_limit(network, nodes)}")
            continue
        source = upstream or "an unlimited source"
        verb = ("is" if one else "are") if not parts or "suppl" not in parts[-1] else ""
        parts.append(f"{verb} supplied by {source} {_wait(network, nodes)}{_limit(network, nodes)}".strip())
    return f"{subject} {listing(parts)}."


def _limit(network: Network, nodes: Iterable[Node]) -> str:
    limits = [node.order_capacity for node in nodes if node.order_capacity is not None]
    return f", at most {min(limits):,g} units a {network.period}" if limits else ""


def _wait(network: Network, nodes: Iterable[Node]) -> str:
    low, high = 10**9, 0
    for node in nodes:
        days = [node.lead_time] if isinstance(node.lead_time, int) else node.lead_time.distribution()[0]
        low, high = min(low, *days), max(high, *days)
    if low == high:
        return f"within {counted(low, network.period)}" if low else f"on the same {network.period}"
    return f"within {low} to {counted(high, network.period)}"


def node_rows(network: Network) -> list[dict[str, str]]:
    """The places as a table: a row a node, several products as a range."""

    def span(name: str, field: str) -> str:
        values = [float(getattr(network.item(name, sku), field)) for sku in network.skus]
        return f"{min(values):,g}" if min(values) == max(values) else f"{min(values):,g} to {max(values):,g}"

    rows = []
    for name, node in network.nodes.items():
        demands = [d for sku in network.skus if (d := network.item(name, sku).demand) is not None]
        means = sorted(d.base_mean for d in demands)
        demand = "" if not means else f"{means[0]:,.4g}"
        if means and f"{means[-1]:,.4g}" != demand:
            demand += f" to {means[-1]:,.4g}"
        rows.append(
            {
                "place": name,
                "role": network.role_of(name),
                "supplied by": node.upstream or "unlimited source",
                "lead time": _wait(network, [node]).removeprefix("within ").removeprefix("on the "),
                "demand": demand,
                "opening stock": span(name, "opening_stock"),
                "holding": span(name, "holding_cost"),
                "shortage": span(name, "shortage_cost") if demands else "",
                "order": span(name, "order_cost"),
                "price": span(name, "price") if demands else "",
            }
        )
    return rows


def verdict(difference: Estimate, better: int = 1) -> str:
    """``better``, ``worse`` or ``no difference to tell``."""
    return {1: "better", -1: "worse", 0: "no difference to tell"}[difference.verdict * (better or 1)]


def plain(policy: str) -> str:
    """A rule or the optimal policy in words; another policy by its name."""
    if policy == OPTIMAL:
        return "the policy of lowest cost"
    rule = _RULES.get(policy.removeprefix("tuned_"))
    if rule is None:
        return policy
    return f"the {'tuned' if policy.startswith('tuned_') else 'textbook'} {rule}"


def findings(comparison: Comparison, policy: str, metric: str = "reward") -> list[str]:
    """What a policy earns or costs in the first scenario, next to the baseline and each reference: a phrase each.

    A cost in per cent of the other's; without the optimal policy, see :func:`against_optimum`. Others that do the same
    to the last digit share a phrase.

    ``more than the textbook (s, S) rule: +0.54 a day (95 % interval +0.51 to +0.57)``
    ``less than the tuned base-stock rule: -4.7 % (95 % interval -5.7 to -3.7)``
    """
    figure, result = METRICS[metric], comparison.result(policy, metric)
    found = {comparison.baseline: result.difference, **result.against}
    if metric == "cost":
        found = {other: result.relative.get(other) for other in found if other != OPTIMAL}
    others: dict[Estimate, list[str]] = {}
    for other, difference in found.items():
        if difference is not None:
            others.setdefault(difference, []).append(plain(other))
    if metric == "cost":
        figure, unit, digits = RELATIVE, _PER_CENT, per_cent_decimals(others)
    else:
        digits = comparison.decimals(metric, comparison.scenarios[0], "difference")
        unit = f" {figure.unit(comparison.period)}"
    return [_next_to(listing(names), difference, figure, digits, unit) for difference, names in others.items()]


def _next_to(other: str, difference: Estimate, figure: Metric, digits: int, unit: str) -> str:
    mean, low, high = (number(figure, v, digits, signed=True) for v in difference[:3])
    numbers = f"{mean}{unit} ({100 * LEVEL:g}{_PER_CENT} interval {low} to {high})"
    words = {1: "more than", -1: "less than"}.get(difference.verdict)
    return (
        f"{words} {other}: {numbers}" if words else f"as much as {other}, as far as can be told from chance: {numbers}"
    )


def against_optimum(comparison: Comparison, policy: str, optimal_cost: float, cost: float | None = None) -> str:
    """What no policy can cost less than, and how far above it a policy is.

    Parameters
    ----------
    comparison
        Tells how far where the policy's exact cost is not known and the optimal one took part.
    optimal_cost, cost
        Exact ones, of the optimal policy and of this one, money a day.
    """
    free = optimal_cost < _NOTHING
    digits = 4 if free else max(0, 4 - math.floor(math.log10(optimal_cost)))
    place = "In the long run" if comparison.scenarios[0] == "normal" else "Outside that scenario, in the long run"
    proven = f"{place} no policy can cost less than {0 if free else optimal_cost:,.{digits}f} a {comparison.period}"
    if cost is not None:
        above = "" if free else f", {_above(cost / optimal_cost - 1)} more"
        return f"{proven} (proven); the trained policy costs {cost:,.{digits}f}{above}."
    gap = _simulated_gap(comparison, policy)
    if gap is None:
        return f"{proven} (proven)."
    told = _next_to(plain(OPTIMAL), gap, RELATIVE, per_cent_decimals([gap]), _PER_CENT)
    return f"{proven} (proven); on the test episodes the trained policy costs {told}."


def _above(share: float) -> str:
    return f"{100 * share:,.2f}{_PER_CENT}" if share >= 5e-5 else f"less than 0.01{_PER_CENT}"


def _simulated_gap(comparison: Comparison, policy: str) -> Estimate | None:
    """On the network as it was trained on: in another scenario the policy called optimal is not."""
    rows = comparison.results.get("normal", {})
    return rows[policy]["cost"].relative.get(OPTIMAL) if policy in rows else None
