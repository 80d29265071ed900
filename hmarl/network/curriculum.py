"""A curriculum: the same network from easy to hard, stage by stage.

A YAML file is a list of stages::

    - {name: near, overrides: {lead_time: 1}, steps: 20000}
    - {name: farther, overrides: {lead_time: 3}, steps: 20000, score: 8.5}
    - {name: far, overrides: {lead_time: 5}}
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from pydantic import Field, RootModel, ValidationError, model_validator

from hmarl.errors import InputError, explain
from hmarl.files import read_yaml
from hmarl.network.config import Config, Name, Network
from hmarl.network.overrides import override
from hmarl.network.scenarios import SCENARIOS, apply_scenario


class Stage(Config):
    """A part of training on one variant of the network."""

    name: Name
    overrides: dict[str, Any] = Field({}, description="what differs from the network, as in --set")
    scenario: str = Field("normal", description="what happens in the network")
    days: int | None = Field(None, ge=1, description="periods of an episode; none: the network's")
    steps: int | None = Field(None, ge=1, description="agent-steps after which the next stage begins")
    score: float | None = Field(None, description="mean validation reward a day that begins the next stage")

    @model_validator(mode="after")
    def _known(self) -> Stage:
        if self.scenario not in SCENARIOS:
            raise ValueError(f"scenario: {self.scenario!r}: one of {', '.join(SCENARIOS)}")
        return self

    def passed(self, steps: int, score: float | None = None) -> bool:
        """Whether training goes on to the next stage.

        Parameters
        ----------
        steps
            Agent-steps trained in this stage.
        score
            Mean reward a day on the validation stream; none where it was not measured.
        """
        by_steps = self.steps is not None and steps >= self.steps
        by_score = self.score is not None and score is not None and score >= self.score
        return by_steps or by_score


class _Curriculum(RootModel[list[Stage]]):
    @model_validator(mode="after")
    def _ends(self) -> _Curriculum:
        stages = self.root
        if not stages:
            raise ValueError("at least one stage")
        if len({stage.name for stage in stages}) != len(stages):
            raise ValueError("each stage has a name of its own")
        for stage in stages[:-1]:
            if stage.steps is None and stage.score is None:
                raise ValueError(f"{stage.name}: steps or score is missing; only the last has no end")
        return self


def load_curriculum(source: str | os.PathLike[str] | Sequence[Stage | dict[str, Any]]) -> list[Stage]:
    """Stages from a YAML file, or from a list of them.

    Raises
    ------
    InputError
        If a stage has an unknown key or a value that is not allowed, or would never end.
    """
    read = isinstance(source, str | os.PathLike)
    place = os.fspath(source) if read else "curriculum"  # type: ignore[arg-type]
    content = read_yaml(place) if read else list(source)  # type: ignore[arg-type]
    if not isinstance(content, list):
        raise InputError(f"{place}: a list of stages")
    try:
        return _Curriculum.model_validate(content).root
    except ValidationError as error:
        raise explain(error, _Curriculum, place) from error


def stage_network(network: Network, stage: Stage) -> Network:
    """The network of a stage: its overrides, its episode length, its scenario, in this order.

    Raises
    ------
    InputError
        If the network does not have what the stage overrides, or the scenario does not fit it.
    """
    changes = dict(stage.overrides)
    if stage.days is not None:
        changes["days"] = stage.days
    return apply_scenario(override(network, changes, f"stage {stage.name}"), stage.scenario)
