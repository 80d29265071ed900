"""What is searched: a range for each setting, from a preset or a YAML file. Reads neither Ray nor Optuna.

.. code-block:: yaml

    learning_rate: {log: [3.0e-4, 5.0e-3]}
    entropy: {uniform: [0, 0.05]}
    epochs: {integer: [2, 8]}
    hidden: {choice: [[32, 32], [64, 64]]}
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from hmarl.errors import InputError, explain
from hmarl.files import read_yaml

Parameters = dict[str, Any]
"""A configuration: the value of each setting searched."""

_POINTS = 3  # of a range in a grid
_STEP = 1.25  # factor, or share of the range's width less 1, that population based training changes a value by


class _Range(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Uniform(_Range):
    """A real number, each equally likely."""

    uniform: tuple[float, float] = Field(description="lowest and highest")

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        _check_ends(*self.uniform)
        return self

    def at(self, share: float) -> float:
        """The value at a share of the way through the range, 0 to 1."""
        low, high = self.uniform
        return low + share * (high - low)

    def values(self) -> list[float]:
        """Of a grid."""
        return [self.at(k / (_POINTS - 1)) for k in range(_POINTS)]

    def near(self, value: float, up: bool) -> float:
        """A value a step away, inside the range."""
        low, high = self.uniform
        step = (_STEP - 1) * (high - low)
        return min(max(value + (step if up else -step), low), high)


class Log(_Range):
    """A positive number, each order of magnitude equally likely."""

    log: tuple[float, float] = Field(description="lowest and highest, above 0")

    @model_validator(mode="after")
    def _ordered(self) -> Log:
        _check_ends(*self.log)
        if self.log[0] <= 0:
            raise ValueError(f"{self.log[0]:g}: above 0")
        return self

    def at(self, share: float) -> float:
        """See :meth:`Uniform.at`."""
        low, high = self.log
        return min(max(math.exp(math.log(low) + share * (math.log(high) - math.log(low))), low), high)

    def values(self) -> list[float]:
        """Of a grid."""
        return [self.at(k / (_POINTS - 1)) for k in range(_POINTS)]

    def near(self, value: float, up: bool) -> float:
        """See :meth:`Uniform.near`."""
        return min(max(value * _STEP if up else value / _STEP, self.log[0]), self.log[1])


class Integer(_Range):
    """A whole number, each equally likely."""

    integer: tuple[int, int] = Field(description="lowest and highest, both included")

    @model_validator(mode="after")
    def _ordered(self) -> Integer:
        _check_ends(*self.integer)
        return self

    def at(self, share: float) -> int:
        """See :meth:`Uniform.at`."""
        low, high = self.integer
        return min(low + int(share * (high - low + 1)), high)

    def values(self) -> list[int]:
        """Of a grid: lowest, middle, highest."""
        low, high = self.integer
        return sorted({low, (low + high) // 2, high})

    def near(self, value: int, up: bool) -> int:
        """See :meth:`Uniform.near`."""
        return min(max(value + (1 if up else -1), self.integer[0]), self.integer[1])


class Choice(_Range):
    """One of the values listed; where they have an order, in that order."""

    choice: list[Any] = Field(min_length=1, description="the values")

    def at(self, share: float) -> Any:
        """See :meth:`Uniform.at`."""
        return self.choice[min(int(share * len(self.choice)), len(self.choice) - 1)]

    def values(self) -> list[Any]:
        """Of a grid: all."""
        return list(self.choice)

    def near(self, value: Any, up: bool) -> Any:
        """The value next to it in the list."""
        place = self.choice.index(value) + (1 if up else -1)
        return self.choice[min(max(place, 0), len(self.choice) - 1)]

    @property
    def by_label(self) -> dict[str, Any]:
        """The values by a text each."""
        return {label(value): value for value in self.choice}


class Space(RootModel[dict[str, Uniform | Log | Integer | Choice]]):
    """What is searched, by the setting's name."""

    model_config = ConfigDict(frozen=True)

    def __len__(self) -> int:
        return len(self.root)

    def draw(self, random: np.random.Generator) -> Parameters:
        """A configuration at random."""
        return {name: parameter.at(random.random()) for name, parameter in self.root.items()}

    def grid_size(self) -> int:
        """Configurations of the grid."""
        return math.prod(len(parameter.values()) for parameter in self.root.values())

    def grid(self) -> list[Parameters]:
        """Each value with each other: all of a choice, three of a range."""
        values = (parameter.values() for parameter in self.root.values())
        return [dict(zip(self.root, combination, strict=True)) for combination in itertools.product(*values)]

    def near(self, parameters: Mapping[str, Any], random: np.random.Generator, fixed: frozenset[str]) -> Parameters:
        """A configuration near another one, each setting a step up or down; those in `fixed` as they are."""
        return {
            name: value if name in fixed else self.root[name].near(value, bool(random.integers(2)))
            for name, value in parameters.items()
        }


def read_space(path: str) -> Space:
    """A space from a YAML file.

    Raises
    ------
    InputError
        If it is none; the names of settings are not looked at here.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"space: {path}: a mapping of settings to ranges, such as learning_rate: {{log: [1e-4, 1e-2]}}"
        )
    try:
        return Space({str(name): _range(path, str(name), value) for name, value in content.items()})
    except ValidationError as error:
        raise explain(error, Space, path) from error


_KINDS: dict[str, type[Uniform | Log | Integer | Choice]] = {
    "uniform": Uniform,
    "log": Log,
    "integer": Integer,
    "choice": Choice,
}


def _range(path: str, name: str, given: Any) -> Uniform | Log | Integer | Choice:
    if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in _KINDS:
        raise InputError(f"{path}: {name}: {json.dumps(given)}: one of {{{', '.join(f'{k}: [...]' for k in _KINDS)}}}")
    kind = _KINDS[next(iter(given))]
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise explain(error, kind, f"{path}: {name}") from error


def label(value: Any) -> str:
    """A value as text."""
    return value if isinstance(value, str) else json.dumps(value)


def _check_ends(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"{low:g}, {high:g}: the lowest first")
