"""A network and a verdict in words."""

from dataclasses import replace

import pytest

from hmarl.network import load_network
from hmarl.report.statistics import Estimate
from hmarl.report.words import against_optimum, describe, findings, listing, node_rows, plain, verdict


def test_two_store_in_words():
    text = " ".join(describe(load_network("two_store")))
    assert text == (
        "2 stores (store_1 and store_2) sell 1 product to customers and are supplied by warehouse "
        "within 2 days. "
        "The warehouse is supplied by supplier within 3 days. "
        "The supplier produces within 4 days, at most 180 units a day. "
        "Customers' demand that is not met is lost. "
        "Orders between places that cannot be filled are still owed. "
        "An episode is 90 days; the first 7 are a warm-up, figures count the other 83."
    )


@pytest.mark.parametrize("preset", ["three_store", "tight_supply", "corner_shop", "beer_game", "lost_sales", "serial"])
def test_every_network_has_words(preset):
    network = load_network(preset)
    assert all(line.endswith(".") and "  " not in line for line in describe(network))
    assert [row["place"] for row in node_rows(network)] == network.node_names


def test_a_table_row_a_place():
    row = node_rows(load_network("two_store"))[-1]
    assert (row["place"], row["demand"], row["lead time"], row["holding"]) == (
        "store_2",
        "50",
        "2 days",
        "0.5",
    )


def test_listing():
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing([f"s{k}" for k in range(9)]) == "s0, s1, s2, s3, s4 and 4 more"


def test_verdicts_follow_the_interval_and_the_direction():
    assert verdict(Estimate(1.0, 0.5, 1.5)) == "better"
    assert verdict(Estimate(1.0, 0.5, 1.5), better=-1) == "worse"
    assert verdict(Estimate(1.0, -0.5, 1.5)) == "no difference to tell"


def test_findings_do_not_claim_what_the_interval_does_not_show(comparison):
    first, second = findings(comparison, "phase2_warehouse")
    assert first.startswith("more than the textbook (s, S) rule: +0.09")
    assert second.startswith("more than the tuned (s, S) rule: +0.0")
    row = comparison.results["normal"]["phase2_warehouse"]
    changed = replace(row["reward"], difference=Estimate(0.1, -0.1, 0.3, 40), against={"x": Estimate(-1, -2, -0.5)})
    results = {"normal": {**comparison.results["normal"], "phase2_warehouse": {**row, "reward": changed}}}
    unsure, worse = findings(replace(comparison, results=results), "phase2_warehouse")
    assert unsure.startswith("as much as the textbook (s, S) rule, as far as can be told from chance: +0.1")
    assert worse.startswith("less than x: −1.0")  # noqa: RUF001 (a true minus)


def test_rules_have_plain_names():
    assert plain("tuned_echelon_base_stock") == "the tuned echelon base-stock rule"
    assert plain("phase1_stores") == "phase1_stores"


def test_costs_are_less_or_more_in_per_cent_and_equal_rules_share_a_phrase(paid_by_cost):
    textbook, tuned = findings(paid_by_cost, "phase4_joint", "cost")
    assert textbook.startswith("less than the textbook base-stock rule: −")  # noqa: RUF001 (a true minus)
    assert "% (95" in textbook
    gap = 100 * paid_by_cost.result("phase4_joint", "cost").relative["tuned_s_S"].mean
    assert tuned.startswith(f"more than the tuned base-stock rule and the tuned (s, S) rule: +{gap:.1f}")


def test_lost_sales_gap_of_both_exact_costs(paid_by_cost):
    said = against_optimum(paid_by_cost, "phase4_joint", 4.39530, 4.63864)
    assert said.replace("\N{NO-BREAK SPACE}", " ") == (
        "In the long run no policy can cost less than 4.3953 a day (proven); "
        "the trained policy costs 4.6386, 5.54 % more."
    )
    assert "costs 4.3953, less than 0.01" in against_optimum(paid_by_cost, "phase4_joint", 4.39530, 4.39531)
    assert "less than 1,234.6 a day (proven); the trained policy costs 1,300.0, 5.30" in against_optimum(
        paid_by_cost, "phase4_joint", 1234.56, 1300.0
    )


def test_constant_demand_can_be_met_for_nothing_and_has_no_share(paid_by_cost):
    assert against_optimum(paid_by_cost, "phase4_joint", -1e-14, 0.25) == (
        "In the long run no policy can cost less than 0.0000 a day (proven); the trained policy costs 0.2500."
    )


def test_gap_is_the_simulated_one_where_the_exact_cost_is_not_known(paid_by_cost):
    gap = paid_by_cost.result("phase4_joint", "cost").relative["optimal"]
    said = against_optimum(paid_by_cost, "phase4_joint", 4.3953)
    assert f"costs more than the policy of lowest cost: +{100 * gap.mean:.1f}" in said
    assert f"interval +{100 * gap.low:.1f} to +{100 * gap.high:.1f})." in said
    elsewhere = replace(paid_by_cost, results={"disruption": paid_by_cost.results["normal"]})
    assert against_optimum(elsewhere, "phase4_joint", 4.3953) == (
        "Outside that scenario, in the long run no policy can cost less than 4.3953 a day (proven)."
    )
