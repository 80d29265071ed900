"""From messages to token ids and from token ids to an answer."""

from __future__ import annotations

from typing import Any

import pytest

from llm.chat import completion_texts, final_answer, prompt_ids, stop_token_ids
from llm.tiny import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


def test_prompt(tokenizer: Any) -> None:
    text = "<|start|>user<|message|>Order?<|end|><|start|>assistant<|channel|>final<|message|>"
    assert prompt_ids(tokenizer, [{"role": "user", "content": "Order?"}]) == tokenizer.encode(text)


def test_harmony_stops_at_two_tokens(tokenizer: Any) -> None:
    assert set(tokenizer.convert_ids_to_tokens(stop_token_ids(tokenizer))) == {"<|return|>", "<|call|>"}


def test_the_stop_is_no_text_and_markup_is(tokenizer: Any) -> None:
    text = "<|channel|>final<|message|>Order 25"
    for said in (text + "<|return|>", text, text + "<|call|>" + text):
        assert completion_texts(tokenizer, [tokenizer.encode(said)]) == [text]
    assert completion_texts(tokenizer, [[]]) == [""]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" Order 25 ", "Order 25"),
        ("<|channel|>analysis<|message|>30<|end|><|start|>assistant<|channel|>final<|message|>25", "25"),
        ("<|channel|>analysis<|message|>30 or perhaps", ""),
        ("<think>\n30?\n</think>\n\n25", "25"),
        ("<think>30? or", ""),
    ],
)
def test_final_answer(text: str, answer: str) -> None:
    assert final_answer(text) == answer
