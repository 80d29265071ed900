"""A network and a comparison in a planner's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hmarl.network.config import Network, Node
from hmarl.report.comparison import Comparison
from hmarl.report.metrics import METRICS, number
from hmarl.report.statistics import Estimate

_MANY = 6
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
    """A rule in words; another policy by its name."""
    rule = _RULES.get(policy.removeprefix("tuned_"))
    if rule is None:
        return policy
    return f"the {'tuned' if policy.startswith('tuned_') else 'textbook'} {rule}"


def findings(comparison: Comparison, policy: str, metric: str = "reward") -> list[str]:
    """What a policy earns in the first scenario, next to the baseline and each reference: a phrase each.

    ``more than the textbook (s, S) rule: +0.54 a day (95 % interval +0.51 to +0.57)``
    """
    figure, scenario, result = METRICS[metric], comparison.scenarios[0], comparison.result(policy, metric)
    digits = comparison.decimals(metric, scenario, "difference")
    found = {comparison.baseline: result.difference, **result.against}
    phrases = []
    for other, difference in found.items():
        if difference is None:
            continue
        mean, low, high = (number(figure, v, digits, signed=True) for v in difference[:3])
        numbers = f"{mean} {figure.unit(comparison.period)} (95\N{NO-BREAK SPACE}% interval {low} to {high})"
        words = {"better": "more than", "worse": "less than"}.get(verdict(difference, figure.better))
        phrases.append(
            f"{words} {plain(other)}: {numbers}"
            if words
            else f"as much as {plain(other)}, as far as can be told from chance: {numbers}"
        )
    return phrases
