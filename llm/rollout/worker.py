"""What vLLM's workers are taught: to show and to replace the weights they hold, and to sample fast by seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from vllm.lora.layers.base_linear import BaseLinearLayerWithLoRA
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

from llm.rollout.held import Held, held_by, read, transformers_name, unjoined, write
from llm.rollout.sampling import drawn


class WorkerExtension:
    """Mixed into vLLM's worker, which has `model_runner`."""

    model_runner: Any
    _held: list[Held] | None = None

    def hold(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace weights of the model."""
        with torch.inference_mode():
            write(self._weights(), tensors)

    def held(self) -> dict[str, Tensor]:
        """The model's weights by transformers' names."""
        with torch.inference_mode():
            return read(self._weights())

    def sample_by_inversion(self) -> None:
        """On a CPU, where each request has a seed: vLLM's own way draws as many numbers as the vocabulary has tokens,
        for one request after the other."""
        sampler = self.model_runner.sampler.topk_topp_sampler
        unseeded = sampler.forward

        def forward(
            logits: Tensor, generators: dict[int, torch.Generator], k: Tensor | None, p: Tensor | None
        ) -> tuple[Tensor, Tensor | None]:
            if len(generators) < len(logits):
                return unseeded(logits, generators, k, p)
            logits = apply_top_k_top_p(logits, k, p)
            draws = [torch.rand(1, dtype=torch.float64, generator=generators[row]) for row in range(len(logits))]
            return drawn(logits, torch.cat(draws)), logits.log_softmax(-1)

        sampler.forward = forward

    def held_adapter(self, number: int, rank: int) -> dict[str, Tensor]:
        """An adapter's tensors by PEFT's names, out of the slot that its requests are computed with."""
        manager = self.model_runner.lora_manager._adapter_manager
        slot = manager.lora_index_to_id.index(number)
        tensors = {}
        for path, layer in manager.modules.items():
            if isinstance(layer, BaseLinearLayerWithLoRA):
                for part, name in enumerate(unjoined(transformers_name(path, self._model_type))):
                    down, up = layer.lora_a_stacked[part][slot, 0, :rank], layer.lora_b_stacked[part][slot, 0, :, :rank]
                    if down.any() or up.any():
                        tensors[f"base_model.model.{name}.lora_A.weight"] = down.cpu()
                        tensors[f"base_model.model.{name}.lora_B.weight"] = up.cpu()
        return tensors

    @property
    def _model_type(self) -> str:
        return self.model_runner.model_config.hf_config.model_type

    def _weights(self) -> list[Held]:
        if self._held is None:
            self._held = held_by(self.model_runner.get_model(), self._model_type)
        return self._held
