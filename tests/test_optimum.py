"""``python -m hmarl.optimum``: what it prints, its JSON, what it says where no optimum is in reach."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from hmarl.errors import InputError
from hmarl.optimum import main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hmarl.optimum", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_one_store_with_lost_sales(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--network", "lost_sales", "--set", "lead_time=2", "--set", "penalty=4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lost_sales: the optimal cost is 4.39530 a day"
    assert lines[1].split(maxsplit=1) == ["method", "relative value iteration on stock and pipeline"]
    assert lines[2].startswith("  tolerance  ")
    assert lines[3].startswith("  searched   on hand up to ")
    assert lines[6].startswith("What the optimal policy orders in the states that it meets most often")
    # 5 on hand and 5 arriving is the most frequent morning; it orders 5
    assert lines[9].split()[:3] == ["5", "5", "5"]


def test_json_of_a_warehouse_with_stores(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--network", "one_warehouse", "--json"]) == 0
    content = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert content["cost"] == pytest.approx(5.33807, abs=1e-4)
    assert content["tolerance"] < 1e-6
    assert set(content["bounds"]) == {f"on hand at {node}" for node in ("store_1", "store_2", "warehouse")}
    state = content["policy"][0]
    assert state["order"]["store_1"] + state["order"]["store_2"] <= state["on_hand"]["warehouse"]
    assert 0 < sum(state["share"] for state in content["policy"]) < 1


def test_a_policy_of_levels_shows_its_levels(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--set", "lead_time=0", "--json"]) == 0
    out = capsys.readouterr().out
    assert "  tolerance  exact" in out
    assert json.loads(out.splitlines()[-1])["policy"] == [{"node": "store", "level": 7.0}]


def test_the_price_of_decentralisation(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--network", "one_warehouse", "--set", "mean_demand=[1,1]", "--set", "penalty=9"]
    assert main([*arguments, "--decentralised", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = next(line for line in lines if line.startswith("Stores that see only their own stock reach 5.32"))
    assert shown.endswith("(+0.74%), by local search, no proof.")
    assert json.loads(lines[-1])["decentralised_cost"] == pytest.approx(5.3203, abs=1e-3)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("two_store", "every lead time must be 1, that of supplier is 4"),
        ("corner_shop", "the horizon ends, there is no long run"),
        ("beer_game", "orders of retailer take days to be heard"),
        ("tight_supply", "every lead time must be 1, that of warehouse is 3"),
    ],
)
def test_without_optimum_and_bound(network: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as error:
        main(["--network", network])
    assert str(error.value) == f"network {network}: its optimum is not known: {reason}"
    assert capsys.readouterr().out == f"{network}: no useful bound on the cost\n"


@pytest.mark.parametrize(
    ("network", "change", "bound", "reason"),
    [
        ("one_warehouse", "mean_demand=[2,2,2]", "each store alone", "too large: 3 stores, at most 2"),
        ("one_warehouse", "unmet_demand=backorder", "stock moves freely", "it is none of one node, nodes in a row"),
        ("lost_sales", "lead_time=8", "unmet demand is owed", "too large: 10^15.7 multiplications a sweep"),
        ("serial", "unmet_demand=lost", "each store alone", "it is none of one node, nodes in a row with backorders, "),
    ],
)
def test_a_bound_where_there_is_no_optimum(
    network: str, change: str, bound: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=re.escape(f"network {network}: its optimum is not known: {reason}")):
        main(["--network", network, "--set", change, "--json"])
    lines = capsys.readouterr().out.splitlines()
    content = json.loads(lines[-1])
    assert content["cost"] is None
    assert content["lower_bound"]["name"].startswith(bound)
    assert lines[0] == f"{network}: no policy costs less than {content['lower_bound']['value']:.4f} a day"
    assert reason in content["reason"]


def test_bad_input_is_one_line_and_status_2() -> None:
    done = run("--network", "lost_sale")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
