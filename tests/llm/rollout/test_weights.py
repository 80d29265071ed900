from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
import torch

from llm.rollout.engine import Fingerprint, WeightsMismatch
from llm.rollout.weights import adapter_weights, check, digest, installed_kind, merged_weights, serves_adapters

TENSORS = {"b": torch.tensor([[1.0, -0.0]]), "a": torch.tensor([2.0], dtype=torch.bfloat16)}


def test_a_digest_is_of_names_types_shapes_and_bytes() -> None:
    one, two = bytes.fromhex("0000803f"), bytes.fromhex("0040")  # 1.0 in fp32, 2.0 in bf16, lowest byte first
    written = b"a torch.bfloat16 (1,)\n" + two + b"b torch.float32 (1, 2)\n" + one + bytes(4)
    assert digest(TENSORS) == hashlib.sha256(written).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        {"b": TENSORS["b"], "c": TENSORS["a"]},
        {"b": TENSORS["b"], "a": TENSORS["a"].float()},
        {"b": TENSORS["b"].mT, "a": TENSORS["a"]},
        {"b": TENSORS["b"] + torch.tensor([[0.0, 1e-45]]), "a": TENSORS["a"]},
        {"b": TENSORS["b"]},
    ],
    ids=["name", "type", "shape", "one bit", "missing"],
)
def test_a_digest_tells_apart(other: dict[str, torch.Tensor]) -> None:
    assert digest(other) != digest(TENSORS)


def test_a_digest_knows_neither_order_nor_memory_nor_the_sign_of_zero() -> None:
    same = {"a": TENSORS["a"], "b": torch.tensor([[1.0], [0.0]]).mT}
    assert digest(same) == digest(TENSORS)


def test_weights_are_a_copy_in_the_engines_type() -> None:
    tensor = torch.tensor([1.0, 1.0 + 2**-12])
    weights = merged_weights({"head": tensor, "tied": tensor}, version=3, step=7, dtype="bfloat16")
    tensor.zero_()
    assert weights.tensors is not None
    assert weights.tensors["head"].tolist() == weights.tensors["tied"].tolist() == [1.0, 1.0]
    assert weights.manifest.digest == digest({name: torch.ones(2, dtype=torch.bfloat16) for name in ("head", "tied")})
    assert (weights.manifest.version, weights.manifest.step, weights.manifest.kind) == (3, 7, "merged")


@pytest.mark.parametrize(("rslora", "scaling"), [(False, 2.0), (True, 4.0)])
def test_an_adapters_factor_is_multiplied_in(rslora: bool, scaling: float) -> None:
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {f"{name}.lora_A.weight": torch.ones(4, 3), f"{name}.lora_B.weight": torch.ones(5, 4)}
    config = {"r": 4, "lora_alpha": 8, "use_rslora": rslora}
    weights = adapter_weights(tensors, config, version=1, step=1, dtype="float32")
    assert weights.tensors is not None
    assert weights.tensors[f"{name}.lora_A.weight"].unique().tolist() == [1.0]
    assert weights.tensors[f"{name}.lora_B.weight"].unique().tolist() == [scaling]
    assert weights.config["r"] == weights.config["lora_alpha"] == 4
    assert weights.config["target_modules"] == ["q_proj"]


@pytest.mark.parametrize("scored", [[-1.0, -2.2], [-1.0, float("nan")]])
def test_a_fingerprint_that_differs_stops(scored: list[float]) -> None:
    fingerprint = Fingerprint((1,), (2, 3), (-1.0, -2.0), tolerance=0.1)
    weights = merged_weights(TENSORS, version=1, step=1, dtype="float32", fingerprint=fingerprint)
    check(weights, weights.manifest.digest, lambda *_: [[-1.05, -1.95]])
    with pytest.raises(WeightsMismatch, match="log-probabilities of the fingerprint differ"):
        check(weights, weights.manifest.digest, lambda *_: [scored])


def test_a_digest_that_differs_stops() -> None:
    weights = merged_weights(TENSORS, version=1, step=1, dtype="float32")
    with pytest.raises(WeightsMismatch, match="version 1: the engine holds tensors of digest"):
        check(weights, digest({}), lambda *_: [])


def test_adapters_are_served_by_vllm_and_beside_experts_on_gpus_only() -> None:
    dense, experts = SimpleNamespace(hidden_size=8), SimpleNamespace(num_local_experts=4)
    assert serves_adapters(dense, "cpu", "vllm")
    assert serves_adapters(experts, "cuda", "vllm")
    assert not serves_adapters(experts, "cpu", "vllm")
    assert not serves_adapters(dense, "cpu", "transformers")
    assert installed_kind("auto") == "vllm"
