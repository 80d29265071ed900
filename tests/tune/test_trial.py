"""A trial of agents, without Tune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hmarl.errors import InputError
from hmarl.progress import Reporter
from tune import trial_hmarl
from tune.job import LOG
from tune.record import Trial
from tune.settings import HmarlSweep
from tune.trial import run_trial

PARAMETERS = {"learning_rate": 1e-3, "hidden": [8]}


class Enough(Exception):
    """The trial is taken over."""


@pytest.fixture
def sweep(ray_session: None, small: dict[str, Any]) -> HmarlSweep:
    values = {("set_" if name == "set" else name): value for name, value in small.items()}
    sweep = HmarlSweep.model_validate({**values, "phases": ["phase1_stores"], "steps": 4096})
    sweep.folder.mkdir(parents=True)
    trial_hmarl.prepare(sweep, Reporter(sweep.folder / LOG, quiet=True))
    return sweep


def rows(trial: Trial) -> dict[int, dict[str, Any]]:
    lines = (trial.run(0) / "phase1_stores" / "metrics.jsonl").read_text().splitlines()
    return {row["steps"]: row for row in map(json.loads, lines)}


def test_a_training_goes_on_with_other_settings(sweep: HmarlSweep) -> None:
    """As population based training has it: the weights of one trial, the learning rate of another."""
    whole, donor, other = (Trial(sweep.folder, number) for number in range(3))
    for trial in (whole, donor):
        trial.begin(PARAMETERS)
    other.begin({**PARAMETERS, "learning_rate": 4e-3})
    told: list[tuple[float, float]] = []
    trial_hmarl.learn(sweep, whole, 0, lambda share, value: told.append((share, value)))
    assert [share for share, _ in told] == [k / 8 for k in range(1, 9)]

    def half(share: float, value: float) -> None:
        assert (share, value) == told[round(8 * share) - 1]
        if share == 0.5:
            raise Enough

    with pytest.raises(Enough):
        trial_hmarl.learn(sweep, donor, 0, half)
    other.take(donor.run(0), 2048)
    after: list[float] = []
    trial_hmarl.learn(sweep, other, 0, lambda share, value: after.append(share))
    assert after == [k / 8 for k in range(5, 9)]
    before, now = rows(whole), rows(other)
    assert before.keys() == now.keys()
    rates = {steps: (row["learning_rate"], now[steps]["learning_rate"]) for steps, row in before.items() if steps}
    assert all(new == old for steps, (old, new) in rates.items() if steps <= 2048)
    assert [new / old for steps, (old, new) in rates.items() if 2048 < steps < 4096] == pytest.approx([4.0] * 15)
    assert now[2048]["validation_reward"] == before[2048]["validation_reward"]


def test_a_training_that_broke_off_goes_on_as_if_it_had_not(sweep: HmarlSweep) -> None:
    whole, broken = Trial(sweep.folder, 0), Trial(sweep.folder, 1)
    told: list[list[tuple[float, float]]] = [[], []]

    def until(share: float, value: float) -> None:
        told[1].append((share, value))
        if len(told[1]) == 3:
            raise Enough

    for trial in (whole, broken):
        trial.begin(PARAMETERS)
    trial_hmarl.learn(sweep, whole, 0, lambda share, value: told[0].append((share, value)))
    with pytest.raises(Enough):
        trial_hmarl.learn(sweep, broken, 0, until)
    trial_hmarl.learn(sweep, broken, 0, lambda share, value: told[1].append((share, value)))
    assert told[1] == told[0]


def test_all_seeds_are_judged_on_the_same_paths(sweep: HmarlSweep) -> None:
    """A seed's training differs, the worth of a policy does not."""
    from hmarl.learning.job import Training
    from hmarl.policies import make_policy, simulate

    found = []
    for seed in (0, 1):
        settings = sweep.training(PARAMETERS, seed=seed)
        training = Training.prepare(settings, None)
        found.append(trial_hmarl.worth(sweep, training, make_policy("base_stock", training.network)))
    assert found[0] == found[1]
    paths = simulate(
        training.network, make_policy("base_stock", training.network), replications=16, seed=1, split="validation"
    )
    assert found[0] != paths.mean("cost")


def test_a_node_that_does_not_see_the_sweep_says_so(tmp_path: Path) -> None:
    told = {"trial": {"number": 0, "parameters": PARAMETERS}}
    with pytest.raises(InputError, match=r"elsewhere: not seen on node .*: a sweep's folder must be seen on all nodes"):
        run_trial(told, HmarlSweep(), str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()
