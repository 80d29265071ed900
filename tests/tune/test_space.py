"""Ranges, against values worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from hmarl.errors import InputError
from tune.space import Choice, Integer, Log, Space, Uniform, read_space


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (Uniform(uniform=(1, 3)), [1.0, 1.5, 3.0]),
        (Log(log=(1e-4, 1e-2)), [1e-4, 10**-3.5, 1e-2]),
        (Integer(integer=(2, 5)), [2, 3, 5]),
        (Choice(choice=["a", "b", "c", "d"]), ["a", "b", "d"]),
    ],
)
def test_at(parameter: Any, expected: list[Any]) -> None:
    found = [parameter.at(share) for share in (0, 0.25, 0.999999999999)]
    assert found == pytest.approx(expected) if not isinstance(expected[0], str) else found == expected


def test_whole_numbers_are_equally_likely() -> None:
    drawn = [Integer(integer=(1, 4)).at(share) for share in (np.arange(400) + 0.5) / 400]
    assert np.bincount(drawn).tolist() == [0, 100, 100, 100, 100]


def test_a_grid_has_each_with_each() -> None:
    space = Space({"a": Choice(choice=[1, 2]), "b": Log(log=(1, 100))})
    found = [(point["a"], round(point["b"], 9)) for point in space.grid()]
    assert found == [(1, 1), (1, 10), (1, 100), (2, 1), (2, 10), (2, 100)]
    assert space.grid_size() == 6


def test_near_stays_inside() -> None:
    assert Log(log=(1e-3, 1e-2)).near(4e-3, True) == pytest.approx(5e-3)
    assert Log(log=(1e-3, 1e-2)).near(9e-3, True) == 1e-2
    assert Uniform(uniform=(0, 2)).near(0.25, False) == 0
    assert Uniform(uniform=(0, 2)).near(1, False) == 0.5
    assert Integer(integer=(2, 8)).near(8, True) == 8
    assert Choice(choice=[0.9, 0.97, 0.99]).near(0.97, False) == 0.9
    assert Choice(choice=[0.9, 0.97, 0.99]).near(0.99, True) == 0.99


def test_near_leaves_the_fixed_alone() -> None:
    space = Space({"hidden": Choice(choice=[[8], [16], [32]]), "epochs": Integer(integer=(1, 9))})
    random = np.random.default_rng(0)
    found = [space.near({"hidden": [16], "epochs": 5}, random, frozenset({"hidden"})) for _ in range(20)]
    assert {tuple(one["hidden"]) for one in found} == {(16,)}
    assert {one["epochs"] for one in found} == {4, 6}


def test_the_same_seed_draws_the_same() -> None:
    space = Space({"a": Uniform(uniform=(0, 1)), "b": Choice(choice=[1, 2, 3])})
    first, second = (space.draw(np.random.default_rng(3)) for _ in range(2))
    assert first == second


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("learning_rate: {log: [1e-4, 0.01]}\nhidden: {choice: [[8], [16, 16]]}\n")
    space = read_space(str(path))
    assert space.root == {"learning_rate": Log(log=(1e-4, 1e-2)), "hidden": Choice(choice=[[8], [16, 16]])}
    assert space.root["hidden"].by_label == {"[8]": [8], "[16, 16]": [16, 16]}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: {log: [0, 1]}", "learning_rate: 0: above 0"),
        ("epochs: {integer: [8, 2]}", "8, 2: the lowest first"),
        ("epochs: [2, 8]", "epochs: [2, 8]: one of {uniform: [...], log: [...], integer: [...], choice: [...]}"),
        ("epochs: {between: [2, 8]}", "one of {uniform"),
        ("epochs: {integer: [2.5, 8]}", "epochs: integer.0: 2.5: a whole number"),
        ("[]", "a mapping of settings to ranges"),
    ],
)
def test_what_is_no_space_is_refused_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_space(str(path))
    assert message in str(error.value)
    assert "space.yaml" in str(error.value)


def test_a_range_takes_nothing_else() -> None:
    with pytest.raises(ValidationError):
        Uniform.model_validate({"uniform": [0, 1], "step": 0.1})
