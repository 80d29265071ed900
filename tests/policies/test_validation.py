"""Each check fails for the network that is broken in its way, and no other does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hmarl import validate
from hmarl.errors import InputError
from hmarl.network import PRESETS, SCENARIOS, apply_scenario, load_network
from hmarl.policies.validation import Check, check_network, require_valid

BROKEN: dict[str, dict[str, Any]] = {
    "demand": {"store_2.demand": None},
    "production": {"supplier.order_capacity": 100},
    "lead time": {"store_1.lead_time": 100},
    "warm-up": {"warmup": 90},
    "storage": {"store_1.storage_capacity": 40, "store_1.opening_stock": 40},
    "opening stock": {"store_1.storage_capacity": 299},
    "actions": {"store.action": {"kind": "quantity", "high": 59}},
    "drawn demand": {"store_1.demand": {"distribution": "normal", "mean": 10, "std": 60}},
    "units": {"warehouse.opening_stock": 1e18},
    "numbers": {"store_1.holding_cost": 1e308, "store.reward": "cost"},
    "orders": {"store.reliability": 0},
}


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.ok]


@pytest.mark.parametrize("name", BROKEN)
def test_a_network_broken_in_one_way_fails_exactly_that_check(name: str) -> None:
    assert failed(check_network(load_network("two_store", **BROKEN[name]))) == [name]


def test_there_is_a_broken_network_for_every_check() -> None:
    assert {check.name for check in check_network(load_network("two_store"))} == set(BROKEN)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_and_family_passes(name: str) -> None:
    network = load_network(name)
    checks = check_network(network)
    assert failed(checks) == [], checks
    require_valid(network)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_two_store_passes_in_every_scenario(scenario: str) -> None:
    assert failed(check_network(apply_scenario(load_network("two_store"), scenario))) == []


def test_details_say_where_and_why() -> None:
    details = {check.name: check.detail for check in check_network(load_network("two_store", **BROKEN["production"]))}
    assert details["production"] == "supplier: order_capacity 100 a day is below the mean demand 110"


@pytest.mark.parametrize(
    ("changes", "ok"),
    [
        ({"store.action": {"kind": "quantity", "high": 60}}, True),
        ({"store.action": {"kind": "quantity", "high": 69, "step": 35}}, False),  # 0 or 35
        (
            {"store.action": {"kind": "order_up_to", "values": [0, 3]}},
            True,
        ),  # two days of lead time and one of review
        ({"store.action": {"kind": "order_up_to", "values": [0, 2.9]}}, False),
        ({"store.action": {"kind": "multiples", "values": [0, 1.5]}, "store.review_period": 2}, False),
        ({"store.action": {"kind": "multiples", "values": [0, 2]}, "store.review_period": 2}, True),
        ({"store.action": {"kind": "multiples", "values": [0, 1]}, "store_1.minimum_order": 121}, False),
        ({"store.action": {"kind": "multiples", "values": [0, 1]}, "store_2.minimum_order": 100}, True),
        ({"store.action": {"kind": "correction"}}, True),
        ({"store.action": {"kind": "quantity", "high": 69, "step": 35, "continuous": True}}, True),  # 0 to 69
        ({"store.action": {"kind": "multiples", "values": [0, 0.9], "continuous": True}}, False),
    ],
)
def test_actions_that_can_and_cannot_keep_up(changes: dict[str, Any], ok: bool) -> None:
    checks = {check.name: check for check in check_network(load_network("two_store", **changes))}
    assert checks["actions"].ok is ok, checks["actions"].detail


def test_training_is_refused_in_one_line() -> None:
    network = load_network("two_store", warmup=90, **BROKEN["production"])
    with pytest.raises(InputError, match=r"^two_store: production: supplier: .*; warm-up: warmup 90 leaves[^\n]*$"):
        require_valid(network)


def test_the_command_prints_every_check_and_leaves_with_0_or_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate.main(["--network", "two_store", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == len(BROKEN)
    result = json.loads(lines[-1])
    assert result["ok"] is True
    assert [check["name"] for check in result["checks"]] == list(BROKEN)
    assert validate.main(["--set", "supplier.order_capacity=100"]) == 1
    assert "FAILED  production     supplier: order_capacity 100" in capsys.readouterr().out


def test_the_command_refuses_what_is_not_a_network() -> None:
    with pytest.raises(InputError, match=r"network: 'two_stor': unknown, did you mean two_store"):
        validate.main(["--network", "two_stor"])
    with pytest.raises(InputError, match=r"scenario: 'sunny': unknown"):
        validate.main(["--scenario", "sunny"])
