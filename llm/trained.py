"""A trained language model, as its user meets it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from llm.chat import completion_texts, final_answer, prompt_ids, stop_token_ids
from llm.models import load_model, load_tokenizer, resolve
from llm.tasks.task import Message


class TrainedModel:
    """A model and its tokenizer; they are loaded when first asked.

    Parameters
    ----------
    name
        What training left (``runs/NAME/final``), any other folder of a model or adapter, a built-in model, a name on
        the Hugging Face hub.

    Raises
    ------
    InputError
        If there is no such model.
    """

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.folder: Path = resolve(os.fspath(name))

    @cached_property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return load_tokenizer(self.folder)

    @cached_property
    def model(self) -> Any:
        """Its weights, adapters merged; on the GPU where there is one."""
        import torch

        model = load_model(self.folder, device_map="auto" if torch.cuda.is_available() else None)
        return model.eval().requires_grad_(False)

    def generate_response(
        self, messages: Sequence[Message], *, max_new_tokens: int = 512, temperature: float = 0.0, seed: int = 0
    ) -> str:
        """What the model answers, without its reasoning; nothing where the tokens ended while it reasoned.

        Parameters
        ----------
        messages
            The conversation, ``{"role": ..., "content": ...}`` each, up to the model's turn.
        max_new_tokens
            Longest answer, reasoning included.
        temperature
            0 takes the likeliest token.
        seed
            Of sampling.
        """
        raw = self.generate(messages, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
        return final_answer(raw)

    def generate(
        self, messages: Sequence[Message], *, max_new_tokens: int = 512, temperature: float = 0.0, seed: int = 0
    ) -> str:
        """What the model generates, its reasoning and the format's markup included; see :meth:`generate_response`."""
        return self.generate_all([messages], max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)[0]

    def generate_all(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """What the model generates in each of several conversations, in one batch; see :meth:`generate`."""
        import torch

        prompts = [prompt_ids(self.tokenizer, messages) for messages in conversations]
        batch = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt").to(
            self.model.device
        )
        sampling = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(seed)
            ids = self.model.generate(
                **batch,
                max_new_tokens=max_new_tokens,
                eos_token_id=list(stop_token_ids(self.tokenizer)),
                pad_token_id=self.tokenizer.pad_token_id,
                use_cache=True,
                do_sample=temperature > 0,
                **sampling,
            )
        answers = ids[:, batch["input_ids"].shape[1] :].tolist()
        return completion_texts(self.tokenizer, answers)
