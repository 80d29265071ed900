"""Bytes and seconds against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.planning.engines import UTILISATION, WORKING, Engine, engines
from cluster.planning.gpus import Gpu
from cluster.planning.parts import Model, Tensor
from cluster.planning.seconds import ADAPTER, COMPUTE, LINKS, MEMORY, PUBLISH, SCORES, Work, compute_seconds, step

GPU = Gpu(memory=100e9, flops=1e12, bandwidth=1e12, link=1e11, network=1e10)
MODEL = Model(
    tensors=(
        Tensor("attention", (2_000_000_000,)),
        Tensor("experts", (8, 1_000_000_000)),
        Tensor("head", (1_000_000_000,)),
        Tensor("adapter", (1_000_000,)),
    ),
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=8,
    windows=(10, None),
    experts=8,
    experts_per_token=2,
    eager=True,
    mxfp4=False,
)
WORK = Work(
    tokens=100, answer_tokens=20, rows=16, num_generations=4, batch_size=1, gradient_checkpointing=True, adapters=True
)
ENGINE = Engine(1, weights=22e9, room=1e9, sequence=1e8)


def test_a_token_uses_some_experts() -> None:
    assert MODEL.active == 2e9 + 8e9 * 2 / 8
    assert MODEL.base == 11e9


def test_computing() -> None:
    """Forward, again forward, and backward for the inputs: 3 times 2 operations a parameter and token."""
    weights = 3 * 2 * (100 * 4e9 + 20 * 1e9)
    scores = 2 * 4 * 100**2
    attention = 4 * scores * 8 * 4
    moved = scores * 2 * SCORES * 3
    expected = (weights + attention) / (1e12 * COMPUTE) + moved / (1e12 * MEMORY)
    assert compute_seconds(MODEL, GPU, WORK) == pytest.approx(expected)
    assert compute_seconds(MODEL, GPU, replace(WORK, gradient_checkpointing=False)) < expected


def test_a_step_within_a_node() -> None:
    found = step(MODEL, GPU, WORK, workers=4, gpus_per_node=8, engine=ENGINE, engines=2)
    assert found.passes == 4
    assert found.gathered == 2 * 22e9 * 3 / 4
    assert found.gather == pytest.approx(33e9 / (1e11 * LINKS))
    assert found.training == pytest.approx(4 * max(found.compute, found.gather))
    assert found.publishing == pytest.approx(2e6 / PUBLISH + 16.5e9 / (1e11 * LINKS))  # and a forward pass
    # 8 answers at once to 2 prompts of 80 tokens; of 8 experts (3/4)^8 are left alone in a token's pass
    reading = 2 * 2 * 80 * 4e9 / (1e12 * COMPUTE)
    left = (3 / 4) ** 8 * 22e9 * 8 / 11
    cached = 8 * (10 + 100) * 2 * 2 * 8 * 2
    memory = (22e9 - left + cached) / (1e12 * MEMORY)
    computing = 2 * 8 * 5e9 / (1e12 * COMPUTE)
    assert found.generation == pytest.approx((reading + 20 * max(memory, computing)) * ADAPTER)
    assert found.seconds == pytest.approx(found.generation + found.training + found.publishing)


def test_between_nodes_the_network_counts() -> None:
    """Each of 2 nodes receives half of the weights, twice, over 4 shares of the network."""
    found = step(MODEL, GPU, WORK, workers=8, gpus_per_node=4, engine=ENGINE, engines=2)
    assert found.gather == pytest.approx(2 * 22e9 / 2 / 4e10 / LINKS)


def test_answers_wait_for_room() -> None:
    """Two at a time rather than eight: four times as long, but that two use fewer experts a token."""
    crowded, fast = replace(ENGINE, room=2.5e8), replace(GPU, flops=1e16)
    assert crowded.at_once == 2
    few, many = (step(MODEL, fast, WORK, 4, 8, engine, 2).generation for engine in (crowded, ENGINE))
    assert 2 * many < few < 4 * many


def test_room_in_engines() -> None:
    one, two, four = engines(MODEL, GPU, gpus_per_node=4, tokens=100, adapters=True)
    assert [engine.tensor_parallel for engine in (one, two, four)] == [1, 2, 4]
    assert one.room == pytest.approx(100e9 * UTILISATION - 22e9 - WORKING)
    assert two.room == pytest.approx(one.room + 11e9)
    assert one.sequence == (10 + 100) * 2 * 2 * 8 * 2
    assert two.sequence == four.sequence == one.sequence / 2  # two heads of keys: no third part of them


def test_merged_weights_are_served_by_one_gpu_in_bf16() -> None:
    shipped = replace(MODEL, mxfp4=True)
    (engine,) = engines(shipped, GPU, gpus_per_node=4, tokens=100, adapters=False)
    assert engine.weights == 22e9
    served = next(engines(shipped, GPU, gpus_per_node=4, tokens=100, adapters=True))
    assert served.weights == pytest.approx(3e9 * 2 + 8e9 * 4.25 / 8)
