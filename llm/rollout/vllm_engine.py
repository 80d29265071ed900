"""Generation by vLLM, in this process on a CPU or on GPUs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from llm.rollout.engine import Completion, EngineError, EngineSettings, Request, Sampling, Weights
from llm.rollout.weights import check, digest, tensors_of

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # weights reach the model as tensors
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Must be set before vLLM is imported."""

_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM knows
_ADAPTED = ["q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj"]
_SEEDS = 1_000_003  # vLLM gives answer i of a request the seed of the request plus i


class VLLMEngine:
    """An :class:`Engine`; see there. Token ids only: nothing is decoded."""

    def __init__(self, settings: EngineSettings) -> None:
        import torch
        from vllm import LLM
        from vllm.platforms import current_platform

        # vLLM leaves 1 for threads that are yet to compute, and takes the means to change it away.
        self._set_threads, self._threads = torch.set_num_threads, torch.get_num_threads()
        on_cpu = current_platform.is_cpu()
        if settings.tensor_parallel > 1 and not settings.adapters:
            raise EngineError("tensor_parallel: merged weights are published to engines of one device: use adapters")
        options: dict[str, Any] = {}
        if on_cpu:
            options |= {
                "enforce_eager": True,
                "block_size": 32,  # the least: prompts that begin alike share whole blocks
                "kv_cache_memory_bytes": int(settings.kv_cache_gb * 2**30),
                "enable_chunked_prefill": False,  # after part of a prompt vLLM winds generators back: not on a CPU
                "max_num_batched_tokens": max(settings.max_batched_tokens, settings.max_model_len),
            }
        elif not settings.adapters:
            options |= {"moe_backend": "triton"}  # whose layout is known when weights are replaced
        if settings.adapters:
            options |= {
                "enable_lora": True,
                "max_loras": settings.adapters,
                "max_lora_rank": min(rank for rank in _LORA_RANKS if rank >= settings.max_lora_rank),
                "lora_target_modules": _ADAPTED,  # with the head among them vLLM cannot score on a CPU
            }
        self._llm = LLM(
            model=settings.model,
            dtype=settings.dtype,
            max_model_len=settings.max_model_len,
            max_num_seqs=settings.max_sequences,
            tensor_parallel_size=settings.tensor_parallel,
            logprobs_mode="processed_logprobs",
            worker_extension_cls="llm.rollout.worker.WorkerExtension",
            seed=0,
            **options,
        )
        if on_cpu:
            self._llm.collective_rpc("sample_by_inversion")
        self._adapters = settings.adapters
        self._adapter: Any = None
        self._folders: dict[int, tempfile.TemporaryDirectory[str]] = {}
        self.version = 0
        self.digest = digest({} if settings.adapters else self._held())

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        outputs = self._run(
            [request.prompt_ids for request in requests], [_parameters(request, sampling) for request in requests]
        )
        answers = [[_completion(answer, sampling) for answer in output.outputs] for output in outputs]
        if sampling.temperature == 0:  # asked for once
            return [only * request.n for only, request in zip(answers, requests, strict=True)]
        return answers

    def score(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> list[list[float]]:
        from vllm import SamplingParams

        texts = [[*prompt, *completion] for prompt, completion in zip(prompts, completions, strict=True)]
        outputs = self._run(texts, SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False))
        return [
            [seen[token].logprob for seen, token in zip(output.prompt_logprobs[-len(tokens) :], tokens, strict=True)]
            for output, tokens in zip(outputs, completions, strict=True)
        ]

    def load(self, weights: Weights) -> str:
        adapter = weights.manifest.kind == "adapter"
        if adapter != bool(self._adapters):
            raise EngineError(f"{weights.manifest.kind} weights: the engine was started for the other kind")
        held = self._load_adapter(weights) if adapter else self._load_merged(weights)
        self._llm.reset_prefix_cache()
        self.version, self.digest = weights.manifest.version, digest(held)
        check(weights, self.digest, self.score)
        return self.digest

    def _run(self, prompts: Sequence[Sequence[int]], parameters: Any) -> list[Any]:
        self._set_threads(self._threads)  # of this thread
        return self._llm.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts],
            parameters,
            lora_request=self._adapter,
            use_tqdm=False,
        )

    def _held(self) -> dict[str, Tensor]:
        return self._llm.collective_rpc("held")[0]

    def _load_merged(self, weights: Weights) -> Mapping[str, Tensor]:
        tensors = tensors_of(weights)
        self._llm.collective_rpc("hold", args=(tensors,))
        held = self._held()
        return {name: held[name] for name in tensors}

    def _load_adapter(self, weights: Weights) -> Mapping[str, Tensor]:
        """Under a number of its own: cached prefixes belong to a number."""
        from safetensors.torch import save
        from vllm.lora.request import LoRARequest

        number, tensors = weights.manifest.version, tensors_of(weights)
        folder = tempfile.TemporaryDirectory(prefix="adapter-")
        (Path(folder.name) / "adapter_config.json").write_text(json.dumps(dict(weights.config)))
        (Path(folder.name) / "adapter_model.safetensors").write_bytes(save(dict(tensors)))
        engine = self._llm.llm_engine
        while len(self._folders) >= self._adapters or number in self._folders:
            oldest = number if number in self._folders else min(self._folders)
            engine.remove_lora(oldest)
            self._folders.pop(oldest).cleanup()
        self._folders[number] = folder
        self._adapter = LoRARequest(f"version-{number}", number, folder.name)
        if not engine.add_lora(self._adapter):
            raise EngineError(f"version {number}: vLLM did not take the adapter")
        pieces = self._llm.collective_rpc("held_adapter", args=(number, weights.config["r"]))
        return {name: joined([piece[name] for piece in pieces], tensors[name].shape) for name in pieces[0]}


def joined(pieces: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """A tensor from what each device of an engine holds of it: all of it, or its part along one axis.

    Parameters
    ----------
    pieces
        One a device, in order.
    shape
        Of the whole tensor.
    """
    import torch

    axes = [axis for axis, (part, whole) in enumerate(zip(pieces[0].shape, shape, strict=True)) if part != whole]
    if axes:
        return torch.cat(list(pieces), dim=axes[0])
    if not all(torch.equal(pieces[0], piece) for piece in pieces):
        raise EngineError("devices of one engine hold different adapters")
    return pieces[0]


def _parameters(request: Request, sampling: Sampling) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    return SamplingParams(
        n=request.n if sampling.temperature else 1,
        seed=request.seed * _SEEDS % 2**62,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        stop_token_ids=list(sampling.stop_token_ids),
        ignore_eos=True,
        logprobs=0,
        detokenize=False,
        structured_outputs=StructuredOutputsParams(regex=sampling.pattern) if sampling.pattern else None,
    )


def _completion(answer: Any, sampling: Sampling) -> Completion:
    tokens = tuple(answer.token_ids)
    logprobs = tuple(seen[token].logprob for seen, token in zip(answer.logprobs, tokens, strict=True))
    return Completion(tokens, logprobs, "stop" if tokens[-1] in sampling.stop_token_ids else "length")
