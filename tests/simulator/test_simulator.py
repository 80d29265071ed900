"""What must hold on any network: conservation, draws that depend on nothing else, clones, rows of a batch."""

import copy
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmarl.network import Network
from hmarl.simulator import Simulator
from tests.simulator.networks import random_networks

DAYS = 12
ROOT = Path(__file__).resolve().parents[2]


def random_orders(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 15, shape).astype(float)


@settings(max_examples=120, deadline=None)
@given(network=random_networks(), seed=st.integers(0, 10_000))
def test_units_are_conserved(network, seed):
    simulator = Simulator(network, 3, seed)
    roots = simulator.params.parent < 0
    opening = simulator.state.on_hand.sum((1, 2))
    produced, sold, overflow, lost = (np.zeros(3) for _ in range(4))
    for day in range(DAYS):
        outcome = simulator.step(random_orders(seed + day, simulator.shape))
        produced += outcome.filled[:, roots].sum((1, 2))
        sold += outcome.sold.sum((1, 2))
        overflow += outcome.overflow.sum((1, 2))
        lost += outcome.lost.sum((1, 2))
        state = simulator.state
        assert state.on_hand.min() >= -1e-9
        assert state.owed.min() >= -1e-9
        held = state.on_hand.sum((1, 2)) + state.in_transit.sum((1, 2, 3)) + state.overflow.sum((1, 2))
        np.testing.assert_allclose(opening + produced, sold + held + overflow + lost, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(network=random_networks(), seed=st.integers(0, 10_000))
def test_draws_depend_on_neither_orders_nor_batch(network, seed):
    alone, batch = Simulator(network, 1, seed, ids=np.array([2])), Simulator(network, 4, seed)
    for day in range(DAYS):
        batch_demand = batch.step(random_orders(day, batch.shape)).demand[2].copy()
        alone_demand = alone.step(random_orders(seed - day + 99, alone.shape)).demand[0]
        np.testing.assert_array_equal(alone_demand, batch_demand)


@settings(max_examples=60, deadline=None)
@given(network=random_networks(), seed=st.integers(0, 10_000))
def test_one_replication_equals_its_row_of_a_batch(network, seed):
    alone, batch = Simulator(network, 1, seed, ids=np.array([3])), Simulator(network, 5, seed)
    for day in range(DAYS):
        orders = random_orders(day, batch.shape)
        batch.step(orders)
        alone.step(orders[3:4])
        for name, one, many in zip(alone.outcome._fields, alone.outcome, batch.outcome, strict=True):
            np.testing.assert_array_equal(one[0], many[3], err_msg=name)
        np.testing.assert_array_equal(alone.state.in_transit[0], batch.state.in_transit[3])


@settings(max_examples=60, deadline=None)
@given(network=random_networks(), seed=st.integers(0, 10_000))
def test_a_clone_meets_the_same_future(network, seed):
    simulator = Simulator(network, 2, seed)
    for day in range(5):
        simulator.step(random_orders(day, simulator.shape))
    clone = simulator.clone()
    for day in range(DAYS):
        orders = random_orders(day, simulator.shape)
        ours = [array.copy() for array in simulator.step(orders)]
        for one, other in zip(ours, clone.step(orders), strict=True):
            np.testing.assert_array_equal(one, other)
    apart = simulator.clone()
    before = simulator.state.on_hand.copy()
    apart.step(random_orders(1, simulator.shape) + 5)
    np.testing.assert_array_equal(simulator.state.on_hand, before)


@settings(max_examples=30, deadline=None)
@given(network=random_networks(), seed=st.integers(0, 10_000))
def test_rows_taken_go_on_as_before_or_into_other_futures(network, seed):
    simulator = Simulator(network, 4, seed)
    for day in range(5):
        simulator.step(random_orders(day, simulator.shape))
    rows = np.array([3, 0, 3, 3, 1])
    same, others = simulator.take(rows), simulator.take(rows, np.array([7, 7, 3, 7, 7]))
    for day in range(DAYS):
        orders = random_orders(day, simulator.shape)
        simulator.step(orders)
        others.step(orders[rows])
        for one, many in zip(same.step(orders[rows]), simulator.outcome, strict=True):
            np.testing.assert_array_equal(one, many[rows])
        for outcome in others.outcome:
            np.testing.assert_array_equal(outcome[0], outcome[3])


def test_rows_of_one_number_meet_the_same_future_whatever_they_met_before(two_store):
    simulator = Simulator(two_store, 3)
    for _ in range(5):
        simulator.step(np.full(simulator.shape, 40.0))
    others = simulator.take(np.array([0, 1, 2]), np.array([9, 9, 2]))
    expected = Simulator(two_store, 1, ids=np.array([9]))
    expected.reset(first_day=5)
    for _ in range(DAYS):
        orders = np.full(simulator.shape, 40.0)
        demand = others.step(orders).demand
        np.testing.assert_array_equal(demand[0], demand[1])
        np.testing.assert_array_equal(demand[2], simulator.step(orders).demand[2])
        np.testing.assert_array_equal(demand[:1], expected.step(orders[:1]).demand)


@pytest.mark.parametrize("day", [1, 7, 16, 20])
def test_other_futures_of_autocorrelated_demand_follow_on_yesterdays(day):
    demand = {"distribution": "normal", "mean": 100, "std": 10, "autocorrelation": 0.9}
    network = Network.model_validate({"quantities": "real", "nodes": {"shop": {"demand": demand}}})
    simulator = Simulator(network, 200)
    nothing = np.zeros(simulator.shape)
    for _ in range(day):
        yesterday = simulator.step(nothing).demand.ravel().copy()
    same = simulator.take(np.arange(200), np.arange(200)).step(nothing).demand.ravel()
    other = simulator.take(np.arange(200), np.arange(200) + 1000).step(nothing).demand.ravel()
    np.testing.assert_allclose(same, simulator.step(nothing).demand.ravel(), rtol=1e-9)
    left = other - 100 - 0.9 * (yesterday - 100)  # of variance (1 - 0.81) 10^2
    assert abs(left.mean()) < 4 * 4.36 / 200**0.5
    assert 3.5 < left.std() < 5.3


@settings(max_examples=30, deadline=None)
@given(network=random_networks(), seed=st.integers(0, 10_000))
def test_rows_that_begin_on_other_days_meet_what_they_meet_alone(network, seed):
    first_day = np.arange(60) % 4 * 5
    batch = Simulator(network, 60, seed)
    batch.reset(first_day=first_day)
    alone = Simulator(network, 1, seed, ids=np.array([42]))
    alone.reset(first_day=first_day[42])
    for day in range(2 * DAYS):
        if day in (6, 11):
            chosen = np.arange(60) % (day - 4) == 0
            batch.reset(chosen, first_day)
            alone.reset(chosen[42:43], first_day[42])
            alone.state.replication[:] = batch.state.replication[42]
        orders = random_orders(day, batch.shape)
        batch.step(orders)
        alone.step(orders[42:43])
        for name, one, many in zip(alone.outcome._fields, alone.outcome, batch.outcome, strict=True):
            np.testing.assert_array_equal(one[0], many[42], err_msg=name)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda simulator: pickle.loads(pickle.dumps(simulator))])
def test_a_copy_goes_on_alone(two_store, again):
    simulator = Simulator(two_store, 2)
    orders = np.full(simulator.shape, 40.0)
    simulator.step(orders)
    other = again(simulator)
    kept = simulator.state.on_hand.copy()
    theirs = other.step(orders).left.copy()
    np.testing.assert_array_equal(simulator.state.on_hand, kept)
    np.testing.assert_array_equal(simulator.step(orders).left, theirs)
    np.testing.assert_array_equal(simulator.state.on_hand, other.state.on_hand)


def test_what_python_writes_into_the_state_the_next_day_knows(two_store):
    simulator = Simulator(two_store, 2)
    simulator.state.on_hand[:] = 7.0
    simulator.state.in_transit[0, 1, 0, 0] = 5.0
    simulator.step(np.zeros(simulator.shape))
    assert simulator.state.received[:, 1, 0].tolist() == [5.0, 0.0]
    assert simulator.state.on_hand[:, 1, 0].tolist() == [12.0, 7.0]


@pytest.mark.parametrize("first", ["hmarl.roles", "hmarl.simulator", "numba", "hmarl.policies"])
def test_compiled_code_is_kept_by_the_state_of_the_sources(first, tmp_path):
    show = f"import {first}, hmarl.roles\nfrom numba.core import config\nprint(config.CACHE_DIR)"
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    told = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, env=environment, check=True)
    folder = told.stdout.strip()
    assert folder.startswith(f"{tmp_path}/")
    assert len(folder) == len(str(tmp_path)) + 17  # / and the digest


def test_the_same_sources_elsewhere_are_not_compiled_again(two_store, tmp_path):
    """As a job's, which a cluster unpacks into another folder each time."""
    step = "import numpy as np, hmarl.simulator as s, hmarl.network as n\nprint(s.__file__)\n"
    step += "simulator = s.Simulator(n.load_network('two_store'))\nsimulator.step(np.zeros(simulator.shape))\n"
    show = step + "from numba.core import config\nprint(config.CACHE_DIR)"
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(ROOT / "hmarl", elsewhere / "hmarl", ignore=shutil.ignore_patterns("__pycache__"))
    written = []
    for folder in (ROOT, elsewhere):
        told = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, cwd=folder, check=True)
        file, cache = told.stdout.split()
        assert Path(file).is_relative_to(folder)
        written.append({path: path.stat().st_mtime_ns for path in Path(cache).rglob("*.nb?")})
    assert written[0]
    assert written[1] == written[0]


def test_splits_seeds_and_replications_differ(two_store):
    def demand(seed: int, split: str) -> np.ndarray:
        simulator = Simulator(two_store, 2, seed, split=split)
        return np.stack([simulator.step(np.zeros(simulator.shape)).demand.copy() for _ in range(10)])

    base = demand(0, "test")
    np.testing.assert_array_equal(base, demand(0, "test"))
    for other in (demand(1, "test"), demand(0, "train"), demand(0, "validation")):
        assert (other != base).mean() > 0.4
    assert (base[:, 0] != base[:, 1]).mean() > 0.4


def test_reset_repeats_and_reset_of_rows_draws_anew(two_store):
    simulator = Simulator(two_store, 2)
    orders = np.zeros(simulator.shape)
    first = simulator.step(orders).demand.copy()
    simulator.reset(np.array([True, False]))
    assert list(simulator.state.day) == [0, 1]
    again = simulator.step(orders).demand
    assert (again[0] != first[0]).any()
    simulator.reset()
    np.testing.assert_array_equal(simulator.step(orders).demand, first)


def test_a_first_day_begins_in_the_calendar(two_store):
    later = Simulator(two_store, 2000)
    later.reset(first_day=7)  # the season's peak: 1 + 0.3 sin(2 pi 7 / 30) = 1.298
    demand = later.step(np.zeros(later.shape)).demand
    store = two_store.node_names.index("store_1")
    assert demand[:, store].mean() == pytest.approx(60 * 1.298, abs=1.5)


def test_equal_ids_meet_equal_demand(two_store):
    simulator = Simulator(two_store, 4, ids=np.array([0, 1, 0, 1]))
    demand = simulator.step(np.zeros(simulator.shape)).demand
    np.testing.assert_array_equal(demand[:2], demand[2:])


@pytest.mark.parametrize(
    ("orders", "message"), [(np.zeros((1, 3, 1)), "shape"), (np.full((1, 4, 1), np.nan), "not finite")]
)
def test_bad_orders_are_refused(two_store, orders, message):
    with pytest.raises(ValueError, match=message):
        Simulator(two_store).step(orders)
