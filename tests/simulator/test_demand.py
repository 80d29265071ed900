"""Every kind of demand, by its moments and by hand."""

import numpy as np
import pytest
from scipy import stats

from hmarl.simulator import Simulator
from tests.simulator.networks import path, shop


def draws(demand: dict, days: int = 40, replications: int = 4000, **network) -> np.ndarray:
    """``(days, replications)``."""
    simulator = Simulator(shop(demand=demand, **network), replications)
    none = np.zeros(simulator.shape)
    return np.stack([simulator.step(none).demand[:, 0, 0].copy() for _ in range(days)])


@pytest.mark.parametrize(
    ("demand", "distribution"),
    [
        ({"distribution": "poisson", "mean": 5}, stats.poisson(5)),
        ({"distribution": "poisson", "mean": 0.4}, stats.poisson(0.4)),
        ({"distribution": "geometric", "mean": 5}, stats.geom(1 / 6, loc=-1)),
        ({"distribution": "uniform", "low": 3, "high": 9}, stats.randint(3, 10)),
        (
            {"distribution": "discrete", "values": [1, 4, 6], "probabilities": [0.2, 0.5, 0.3]},
            stats.rv_discrete(values=([1, 4, 6], [0.2, 0.5, 0.3])),
        ),
    ],
)
def test_whole_numbers_come_as_often_as_they_should(demand, distribution):
    values, counts = np.unique(draws(demand), return_counts=True)
    likely = distribution.pmf(values) * counts.sum() > 10
    expected = distribution.pmf(values[likely]) * counts.sum()
    statistic = ((counts[likely] - expected) ** 2 / expected).sum()
    assert statistic < stats.chi2.ppf(0.9999, likely.sum())


def test_demand_that_is_set_is_todays_alone():
    set_once, free = (Simulator(shop(demand={"distribution": "poisson", "mean": 5}), 3) for _ in range(2))
    none = np.zeros(free.shape)
    for day in range(40):
        wanted = np.array([0.0, 7.0, 20.0]).reshape(free.shape)
        if day == 5:
            set_once.set_demand(wanted)
        expected = free.step(none).demand
        assert np.array_equal(set_once.step(none).demand, wanted if day == 5 else expected)


def test_normal_demand():
    sample = draws({"distribution": "normal", "mean": 60, "std": 15}, quantities="real")
    assert stats.kstest(sample.ravel(), stats.norm(60, 15).cdf).pvalue > 1e-4


def test_real_uniform_demand():
    sample = draws({"distribution": "uniform", "low": 3, "high": 9}, quantities="real")
    assert stats.kstest(sample.ravel(), stats.uniform(3, 6).cdf).pvalue > 1e-4


def test_demand_never_falls_below_0_and_is_rounded():
    sample = draws({"distribution": "normal", "mean": 5, "std": 15})
    assert sample.min() == 0
    np.testing.assert_array_equal(sample, np.rint(sample))


def test_autocorrelation_keeps_the_distribution_of_a_day():
    sample = draws({"distribution": "poisson", "mean": 20, "autocorrelation": 0.8})
    assert sample.mean(1) == pytest.approx(np.full(40, 20.0), abs=0.4)
    assert sample.var() == pytest.approx(20, rel=0.05)
    assert np.corrcoef(sample[:-1].ravel(), sample[1:].ravel())[0, 1] == pytest.approx(0.8, abs=0.02)


def test_season_weekday_trend_and_events_change_the_mean():
    demand = {
        "distribution": "constant",
        "mean": 100,
        "season": {"amplitude": 0.5, "period": 4},
        "weekday": [1, 2, 1, 1, 1, 1, 0],
        "weekday_add": [0, 0, 7, 0, 0, 0, 0],
        "events": [{"first": 7, "last": 7, "multiplier": 3}],
    }
    sample = draws(demand, 8, 1)[:, 0]
    # 1 + 0.5 sin(pi t / 2) is 1, 1.5, 1, 0.5 and again
    assert sample.tolist() == [100, 300, 107, 50, 100, 150, 0, 150]
    shifted = draws(demand, 3, 1, first_weekday="tuesday")[:, 0]
    assert shifted.tolist() == [200, 157, 100]
    trend = draws({"distribution": "constant", "mean": 100, "trend": 0.1, "trend_days": 2}, 4, 1)[:, 0]
    assert trend.tolist() == [100, 110, 121, 121]


@pytest.mark.parametrize("duration", [1, 3])
def test_random_spikes(duration):
    spikes = {"probability": 0.1, "multiplier": 5, "duration": duration}
    sample = draws({"distribution": "constant", "mean": 10, "spikes": spikes})[duration:]
    assert set(np.unique(sample)) == {10, 50}
    assert (sample == 50).mean() == pytest.approx(1 - 0.9**duration, abs=0.01)


def test_a_path_is_played_once_and_its_last_value_kept():
    assert draws(path(4, 4, 8), 5, 2)[:, 1].tolist() == [4, 4, 8, 8, 8]


def test_a_history_is_replayed_in_blocks_that_keep_weekdays_and_stores_together():
    week = np.arange(1, 8)
    values = [float(v) for k in range(6) for v in week + 10 * k]
    simulator = Simulator(shop(skus=["a", "b"], demand={"distribution": "history", "values": values, "block": 14}), 200)
    none = np.zeros(simulator.shape)
    sample = np.stack([simulator.step(none).demand[:, 0].copy() for _ in range(28)])
    np.testing.assert_array_equal(sample[..., 0], sample[..., 1])
    np.testing.assert_array_equal(sample[..., 0] % 10, np.broadcast_to((week % 10)[np.arange(28) % 7, None], (28, 200)))
    steps = np.diff(sample[:14, :, 0], axis=0)
    assert set(np.unique(steps)) <= {1, 4, -56 - 0.0, 4 - 60}
    assert len({tuple(row) for row in sample[:14, :, 0].T}) > 3


def test_draws_go_on_beyond_the_calendar_and_the_block():
    sample = draws({"distribution": "normal", "mean": 60, "std": 0, "season": {"amplitude": 0.3, "period": 30}}, 95, 1)
    np.testing.assert_array_equal(sample[:35], sample[60:95])


@pytest.mark.parametrize("mean", [0.3, 8.0, 90.0, 5000.0])
def test_poisson_demand_of_a_batch_is_that_of_each_replication_alone(mean):
    weekday = [1, 1, 0.5, 1, 2, 0, 1]
    network = shop(demand={"distribution": "poisson", "mean": mean, "weekday": weekday})
    batch = Simulator(network, 64)
    alone = [Simulator(network, ids=np.array([b])) for b in (0, 33)]
    for _ in range(20):
        together = batch.step(np.zeros(batch.shape)).demand
        for one in alone:
            b = int(one.state.replication[0])
            np.testing.assert_array_equal(one.step(np.zeros(one.shape)).demand[0], together[b])
