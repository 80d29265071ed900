"""That training comes near to a proven optimum."""

from __future__ import annotations

from pathlib import Path

import pytest

import hmarl
from hmarl.exact.gap import gap


@pytest.mark.slow
def test_half_a_million_days_come_within_two_per_cent_of_the_optimum_of_poisson_l1_p4(tmp_path: Path) -> None:
    network = hmarl.load_network("lost_sales", lead_time=1, penalty=4)
    run = hmarl.train(
        network,
        name="near",
        runs=tmp_path,
        quiet=True,
        steps=500_000,
        evaluate_every=100_000,
        rules=["base_stock"],
        acting_rule="base_stock",
        compare_episodes=10,
    )
    found = gap(network, run.policy)
    assert found is not None
    assert 0 <= found.share < 0.02  # the best base-stock policy is 3.0 % above
