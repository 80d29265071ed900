"""A comparison, a run and a course of days made by hand."""

from pathlib import Path

import numpy as np
import pytest

from hmarl.exact import optimal_cost
from hmarl.network import Network, load_network
from hmarl.policies import make_policy
from hmarl.report.comparison import Comparison, Result, compare
from hmarl.report.episode import Course
from hmarl.report.metrics import METRICS
from hmarl.report.run import Record
from hmarl.report.statistics import Estimate, estimate, paired_difference

PHASES = ("phase1_stores", "phase2_warehouse")
POLICIES = ("s_S", "tuned_s_S", *PHASES)


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    """Four policies, two scenarios; phase 1 better than s_S, phase 2 like phase 1."""
    rng = np.random.default_rng(0)
    results = {}
    for scenario in ("normal", "disruption"):
        noise = rng.normal(0, 0.05, 40)
        values = {
            policy: {name: 0.5 + noise + 0.1 * k + rng.normal(0, 0.01, 40) for name in METRICS}
            for k, policy in zip((0, 0.5, 1, 1), POLICIES, strict=True)
        }
        results[scenario] = {
            policy: {
                name: Result(
                    estimate(own[name]),
                    None if policy == "s_S" else paired_difference(own[name], values["s_S"][name]),
                    paired_difference(own[name], values[PHASES[0]][name]) if policy == PHASES[1] else None,
                    {}
                    if policy == "tuned_s_S"
                    else {"tuned_s_S": paired_difference(own[name], values["tuned_s_S"][name])},
                )
                for name in METRICS
            }
            for policy, own in values.items()
        }
    return Comparison(
        network="two_store",
        period="day",
        days=83,
        warmup=7,
        replications=40,
        seed=0,
        baseline="s_S",
        references=["tuned_s_S"],
        previous={PHASES[1]: PHASES[0]},
        results=results,
    )


@pytest.fixture(scope="session")
def lost_sales() -> Network:
    """One store paid minus its cost: Poisson, L = 2, p = 4 of tests/reference/lost_sales.json."""
    return load_network("lost_sales", lead_time=2, penalty=4)


@pytest.fixture(scope="session")
def paid_by_cost(lost_sales: Network) -> Comparison:
    """Base-stock levels, two rules alike, as phases a worse and a better one; the optimal policy."""
    levels = {"base_stock": 20, "tuned_base_stock": 16, "tuned_s_S": 16, "phase1_stores": 19, "phase4_joint": 18}
    policies = {name: make_policy("base_stock", lost_sales, level=level) for name, level in levels.items()}
    policies["optimal"] = optimal_cost(lost_sales).policy
    return compare(
        lost_sales,
        policies,
        baseline="base_stock",
        references=["tuned_base_stock", "tuned_s_S"],
        previous={"phase4_joint": "phase1_stores"},
        replications=30,
    )


@pytest.fixture(scope="session")
def rows() -> list[dict]:
    """Metrics of a phase; validation at each second step only."""
    validation = {"validation_reward": 2.0, "validation_reward_low": 1.5, "validation_reward_high": 2.5}
    return [
        {"steps": 1000 * k, "reward_mean": float(k), "entropy": None if k == 0 else 1.0}
        | (validation if k % 2 == 0 else {})
        for k in range(6)
    ]


@pytest.fixture
def record(rows: list[dict], tmp_path: Path) -> Record:
    """A run of two phases."""
    config = {"name": "first", "settings": {"seed": 0}, "versions": {"ray": "2.60.0"}}
    return Record(tmp_path, config, load_network("two_store"), dict.fromkeys(PHASES, rows))


@pytest.fixture(scope="session")
def course() -> Course:
    """Ten days of two_store; short on 4 of 500 days of store_1, all by upstream shortage but one."""
    shape = (10, 4, 1)
    stock = np.arange(40.0).reshape(shape)
    none = {"supplier_delay": 0, "upstream_shortage": 0, "demand_spike": 0}
    return Course(
        stock=stock,
        demand=np.ones(shape),
        short=(stock < 3).astype(float),
        reasons={name: dict(none) for name in ("supplier", "warehouse", "store_2")}
        | {"store_1": {**none, "upstream_shortage": 3, "demand_spike": 1}},
        place_days=500,
        first_day=7,
        replications=50,
    )


@pytest.fixture(scope="session")
def nothing() -> Estimate:
    """What cannot be said."""
    return estimate([float("nan")])
