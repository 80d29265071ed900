"""Conversations and token ids: what a model is given, where it stops, what it said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm.tasks.task import Message

_FINAL = "<|channel|>final<|message|>"  # harmony, the format of gpt-oss
_ANALYSIS = "<|channel|>analysis<|message|>"
_THOUGHT = "</think>"  # Qwen3 and others
_STOPS = ("<|return|>", "<|call|>", "<|im_end|>", "<|eot_id|>")


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to the model's turn."""
    ids: list[int] = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=False)
    return ids


def stop_token_ids(tokenizer: Any) -> tuple[int, ...]:
    """Tokens that end the model's turn; harmony has two."""
    marks = tokenizer.get_vocab()
    return tuple(sorted({tokenizer.eos_token_id, *(marks[stop] for stop in _STOPS if stop in marks)}))


def completion_text(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """The text of what a model generated: its markup kept, the token that ended it left out."""
    ids = list(token_ids)
    if ids and ids[-1] in stop_token_ids(tokenizer):
        ids.pop()
    text: str = tokenizer.decode(ids)
    return text


def final_answer(text: str) -> str:
    """What a completion answers, without the reasoning before it.

    >>> final_answer("<|channel|>analysis<|message|>Low stock.<|end|><|start|>assistant<|channel|>final<|message|>25")
    '25'
    >>> final_answer("<think>Low stock.</think> 25")
    '25'

    A completion that was cut off while it reasoned answers nothing.
    """
    if _FINAL in text:
        return text.rpartition(_FINAL)[2].strip()
    if _ANALYSIS in text:
        return ""
    if "<think>" in text or _THOUGHT in text:
        return text.partition(_THOUGHT)[2].strip()
    return text.strip()
