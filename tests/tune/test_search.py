"""Which configurations are tried, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from tune.search import REPLAYED, SCORE, STEPS, OptunaSearch, configurations, distributions, labelled, scheduler
from tune.settings import HmarlSweep
from tune.space import Choice, Log, Space

SPACE = Space({"learning_rate": Log(log=(1e-4, 1e-1)), "hidden": Choice(choice=[[8], [16, 16]])})


def test_those_begun_come_first_and_the_others_do_not_change() -> None:
    sweep = HmarlSweep(trials=5, seed=2)
    whole = configurations(sweep, [])
    begun: list[dict[str, Any]] = [{"learning_rate": 0.1}, {"learning_rate": 0.2}]
    assert configurations(sweep, begun) == [*begun, *whole[2:]]
    assert len({str(values) for values in whole}) == 5
    assert configurations(HmarlSweep(trials=5, seed=3), []) != whole


def drawn(search: OptunaSearch, number: int, worth: Any) -> list[dict[str, Any]]:
    found = []
    for k in range(number):
        told = search.suggest(str(k))["trial"]
        assert told["number"] == k
        found.append(told["parameters"])
        search.on_trial_complete(str(k), {SCORE: worth(told["parameters"])})
    return found


def test_optuna_finds_what_is_better_than_chance() -> None:
    """The score falls with the distance from 1e-2, in orders of magnitude, and with small networks."""

    def worth(parameters: dict[str, Any]) -> float:
        import math

        return -abs(math.log10(parameters["learning_rate"]) + 2) - (parameters["hidden"] == [8])

    search = OptunaSearch(SPACE, 30, 0, [])
    found = drawn(search, 30, worth)
    assert search.suggest("30") == Searcher.FINISHED
    first, last = found[:10], found[-10:]
    assert sum(map(worth, last)) / 10 > sum(map(worth, first)) / 10 + 0.3
    assert sum(values["hidden"] == [16, 16] for values in last) >= 8


def test_optuna_goes_on_after_the_trials_of_an_earlier_process() -> None:
    def worth(parameters: dict[str, Any]) -> float:
        return float(parameters["learning_rate"])

    before = drawn(OptunaSearch(SPACE, 8, 0, []), 5, worth)
    assert drawn(OptunaSearch(SPACE, 8, 0, before), 8, worth)[:5] == before


def test_labels_are_in_the_distributions() -> None:
    known = distributions(SPACE)
    values = labelled(SPACE, {"learning_rate": 0.1, "hidden": [16, 16]})
    assert values == {"learning_rate": 0.1, "hidden": "[16, 16]"}
    assert known["hidden"]._contains(known["hidden"].to_internal_repr(values["hidden"]))


class Stub:
    """As much of a Tune trial as a scheduler looks at."""

    def __init__(self, number: int) -> None:
        self.trial_id = str(number)
        self.config: dict[str, Any] = {}


@pytest.mark.parametrize(("replayed", "stops"), [(False, True), (True, False)])
def test_a_row_of_an_earlier_process_stops_nobody(replayed: bool, stops: bool) -> None:
    """Of trials that come worse and worse, all but the first end at the first rung, a ninth of the steps."""
    asha = scheduler(HmarlSweep(scheduler="asha"), 900)
    trials: list[Any] = [Stub(k) for k in range(4)]
    decisions = []
    for k, trial in enumerate(trials):
        asha.on_trial_add(None, trial)
        for steps in (50, 100):
            row = {SCORE: -float(k), STEPS: steps, REPLAYED: replayed}
            decisions.append(asha.on_trial_result(None, trial, row))
    first_rung = ["CONTINUE", *(["STOP" if stops else "CONTINUE"] * 3)]
    assert decisions[1::2] == first_rung
    assert decisions[::2] == ["CONTINUE"] * 4


def test_population_based_training_keeps_the_trials_number(tmp_path: Path) -> None:
    pbt: Any = scheduler(HmarlSweep(scheduler="pbt"), 900)
    donor, other = Stub(1), Stub(7)
    parameters = {"learning_rate": 1e-3, "entropy": 0.01, "gamma": 0.95}
    donor.config = {"trial": {"number": 1, "parameters": parameters}}
    other.config = {"trial": {"number": 7, "parameters": {}}}
    told, _ = pbt._get_new_config(other, donor)
    assert told["trial"]["number"] == 7
    assert told["trial"]["parameters"]["gamma"] in (0.9, 0.97)
    assert told["trial"]["parameters"]["learning_rate"] in (8e-4, pytest.approx(1.25e-3))
    assert donor.config["trial"]["parameters"] == parameters
