"""Distributions over actions, against torch's own."""

import gymnasium as gym
import pytest
import torch
from torch.distributions import Categorical, Normal

from hmarl.learning.actions import actions_of

DISCRETE = gym.spaces.Discrete(5)
CONTINUOUS = gym.spaces.Box(-1, 1, (2,))


def distribution(space: gym.Space, inputs: torch.Tensor):
    if space is DISCRETE:
        return Categorical(logits=inputs)
    return torch.distributions.Independent(Normal(inputs[..., :2], inputs[..., 2:].exp()), 1)


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_log_probs_entropy_and_their_gradients_are_torchs(space):
    kind, generator = actions_of(space), torch.Generator().manual_seed(0)
    inputs = torch.randn(40, kind.size, generator=generator, dtype=torch.float64, requires_grad=True)
    of_log_probs = torch.randn(40, generator=generator, dtype=torch.float64)
    theirs = distribution(space, inputs)
    actions = kind.sample(inputs.detach(), generator)
    assert actions.shape == (40, *kind.shape)
    ours = kind.evaluate(inputs.detach(), actions)
    assert torch.allclose(ours.log_probs, theirs.log_prob(actions), atol=1e-12)
    assert torch.allclose(kind.log_probs(inputs, actions), ours.log_probs, atol=1e-12)
    assert torch.allclose(ours.entropy, theirs.entropy(), atol=1e-12)
    (theirs.log_prob(actions) @ of_log_probs + 0.3 * theirs.entropy().sum()).backward()
    assert torch.allclose(ours.gradient(of_log_probs, 0.3), inputs.grad, atol=1e-12)


def test_discrete_actions_are_sampled_with_their_probabilities():
    kind, logits = actions_of(gym.spaces.Discrete(3)), torch.log(torch.tensor([0.1, 0.2, 0.7])).expand(20_000, 3)
    actions = kind.sample(logits, torch.Generator().manual_seed(0))
    shares = torch.bincount(actions, minlength=3) / len(actions)
    assert shares.tolist() == pytest.approx([0.1, 0.2, 0.7], abs=4 * 0.5 / 20_000**0.5)
    assert set(kind.likeliest(logits).tolist()) == {2}


def test_continuous_actions_are_sampled_with_their_mean_and_deviation():
    kind, inputs = actions_of(gym.spaces.Box(-1, 1, (1,))), torch.tensor([0.3, -1.0]).expand(20_000, 2)
    actions = kind.sample(inputs, torch.Generator().manual_seed(0))
    assert actions.mean().item() == pytest.approx(0.3, abs=4 * 0.37 / 20_000**0.5)
    assert actions.std().item() == pytest.approx(0.368, abs=0.01)
    assert kind.likeliest(inputs)[0].tolist() == pytest.approx([0.3])
