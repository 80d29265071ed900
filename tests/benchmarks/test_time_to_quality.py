"""Every contender learns, is judged on the same paths, and the summary follows from the races."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import learners
from benchmarks import time_to_quality as benchmark
from benchmarks.rivals import CentralPlanner, central_orders, central_state
from hmarl.learning.settings import PPOSettings
from hmarl.policies import make_policy
from hmarl.roles import Chain

TINY = PPOSettings(replications=4, days=8, minibatch=32, epochs=2, hidden=(8,))
LEARNERS = {"hmarl": learners.Hmarl, "rllib": learners.RLlib, "sb3": learners.SB3}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "PATHS", 8)
    monkeypatch.setattr(benchmark, "DAYS", 60)
    monkeypatch.setattr(benchmark, "WARMUP", 20)


@pytest.mark.parametrize("name", LEARNERS)
def test_training_changes_the_orders(ray_session: None, name: str) -> None:
    """Of a policy that is judged, far into a chain's days: actors move, and the policy handed over is the new one."""
    place = benchmark.instance(0)
    learner = LEARNERS[name](place.network, 0, TINY.model_copy(update={"learning_rate": 0.05}))
    chain = Chain(place.network, 64, split="validation")
    base_stock = make_policy("base_stock", place.network)
    for _ in range(10):
        chain.step(base_stock.orders(chain))
    before = learner.policy().orders(chain)
    for _ in range(4):
        learner.iterate()
    assert learner.days == 4 * 4 * 8
    after = learner.policy().orders(chain)
    assert after.shape == (64, 3, 1)
    assert not np.array_equal(before, after)


def test_the_best_base_stock_policys_gap_is_that_of_the_reference() -> None:
    """The yardstick itself: the judge's interval covers a cost known by another way."""
    place = benchmark.instance(0)

    class BestBaseStock:
        name = "best"

        def orders(self, chain: Chain) -> np.ndarray:
            levels = np.array([[13.0], [5.0], [5.0]])
            position = chain.simulator.echelon_position()
            return np.maximum(levels - position, 0)

    gap, half_width = place.gap(BestBaseStock(), "validation")
    assert half_width < 0.005
    assert gap == pytest.approx(place.base_stock_cost / place.optimal_cost - 1, abs=2 * half_width)


def test_the_central_planner_sees_all_stock_and_orders_for_all_nodes() -> None:
    network = benchmark.instance(0).network
    planner = CentralPlanner(network, 3)
    planner.seed(1)
    observations = planner.reset()
    assert observations.shape == (3, 6)
    assert planner.action_space.nvec.tolist() == [7, 7, 13]
    chain = planner.chain.clone()
    actions = np.array([[1, 2, 3], [0, 6, 12], [4, 0, 0]])
    orders = central_orders(chain, actions)
    assert orders[:, :, 0].tolist() == [[3, 1, 2], [12, 0, 6], [0, 4, 0]]
    chain.step(orders)
    observations, rewards, _, _ = planner.step(actions)
    np.testing.assert_array_equal(observations, central_state(chain))
    np.testing.assert_allclose(rewards, chain.rewards("store")[:, 0], rtol=1e-6)


def test_the_central_planners_episodes_are_cut_short_after_the_networks_days() -> None:
    network = benchmark.instance(0).network
    planner = CentralPlanner(network, 4)
    planner.reset()
    ended = []
    for day in range(1, network.days + 1):
        _, _, dones, infos = planner.step(np.zeros((4, 3), np.int64))
        ended += [(day, int(slot)) for slot in np.flatnonzero(dones)]
        assert all(infos[slot]["TimeLimit.truncated"] for slot in np.flatnonzero(dones))
    assert ended == [(25, 3), (50, 2), (75, 1), (100, 0)]


class Scripted:
    """A contender whose policy is good after so many iterations; an iteration takes a second of a clock of its own."""

    def __init__(self, good_after: int, clock: list[float]) -> None:
        self.days, self.good_after, self.clock = 0, good_after, clock

    def iterate(self) -> None:
        self.days += 1
        self.clock[0] += 1

    def policy(self) -> Any:
        return self.days >= self.good_after


class Place:
    """Judges what a scripted contender hands over; the first good one is found to be lucky."""

    network: Any = None

    def __init__(self) -> None:
        self.tested = 0

    def gap(self, policy: Any, split: str) -> tuple[float, float]:
        self.tested += split == "test"
        lucky = split == "test" and self.tested == 1
        return (0.01 if policy and not lucky else 0.5), 0.001


def test_a_hit_counts_when_fresh_paths_confirm_it() -> None:
    clock = [0.0]
    makers: Any = {"early": lambda *_: Scripted(4, clock), "never": lambda *_: Scripted(10**9, clock)}
    place: Any = Place()
    early, never = benchmark.run_seed(place, makers, seed=0, cap=20, every=2, clock=lambda: clock[0])
    assert early.reached == 6
    assert early.curve == [(2, 0.5), (4, 0.01), (6, 0.01)]
    assert (never.reached, never.seconds) == (None, 20)


def test_the_summary_takes_medians_and_counts_who_is_not_there_as_late() -> None:
    def race(name: str, seconds: float | None) -> dict[str, Any]:
        return {"contender": name, "seconds_to_quality": seconds, "seconds": 100, "days": 500, "lowest_gap": 0.03}

    races = [race("hmarl", s) for s in (10, 30, 20)] + [race("sb3", s) for s in (None, 60, 50)]
    races += [race("rllib", None) for _ in range(3)]
    ours, sb3, rllib = benchmark.summary(races, cap=100)
    assert (ours["median_seconds"], ours["reached"], ours["times_hmarl"]) == (20, 3, 1)
    assert (sb3["median_seconds"], sb3["reached"], sb3["times_hmarl"]) == (60, 2, 3)
    assert (rllib["median_seconds"], rllib["reached"], rllib["times_hmarl"]) == (None, 0, 5)
    assert ours["days_a_second"] == 5


def test_the_last_line_is_json(
    ray_session: None, shorter: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("hmarl_settings", "rllib_settings", "sb3_settings"):
        monkeypatch.setattr(learners, name, lambda: TINY)
    benchmark.main(["--cap", "0.2", "--every", "0.1", "--seeds", "2", "--json"])
    *shown, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert [(race["contender"], race["seed"]) for race in result["results"]] == [
        (name, seed) for seed in (0, 1) for name in ("hmarl", "rllib", "sb3")
    ]
    assert [row["contender"] for row in result["summary"]] == ["hmarl", "rllib", "sb3"]
    assert any("over 0" in line for line in shown)
    assert 0.034 < result["base_stock_gap"] < 0.036
