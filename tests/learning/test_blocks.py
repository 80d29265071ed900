"""Blocks: divided among learners, and made a training batch of."""

from __future__ import annotations

import numpy as np
import pytest
import ray
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.evaluation.postprocessing import Postprocessing

from hmarl.learning.actions import Categorical, Gaussian
from hmarl.learning.blocks import Block, TrainingBatch
from hmarl.learning.distributed import moments
from hmarl.learning.module import GLOBAL, LOCAL
from hmarl.learning.sampler import Sampler
from hmarl.network import load_network
from hmarl.roles import Chain, critic_view

NETWORK = load_network("two_store", days=10)


class Constant:
    name = "constant"

    def orders(self, chain: Chain) -> np.ndarray:
        return np.full(chain.simulator.shape, 100.0)


class Module:
    """Its outputs are the first features seen; its value of an observation is its own stock feature."""

    def unwrapped(self):
        return self

    def parameters(self):
        return iter([torch.zeros(())])

    def _forward_exploration(self, batch):
        return {Columns.ACTION_DIST_INPUTS: batch[Columns.OBS][LOCAL][..., :4]}

    def compute_values(self, batch):
        return batch[Columns.OBS][GLOBAL][..., 0]


MODULES = {"store": Module(), "warehouse": Module()}


def play(replications: int, days: int = 16, seed: int = 0) -> Block:
    chain = Chain(NETWORK, replications, seed)
    chain.reset(first_day=np.arange(replications) % 8)
    kinds = {role: Categorical(4) for role in MODULES}
    sampler = Sampler(chain, kinds, {"supplier": Constant()}, endless=False, team=0, seed=seed)
    return sampler.play(MODULES, days)[0]


def batch_of(blocks: list[Block]) -> dict[str, dict]:
    return TrainingBatch(network=NETWORK, gamma=0.9, lambda_=0.8)(rl_module=MODULES, batch={}, episodes=blocks)


def test_a_block_becomes_a_training_batch():
    rng = np.random.default_rng(0)
    roles = {role: (len(a.agents), len(a.features)) for role, a in Chain(NETWORK).roles.items()}
    seen = {role: rng.normal(size=(2, 1, *shape)).astype(np.float32) for role, shape in roles.items()}
    seen["store"][:, 0, 0, 0] = 1, 2  # the value of store_1
    after = {role: o[0] for role, o in seen.items()}
    after["store"] = after["store"].copy()
    after["store"][0, 0, 0] = 4
    block = Block(
        observations=seen,
        next_observations=after,
        cuts=None,
        ends=np.zeros((2, 1), bool),
        actions={"store": np.array([[[0, 1]], [[2, 3]]])},
        inputs={"store": np.zeros((2, 1, 2, 4), np.float32)},
        log_probs={"store": np.full((2, 1, 2), -1, np.float32)},
        rewards={"store": np.array([[[3, 0]], [[5, 0]]], np.float32)},
    )
    batch = TrainingBatch(network=NETWORK, gamma=0.5, lambda_=1.0)(
        rl_module=MODULES, batch={}, episodes=[block, block]
    )["store"]
    assert batch[Columns.ACTIONS].tolist() == [0, 1, 2, 3] * 2
    expected = critic_view(NETWORK, seen)["store"].reshape(4, -1)
    assert torch.equal(batch[Columns.OBS][GLOBAL][:4], torch.from_numpy(expected))
    assert batch[Columns.OBS][LOCAL].shape == (8, 7)
    assert batch[Columns.ACTION_DIST_INPUTS].shape == (8, 4)
    # store_1: 5 + 4/2 = 7 on the second day, 3 + 7/2 = 6.5 on the first
    assert batch[Postprocessing.VALUE_TARGETS][[0, 2]].tolist() == [6.5, 7]
    advantages = batch[Postprocessing.ADVANTAGES]
    assert advantages.mean().item() == pytest.approx(0, abs=1e-6)
    assert advantages.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_advantages_are_over_those_of_the_replications_with_the_same_draws():
    block = play(6)
    plain, over = (
        TrainingBatch(network=NETWORK, gamma=0.9, lambda_=0.8, same_draws=same)(
            rl_module=MODULES, batch={}, episodes=[block]
        )["store"]
        for same in (1, 3)
    )
    assert torch.equal(plain[Postprocessing.VALUE_TARGETS], over[Postprocessing.VALUE_TARGETS])
    one = plain[Postprocessing.ADVANTAGES].view(16, 2, 3, 2)
    expected = one - one.mean(2, keepdim=True)
    centred = over[Postprocessing.ADVANTAGES].view(16, 2, 3, 2)
    assert centred.mean(2).abs().max() < 1e-6
    assert torch.allclose(centred, expected / expected.std(correction=0), atol=1e-5)


@pytest.mark.parametrize(("learners", "replications"), [(2, [5, 5]), (3, [4, 2, 4]), (5, [2, 2, 2, 2, 2])])
def test_learners_share_every_agent_step_without_copies(learners: int, replications: list[int]):
    blocks = [play(6), play(4, seed=1)]
    shards = [data.episodes for data, _ in TrainingData(episodes=blocks).shard(learners, minibatch_size=64)]
    assert [sum(block.env_steps() for block in shard) // 16 for shard in shards] == replications
    assert np.shares_memory(shards[0][0].rewards["store"], blocks[0].rewards["store"])
    for role in MODULES:
        whole = batch_of(blocks)[role]
        parts = [batch_of(shard)[role] for shard in shards]
        for column in (Postprocessing.VALUE_TARGETS, Columns.ACTION_LOGP, Columns.VF_PREDS):
            together = torch.cat([part[column] for part in parts]).sort().values
            assert torch.equal(together, whole[column].sort().values)


def test_blocks_behind_references_are_shared_and_read(ray_session: None):
    blocks = [play(6), play(6, seed=1)]
    shards = TrainingData(episodes_refs=[ray.put([block]) for block in blocks]).shard(2)
    for (data, _), block in zip(shards, blocks, strict=True):
        data.solve_refs()
        ours, theirs = batch_of(data.episodes)["store"], batch_of([block])["store"]
        assert torch.equal(ours[Postprocessing.ADVANTAGES], theirs[Postprocessing.ADVANTAGES])


def test_a_part_of_a_block_knows_its_cuts_and_what_came_after():
    block = play(6)
    part = block[2 * 16 : 5 * 16]
    assert (len(part), part.env_steps(), part.agent_steps()) == (48, 48, 3 * 48)
    assert np.array_equal(part.ends, block.ends[:, 2:5])
    assert np.array_equal(part.next_observations["store"], block.next_observations["store"][2:5])
    assert sorted(zip(part.cuts.day, part.cuts.row, strict=True)) == sorted(zip(*np.nonzero(part.ends), strict=True))
    values = batch_of([part])["store"][Postprocessing.VALUE_TARGETS].reshape(16, 3, 2)
    of_all = batch_of([block])["store"][Postprocessing.VALUE_TARGETS].reshape(16, 6, 2)
    assert torch.equal(values, of_all[:, 2:5])
    assert block[:1].ends.shape == (16, 1)  # whole replications, rounded up
    assert block.slice(slice(1, None), len_lookback_buffer=3).ends.shape == (16, 5)


def test_blocks_have_room_for_continuous_actions():
    block = Block.empty(Chain(NETWORK, 3), {"store": Gaussian((1,))}, days=5)
    assert (block.actions["store"].shape, block.actions["store"].dtype) == ((5, 3, 2, 1), np.float32)
    assert block.inputs["store"].shape == (5, 3, 2, 2)


def test_moments_of_large_numbers_that_differ_little():
    values = torch.tensor([1e4, 1e4 + 1, 1e4 + 2])
    mean, std = moments(values)
    assert mean.item() == 10001
    assert std.item() == pytest.approx((2 / 3) ** 0.5, rel=1e-6)
