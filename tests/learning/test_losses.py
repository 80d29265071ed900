"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from hmarl.learning.losses import entropy, surrogate_loss, value_loss


def test_surrogate_is_clipped_on_the_side_where_it_would_gain():
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5])
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0])
    # the smaller of both: 1.2 x 1, 1.5 x -1, 0.5 x 1, 0.8 x -1; minus their mean
    assert surrogate_loss(ratio, advantages, 0.2).item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4)


def test_squared_and_huber_agree_on_small_errors_only():
    predictions, targets = torch.tensor([0.0, 0.0]), torch.tensor([0.5, 3.0])
    assert value_loss(predictions, targets, "squared").item() == pytest.approx((0.25 + 9) / 2)
    assert value_loss(predictions, targets, "huber").item() == pytest.approx((0.25 + 2 * 2.5) / 2)


def test_entropy_of_a_fair_and_a_loaded_coin():
    log_probs = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75]]))
    loaded = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert entropy(log_probs).item() == pytest.approx((math.log(2) + loaded) / 2)
