"""Sampling of tokens, which an answer's seed alone decides: one number in [0, 1) a token, and the inverse of the
distribution function."""

from __future__ import annotations

import torch
from torch import Tensor

from llm.rollout.engine import Sampling


def drawn(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Tokens ``(n,)`` for logits ``(n, vocabulary)`` and numbers ``(n,)`` in [0, 1)."""
    below = logits.double().softmax(-1).cumsum(-1)
    found = torch.searchsorted(below, uniforms.double()[:, None] * below[:, -1:], right=True)
    return found.squeeze(-1).clamp_max(logits.shape[-1] - 1)


def sample(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Tokens drawn by inverting the distribution function, and their log-probabilities.

    Parameters
    ----------
    logits
        ``(n, vocabulary)``.
    uniforms
        ``(n,)`` in [0, 1).
    sampling
        Temperature and top-p: the least number of likeliest tokens whose probabilities sum to at least top-p.
    """
    logits = logits.float()
    if sampling.temperature == 0:
        token = logits.argmax(-1)
    else:
        logits = logits / sampling.temperature
        if sampling.top_p < 1:
            probabilities, order = logits.softmax(-1).sort(descending=True)
            beyond = probabilities.cumsum(-1) - probabilities >= sampling.top_p
            logits = logits.masked_fill(beyond.scatter(-1, order, beyond), -torch.inf)
        token = drawn(logits, uniforms)
    return token, logits.log_softmax(-1).gather(-1, token[:, None]).squeeze(-1)
