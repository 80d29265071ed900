"""The cost of an agent-step is measured on chains that differ in nothing but their size."""

from __future__ import annotations

import json
import time

import pytest

from benchmarks import scaling
from benchmarks.scaling import Case
from hmarl.policies import make_policy, simulate
from hmarl.policies.validation import check_network

TINY = Case(replications=4, agent_steps=64, iterations=2, seconds=0.01)


def test_two_stores_and_one_sku_are_two_store() -> None:
    from hmarl.network import load_network

    ours, theirs = scaling.network_of(2, 1), load_network("two_store")
    assert {name: node.model_dump() for name, node in ours.nodes.items()} == {
        name: node.model_dump() for name, node in theirs.nodes.items()
    }


@pytest.mark.parametrize(("stores", "skus"), [(10, 1), (2, 3), (6, 2)])
def test_larger_chains_serve_their_stores_as_well(stores: int, skus: int) -> None:
    network, small = scaling.network_of(stores, skus), scaling.network_of(2, 1)
    assert (len(network.nodes_of("store")), len(network.skus)) == (stores, skus)
    assert all(check.ok for check in check_network(network))
    served = [
        simulate(n, make_policy("base_stock", n), replications=32).metrics["service_level"].mean()
        for n in (network, small)
    ]
    assert served[0] == pytest.approx(served[1], abs=0.01)


def test_a_rollout_has_as_many_agent_steps_in_every_case() -> None:
    for name, values in scaling.SWEEPS.items():
        for value in values:
            case = Case(**{name: value})  # type: ignore[arg-type]
            steps = case.stores * case.skus * case.replications * case.days
            assert steps == pytest.approx(Case.agent_steps, rel=0.01)
            assert case.replications * case.days >= 2048  # else RLlib wants smaller minibatches


@pytest.mark.usefixtures("ray_session")
def test_tables_and_ratios(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(scaling, "in_fresh_process", scaling.measure_case)
    result = scaling.measure({"stores": (2, 4)}, (), TINY, rounds=1)
    scaling.show(json.loads(json.dumps(result)))
    two, four = result["sweeps"]["stores"]
    assert [(row["stores"], row["days"]) for row in (two, four)] == [(2, 8), (4, 4)]
    for row in (two, four):
        for what in ("training", "simulator"):
            rate = row[f"{what}_per_second"]
            assert 0 < rate["lowest"] <= rate["median"] <= rate["highest"]
        assert 0 < row["learning_share"]["median"] < 1
        assert 100 < row["before_mb"]["median"] <= row["peak_mb"]["median"]
        assert row["seconds_an_iteration"]["highest"] == pytest.approx(64 / row["training_per_second"]["lowest"])
    ratio = result["ratios"]["stores"]["training"]["processor"]
    assert ratio == four["training_cost"]["median"] / two["training_cost"]["median"]
    printed = capsys.readouterr().out
    assert f"cost of an agent-step at 4 stores / at 2: training {ratio:.2f} (" in printed


@pytest.mark.slow
def test_runners_on_several_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    result = scaling.measure({}, (0, 2), TINY, rounds=1)
    scaling.show(result)
    assert [(row["runners"], row["nodes"]["median"]) for row in result["runners"]] == [(0, 0), (2, 2)]
    for row in result["runners"]:
        sampling, learning, both = (row[f"{what}_per_second"]["median"] for what in ("sampled", "learned", "training"))
        assert both < min(sampling, learning)
    assert "cores set the limit" in capsys.readouterr().out


def test_the_learners_part_of_an_iteration_is_told_apart() -> None:
    class Group:
        def update(self, seconds: float) -> None:
            time.sleep(seconds)

    class Algorithm:
        learner_group = Group()

        def train(self) -> None:
            self.learner_group.update(0.02)
            time.sleep(0.01)

    for _ in range(2):  # it is not counted twice the second time
        seconds, learning = scaling.iteration(Algorithm())
        assert 0.02 <= learning <= seconds - 0.01


def test_a_sweep_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        scaling.main(["--only", "stores,nodes"])
    assert "some of stores,skus,replications,runners" in capsys.readouterr().err
