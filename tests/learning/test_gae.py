"""Advantages against numbers worked out by hand; gamma = lambda = 1/2 unless said."""

import numpy as np
import pytest
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

from hmarl.learning.gae import gae

REWARDS = np.array([1.0, 2.0, 3.0])
VALUES = np.ones(3)
ON = np.array([False, False, False])
CUT = np.array([False, True, False])


def test_the_last_day_is_bootstrapped():
    # deltas 1 + .5 - 1 = .5, 2 + .5 - 1 = 1.5, 3 + 2 - 1 = 4; 1.5 + 4/4 = 2.5; .5 + 2.5/4 = 1.125
    assert gae(REWARDS, VALUES, np.array([1, 1, 4.0]), ON, 0.5, 0.5) == pytest.approx([1.125, 2.5, 4])


def test_a_truncated_episode_is_worth_its_last_observation_and_nothing_after_it():
    # deltas .5, 2 + .5 x 6 - 1 = 4, 4; the 4 of the next episode does not flow back; .5 + 4/4 = 1.5
    assert gae(REWARDS, VALUES, np.array([1, 6, 4.0]), CUT, 0.5, 0.5) == pytest.approx([1.5, 4, 4])


def test_a_terminated_episode_is_worth_nothing_more():
    # delta 2 + 0 - 1 = 1; .5 + 1/4 = .75
    assert gae(REWARDS, VALUES, np.array([1, 0, 4.0]), CUT, 0.5, 0.5) == pytest.approx([0.75, 1, 4])


def test_lambda_one_is_the_discounted_return_less_the_value():
    # 1 + 2/2 + 3/4 + 4/8 - 1
    assert gae(REWARDS, VALUES, np.array([1, 1, 4.0]), ON, 0.5, 1.0)[0] == pytest.approx(2.25)


def test_lambda_zero_is_one_step():
    assert gae(REWARDS, VALUES, np.array([1, 1, 4.0]), ON, 0.5, 0.0) == pytest.approx([0.5, 1.5, 4])


def test_replications_and_agents_do_not_mix():
    rewards = np.stack([REWARDS, 10 * REWARDS])[None].transpose(2, 1, 0)  # (3, 2, 1)
    ends = np.array([[False, False], [False, True], [False, False]])[:, :, None]
    values, following = np.zeros((3, 2, 1)), np.zeros((3, 2, 1))
    # without an end 3, 2 + 3/4, 1 + 2.75/4; with one after day 1: 30, 20, 10 + 20/4
    expected = np.array([[1.6875, 15], [2.75, 20], [3, 30]])
    assert gae(rewards, values, following, ends, 0.5, 0.5)[:, :, 0] == pytest.approx(expected)


def test_rllib_says_the_same():
    """Terminated, truncated and cut episodes in a row, each with the extra last step that RLlib's connector wants."""
    rng = np.random.default_rng(0)
    lengths = {"terminated": 7, "truncated": 5, "cut": 9}
    rewards, values, following, ends, expected = [], [], [], [], []
    for how, length in lengths.items():
        reward = rng.normal(size=length).astype(np.float32)
        value = rng.normal(size=length + 1).astype(np.float32)
        terminated, truncated = np.zeros(length + 1), np.zeros(length + 1)
        terminated[length - 1 :] = how == "terminated"
        truncated[length - 1 :] = how != "terminated"
        targets = compute_value_targets(value, np.append(reward, np.float32(0)), terminated, truncated, 0.97, 0.9)
        expected.append((targets - value)[:-1])
        rewards.append(reward)
        values.append(value[:-1])
        following.append(np.append(value[1:-1], 0 if how == "terminated" else value[-1]))
        ends.append(np.arange(length) == length - 1)
    ours = gae(*(np.concatenate(x) for x in (rewards, values, following, ends)), 0.97, 0.9)
    assert ours == pytest.approx(np.concatenate(expected), abs=1e-6)
