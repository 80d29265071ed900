"""Philox and the quantiles, against published vectors and scipy."""

import numpy as np
import pytest
from scipy import stats

from hmarl.simulator import Split
from hmarl.simulator.rng import (
    SPLITS,
    make_key,
    normal_quantile,
    normal_quantiles,
    philox,
    poisson_mode,
    poisson_quantile,
    poisson_quantiles,
    uniform,
    uniforms,
)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # known-answer tests of Random123 (kat_vectors, philox4x32 10)
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    assert tuple(int(x) for x in philox(*counter, *key)) == expected


def test_uniform_is_uniform():
    draws = np.array(
        [uniform(*map(np.uint64, make_key(3, "test")), b, d, 0, 0) for b in range(100) for d in range(100)]
    )
    assert stats.kstest(draws, "uniform").pvalue > 1e-3
    assert 0 < draws.min() < draws.max() < 1


def test_normal_quantile_is_that_of_scipy():
    u = np.concatenate([np.logspace(-15, -1, 50), np.linspace(0.05, 0.95, 50), 1 - np.logspace(-12, -1, 50)])
    assert np.array([normal_quantile(x) for x in u]) == pytest.approx(stats.norm.ppf(u), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("mean", [0.1, 1.0, 5.0, 59.7, 400.0])
def test_poisson_quantile_is_that_of_scipy(mean):
    u = np.linspace(0.0005, 0.9995, 999)
    mode, pmf, cdf = poisson_mode(mean)
    assert [poisson_quantile(x, mean, mode, pmf, cdf) for x in u] == list(stats.poisson.ppf(u, mean))


@pytest.mark.parametrize("mean", [0.02, 0.9, 7.0, 59.7, 2000.0])
def test_a_row_of_poisson_quantiles_holds_the_same_as_one_by_one(mean):
    rare = 10.0 ** np.arange(-16, -2)
    u = np.concatenate([rare, np.random.default_rng(0).random(5000), 1 - rare, [0.5 / 2.0**53]])
    mode, pmf, cdf = poisson_mode(mean)
    row = u.copy()
    poisson_quantiles(row, mean, pmf, cdf, np.empty(1024), np.empty(256, np.int64))
    assert row.tolist() == [poisson_quantile(x, mean, mode, pmf, cdf) for x in u]


def test_rows_of_uniforms_and_normal_quantiles_hold_the_same_as_one_by_one():
    replications, days, row = np.arange(500), np.arange(500) % 7, np.empty(500)
    uniforms(*make_key(1, "train"), replications, days, 5, 2, row)
    assert row.tolist() == [uniform(*make_key(1, "train"), b, d, 5, 2) for b, d in zip(replications, days, strict=True)]
    u = row.copy()
    normal_quantiles(row, np.empty(500))
    assert row.tolist() == [normal_quantile(x) for x in u]


def test_keys_of_seeds_and_splits_differ():
    keys = {make_key(seed, split) for seed in range(50) for split in SPLITS}
    assert len(keys) == 150
    with pytest.raises(ValueError, match="train, validation, test"):
        make_key(0, "holdout")
    assert set(SPLITS) == set(Split.__args__)
