"""The deployed policy: a forward pass worked out by hand, what it writes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmarl.errors import InputError
from hmarl.network import Network, apply_scenario, load_network
from hmarl.policies import LearnedPolicy, make_policy, simulate
from hmarl.roles import Chain

Weights = dict[str, np.ndarray]


def random_actor(features: int, actions: int, seed: int = 0, hidden: int = 8) -> Weights:
    rng = np.random.default_rng(seed)
    sizes = [(hidden, features), (hidden, hidden), (actions, hidden)]
    weights = {f"layers.{i}.weight": rng.normal(size=size) for i, size in enumerate(sizes)}
    biases = {f"layers.{i}.bias": rng.normal(size=size[0]) for i, size in enumerate(sizes)}
    return {name: array.astype(np.float32) for name, array in (weights | biases).items()}


def actors(network: Network, *roles: str) -> dict[str, Weights]:
    agents = Chain(network).roles
    return {role: random_actor(len(agents[role].features), agents[role].n_actions, i) for i, role in enumerate(roles)}


@pytest.fixture
def two_store() -> Network:
    return load_network("two_store")


@pytest.fixture
def continuous() -> Network:
    return load_network("two_store", **{"store.action.continuous": True})


@pytest.fixture
def policy(two_store: Network) -> LearnedPolicy:
    others = {"supplier": make_policy("tuned_base_stock", load_network("two_store", days=12), replications=8)}
    return LearnedPolicy(two_store, actors(two_store, "store", "warehouse"), others)


def test_forward_pass_by_hand(two_store: Network) -> None:
    # one hidden unit: tanh(2 stock - 1); logits (0.5 h, -0.5 h + 0.1, 0, 0)
    first, last = np.zeros((1, 7), np.float32), np.zeros((4, 1), np.float32)
    first[0, 0], last[0, 0], last[1, 0] = 2, 0.5, -0.5
    weights = {
        "layers.0.weight": first,
        "layers.0.bias": np.array([-1], np.float32),
        "layers.1.weight": last,
        "layers.1.bias": np.array([0, 0.1, 0, 0], np.float32),
    }
    none = make_policy("no_order", two_store)
    policy = LearnedPolicy(two_store, {"store": weights}, {"warehouse": none, "supplier": none})
    seen = np.zeros((2, 1, 7), np.float32)
    seen[0, 0, 0] = 1.0  # tanh(1) = 0.76159
    assert policy.outputs("store", seen)[0, 0] == pytest.approx([0.380797, -0.280797, 0, 0], abs=1e-6)
    assert policy.outputs("store", seen)[1, 0] == pytest.approx([-0.380797, 0.480797, 0, 0], abs=1e-6)
    assert policy.actions("store", seen).tolist() == [[0], [1]]


def test_equal_logits_take_the_lowest_action(two_store: Network) -> None:
    weights = {name: np.zeros_like(array) for name, array in actors(two_store, "store")["store"].items()}
    rest = {role: make_policy("no_order", two_store) for role in ("warehouse", "supplier")}
    policy = LearnedPolicy(two_store, {"store": weights}, rest)
    assert policy.actions("store", np.ones((3, 2, 7), np.float32)).tolist() == [[0, 0]] * 3


def test_a_continuous_action_is_the_mean_clipped(continuous: Network, tmp_path: Path) -> None:
    weights = {
        "layers.0.weight": np.array([[2, 0, 0, 0, 0, 0, 0]], np.float32),  # the mean is 2 stock - 1
        "layers.0.bias": np.array([-1], np.float32),
    }
    none = make_policy("no_order", continuous)
    made = LearnedPolicy(continuous, {"store": weights}, {"warehouse": none, "supplier": none})
    seen = np.zeros((3, 1, 7), np.float32)
    seen[:, 0, 0] = [0.6, 4, -4]
    for policy in (made, LearnedPolicy.load(made.save(tmp_path))):
        assert policy.outputs("store", seen)[..., 0].tolist() == pytest.approx(np.array([[0.2], [7], [-9]]))
        actions = policy.actions("store", seen)
        assert actions.shape == (3, 1, 1)
        assert actions[:, 0, 0].tolist() == pytest.approx([0.2, 1, -1])
        chain = Chain(continuous)
        stock = chain.observe("store")[0, :, 0]  # in days of mean demand over ten
        share = np.clip(2 * stock - 1, -1, 1) / 2 + 0.5
        expected = 1.5 * share * chain.forecast[0, chain.roles["store"].nodes, 0]
        assert policy.orders(chain)[0, chain.roles["store"].nodes, 0] == pytest.approx(expected, rel=1e-6)
    assert json.loads((tmp_path / "policy.json").read_text())["roles"]["store"]["actions"] == "continuous"


def test_continuous_and_discrete_actors_are_not_taken_for_each_other(
    continuous: Network, two_store: Network, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"role store: layers.2: .*bias \(1,\) for 7 features and a continuous action"):
        LearnedPolicy(continuous, actors(two_store, "store", "warehouse", "supplier"))
    policy = LearnedPolicy(continuous, actors(continuous, "store", "warehouse", "supplier"))
    with pytest.raises(InputError, match="7 features and 4 actions here, trained on 7 and a continuous action"):
        policy.orders(Chain(two_store))
    policy.save(tmp_path)
    with pytest.raises(
        InputError, match=r"trained to choose multiples, any from 0 to 1\.5, on two_store it is multiples of"
    ):
        LearnedPolicy.load(tmp_path, two_store)


def test_orders_are_those_of_the_actions_and_the_rules(policy: LearnedPolicy, two_store: Network) -> None:
    chain = Chain(two_store, 5, seed=1)
    for _ in range(4):
        orders = policy.orders(chain)
        for role in ("store", "warehouse"):
            actions = policy.actions(role, chain.observe(role))
            expected = chain.orders(role, actions).reshape(5, -1, 1)
            assert np.array_equal(orders[:, chain.roles[role].nodes], expected)
        supplier = chain.roles["supplier"].nodes
        assert np.array_equal(orders[:, supplier], policy.others["supplier"].orders(chain)[:, supplier])
        chain.step(orders)


def test_what_was_saved_orders_the_same(policy: LearnedPolicy, two_store: Network, tmp_path: Path) -> None:
    again = LearnedPolicy.load(policy.save(tmp_path / "policy"))
    assert sorted(p.name for p in (tmp_path / "policy").iterdir()) == ["actors.safetensors", "policy.json"]
    assert again.network == two_store
    assert again.others["supplier"].name == "tuned_base_stock"
    own, loaded = (simulate(two_store, p, days=20, replications=8, record=range(8)) for p in (policy, again))
    assert np.array_equal(own.trace["ordered"], loaded.trace["ordered"])
    assert own.trace["ordered"].sum() > 0


def test_names_in_the_file_are_those_of_the_contract(policy: LearnedPolicy, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    policy.save(tmp_path)
    tensors = load_file(tmp_path / "actors.safetensors")
    layers = {f"layers.{i}.{part}" for i in range(3) for part in ("weight", "bias")}
    assert set(tensors) == {f"{role}.{layer}" for role in ("store", "warehouse") for layer in layers}
    assert tensors["store.layers.0.weight"].shape == (8, 7)
    data = json.loads((tmp_path / "policy.json").read_text())
    assert data["roles"]["store"]["features"][0] == "stock"
    assert data["rules"]["supplier"]["rule"] == "base_stock"


def test_loading_imports_neither_torch_nor_ray(policy: LearnedPolicy, tmp_path: Path) -> None:
    policy.save(tmp_path)
    code = (
        "import sys; from hmarl.policies import LearnedPolicy; LearnedPolicy.load(sys.argv[1]);"
        "print([name for name in ('torch', 'ray', 'pickle5') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_policy_moves_to_other_numbers_of_stores(policy: LearnedPolicy, tmp_path: Path) -> None:
    policy.save(tmp_path)
    three = load_network("three_store")
    moved = LearnedPolicy.load(tmp_path, three)
    chain = Chain(three, 2)
    orders = moved.orders(chain)
    assert orders.shape == (2, 5, 3)
    actions = policy.actions("store", chain.observe("store"))
    assert np.array_equal(orders[:, chain.roles["store"].nodes].reshape(2, -1), chain.orders("store", actions))
    # the supplier's level keeps its days of demand: 110 a day there, 269 in three SKUs here
    old = policy.others["supplier"].level[0, 0] / 110  # type: ignore[attr-defined]
    assert moved.others["supplier"].level[0] == pytest.approx(old * chain.mean_demand[0])  # type: ignore[attr-defined]


def test_scenarios_that_lengthen_lead_times_can_be_played() -> None:
    network = load_network("serial", lead_times=[1, 1], holding_costs=[1, 0.5])
    policy = LearnedPolicy(network, actors(network, "store", "supplier"))
    late = apply_scenario(network, "supplier_delay")
    assert np.isfinite(simulate(late, policy, replications=2).metrics["cost"]).all()


def test_another_networks_policy_is_refused(policy: LearnedPolicy, tmp_path: Path) -> None:
    policy.save(tmp_path)
    seen = len(Chain(load_network("corner_shop")).roles["store"].features)
    other = {"roles.store.action": {"kind": "multiples", "values": [0, 1, 2]}}
    for network, message in (
        (
            load_network("corner_shop"),
            f"role store: trained to see 7 features, on corner_shop they are {seen} ",
        ),
        (
            load_network("two_store", **other),
            "role store: trained to choose multiples of 0, 0.5, 1, 1.5, on two_store it is multiples of",
        ),
    ):
        with pytest.raises(InputError) as error:
            LearnedPolicy.load(tmp_path, network)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=f"role store: {seen} features and 101 actions here, trained on 7 and 4"):
        policy.orders(Chain(load_network("corner_shop")))


def test_a_role_with_neither_weights_nor_rule_is_refused(two_store: Network, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="role warehouse: has no weights and no rule"):
        LearnedPolicy(two_store, actors(two_store, "store"))
    same = {"roles.store.action": {"kind": "quantity", "high": 15}, "roles.store.pipeline_days": 2}
    alone = load_network("lost_sales", **same)
    LearnedPolicy(alone, actors(alone, "store")).save(tmp_path)
    with pytest.raises(InputError, match=r"policy.json: role warehouse: has no weights and no rule"):
        LearnedPolicy.load(tmp_path, load_network("one_warehouse", **same, **{"roles.store.identity": False}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"layers.0.weight": np.zeros((8, 6), np.float32)},
            r"layers.0: weight \(8, 6\).*weight \(8, 7\).*for 7 features",
        ),
        ({"layers.2.bias": np.zeros(5, np.float32)}, r"layers.2: .*bias \(4,\)"),
        ({"layers.1.bias": np.full(8, np.nan, np.float32)}, "layers.1: a number that is not finite"),
        ({"head.weight": np.zeros(4, np.float32)}, "head.weight"),
    ],
)
def test_weights_that_do_not_fit_are_named(two_store: Network, change: Weights, message: str) -> None:
    weights = actors(two_store, "store")["store"] | change
    rest = {role: make_policy("no_order", two_store) for role in ("warehouse", "supplier")}
    with pytest.raises(InputError, match=message):
        LearnedPolicy(two_store, {"store": weights}, rest)


def _damage(folder: Path, kind: str) -> None:
    place, actors_at = folder / "policy.json", folder / "actors.safetensors"
    data: Any = json.loads(place.read_text())
    match kind:
        case "no file":
            actors_at.unlink()
            return
        case "other weights":
            actors_at.write_bytes(actors_at.read_bytes() + b" ")
            return
        case "not json":
            place.write_text("{")
            return
        case "version":
            data["version"] = 2
        case "a list":
            data = []
        case "network":
            data["network"]["days"] = 0
        case "rule":
            data["rules"]["supplier"] = {"rule": "magic", "name": "x", "parameters": {}}
        case "level":
            data["rules"]["supplier"]["parameters"]["level"] = "much"
        case "no roles":
            data["roles"] = {}
    place.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no file", "actors.safetensors: cannot be read: No such file"),
        ("other weights", "actors.safetensors: not the file that policy.json was written with"),
        ("not json", "policy.json: not valid JSON"),
        ("version", "policy.json: version: 2: 1"),
        ("a list", "policy.json: version: None: 1"),
        ("network", "policy.json: network: days: 0: at least 1"),
        ("rule", "policy.json: rule: 'magic': unknown"),
        ("level", "policy.json: rule base_stock: level: 'much'"),
        ("no roles", "has weights and no entry"),
    ],
)
def test_damaged_files_are_named(policy: LearnedPolicy, tmp_path: Path, kind: str, message: str) -> None:
    policy.save(tmp_path)
    _damage(tmp_path, kind)
    with pytest.raises(InputError) as error:
        LearnedPolicy.load(tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_pickle_is_never_read(policy: LearnedPolicy, tmp_path: Path) -> None:
    import hashlib
    import pickle

    policy.save(tmp_path)
    content = pickle.dumps({"store.layers.0.weight": print})
    (tmp_path / "actors.safetensors").write_bytes(content)
    data = json.loads((tmp_path / "policy.json").read_text())
    data["actors_sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "policy.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="not a safetensors file"):
        LearnedPolicy.load(tmp_path)


def test_a_policy_that_is_no_rule_cannot_be_written_down(two_store: Network, tmp_path: Path) -> None:
    class Odd:
        name = "odd"

        def orders(self, chain: Chain) -> np.ndarray:
            return np.zeros(chain.simulator.shape)

    policy = LearnedPolicy(two_store, actors(two_store, "store", "warehouse"), {"supplier": Odd()})
    with pytest.raises(InputError, match="policy: 'odd': only the rules"):
        policy.save(tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_folder_that_cannot_be_written_is_named(policy: LearnedPolicy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        policy.save(tmp_path / "file")
