"""The PettingZoo environment: PettingZoo's own tests, and its numbers against the chain's."""

import warnings

import numpy as np
import pytest
from gymnasium.spaces import Box
from pettingzoo.test import parallel_api_test, parallel_seed_test, seed_test

from hmarl.envs import aec_env, parallel_env
from hmarl.errors import InputError
from hmarl.network import Network
from hmarl.network.presets import load_network
from hmarl.policies import make_policy
from hmarl.roles import Chain

NETWORKS = ["two_store", "three_store", "tight_supply", "beer_game", "corner_shop"]


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("roles", [None, ["store"]])
@pytest.mark.parametrize("network", NETWORKS)
def test_parallel_api(network: str, roles: list[str] | None) -> None:
    parallel_api_test(parallel_env(network, roles), num_cycles=200)


def continuous(network: str) -> Network:
    present = load_network(network)
    roles = {present.role_of(node) for node in present.nodes}
    return load_network(network, **{f"{role}.action.continuous": True for role in roles})


@pytest.mark.parametrize("network", ["two_store", "beer_game", "serial"])
def test_parallel_api_of_continuous_actions(network: str) -> None:
    env = parallel_env(continuous(network))
    assert all(env.action_space(agent) == Box(-1, 1, (1,), np.float32) for agent in env.possible_agents)
    parallel_api_test(env, num_cycles=200)


def test_seeds_of_continuous_actions() -> None:
    parallel_seed_test(lambda: parallel_env(continuous("two_store")))


def test_only_some_roles_may_be_continuous() -> None:
    env = parallel_env(load_network("two_store", **{"store.action.continuous": True}))
    env.reset(seed=1)
    number = np.array([1 / 3], np.float32)  # of 0 to 1.5 times the forecast: as much as once
    actions = {agent: number if agent.startswith("store") else 2 for agent in env.agents}
    twin = parallel_env("two_store")
    twin.reset(seed=1)
    assert env.step(actions)[4] == twin.step(dict.fromkeys(twin.agents, 2))[4]


def test_continuous_actions_outside_count_as_the_ends() -> None:
    ordered = []
    for number in (1, 9.0):
        env = parallel_env(continuous("two_store"), ["store"])
        env.reset(seed=0)
        ordered.append(env.step(dict.fromkeys(env.agents, np.array([number])))[4])
    assert ordered[0] == ordered[1]
    for wrong in (0, 0.5, np.zeros(2), np.array([np.nan])):
        with pytest.raises(ValueError, match=r"store_1/coffee: .*: an array of one finite number"):
            env.step({"store_1/coffee": wrong, "store_2/coffee": np.zeros(1)})


def test_seed() -> None:
    parallel_seed_test(parallel_env)
    seed_test(aec_env)


def test_aec_passes_all_agents() -> None:
    env = aec_env("three_store")
    env.reset(seed=1)
    asked = [agent for agent, _ in zip(env.agent_iter(), range(15), strict=False) if env.step(0) is None]
    assert asked == env.possible_agents
    assert env.state().shape == env.state_space.shape


def play(env, seed: int | None, days: int) -> list:
    seen = [env.reset(seed=seed)[0]]
    rng = np.random.default_rng(5)
    for _ in range(days):
        actions = {agent: int(rng.integers(env.action_space(agent).n)) for agent in env.agents}
        seen.append(env.step(actions)[:2])
    return seen


def test_the_same_seed_the_same_episode() -> None:
    one, other = parallel_env("tight_supply"), parallel_env("tight_supply")
    np.testing.assert_equal(play(one, 7, 30), play(other, 7, 30))
    np.testing.assert_equal(play(one, None, 30), play(other, None, 30))
    assert not np.array_equal(play(one, 7, 30)[-1][0]["store_1/coffee"], play(other, 8, 30)[-1][0]["store_1/coffee"])


def test_the_next_episode_has_other_draws() -> None:
    env = parallel_env("two_store")
    rewards = [play(env, seed, 5)[-1][1] for seed in (1, None, None)]
    assert rewards[0] != rewards[1] != rewards[2]


def test_the_numbers_are_the_chains() -> None:
    env, network = parallel_env("three_store"), load_network("three_store")
    chain = Chain(network, seed=3, split="train")
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(10):
        actions = {agent: int(rng.integers(4)) for agent in env.agents}
        observations, rewards, *_, infos = env.step(actions)
        orders = np.zeros(chain.simulator.shape)
        for role, agents in chain.roles.items():
            chosen = np.array([[actions[agent] for agent in agents.agents]])
            orders[:, agents.nodes] = chain.orders(role, chosen).reshape(1, len(agents.nodes), 3)
        ordered = chain.step(orders).ordered
        for role, agents in chain.roles.items():
            for k, agent in enumerate(agents.agents):
                np.testing.assert_array_equal(observations[agent], chain.observe(role)[0, k])
                assert rewards[agent] == chain.rewards(role)[0, k]
                assert infos[agent]["ordered"] == ordered[0, agents.nodes[k // 3], k % 3]


def test_the_others_follow_the_rule() -> None:
    network = load_network("two_store")
    env, chain = parallel_env(network, ["store"], "base_stock"), Chain(network, seed=2, split="train")
    rule = make_policy("base_stock", network)
    assert env.possible_agents == ["store_1/coffee", "store_2/coffee"]
    env.reset(seed=2)
    upstream = 0.0
    for _ in range(20):
        observations, *_ = env.step({agent: 2 for agent in env.agents})
        orders = rule.orders(chain).copy()
        stores = chain.roles["store"].nodes
        upstream += orders.sum() - orders[:, stores].sum()
        orders[:, stores] = chain.orders("store", np.full((1, 2), 2)).reshape(1, 2, 1)
        chain.step(orders)
        np.testing.assert_array_equal([observations[agent] for agent in env.possible_agents], chain.observe("store")[0])
    assert upstream > 0


def test_an_episode_truncates_after_the_networks_days() -> None:
    for finite in (False, True):
        env = parallel_env(load_network("two_store", days=3, finite=finite))
        env.reset(seed=0)
        for day in range(3):
            _, _, terminations, truncations, _ = env.step(dict.fromkeys(env.agents, 1))
            assert set(truncations.values()) == {day == 2 and not finite}
            assert set(terminations.values()) == {day == 2 and finite}
        assert env.agents == []
        assert env.step({}) == ({}, {}, {}, {}, {})


def test_state_is_the_critics_view() -> None:
    env = parallel_env("two_store", ["store"])
    env.reset(seed=0)
    # a store sees itself 7, warehouse 6, supplier 6, stores 7; the warehouse 6 + 6 + 7; the supplier 6 + 7
    assert env.state().shape == env.state_space.shape == (2 * 26 + 19 + 13,)
    assert env.agent_state("store_1/coffee").shape == (26,)
    assert env.state_space.contains(env.state())
    before = env.state()
    observations, *_ = env.step({"store_1/coffee": 0, "store_2/coffee": 3})
    np.testing.assert_array_equal(env.agent_state("store_2/coffee")[:7], observations["store_2/coffee"])
    pooled = (observations["store_1/coffee"] + observations["store_2/coffee"]) / 2
    np.testing.assert_allclose(env.agent_state("store_1/coffee")[-7:], pooled, rtol=1e-6)
    np.testing.assert_array_equal(env.state()[26:52], env.agent_state("store_2/coffee"))
    assert not np.array_equal(before, env.state())


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({"store_1/coffee": 0}, "'store_2/coffee': missing"),
        ({"store_1/coffee": 0, "store_2/coffee": 4}, "store_2/coffee: 4: a whole number from 0 to 3"),
        ({"store_1/coffee": 0, "store_2/coffee": 0, "shop": 0}, "'shop': no agent; one of store_1/coffee"),
    ],
)
def test_wrong_actions(actions: dict[str, int], message: str) -> None:
    env = parallel_env("two_store", ["store"])
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(actions)


def test_wrong_settings() -> None:
    with pytest.raises(InputError, match="roles: 'warehouse': some of store"):
        parallel_env("corner_shop", ["warehouse"])
    with pytest.raises(InputError, match="roles"):
        parallel_env("two_store", [])
    with pytest.raises(ValueError, match="render_mode: 'rgb_array'"):
        parallel_env("two_store", render_mode="rgb_array")


def test_render(capsys: pytest.CaptureFixture[str]) -> None:
    env = parallel_env("two_store", render_mode="ansi")
    env.reset(seed=0)
    assert env.render().splitlines()[0] == "two_store: day 0 of 90"
    env.step(dict.fromkeys(env.agents, 0))
    table = {line.split()[0]: line.split()[1:] for line in env.render().splitlines()[2:]}
    assert set(table) == set(env.possible_agents)
    _, _, _, ordered, demand, met = map(float, table["store_1/coffee"])
    assert ordered == 0
    assert demand == met > 0
    parallel_env("two_store").render()
    assert capsys.readouterr().out == ""
    human = parallel_env("two_store", render_mode="human")
    human.reset(seed=0)
    human.step(dict.fromkeys(human.agents, 0))
    assert "day 1 of 90" in capsys.readouterr().out
