"""How many training workers run where some of the room is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hmarl.errors import Failed, InputError
from hmarl.nodes import Standing
from llm.settings import GRPOSettings
from llm.trainers import placing
from llm.trainers.placing import Growing, Placement, settled

FOUR = Placement((1, 2, 4), "nowhere", gpu=False, wait=30.0)


class Clock:
    """Time passes by sleeping alone; the nodes stand as they are told to at each second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *stands: tuple[float, Standing]) -> None:
        self.now, self.stands = 0.0, stands
        monkeypatch.setattr(placing.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(placing.time, "sleep", self.sleep)
        monkeypatch.setattr(placing, "standing", self.standing)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def standing(self) -> Standing:
        self.now += 0.001
        return [stand for since, stand in self.stands if since <= self.now][-1]


def free(*cpus: float, silent: int = 0) -> Standing:
    return Standing([{"CPU": number} for number in cpus], silent)


def never() -> bool:
    return False


def test_room() -> None:
    stand = Standing([{"CPU": 3.5, "GPU": 1.0}, {"CPU": 8.0}, {"CPU": 0.9999999}], 0)
    assert stand.room_for({"CPU": 1}) == 3 + 8 + 1
    assert stand.room_for({"CPU": 1, "GPU": 1}) == 1
    assert stand.room_for({"CPU": 4}) == 2


def test_steps_are_shared_out_equally_or_not_at_all() -> None:
    settings = GRPOSettings(workers=4, batch_size=2, gradient_accumulation_steps=3, num_generations=8, min_workers=2)
    assert settings.worker_counts == (2, 3, 4)
    assert [FOUR.size(room) for room in range(6)] == [0, 1, 2, 2, 4, 4]
    for workers in settings.worker_counts:
        shared = settings.shared_by(workers)
        assert (shared.workers, shared.rows_a_step, shared.batch_size) == (workers, settings.rows_a_step, 2)
    with pytest.raises(InputError, match="min_workers: 5: at most workers, 4"):
        GRPOSettings(workers=4, min_workers=5).validate()


def test_all_are_started_again_as_soon_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, (0, free(2)), (3, free(2, 2)))
    assert settled(FOUR, never) == 4
    assert clock.now == pytest.approx(3, abs=1)


def test_fewer_where_no_more_room_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, (0, free(3)))
    assert settled(FOUR, never) == 2
    assert clock.now == pytest.approx(10, abs=1)


def test_a_node_that_does_not_answer_is_waited_for_until_ray_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, (0, free(2, 2, silent=1)), (15, free(2)))
    assert settled(FOUR, never) == 2
    assert clock.now == pytest.approx(25, abs=1)


def test_an_engine_makes_room_for_the_first_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def give_up() -> bool:
        given.append(clock.now)
        clock.stands = ((0, free(1)),)
        return True

    clock = Clock(monkeypatch, (0, free(0)))
    assert settled(FOUR, give_up) == 1
    assert given == [pytest.approx(10, abs=1)]


def test_without_room_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, (0, free(0)))
    with pytest.raises(Failed, match="no node has had room for a training worker of 1 CPU for 4"):
        settled(FOUR, never)
    assert clock.now == pytest.approx(40, abs=1)


@pytest.mark.parametrize(
    ("size", "room", "then"), [(1, [1, 0], 2), (2, [1], None), (2, [3], 4), (4, [9], None), (1, [0], None)]
)
def test_workers_grow_where_there_is_room(
    size: int, room: Sequence[float], then: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.train import ScalingConfig

    clock = Clock(monkeypatch, (0, free(*room)))
    policy: Any = Growing(ScalingConfig(num_workers=4), FOUR, size)
    monkeypatch.setattr(policy, "_maybe_send_resource_request", lambda: None)
    assert policy.make_decision_for_non_running_worker_group().num_workers == size
    assert getattr(policy.make_decision_for_running_worker_group(), "num_workers", None) is None
    clock.now += 11
    assert getattr(policy.make_decision_for_running_worker_group(), "num_workers", None) == then
