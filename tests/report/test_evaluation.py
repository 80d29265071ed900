"""evaluate: figures that can be worked out by hand, and a name that is a policy."""

import json

import pytest

from hmarl.errors import InputError
from hmarl.network import load_network
from hmarl.report import evaluate
from hmarl.report.metrics import ALL_METRICS, decimals, number
from hmarl.report.statistics import Estimate


@pytest.fixture(scope="module")
def shop():
    """One store: demand 4 every day, 100 units on the first morning, nothing in transit, lead time 2."""
    network = load_network("lost_sales", demand="constant", mean=4, lead_time=2, penalty=10)
    name = network.node_names[0]
    node = network.nodes[name].model_copy(update={"opening_stock": 20.0, "holding_cost": 1.0, "order_cost": 0.0})
    return network.model_copy(update={"nodes": {name: node}, "days": 10, "warmup": 0})


def test_no_orders_by_hand(shop):
    # 20 units last 5 days: left 16, 12, 8, 4, 0 and then nothing; 5 of 10 days without any demand met
    found = evaluate(shop, "no_order", replications=3)
    assert found.policy == "no_order"
    assert found.holding_cost == (4, 4, 4, 3)  # 40 units and days in 10 days at 1
    assert found.service_level.mean == 0.5
    assert found.fill_rate.mean == 0.5
    assert found.stockout_days.mean == 0.5
    assert found.cost.mean == 4 + 20 * 10 / 10  # 20 units short at 10
    assert found.ordered.mean == 0
    assert found.bullwhip.n == 0  # demand does not vary


def test_warmup_and_days_are_left_out(shop):
    found = evaluate(shop, "no_order", days=6, warmup=4, replications=2)
    assert found.days == 2
    assert found.service_level.mean == 0.5  # day 5 met, day 6 not
    assert found.holding_cost.mean == 0


def test_plain_and_printable(shop):
    found = evaluate(shop, "no_order", replications=3)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["service_level"] == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 3}
    assert data["bullwhip"]["mean"] is None
    assert found.table().row_count == 10


def test_same_seed_same_figures():
    network = load_network("two_store")
    first, again, other = (evaluate(network, "s_S", replications=4, seed=seed) for seed in (1, 1, 2))
    assert first.reward == again.reward != other.reward


def test_wrong_requests_are_refused(shop):
    with pytest.raises(InputError, match="policy: 'sS': unknown"):
        evaluate(shop, "sS")
    with pytest.raises(InputError, match="episodes: 1"):
        evaluate(shop, "no_order", replications=1)


def test_numbers_show_two_digits_of_their_interval():
    money, share = ALL_METRICS["profit"], ALL_METRICS["service_level"]
    assert decimals(money, [Estimate(1234.567, 1200.0, 1269.1)]) == 0
    assert decimals(money, [Estimate(1.0, 0.95, 1.05)]) == 3
    assert decimals(share, [Estimate(0.95, 0.94, 0.96)]) == 1
    assert number(share, 0.95234, 1) == "95.2"
    assert number(money, -1234.5, 1) == "−1,234.5"  # noqa: RUF001 (a true minus)
    assert number(money, 0.04, 1, signed=True) == "0.0"
    assert number(money, 2, 1, signed=True) == "+2.0"
