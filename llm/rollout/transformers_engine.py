"""Generation by transformers: what is used where vLLM is not installed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hmarl.errors import InputError
from llm.rollout.engine import Completion, EngineError, EngineSettings, Request, Sampling, Weights
from llm.rollout.sampling import sample
from llm.rollout.weights import check, digest, tensors_of


class TransformersEngine:
    """An :class:`Engine`; see there. The prompt of a request is read once, however many answers it has.

    The randomness of an answer is a pure function of the request's seed and the answer's number.
    """

    def __init__(self, settings: EngineSettings) -> None:
        from transformers import AutoModelForCausalLM

        if settings.adapters:
            raise EngineError("adapters: the transformers engine takes merged weights only")
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = AutoModelForCausalLM.from_pretrained(
            settings.model, dtype=getattr(torch, settings.dtype), trust_remote_code=False
        ).to(self._device)
        self._model.eval().requires_grad_(False)
        self._most = settings.max_sequences
        self.version = 0
        self.digest = digest(self._model.state_dict())

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        if sampling.pattern is not None:
            raise InputError("pattern: the transformers engine cannot hold answers to one; vllm can")
        rows = [(place, number) for place, request in enumerate(requests) for number in range(request.n)]
        answers: list[list[Completion]] = [[] for _ in requests]
        for start in range(0, len(rows), self._most):
            part = rows[start : start + self._most]
            for (place, _), answer in zip(part, self._answers(requests, part, sampling), strict=True):
                answers[place].append(answer)
        return answers

    @torch.inference_mode()
    def score(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> list[list[float]]:
        texts = [[*prompt, *completion] for prompt, completion in zip(prompts, completions, strict=True)]
        width = max(map(len, texts))
        ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=self._device)
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], device=self._device)
        logprobs = self._model(input_ids=ids, attention_mask=mask).logits[:, :-1].float().log_softmax(-1)
        taken = logprobs.gather(-1, ids[:, 1:, None]).squeeze(-1).cpu()
        return [
            taken[row, len(text) - len(completion) - 1 : len(text) - 1].tolist()
            for row, (text, completion) in enumerate(zip(texts, completions, strict=True))
        ]

    @torch.no_grad()
    def load(self, weights: Weights) -> str:
        if weights.manifest.kind != "merged":
            raise EngineError("adapter weights: the transformers engine takes merged weights only")
        held, tensors = self._model.state_dict(), tensors_of(weights)
        for name, tensor in tensors.items():
            held[name].copy_(tensor)
        self.version = weights.manifest.version
        self.digest = digest({name: held[name] for name in tensors})
        check(weights, self.digest, self.score)
        return self.digest

    def _answers(
        self, requests: Sequence[Request], rows: list[tuple[int, int]], sampling: Sampling
    ) -> list[Completion]:
        """One answer a row: a request's place and the number of its answer."""
        places = sorted({place for place, _ in rows})
        ids, mask = self._padded([requests[place].prompt_ids for place in places])
        output = self._model(
            input_ids=ids, attention_mask=mask, position_ids=_positions(mask), use_cache=True, logits_to_keep=1
        )
        prompt_of = torch.tensor([places.index(place) for place, _ in rows], device=self._device)
        cache, logits, mask = output.past_key_values, output.logits[prompt_of, -1], mask[prompt_of]
        cache.batch_select_indices(prompt_of)
        draws = _uniforms([(requests[place].seed, number) for place, number in rows], sampling.max_tokens)
        uniforms = torch.from_numpy(draws).to(self._device)
        stops = torch.tensor(sampling.stop_token_ids, dtype=torch.long, device=self._device)
        tokens = torch.zeros((len(rows), sampling.max_tokens), dtype=torch.long, device=self._device)
        logprobs = torch.zeros((len(rows), sampling.max_tokens), device=self._device)
        lengths = torch.full((len(rows),), sampling.max_tokens, device=self._device)
        active = torch.arange(len(rows), device=self._device)
        for step in range(sampling.max_tokens):
            token, logprob = sample(logits, uniforms[active, step], sampling)
            tokens[active, step], logprobs[active, step] = token, logprob
            stopped = torch.isin(token, stops)
            lengths[active[stopped]] = step + 1
            if step + 1 == sampling.max_tokens or stopped.all():
                break
            if stopped.any():
                going = (~stopped).nonzero().squeeze(-1)
                active, token, mask = active[going], token[going], mask[going]
                cache.batch_select_indices(going)
            mask = torch.cat([mask, mask.new_ones((len(mask), 1))], -1)
            output = self._model(
                input_ids=token[:, None],
                attention_mask=mask,
                position_ids=_positions(mask)[:, -1:],
                past_key_values=cache,
                use_cache=True,
            )
            logits = output.logits[:, -1]
        return [
            Completion(tuple(ids[:n]), tuple(scores[:n]), "stop" if ids[n - 1] in sampling.stop_token_ids else "length")
            for ids, scores, n in zip(tokens.tolist(), logprobs.tolist(), lengths.tolist(), strict=True)
        ]

    def _padded(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Token ids and mask, ``(prompts, longest)``, padded on the left."""
        width = max(map(len, prompts))
        ids = [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        return torch.tensor(ids, device=self._device), torch.tensor(mask, device=self._device)


def _uniforms(keys: list[tuple[int, int]], count: int) -> np.ndarray:
    """Draws in [0, 1), ``(keys, count)``, each row a pure function of its key (seed, number of the answer)."""
    return np.stack([np.random.Generator(np.random.Philox(key=key)).random(count) for key in keys])


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(-1) - 1).clamp_min(0)
