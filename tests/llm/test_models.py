"""Loading and saving language models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hmarl import InputError
from llm.models import (
    LoraSettings,
    base_of,
    export,
    load_model,
    load_tokenizer,
    on_this_node,
    origin_of,
    parameter_counts,
    resolve,
)
from llm.tiny import tiny_model

TOKENS = [[5, 70, 90, 300, 40, 12]]
ATTENTION = LoraSettings(r=4, alpha=8)
EXPERTS = LoraSettings(r=4, alpha=8, expert_targets=("mlp.experts.gate_up_proj", "mlp.experts.down_proj"))


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(torch.tensor(TOKENS)).logits


def stir(model: Any) -> None:
    """As if it had been trained: every weight that can be is moved."""
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))


def test_names_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("tiny") == tiny_model("tiny")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match=r"^model: mine: a folder without config.json"):
        resolve("mine")
    (tmp_path / "mine" / "config.json").touch()
    assert resolve("mine") == tmp_path / "mine"


def test_a_node_has_a_model_by_its_name_where_it_does_not_see_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "driver"))
    path = resolve("tiny")
    own = tmp_path / "own"
    shutil.copytree(path, own)
    assert (origin_of(path, "tiny"), origin_of(own, "tiny"), origin_of(own, str(own))) == ("tiny", "", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))
    shutil.rmtree(tmp_path / "driver")
    there = on_this_node(path, "tiny")
    assert there.is_relative_to(tmp_path / "node")
    assert (there / "model.safetensors").read_bytes() == (own / "model.safetensors").read_bytes()
    assert on_this_node(own, "") == own
    with pytest.raises(InputError, match=r"gone: not seen on node .*: all nodes must see the folder"):
        on_this_node(tmp_path / "gone", "")


def test_a_model_of_the_hub_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found without a network, and an adapter names it as the hub does, with its revision."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    model = tmp_path / "models--org--small" / "snapshots" / commit
    model.parent.mkdir(parents=True)
    (tmp_path / "models--org--small" / "refs").mkdir()
    (tmp_path / "models--org--small" / "refs" / "main").write_text(commit)
    model.symlink_to(tiny_model("tiny"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve("org/small") == model
    export(load_model(model, lora=ATTENTION), load_tokenizer(model), tmp_path / "final")
    config = json.loads((tmp_path / "final" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/small", commit)
    assert base_of(tmp_path / "final") == (model, tmp_path / "final")


@pytest.mark.parametrize("name", ["org/nowhere", "no such/folder/here", ""])
def test_a_model_that_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"^model: .*one of tiny, tiny-qwen3-moe, tiny-gpt-oss, a folder"):
        resolve(name)


def test_a_tokenizer_without_chat_template_is_refused(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_model("tiny"))
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no chat template"):
        load_tokenizer(tmp_path)


def test_prompts_of_gpt_oss_are_the_same_every_day(tmp_path: Path) -> None:
    """Its template writes the date and how hard to reason; both hold in what is exported too."""
    import trl

    template = (Path(trl.__file__).parent / "chat_templates" / "gptoss.jinja").read_text()
    tokenizer = load_tokenizer(tiny_model("tiny-gpt-oss"))
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path / "a")
    question = [{"role": "user", "content": "Order?"}]
    for effort, source, target in (("low", "a", "b"), ("high", "b", "c")):
        tokenizer = load_tokenizer(tmp_path / source, reasoning_effort=effort)
        text = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
        assert f"Current date: 2025-08-05\n\nReasoning: {effort}\n" in text
        assert text.endswith("<|start|>user<|message|>Order?<|end|><|start|>assistant")
        tokenizer.save_pretrained(tmp_path / target)


def test_gpt_oss_attends_with_its_sinks() -> None:
    assert load_model(tiny_model("tiny-gpt-oss")).config._attn_implementation == "eager"


def test_full_model(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = load_model(tiny_model("tiny"), gradient_checkpointing=True)
    assert not model.config.use_cache
    assert model.is_activation_checkpointing
    counts = parameter_counts(model)
    assert counts.trainable == counts.total == model.num_parameters()
    stir(model)
    export(model, load_tokenizer(tiny_model("tiny")), tmp_path / "final")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    assert (logits(loaded) == logits(model)).all()
    assert loaded.config.use_cache
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "final")
    assert tokenizer.chat_template == load_tokenizer(tiny_model("tiny")).chat_template
    export(model, tokenizer, tmp_path / "final")  # an older one is replaced
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


@pytest.mark.parametrize(
    ("name", "lora", "trainable"),
    [
        # 2 layers of 4 adapters: r (in + out) each: q 64+128, k 64+64, v 64+64, o 128+64
        ("tiny", ATTENTION, 2 * 4 * (192 + 128 + 128 + 192)),
        ("tiny-qwen3-moe", EXPERTS, 2 * 4 * (640 + 4 * (64 + 128) + 4 * (64 + 64))),
        ("tiny-gpt-oss", EXPERTS, 2 * 4 * (640 + 4 * (64 + 128) + 4 * (64 + 64))),
        ("tiny", LoraSettings(r=1, target_modules=("all-linear",)), 2 * (640 + 3 * 192)),
    ],
)
def test_adapters(name: str, lora: LoraSettings, trainable: int, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    model, base = load_model(tiny_model(name), lora=lora), load_model(tiny_model(name))
    assert parameter_counts(model).trainable == trainable
    before = logits(model)
    assert (before == logits(base)).all()  # an adapter begins as nothing
    stir(model)
    after = logits(model)
    assert (after - before).abs().max() > 1e-3
    tokenizer = load_tokenizer(tiny_model(name))
    export(model, tokenizer, tmp_path / "final")
    loaded = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "final", attn_implementation="eager")
    assert (logits(loaded) - after).abs().max() < 1e-5
    assert (logits(AutoModelForCausalLM.from_pretrained(tmp_path / "final")) - after).abs().max() < 1e-5
    export(model, tokenizer, tmp_path / "merged", merge=True)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert not (tmp_path / "merged" / "adapter_config.json").exists()
    assert (logits(merged) - after).abs().max() < 1e-5


def test_training_goes_on_from_an_adapter(tmp_path: Path) -> None:
    model = load_model(tiny_model("tiny"), lora=ATTENTION)
    stir(model)
    export(model, load_tokenizer(tiny_model("tiny")), tmp_path / "sft")
    on = load_model(resolve(str(tmp_path / "sft")), lora=ATTENTION)
    assert parameter_counts(on) == parameter_counts(model)
    assert (logits(on) - logits(model)).abs().max() < 1e-6
    full = load_model(tmp_path / "sft")
    assert parameter_counts(full) == parameter_counts(load_model(tiny_model("tiny")))
    assert (logits(full) - logits(model)).abs().max() < 1e-5
    with pytest.raises(InputError, match=r"^lora_r: 16: the adapter in .*sft that training starts from has 4"):
        load_model(tmp_path / "sft", lora=LoraSettings())


@pytest.mark.parametrize(
    ("lora", "line"),
    [
        (LoraSettings(target_modules=("q_prj",)), "target_modules: 'q_prj': unknown, did you mean q_proj"),
        (LoraSettings(expert_targets=("mlp.experts.up",)), "expert_targets: 'mlp.experts.up': unknown"),
        (LoraSettings(dropout=0.1, expert_targets=("mlp.experts.down_proj",)), "lora_dropout: 0.1: 0 with"),
    ],
)
def test_adapters_that_cannot_be(lora: LoraSettings, line: str) -> None:
    with pytest.raises(InputError, match=line):
        load_model(tiny_model("tiny-gpt-oss"), lora=lora)


def test_experts_of_one_layer() -> None:
    lora = LoraSettings(r=1, target_modules=("q_proj",), expert_targets=("1.mlp.experts.down_proj",))
    names = [n for n, p in load_model(tiny_model("tiny-gpt-oss"), lora=lora).named_parameters() if p.requires_grad]
    assert {name.split("layers.")[1].partition(".")[0] for name in names if "experts" in name} == {"1"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [("tiny", "needs a GPU"), ("tiny-gpt-oss", "gpt_oss: bitsandbytes quantises linear layers; the experts")],
)
@pytest.mark.parametrize("bits", [4, 8])
def test_where_weights_cannot_be_quantised(name: str, reason: str, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"^load_in_{bits}bit: .*{reason}"):
        load_model(tiny_model(name), lora=ATTENTION, **{f"load_in_{bits}bit": True})


def test_mxfp4_weights_become_bfloat16(tmp_path: Path) -> None:
    """As gpt-oss is shipped: 4-bit values (two a byte, the low half first) and a power of two for each 32 of them."""
    import torch
    from safetensors.torch import load_file, save_file

    source = tiny_model("tiny-gpt-oss")
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(source / "model.safetensors").items()}
    generator = torch.Generator().manual_seed(0)
    for layer in range(2):
        for part in ("gate_up_proj", "down_proj"):
            key = f"model.layers.{layer}.mlp.experts.{part}"
            experts, inputs, outputs = tensors.pop(key).shape
            shape = (experts, outputs, inputs // 32, 16)
            tensors[f"{key}_blocks"] = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            tensors[f"{key}_scales"] = torch.randint(120, 125, shape[:3], dtype=torch.uint8, generator=generator)
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))

    model = load_model(tmp_path, lora=ATTENTION)
    weight = model.get_submodule("base_model.model.model.layers.0.mlp.experts").gate_up_proj
    assert weight.dtype == torch.bfloat16
    key = "model.layers.0.mlp.experts.gate_up_proj"
    byte, scale = int(tensors[f"{key}_blocks"][1, 3, 0, 2]), int(tensors[f"{key}_scales"][1, 3, 0])
    values = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    values += [-value for value in values]
    assert weight[1, 4:6, 3].tolist() == [
        values[byte & 15] * 2.0 ** (scale - 127),
        values[byte >> 4] * 2.0 ** (scale - 127),
    ]
    export(model, load_tokenizer(source), tmp_path / "merged", merge=True)
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())


def test_layers_that_fit_on_no_device_are_offloaded(tmp_path: Path) -> None:
    places = {"model": "disk", "lm_head": "cpu"}
    model = load_model(tiny_model("tiny"), device_map=places, offload_folder=tmp_path)
    assert model.hf_device_map == places
    assert (logits(model) == logits(load_model(tiny_model("tiny")))).all()
