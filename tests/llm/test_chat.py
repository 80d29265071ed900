"""From messages to token ids and from token ids to an answer."""

from __future__ import annotations

from typing import Any

import pytest

from llm.chat import completion_texts, prompt_ids, stop_token_ids
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
    completions = [text + "<|return|>", text, "", text + "<|call|>" + text]
    assert completion_texts(tokenizer, [tokenizer.encode(said) for said in completions]) == [text, text, "", text]
