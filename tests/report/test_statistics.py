"""Intervals against values worked out by hand, and their coverage."""

import math

import numpy as np
import pytest

from hmarl.report.statistics import (
    Estimate,
    batch_correlation,
    batch_means,
    clustered,
    estimate,
    interquartile_mean,
    paired_difference,
    relative_difference,
)

T2, T1 = 4.302652729911275, 12.706204736432095  # tables: t(0.975) at 2 and 1 degrees of freedom


def test_mean_and_interval_by_hand():
    # 1, 2, 3: mean 2, s = 1, half width 4.3027 / sqrt(3) = 2.4841
    result = estimate([1, 2, 3])
    assert result == pytest.approx((2, 2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3), 3))
    # t(0.95) at 2 degrees of freedom is 2.919986
    assert estimate([1, 2, 3], level=0.9).high == pytest.approx(2 + 2.9199855803537251 / math.sqrt(3))


def test_one_value_has_no_interval_and_none_no_mean():
    one, none = estimate([5]), estimate([math.nan])
    assert one.mean == 5
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert none.n == 0
    assert math.isnan(none.mean)
    assert none.verdict == 0


def test_nan_is_left_out():
    assert estimate([1, math.nan, 2, 3]) == estimate([1, 2, 3])
    assert paired_difference([1, 5, 4], [0, math.nan, 1]).mean == pytest.approx(2)


def test_equal_values_have_an_interval_of_no_width():
    assert estimate([7, 7, 7]) == (7, 7, 7, 3)


def test_paired_difference_by_hand():
    # differences 1, 2, 3
    assert paired_difference([11, 22, 33], [10, 20, 30]) == pytest.approx(estimate([1, 2, 3]))


def test_pairing_tells_what_two_intervals_cannot():
    noise = np.random.default_rng(0).normal(0, 100, 50)
    difference = paired_difference(noise + 1 + 0.1 * np.sin(np.arange(50)), noise)
    assert difference.verdict == 1
    assert estimate(noise).high - estimate(noise).low > 40 > 0.1 > difference.high - difference.low


def test_relative_difference_by_hand():
    # 12 / 8 = 1.5; residuals 0.5, -0.5, 0 over the mean 8 / 3: s = 0.5, half width t(2) 0.5 / sqrt(3) * 3 / 8
    half = T2 * 0.5 / math.sqrt(3) * 3 / 8
    assert relative_difference([2, 4, 6], [1, 3, 4]) == pytest.approx((0.5, 0.5 - half, 0.5 + half, 3))
    assert relative_difference([2, 4, math.nan, 6], [1, 3, 4, 4]).n == 3
    assert relative_difference([3, 6], [1, 2]) == (2, 2, 2, 2)  # in proportion: nothing varies
    assert math.isnan(relative_difference([1, 2], [0, 0]).mean)


def test_half_widths():
    found = estimate([1, 2, 3])
    assert found.half == pytest.approx(T2 / math.sqrt(3))
    assert found.relative_half == pytest.approx(T2 / math.sqrt(3) / 2)
    assert estimate([-1, -2, -3]).relative_half == pytest.approx(found.relative_half)
    assert [estimate(x).relative_half for x in ([0, 0], [1], [-1, 1])] == [0, math.inf, math.inf]


def test_correlation_of_batch_means_by_hand():
    # mean 0: lag 1 is (-1 - 1 + 1 - 1 - 1 - 1) / 8
    found = batch_correlation([[1, -1, 1, -1], [-1, -1, 1, 1]])
    assert found.lag_1 == pytest.approx((-3 + 1) / 8)
    assert found.p_value > 0.5
    assert batch_correlation([[2, 2, 2]]) == (0, 1)
    assert batch_correlation([[2, math.nan, 3]]) == (0, 1)


def test_batches_that_remember_are_told_from_independent_ones():
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(1000, 4, 21))
    independent = [batch_correlation(x).p_value for x in steps[:, :, 1:]]
    dependent = [batch_correlation(x).p_value for x in steps[:, :, 1:] + 0.8 * steps[:, :, :-1]]
    assert np.mean(np.less(independent, 0.05)) <= 0.06
    assert np.mean(np.less(dependent, 0.05)) >= 0.95


def test_interquartile_mean_by_hand():
    # of 8 scores the two lowest and the two highest are left out
    assert interquartile_mean([9, 1, 2, 3, 4, 5, -50, 100]).mean == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert interquartile_mean([1, 2, 6]).mean == pytest.approx(3)
    one = interquartile_mean([4])
    assert one.mean == 4
    assert math.isnan(one.low)


def test_bootstrap_draws_runs_of_a_task_from_that_task():
    # tasks of equal scores: every draw of runs has the same scores
    assert interquartile_mean([[1, 5], [1, 5], [1, 5]]) == (3, 3, 3, 3)
    found = interquartile_mean(np.random.default_rng(0).normal(3, 2, 400))
    # the 25 % trimmed mean of normal values has 1.09 times the standard error of the mean, 2 / sqrt(400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 1.09 * 0.1, rel=0.1)
    assert found == interquartile_mean(np.random.default_rng(0).normal(3, 2, 400))


def test_clusters_count_once():
    # cluster means 2 (of 1, 2, 3) and 10: mean 6, s = sqrt(32), half width t(1) sqrt(32) / sqrt(2) = 4 t(1)
    result = clustered([1, 2, 10, 3], ["a", "a", "b", "a"])
    assert result == pytest.approx((6, 6 - 4 * T1, 6 + 4 * T1, 2))
    assert clustered([1, math.nan, 3], ["a", "b", "c"]).n == 2


def test_batch_means_by_hand():
    # 7 values, 2 batches of 3, the first value dropped: means 2 and 5
    result = batch_means([100, 1, 2, 3, 4, 5, 6], batches=2)
    assert result == pytest.approx((3.5, 3.5 - 1.5 * T1, 3.5 + 1.5 * T1, 2))


def test_intervals_cover_the_truth_95_times_in_100():
    rng = np.random.default_rng(1)
    covered = sum(e.low <= 3 <= e.high for e in (estimate(rng.normal(3, 2, 12)) for _ in range(200)))
    assert 181 <= covered <= 198  # 190 +- 3 standard deviations of a binomial (200, 0.95)


def test_batch_means_cover_where_the_naive_interval_does_not():
    rng = np.random.default_rng(2)
    naive = batched = 0
    for _ in range(200):
        x = np.zeros(4000)
        steps = rng.normal(size=4000)
        x[0] = steps[0] / math.sqrt(1 - 0.81)
        for t in range(1, len(x)):
            x[t] = 0.9 * x[t - 1] + steps[t]
        naive += estimate(x).low <= 0 <= estimate(x).high
        batched += batch_means(x).low <= 0 <= batch_means(x).high
    assert naive < 120
    assert batched >= 178


def test_verdict():
    assert [Estimate(m, m - 1, m + 1).verdict for m in (-2.0, -0.5, 0.5, 2.0)] == [-1, 0, 0, 1]


def test_json_knows_no_nan():
    assert Estimate(1.5, math.nan, math.nan, 1).to_json() == {"mean": 1.5, "low": None, "high": None, "n": 1}
    assert Estimate.from_json({"mean": 1.0, "low": 0.5, "high": 1.5, "n": 9}) == (1.0, 0.5, 1.5, 9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate([[1.0]]), "one axis"),
        (lambda: estimate([1.0], level=95), "between 0 and 1"),
        (lambda: paired_difference([1, 2], [1]), "pair by pair"),
        (lambda: clustered([1, 2], ["a"]), "one label a value"),
        (lambda: batch_means([1, 2], batches=3), "2 to 2"),
    ],
)
def test_wrong_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
