"""Sharing out, with small actors in the place of engines: what matters here is who answers and who does not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.exceptions import ActorUnavailableError

from llm.rollout.dispatch import Dispatch, cut
from llm.rollout.engine import EngineError
from llm.rollout.health import Member

PAIRS = [((number,), (number,)) for number in range(10)]
EXPECTED = [[2.0 * number] for number in range(10)]


def test_chunks() -> None:
    assert cut(10, 3, 10) == [range(4), range(4, 8), range(8, 10)]
    assert cut(96, 2, 1536) == [range(24), range(24, 48), range(48, 72), range(72, 96)]
    assert cut(1, 2, 1) == [range(1)]
    assert cut(0, 2, 0) == []


@pytest.fixture(scope="module")
def started(ray_session: None) -> Iterator[dict[str, Any]]:
    class Doubler:
        def score(self, prompts: Any, completions: Any, seconds: float) -> list[list[float]]:
            time.sleep(seconds)
            return [[prompt[0] + completion[0] + 0.0] for prompt, completion in zip(prompts, completions, strict=True)]

        def pulse(self) -> int:
            return os.getpid()

    actor = ray.remote(num_cpus=0, max_restarts=-1, concurrency_groups={"control": 1})(Doubler)
    actors = {name: actor.remote() for name in ("first", "second")}
    yield actors
    for each in actors.values():
        ray.kill(each)


@pytest.fixture
def engines(started: dict[str, Any]) -> dict[str, Any]:
    """Both answer, whatever the test before did to them."""
    for engine in started.values():
        while True:
            try:
                ray.get(engine.pulse.remote())
                break
            except ActorUnavailableError:
                time.sleep(0.1)
    return started


def dispatch(engines: dict[str, Any], **options: float) -> Dispatch:
    return Dispatch(engines, {name: Member(name) for name in engines}, **({"patience": 20.0} | options))


def test_answers_are_in_order(engines: dict[str, Any]) -> None:
    assert dispatch(engines).run("score", PAIRS, (0.0,)) == EXPECTED
    assert dispatch(engines).run("score", [], (0.0,)) == []


def test_the_requests_of_the_dead_go_to_the_living(engines: dict[str, Any]) -> None:
    work = dispatch(engines)
    pid = ray.get(engines["first"].pulse.remote())
    os.kill(pid, signal.SIGKILL)
    assert work.run("score", PAIRS, (0.2,)) == EXPECTED
    assert work.resent == 5
    assert work.members["first"].state != "healthy"


def test_a_single_engine_is_waited_for_until_it_is_back(engines: dict[str, Any]) -> None:
    alone = {"first": engines["first"]}
    work = dispatch(alone)
    os.kill(ray.get(alone["first"].pulse.remote()), signal.SIGKILL)
    assert work.run("score", PAIRS, (0.0,)) == EXPECTED
    assert work.members["first"].state == "healthy"


def test_the_requests_of_the_silent_go_to_others(engines: dict[str, Any]) -> None:
    pid = ray.get(engines["first"].pulse.remote())
    work = dispatch(engines, silence=1.0)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert work.run("score", PAIRS, (0.0,)) == EXPECTED
        assert work.members["first"].state == "suspect"
    finally:
        os.kill(pid, signal.SIGCONT)


def test_patience_ends(engines: dict[str, Any]) -> None:
    alone = {"first": engines["first"]}
    work = dispatch(alone, silence=0.5, patience=2.0)
    pid = ray.get(alone["first"].pulse.remote())
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EngineError, match=r"no engine has answered for 2 s: first suspect: no sign of life"):
            work.run("score", PAIRS, (0.0,))
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_error_of_an_engine_is_passed_on(engines: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        dispatch(engines).run("score", [(("text",), (1,))], (0.0,))


def test_without_engines_it_fails_with_the_cause(engines: dict[str, Any]) -> None:
    """The last: it ends them."""
    work = dispatch(engines)
    for engine in engines.values():
        ray.kill(engine)
    with pytest.raises(EngineError, match=r"no engine is left: first dead: .*; second dead: "):
        work.run("score", PAIRS, (0.0,))
