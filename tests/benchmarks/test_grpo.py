"""Both contenders train in turn on the same prompts; the tables follow from the figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import grpo
from llm.tiny import Size

SMALL = Size(hidden=32, layers=1, heads=1, kv_heads=1, intermediate=32)


def test_the_last_line_is_json(
    ray_session: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grpo, "BENCHMARK_SIZES", {"small": SMALL})
    monkeypatch.setattr(grpo, "LONGEST", 16)
    monkeypatch.setattr(grpo, "MEAN", 6)
    grpo.main(["--quick", "--only", "generation,steps", "--json"])
    *shown, last = capsys.readouterr().out.splitlines()
    (size,) = json.loads(last)["sizes"]
    equal, unequal = size["generation"]
    assert equal["tokens"]["ours"]["mean"] == equal["tokens"]["TRL"]["mean"] == 16
    for name in ("ours", "TRL"):
        assert 3 < unequal["tokens"][name]["mean"] < 9
        parts = size["steps"]["contenders"][name]["parts"]
        assert all(parts[part] > 0 for part in ("generation", "reward", "training"))
    assert size["steps"]["contenders"]["ours"]["parts"]["publishing"] > 0
    assert size["steps"]["contenders"]["TRL"]["parts"]["publishing"] == 0
    assert any("of that" in line for line in shown)


def test_what_the_shares_allow() -> None:
    """Generation is 6 of 10 seconds; three times as fast a step takes 2 + 4; ours takes 6.4."""
    rows = {
        "TRL": [{"step": 10.0, "generation": 6.0, "reward": 0.5, "publishing": 0.0, "tokens": 3000.0}],
        "ours": [{"step": 6.4, "generation": 2.0, "reward": 0.5, "publishing": 0.4, "tokens": 3200.0}],
    }
    table = grpo.of_steps(rows, faster=3.0)
    assert table["allowed"] == pytest.approx(10 / 6)
    assert table["faster"] == pytest.approx(10 / 6.4)
    assert table["of_allowed"] == pytest.approx(6 / 6.4)
    assert table["contenders"]["ours"]["parts"]["training"] == pytest.approx(3.5)
    assert table["contenders"]["ours"]["tokens_per_second"] == pytest.approx(500)
    assert table["contenders"]["TRL"]["shares"]["generation"] == pytest.approx(0.6)


def test_answers_end_at_lengths_that_are_spread_as_asked(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from benchmarks.grpo_contenders import make_random_model

    make_random_model(tmp_path, SMALL, mean_length=20)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        probabilities = model(torch.randint(100, 300, (4, 64))).logits.float().softmax(-1)
    ends = probabilities[..., tokenizer.eos_token_id]
    assert float(ends.mean()) == pytest.approx(1 / 20, rel=0.3)
    others = [token for token in tokenizer.all_special_ids if token != tokenizer.eos_token_id]
    assert float(probabilities[..., others].max()) < 1e-6
