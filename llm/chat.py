"""Conversations and token ids: what a model is given, where it stops, what it said."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from llm.tasks.answers import final_text
from llm.tasks.task import Message, ParseError

_STOPS = ("<|return|>", "<|call|>", "<|im_end|>", "<|eot_id|>")


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to the model's turn."""
    ids: list[int] = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=False)
    return ids


def stop_token_ids(tokenizer: Any) -> tuple[int, ...]:
    """Tokens that end the model's turn; harmony has two."""
    marks = tokenizer.added_tokens_encoder
    return tuple(sorted({tokenizer.eos_token_id, *(marks[stop] for stop in _STOPS if stop in marks)}))


def completion_texts(tokenizer: Any, completions: Sequence[Sequence[int]]) -> list[str]:
    """What a model said in each completion, with its markup, up to the token that ended it."""
    stops = set(stop_token_ids(tokenizer))
    said = [list(itertools.takewhile(lambda token: token not in stops, ids)) for ids in completions]
    texts: list[str] = tokenizer.batch_decode(said)
    return texts


def final_answer(text: str) -> str:
    """What a completion says without its reasoning; nothing where it was cut off while it reasoned.

    >>> final_answer("<|channel|>analysis<|message|>Low stock.<|end|><|start|>assistant<|channel|>final<|message|>25")
    '25'
    """
    try:
        return final_text(text).strip()
    except ParseError:
        return ""
