"""The env runner against a chain stepped by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from hmarl.learning.actions import Categorical
from hmarl.learning.algorithm import PPOSettings, ppo_config
from hmarl.learning.blocks import Block
from hmarl.learning.module import LOCAL
from hmarl.learning.runner import BatchedEnvRunner
from hmarl.network import load_network
from hmarl.roles import Chain

pytestmark = pytest.mark.usefixtures("ray_session")
DAYS, REPLICATIONS = 10, 6


class Constant:
    """Orders the same everywhere; counts how often it is asked."""

    def __init__(self, quantity: float) -> None:
        self.name, self.quantity, self.asked = "constant", quantity, 0

    def orders(self, chain: Chain) -> np.ndarray:
        self.asked += 1
        return np.full(chain.simulator.shape, self.quantity)


def make_runner(*, learns=("store",), others=None, seed=0, evaluation=False, **settings) -> BatchedEnvRunner:
    network = load_network("two_store", days=DAYS)
    others = {"warehouse": Constant(100), "supplier": Constant(120)} if others is None else others
    ppo = PPOSettings(**{"replications": REPLICATIONS, "days": 16, "same_draws": 1, **settings})
    config = ppo_config(network, ppo, learns=learns, others=others, steps=1000, seed=seed)
    config.in_evaluation = evaluation
    return BatchedEnvRunner(config=config, worker_index=0)


def replay(block: Block, first_days: np.ndarray, orders_of_others: dict[str, float], seed: int = 0) -> Chain:
    """Step a chain of our own through a block, as the runner should have; check all that the block says."""
    network = load_network("two_store", days=DAYS)
    chain = Chain(network, REPLICATIONS, seed, split="train")
    chain.reset(np.ones(REPLICATIONS, bool), first_days)
    cuts = block.cuts
    for t in range(len(block.ends)):
        orders = np.zeros(chain.simulator.shape)
        for role, agents in chain.roles.items():
            assert np.array_equal(block.observations[role][t], chain.observe(role))
            if role in block.actions:
                quantities = chain.orders(role, block.actions[role][t])
                orders[:, agents.nodes, 0] = quantities
            else:
                orders[:, agents.nodes, 0] = orders_of_others[role]
        chain.step(orders)
        for role, rewards in block.rewards.items():
            assert rewards[t] == pytest.approx(chain.rewards(role), abs=1e-5)
        ends = chain.simulator.state.day >= DAYS
        assert np.array_equal(block.ends[t], ends)
        if ends.any():
            today = cuts.day == t
            assert np.array_equal(cuts.row[today], np.flatnonzero(ends))
            for role in chain.roles:
                assert np.array_equal(cuts.observations[role][today], chain.observe(role)[ends])
            chain.reset(ends)
    for role in chain.roles:
        assert np.array_equal(block.next_observations[role], chain.observe(role))
    return chain


def test_a_rollout_is_the_chain_stepped_with_its_actions():
    runner = make_runner()
    (block,) = runner.sample()
    first_days = np.arange(REPLICATIONS) * DAYS // 8
    replay(block, first_days, {"warehouse": 100, "supplier": 120})
    assert block.ends.sum() > REPLICATIONS
    assert len({tuple(np.flatnonzero(row)) for row in block.ends if row.any()}) > 3  # staggered


def test_two_roles_learn_and_one_acts_by_rule():
    runner = make_runner(learns=("store", "supplier"), others={"warehouse": Constant(90)})
    (block,) = runner.sample()
    assert set(block.actions) == {"store", "supplier"}
    replay(block, np.arange(REPLICATIONS) * DAYS // 8, {"warehouse": 90})


def test_blocks_hold_local_observations_once_a_replication():
    (block,) = make_runner().sample()
    shapes = {role: seen.shape for role, seen in block.observations.items()}
    assert shapes == {
        "store": (16, REPLICATIONS, 2, 7),
        "warehouse": (16, REPLICATIONS, 1, 6),
        "supplier": (16, REPLICATIONS, 1, 6),
    }
    assert (len(block), block.env_steps(), block.agent_steps()) == (96, 96, 192)


def test_log_probabilities_are_the_modules():
    runner = make_runner()
    (block,) = runner.sample()
    seen = torch.from_numpy(block.observations["store"])
    logits = runner.module["store"].forward_inference({Columns.OBS: {LOCAL: seen}})[Columns.ACTION_DIST_INPUTS]
    assert block.inputs["store"] == pytest.approx(logits.numpy(), abs=1e-6)
    expected = Categorical(4).log_probs(logits, torch.from_numpy(block.actions["store"]))
    assert block.log_probs["store"] == pytest.approx(expected.detach().numpy(), abs=1e-6)


def test_the_next_rollout_goes_on_where_the_last_one_stopped():
    runner = make_runner()
    (first,), (second,) = runner.sample(), runner.sample()
    assert np.array_equal(second.observations["store"][0], first.next_observations["store"])


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    blocks = [make_runner(seed=seed).sample()[0] for seed in (3, 3, 4)]
    assert np.array_equal(blocks[0].actions["store"], blocks[1].actions["store"])
    assert np.array_equal(blocks[0].rewards["store"], blocks[1].rewards["store"])
    assert not np.array_equal(blocks[0].actions["store"], blocks[2].actions["store"])
    assert not np.array_equal(blocks[0].rewards["store"], blocks[2].rewards["store"])


def test_no_draw_comes_twice_not_even_after_a_checkpoint():
    runner = make_runner()
    runner.sample()
    used = set(range(int(runner.env.simulator.state.replication.max()) + 1))
    state = runner.get_state()
    again = make_runner()
    again.set_state(state)
    again.sample()
    assert again.num_env_steps_sampled_lifetime == 2 * 96
    assert not used & set(again.env.simulator.state.replication.tolist())


def test_draws_are_used_up_one_by_one_however_often_a_run_is_resumed():
    """The simulator's generator takes 32 bits of a draw's number."""
    runner = make_runner()
    for _ in range(12):
        runner.sample()
        runner.set_state(runner.get_state(not_components="rl_module"))
    assert runner.get_state()["first_draw"] < 12 * 16 * REPLICATIONS


def test_a_runner_in_the_place_of_a_dead_one_goes_on_to_fresh_draws():
    state = {"num_env_steps_sampled_lifetime": 5000}
    runner = make_runner()
    runner.set_state(state)
    runner.sample()
    assert runner.chain.simulator.state.replication.min() >= 5000
    first = runner.get_state()["first_draw"]
    runner.set_state(state)  # as RLlib tells it after every iteration
    assert runner.get_state()["first_draw"] == first


def test_an_endless_chain_never_ends_and_its_returns_are_booked_all_the_same():
    runner = make_runner(endless=True)
    (block,) = runner.sample()
    assert not block.ends.any()
    assert block.cuts is None
    metrics = runner.get_metrics()
    assert float(metrics["num_episodes"]) == REPLICATIONS
    expected = block.rewards["store"][:DAYS].sum((0, 2)).mean()
    assert float(metrics["episode_return_mean"]) == pytest.approx(expected, rel=1e-5)


def test_metrics_have_rllibs_names_and_count():
    runner = make_runner()
    runner.sample(num_episodes=4)
    (block,) = runner.sample(num_episodes=4)
    metrics = runner.get_metrics()
    assert float(metrics["num_env_steps_sampled"]) == 2 * DAYS * REPLICATIONS
    assert float(metrics["num_module_steps_sampled"]["store"]) == 4 * DAYS * REPLICATIONS
    assert float(metrics["num_agent_steps_sampled"]["store_1/coffee"]) == 2 * DAYS * REPLICATIONS
    assert float(metrics["episode_len_mean"]) == DAYS
    assert float(metrics["num_episodes"]) == 2 * REPLICATIONS
    agents = metrics["agent_episode_returns_mean"]
    assert sum(map(float, agents.values())) == pytest.approx(float(metrics["episode_return_mean"]))
    assert float(metrics["module_reward_mean"]["store"]) == pytest.approx(block.rewards["store"].mean())


def test_whole_episodes_begin_on_day_0():
    runner = make_runner()
    blocks = runner.sample(num_episodes=REPLICATIONS + 1)
    assert len(blocks) == 2
    for block in blocks:
        assert block.ends[:-1].sum() == 0
        assert block.ends[-1].all()
    assert not np.array_equal(blocks[0].rewards["store"], blocks[1].rewards["store"])


def test_evaluation_draws_from_validation_and_the_same_each_time():
    runner = make_runner(evaluation=True)
    assert runner.env.simulator.split == "validation"
    first, second = (runner.sample(num_episodes=1, explore=False)[0] for _ in range(2))
    assert np.array_equal(first.rewards["store"], second.rewards["store"])
    assert make_runner().env.simulator.split == "train"


def test_evaluation_of_some_days_begins_on_day_0_with_the_same_draws_each_time():
    runner = make_runner(evaluation=True)
    (first,) = runner.sample(num_timesteps=5 * REPLICATIONS, explore=False)
    runner.set_state(make_runner().get_state())  # as a restored algorithm does
    (second,) = runner.sample(num_timesteps=5 * REPLICATIONS, explore=False)
    assert np.array_equal(first.rewards["store"], second.rewards["store"])
    assert runner.chain.simulator.state.day.tolist() == [5] * REPLICATIONS


def test_evaluation_metrics_are_of_the_last_evaluation_alone():
    runner = make_runner(evaluation=True)
    for episodes in (3 * REPLICATIONS, 1):
        blocks = runner.sample(num_episodes=episodes)
        returns = np.concatenate([block.rewards["store"].sum((0, 2)) for block in blocks])
        metrics = runner.get_metrics()
        assert float(metrics["num_episodes"]) == len(returns)
        assert float(metrics["episode_return_mean"]) == pytest.approx(returns.mean(), rel=1e-5)


def test_greedy_and_random_actions():
    runner = make_runner()
    (block,) = runner.sample(num_episodes=1, explore=False)
    logits = runner.module["store"].forward_inference(
        {Columns.OBS: {LOCAL: torch.from_numpy(block.observations["store"])}}
    )[Columns.ACTION_DIST_INPUTS]
    assert np.array_equal(block.actions["store"], logits.argmax(-1).numpy())
    (block,) = runner.sample(random_actions=True)
    assert block.log_probs["store"] == pytest.approx(np.log(0.25))
    assert set(block.actions["store"].ravel()) == {0, 1, 2, 3}


def test_a_policy_of_two_roles_is_asked_once_a_day():
    both = Constant(100)
    runner = make_runner(others={"warehouse": both, "supplier": both})
    runner.sample()
    ((policy, nodes),) = runner._sampler._others
    assert policy.asked == 16
    assert [runner.env.network.node_names[n] for n in nodes] == ["warehouse", "supplier"]


def test_a_team_is_paid_everybodys_sum() -> None:
    (block,) = make_runner(team=0.25).sample()
    chain = Chain(load_network("two_store", days=DAYS), REPLICATIONS, 0, split="train")
    chain.reset(np.ones(REPLICATIONS, bool), np.arange(REPLICATIONS) * DAYS // 8)
    orders = np.zeros(chain.simulator.shape)
    for role, quantity in {"warehouse": 100.0, "supplier": 120.0}.items():
        orders[:, chain.roles[role].nodes] = quantity
    orders[:, chain.roles["store"].nodes, 0] = chain.orders("store", block.actions["store"][0])
    chain.step(orders)
    everybody = sum(chain.rewards(role).sum(1, keepdims=True) for role in chain.roles)
    assert block.rewards["store"][0] == pytest.approx(0.75 * chain.rewards("store") + 0.25 * everybody, abs=1e-5)


def test_replications_of_one_group_meet_the_same_demand():
    runner = make_runner(replications=6, same_draws=4)  # 2 divides the six
    runner.sample()
    met = runner.env.simulator.state.demand.reshape(6, -1)
    days = runner.env.simulator.state.day
    for first in (0, 2, 4):
        assert np.array_equal(met[first], met[first + 1])
        assert days[first] == days[first + 1]
    assert not np.array_equal(met[0], met[2])
