"""One decision, and what it was worth."""

from __future__ import annotations

import json

import pytest

from hmarl.errors import InputError
from hmarl.network import Network
from llm.ask import main
from llm.tasks.situations import Situation
from llm.tasks.supply_chain import SupplyChainTask
from llm.worth import judge_answer

HARMONY = (
    "<|channel|>analysis<|message|>Nothing is coming.<|end|><|start|>assistant"
    "<|channel|>final<|message|>Decision: Order 7 units"
)


@pytest.fixture(scope="module")
def task() -> SupplyChainTask:
    """A shop of two days that sells 4 on the second one: the best order of the first day is 4."""
    shop = {
        "lead_time": 1, "price": 10, "unit_cost": 2, "holding_cost": 1, "shortage_cost": 3,
        "demand": {"distribution": "path", "values": [0, 4]},
    }  # fmt: skip
    network = Network.model_validate({"days": 2, "warmup": 0, "finite": True, "nodes": {"shop": shop}})
    return SupplyChainTask(network, continuation="constant:0", days=2, futures=2, economics=False, highest=10)


@pytest.fixture
def prompt(task):
    (found,) = task.prompts_of([Situation("normal", 0, "train", 0, "shop/sku_1", [])])
    return found


def test_orders_are_worth_what_they_earn(task, prompt):
    found = judge_answer(task, prompt, HARMONY, ["constant:3", "constant:99"])
    assert (found.reasoning, found.answer) == ("Nothing is coming.", "Decision: Order 7 units")
    # nothing ordered: 4 short, -12; q ordered: -2 q + 10 min(q, 4) - 3 max(4 - q, 0) - max(q - 4, 0)
    worth = {q: -2 * q + 10 * min(q, 4) - 3 * max(4 - q, 0) - max(q - 4, 0) + 12 for q in range(11)}
    assert found.gains == pytest.approx(worth)
    assert (found.order, found.gain, found.best) == (7, pytest.approx(worth[7]), 4)
    assert found.rules == {"constant:0": 0, "constant:3": 3, "constant:99": 10}
    assert json.loads(json.dumps(found.to_json()))["gains"]["4"] == pytest.approx(44)


def test_an_answer_that_cannot_be_read_is_worth_nothing(task, prompt):
    found = judge_answer(task, prompt, "<think>Order 3</think>I do not know.", [])
    assert (found.order, found.gain, found.error) == (None, None, "no 'Decision:'")
    assert (found.reasoning, found.answer) == ("Order 3", "I do not know.")
    assert found.best == 4


def test_an_unknown_rule_is_refused(task, prompt):
    with pytest.raises(InputError, match="policy: 'magic': unknown"):
        judge_answer(task, prompt, HARMONY, ["magic"])


def test_the_command_asks_a_model(capsys):
    assert main(["--model", "tiny", "--seed", "3", "--max-tokens", "4", "--futures", "4", "--json"]) == 0
    out = capsys.readouterr().out
    data = json.loads(out.splitlines()[-1])
    assert "none, the answer cannot be read" in out  # its weights are random
    assert data["prompt"]["messages"][0]["content"] in " ".join(out.split())
    assert data["gains"][f"{data['rules']['order_up_to:80']:g}"] == 0
    assert main(["--model", "tiny", "--seed", "3", "--max-tokens", "4", "--futures", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == data


def test_a_model_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError) as error:
        main(["--model", str(tmp_path / "runs" / "none" / "final")])
    assert "no such folder" in str(error.value)
    assert "\n" not in str(error.value)
