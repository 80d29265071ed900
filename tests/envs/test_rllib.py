"""RLlib's MultiAgentEnv: RLlib's own check, its numbers, and training with RLlib's stock PPO."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.rllib")

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import FlattenObservations
from ray.rllib.core.rl_module import MultiRLModuleSpec, RLModuleSpec
from ray.rllib.env.env_context import EnvContext
from ray.rllib.utils.pre_checks.env import check_multiagent_environments

from hmarl.envs.parallel import parallel_env
from hmarl.envs.rllib import MultiAgentSupplyChain
from hmarl.errors import InputError
from hmarl.learning.module import ActorCritic
from hmarl.network.presets import load_network
from hmarl.roles import ROLES

CONTINUOUS = load_network("two_store", **{f"{role}.action.continuous": True for role in ROLES})


@pytest.mark.parametrize(
    "config",
    [{}, {"roles": ["warehouse"]}, {"network": "three_store", "critic_view": False}, {"network": CONTINUOUS}],
)
def test_rllibs_own_check(config: dict[str, Any]) -> None:
    check_multiagent_environments(MultiAgentSupplyChain(config))


def test_spaces() -> None:
    env = MultiAgentSupplyChain({"roles": ["store", "supplier"]})
    assert env.possible_agents == ["store_1/coffee", "store_2/coffee", "supplier/coffee"]
    observations, infos = env.reset(seed=0)
    assert infos == {}
    shapes = {agent: (seen["local"].shape, seen["global"].shape) for agent, seen in observations.items()}
    assert shapes["store_1/coffee"] == ((7,), (26,))
    assert shapes["supplier/coffee"] == ((6,), (13,))
    for agent, seen in observations.items():
        assert env.observation_spaces[agent].contains(seen)


def test_the_numbers_are_those_of_the_parallel_environment() -> None:
    network = load_network("tight_supply", days=6)
    env, twin = MultiAgentSupplyChain({"network": network}), parallel_env(network)
    env.reset(seed=3)
    twin.reset(seed=3)
    for day in range(6):
        actions = dict.fromkeys(twin.agents, day % 4)
        observations, rewards, terminateds, truncateds, infos = env.step(actions)
        expected, paid, _, _, twin_infos = twin.step(actions)
        assert rewards == paid
        for agent, seen in observations.items():
            np.testing.assert_array_equal(seen["local"], expected[agent])
            np.testing.assert_array_equal(seen["global"], twin.agent_state(agent))
        assert truncateds["__all__"] == all(truncateds.values()) == (day == 5)
        assert not any(terminateds.values())
        assert list(infos) == ["__common__"]
        assert infos["__common__"]["day"] == day
        assert infos["__common__"]["profit"] == pytest.approx(sum(i["profit"] for i in twin_infos.values()))


def test_workers_do_not_share_draws() -> None:
    def paid(worker: int) -> dict[str, float]:
        env = MultiAgentSupplyChain(EnvContext({}, worker_index=worker))
        env.reset(seed=5)
        return env.step(dict.fromkeys(env.agents, 2))[1]

    assert paid(1) == paid(1)
    assert paid(1) != paid(2) != paid(0)


def test_wrong_settings() -> None:
    with pytest.raises(InputError, match="env_config: 'netwrok': one of network"):
        MultiAgentSupplyChain({"netwrok": "two_store"})


def actor_critic() -> RLModuleSpec:
    return RLModuleSpec(module_class=ActorCritic, model_config={"hidden": (32,), "seed": 0})


def ppo(env_config: dict[str, Any]) -> PPOConfig:
    return (
        PPOConfig()
        .environment(MultiAgentSupplyChain, env_config=env_config)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=2, rollout_fragment_length=90)
        .multi_agent(
            policies=set(ROLES),
            policy_mapping_fn=lambda agent, *args, **kwargs: agent.split("/")[0].split("_")[0],
        )
        .training(train_batch_size_per_learner=180, minibatch_size=90, num_epochs=2)
        .debugging(seed=1)
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["flattened", "local only", "continuous", "actor and critic"])
def test_stock_ppo_trains(ray_session: Any, model: str) -> None:
    network = CONTINUOUS if model == "continuous" else "two_store"
    config = ppo({"network": network, "critic_view": model in ("flattened", "actor and critic")})
    if model == "actor and critic":
        config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={role: actor_critic() for role in ROLES}))
    if model == "flattened":
        config.env_runners(env_to_module_connector=lambda *args, **kwargs: FlattenObservations(multi_agent=True))
    algorithm = config.build_algo()
    before = {role: algorithm.get_module(role).state_dict() for role in ROLES}
    before = {role: {k: v.clone() for k, v in state.items()} for role, state in before.items()}
    results = [algorithm.train() for _ in range(2)]
    runners = results[-1]["env_runners"]
    assert np.isfinite(runners["episode_return_mean"])
    assert runners["episode_len_mean"] == 90
    for role, state in before.items():
        after = algorithm.get_module(role).state_dict()
        assert any(not after[name].equal(weights) for name, weights in state.items()), role
    algorithm.stop()
