"""Losses against numbers worked out by hand, their gradients against autograd."""

import pytest
import torch

from hmarl.learning.losses import surrogate_gradient, surrogate_loss, value_gradient, value_loss


def test_surrogate_is_clipped_on_the_side_where_it_would_gain():
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5])
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0])
    # the smaller of both: 1.2 x 1, 1.5 x -1, 0.5 x 1, 0.8 x -1; minus their mean
    assert surrogate_loss(ratio, advantages, 0.2).item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4)


def test_squared_and_huber_agree_on_small_errors_only():
    predictions, targets = torch.tensor([0.0, 0.0]), torch.tensor([0.5, 3.0])
    assert value_loss(predictions, targets, "squared").item() == pytest.approx((0.25 + 9) / 2)
    assert value_loss(predictions, targets, "huber").item() == pytest.approx((0.25 + 2 * 2.5) / 2)


def test_gradients_are_autograds():
    generator = torch.Generator().manual_seed(0)
    log_ratio = (0.5 * torch.randn(200, generator=generator)).requires_grad_()
    advantages = torch.randn(200, generator=generator)
    surrogate_loss(log_ratio.exp(), advantages, 0.2).backward()
    ours = surrogate_gradient(log_ratio.exp().detach(), advantages, 0.2)
    assert 0 < (ours == 0).sum() < 100  # some are clipped
    assert torch.allclose(ours, log_ratio.grad, atol=1e-9)
    for kind in ("squared", "huber"):
        values = (3 * torch.randn(200, generator=generator)).requires_grad_()
        value_loss(values, advantages, kind).backward()
        assert torch.allclose(value_gradient(values.detach(), advantages, kind), values.grad, atol=1e-9)
