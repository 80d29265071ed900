"""Supervised training: what is learned, and by how many."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmarl.errors import InputError
from llm.models import load_tokenizer, resolve
from llm.tasks.demonstrations import Example
from llm.trainers.sft import order_of, tokenised


def test_only_the_answer_is_learned(examples: list[Example]) -> None:
    tokenizer = load_tokenizer(resolve("tiny"))
    (row,) = tokenised(examples[:1], tokenizer, 200)
    answer = [token for token in row["labels"] if token != -100]
    assert tokenizer.decode(answer) == f"{examples[0].response}<|return|>"
    assert row["input_ids"][-len(answer) :] == answer
    assert len(row["labels"]) == len(row["input_ids"])


def test_a_row_that_is_too_long_is_named(examples: list[Example]) -> None:
    with pytest.raises(InputError, match="max_length: 20: example 1 has"):
        tokenised(examples, load_tokenizer(resolve("tiny")), 20)


def test_the_data_come_in_a_new_order_each_time() -> None:
    order = order_of(rows=10, seed=3, batch=4, steps=5)
    assert sorted(order[:10]) == sorted(order[10:]) == [*range(10)]
    assert (order[:10] != order[10:]).any()
    np.testing.assert_array_equal(order[:8], order_of(rows=10, seed=3, batch=4, steps=2))


def test_it_learns_and_what_it_learned_loads(supervised: Any) -> None:
    from transformers import AutoModelForCausalLM

    rows = supervised.rows
    assert [row["steps"] for row in rows] == [*range(1, 81)]
    assert rows[-1]["loss"] < 0.35 * rows[0]["loss"]
    model = AutoModelForCausalLM.from_pretrained(supervised.final)
    assert sum(parameter.numel() for parameter in model.parameters()) > 100_000


def test_two_workers_train_an_adapter_as_one_does_and_it_can_be_merged(
    run_sft: Callable[..., Any], tmp_path: Path
) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    settings = {"use_lora": True, "lora_r": 4, "steps": 3}
    one = run_sft(tmp_path / "one", **settings)
    two = run_sft(tmp_path / "two", **settings, workers=2, batch_size=64)
    np.testing.assert_allclose([row["loss"] for row in two.rows], [row["loss"] for row in one.rows], rtol=1e-4)
    assert two.apart(one) < 1e-4
    adapted = AutoPeftModelForCausalLM.from_pretrained(two.final).merge_and_unload().state_dict()
    shutil.rmtree(one.final)
    merged = AutoModelForCausalLM.from_pretrained(run_sft(one.folder, **settings, merge=True).final).state_dict()
    assert merged.keys() == adapted.keys()
    assert max((merged[name] - adapted[name]).abs().max() for name in merged) < 1e-4
