"""A model is counted from its configuration alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.planning.parts import load_config, read_model
from hmarl.errors import InputError
from llm.adapters import LoraSettings

EXPERTS = LoraSettings(expert_targets=("mlp.experts.gate_up_proj", "mlp.experts.down_proj"))
DENSE = {
    "model_type": "qwen3", "vocab_size": 100, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 4, "intermediate_size": 16, "tie_word_embeddings": True,
}  # fmt: skip


def test_gpt_oss_120b() -> None:
    model = read_model(load_config("openai/gpt-oss-120b"), LoraSettings())
    assert model.base == 116_829_156_672
    assert model.parts["experts"] == pytest.approx(114.66e9, rel=1e-3)
    assert model.parts["embeddings"] == model.parts["head"] == 201_088 * 2880
    # q and o join 2880 with 64 heads of 64, k and v with 8 of them; 16 numbers for each of both sides
    assert model.adapter == 36 * 16 * (2 * (2880 + 4096) + 2 * (2880 + 512))
    assert model.served == pytest.approx(65e9, rel=0.01)
    # half of the layers see 128 tokens; keys and values of 8 heads of 64 in bf16
    assert model.kv_bytes(4096) == 18 * (4096 + 128) * 2 * 8 * 64 * 2
    # attention, the router, 4 of 128 experts, the head: 5.1 billion, as OpenAI has it
    assert model.active + model.head == pytest.approx(5.13e9, rel=0.005)


def test_gpt_oss_20b_with_adapters_on_experts() -> None:
    model = read_model(load_config("openai/gpt-oss-20b"), EXPERTS)
    assert model.base == 20_914_757_184
    attention = 2 * (2880 + 4096) + 2 * (2880 + 512)
    assert model.adapter == 24 * 16 * (attention + 32 * (2880 + 5760) + 32 * (2880 + 2880))


def test_a_dense_model_with_tied_embeddings(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(DENSE))
    for name in (str(path), str(tmp_path)):
        model = read_model(load_config(name), None)
        # q and o 8 x 8, k and v 8 x 4; gate, up and down 8 x 16; norms: two of 8 a layer, q and k of 4, the last of 8
        assert model.parts == {
            "attention": 2 * (2 * 64 + 2 * 32),
            "feed-forward": 2 * 3 * 128,
            "embeddings": 800,
            "norms": 2 * (16 + 8) + 8,
        }
        assert (model.head, model.adapter) == (800, 0)
        assert model.active == 384 + 768
        assert model.served == 2 * model.base
        assert model.kv_bytes(10) == 2 * 10 * 2 * 4 * 2


def test_the_tiny_models_are_known() -> None:
    model = read_model(load_config("tiny-gpt-oss"), None)
    assert (model.experts, model.experts_per_token, model.layers) == (4, 2, 2)
    assert model.windows == (64, None)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "a configuration of transformers has model_type"),
        ('{"model_type": "vit"}', "model_type 'vit': no language model that transformers knows"),
    ],
)
def test_what_is_no_configuration(content: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(InputError, match=line):
        read_model(load_config(str(path)), None)


@pytest.mark.parametrize("name", ["no-such/model", "a b c", ""])
def test_an_unknown_model(name: str) -> None:
    with pytest.raises(InputError, match="nothing is downloaded"):
        load_config(name)


def test_adapters_where_no_layer_is() -> None:
    with pytest.raises(InputError, match="target_modules: 'q_prj': unknown, did you mean q_proj"):
        read_model(load_config("openai/gpt-oss-20b"), LoraSettings(target_modules=("q_prj",)))
