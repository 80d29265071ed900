"""Answers: the share of a worker, seeds, another order."""

from __future__ import annotations

import pytest

from llm.trainers.rollouts import Answers, request_seed, with_other_number


def test_workers_share_the_rows_in_their_order() -> None:
    ids = [(number,) for number in range(6)]
    answers = Answers(ids, ids, [(0.0,)] * 6, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [(0, 0), (0, 1)])
    assert answers.part(1, 3).rewards == [2.0, 3.0]
    assert answers.part(1, 3).completion_ids == [(2,), (3,)]
    assert answers.part(1, 3).places == [(0, 0), (0, 1)]


def test_every_prompt_of_every_epoch_has_a_seed_of_its_own() -> None:
    seeds = {request_seed(seed, (epoch, number)) for seed in (0, 1) for epoch in (0, 1) for number in range(100)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Decision: Order 25 units", "Decision: Order 7 units"),
        ("30 left of 60.\nDecision: Order 125 units", "30 left of 60.\nDecision: Order 7 units"),
        ("no idea", "no idea"),
    ],
)
def test_another_order_replaces_the_last_number(text: str, other: str) -> None:
    assert with_other_number(text, 7) == other
