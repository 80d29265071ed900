"""What a worker holds at the worst moment, against what was measured before and what can be worked out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cluster.planning.gpus import GIB
from cluster.planning.memory import Dryrun, Peak, Training, cut, rescaled
from cluster.planning.parts import BUILT_IN, read_model
from llm.adapters import LoraSettings

BIG = BUILT_IN["openai/gpt-oss-120b"]
EXPERTS = LoraSettings(expert_targets=("mlp.experts.gate_up_proj", "mlp.experts.down_proj"))
SMALL: dict[str, Any] = {
    "model_type": "gpt_oss", "vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 64, "num_local_experts": 8,
}  # fmt: skip
TRAINING = Training(SMALL, workers=2, tokens=64, answer_tokens=16)


@pytest.fixture(scope="module")
def dryrun() -> Iterator[Dryrun]:
    with Dryrun() as made:
        yield made


def test_one_worker_holds_all_of_it(dryrun: Dryrun) -> None:
    peak, model = dryrun.peak(replace(TRAINING, workers=1)), read_model(SMALL, TRAINING.lora)
    buffers = 2 * 16 * 4  # frequencies of positions
    assert peak.parameters == 2 * model.base + 4 * model.adapter + buffers
    assert peak.optimiser == pytest.approx(8 * model.adapter, rel=0.01)
    assert peak.gathered == peak.all_gather == 0


@pytest.mark.parametrize("lora", [LoraSettings(), EXPERTS, None], ids=["attention", "experts", "all"])
def test_other_numbers_of_workers_follow_from_one(lora: LoraSettings | None, dryrun: Dryrun) -> None:
    """Exactly with adapters; the gradients of a layer that is computed just then are no one's share."""
    training, model = replace(TRAINING, lora=lora), read_model(SMALL, lora)
    measured, apart = dryrun.peak(training), 1e-4 if lora else 0.05
    for workers in (3, 4):
        expected = dryrun.peak(replace(training, workers=workers))
        assert rescaled(measured, model, training, workers).total == pytest.approx(expected.total, rel=apart)


def test_layers_add_up(dryrun: Dryrun) -> None:
    longer = replace(TRAINING, config={**SMALL, "num_hidden_layers": 8})
    for training in (longer, replace(longer, gradient_checkpointing=False)):
        estimate, measured = dryrun.estimate(training), dryrun.peak(training)
        assert estimate.total == pytest.approx(measured.total, rel=0.01)


def test_adapters_are_whole_and_weights_are_shared(dryrun: Dryrun) -> None:
    peak, model = dryrun.peak(replace(TRAINING, workers=4)), read_model(SMALL, TRAINING.lora)
    assert peak.parameters == pytest.approx(2 * model.base / 4 + 4 * model.adapter, rel=0.02)
    assert peak.gradients == 4 * model.adapter
    layer = sum(t.size for t in read_model(cut(SMALL, 1), None).tensors if t.part not in ("embeddings", "head")) - 64
    assert peak.gathered == pytest.approx(2 * layer, rel=0.01)


def test_without_checkpointing_activations_are_kept(dryrun: Dryrun) -> None:
    less, more = (dryrun.peak(replace(TRAINING, gradient_checkpointing=kept)) for kept in (True, False))
    assert more.activations > 3 * less.activations


def base(peak: Peak) -> float:
    """GiB without what adapters are."""
    return (peak.total - peak.gradients - peak.optimiser) / GIB


def test_gpt_oss_120b_on_8_gpus(dryrun: Dryrun) -> None:
    """Measured before, in GiB: 27.2 sharded, 6.0 gathered, 6.0 on their way, 46.8 in all."""
    peak = dryrun.estimate(Training(BIG, 8, 4096, 1024))
    assert peak.parameters / GIB == pytest.approx(27.2, rel=0.02)
    assert peak.gathered / GIB == pytest.approx(6.0, rel=0.02)
    assert peak.all_gather / GIB == pytest.approx(6.0, rel=0.02)
    assert peak.total / GIB == pytest.approx(46.8, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "lora", "checkpointing", "total", "of_adapters"),
    [
        (8, EXPERTS, True, 53.2, 1.2 + 0.5),
        (8, LoraSettings(), False, 145.7, 0.0),
    ],
)
def test_gpt_oss_120b(
    workers: int, lora: LoraSettings, checkpointing: bool, total: float, of_adapters: float, dryrun: Dryrun
) -> None:
    """The table measured before. There adapters were shared out in bf16; the trainers keep them whole in float32."""
    peak = dryrun.peak(Training(BIG, workers, 4096, 1024, lora=lora, gradient_checkpointing=checkpointing))
    whole = 4 * read_model(BIG, lora).adapter / GIB
    assert base(peak) - whole == pytest.approx(total - of_adapters, rel=0.1)
