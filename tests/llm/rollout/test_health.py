from __future__ import annotations

import pytest

from llm.rollout.health import WORKS, Event, Member, State, after


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [
        ("healthy", "answered", "healthy"),
        ("healthy", "published", "stale"),
        ("stale", "answered", "stale"),
        ("stale", "loaded", "healthy"),
        ("healthy", "silent", "suspect"),
        ("stale", "silent", "suspect"),
        ("suspect", "published", "suspect"),
        ("suspect", "answered", "stale"),
        ("suspect", "lost", "restarting"),
        ("healthy", "lost", "restarting"),
        ("restarting", "silent", "restarting"),
        ("restarting", "answered", "stale"),
        ("restarting", "ended", "dead"),
        ("dead", "answered", "dead"),
        ("dead", "loaded", "dead"),
    ],
)
def test_what_leads_where(state: State, event: Event, expected: State) -> None:
    assert after(state, event) == expected


def test_only_who_answers_is_given_work() -> None:
    assert {"healthy", "stale"} == WORKS


def test_the_last_error_is_remembered() -> None:
    member = Member("engine-0")
    member.tell("lost", "killed")
    member.tell("answered")
    assert (member.state, member.error, member.works) == ("stale", "killed", True)
