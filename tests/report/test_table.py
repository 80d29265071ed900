"""What a comparison says on a terminal: cost first where it is what agents are paid for, gaps to the optimum."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from hmarl.network import load_network
from hmarl.policies import make_policy
from hmarl.report import compare
from hmarl.report.comparison import Comparison
from hmarl.report.sampling import Precision
from hmarl.report.table import comparison_table, distances, gaps, remarks


@pytest.fixture(scope="module")
def shop() -> Comparison:
    """Zipkin's lead time 2, penalty 4: costs 4.6386 (base-stock 16), 4.4057 (capped), called optimal."""
    network = load_network("lost_sales", lead_time=2, penalty=4)
    policies = {
        "tuned_base_stock": make_policy("base_stock", network, level=16),
        "optimal": make_policy("capped_base_stock", network, level=17, cap=5),
        "textbook": make_policy("base_stock", network),
    }
    return compare(network, policies, baseline="tuned_base_stock", days=50_000, replications=10)


def printed(comparison: Comparison, width: int) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(comparison_table(comparison, width))
    return captured.get()


def test_gaps_to_the_optimal_policy_are_paired(shop):
    base, textbook = gaps(shop)
    gap = shop.result("tuned_base_stock", "cost").relative["optimal"]
    assert gap.low <= 4.6386 / 4.4057 - 1 <= gap.high
    assert base.startswith("tuned_base_stock: 5.")
    assert base.endswith("above optimal in cost (paired)")
    assert textbook.startswith("textbook: ")
    assert shop.references == ["optimal"]


def test_cost_stands_first_where_agents_are_paid_for_it(shop, comparison):
    text = printed(shop, 140)
    assert text.startswith("lost_sales: 10 episodes of 49,980 days in 20 batches each")
    assert text.index("Cost") < text.index("Service level") < text.index("Reward")
    assert "Profit" not in text
    assert "…" not in printed(shop, 80)
    assert shop.objective == "cost"
    both = printed(comparison, 160)
    assert both.index("Reward") < both.index("Cost") < both.index("Profit")


def test_a_difference_in_cost_is_in_per_cent(shop):
    line = next(line for line in printed(shop, 140).splitlines() if "vs tuned_base_stock" in line)
    relative = shop.result("optimal", "cost").relative["tuned_base_stock"]
    assert relative.low <= 4.4057 / 4.6386 - 1 <= relative.high
    assert "−5." in line  # noqa: RUF001 (a true minus)
    assert " % ±0." in line


def test_the_last_policy_against_a_reference_in_per_cent_of_its_cost(shop):
    assert distances(shop) == []  # but the optimum, whose gaps are told already
    last = shop.results["normal"]["textbook"]["cost"]
    relative = {**last.relative, "rule": last.relative["tuned_base_stock"]}
    row = {**shop.results["normal"]["textbook"], "cost": replace(last, against={"rule": last.value}, relative=relative)}
    (line,) = distances(replace(shop, results={"normal": {**shop.results["normal"], "textbook": row}}))
    assert line.startswith("textbook vs rule: cost +")
    assert " %, 95 % interval +" in line


def test_remarks(shop):
    assert remarks(shop) == []
    asked = Precision(0.005, 0.0049, "textbook", "cost")
    reached = replace(shop, precision=asked, warnings=["beware"])
    first, second = remarks(reached)
    assert first == (
        "precision of ±0.5 % reached with 10 episodes: the interval of textbook's cost is ±0.49 %, the widest"
    )
    assert second == "beware"
    (line,) = remarks(replace(shop, precision=asked._replace(reached=0.00499)))  # above 0.005 / 1.005
    assert line.startswith("precision of ±0.5 % not reached with 10 episodes, the most allowed: ")
