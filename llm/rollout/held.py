"""The weights that a vLLM model holds, by the names transformers gives them: read back, and replaced.

vLLM joins projections, renames, and on a CPU packs matrices for its kernels and drops the originals. What its kernels
multiply with is read back exactly all the same: a packed matrix is multiplied with the identity, and the experts'
packing, a permutation, is undone. Its own reloading is not used: of mixtures of experts it silently keeps old weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from vllm._custom_ops import cpu_prepack_moe_weight
from vllm.model_executor.layers.fused_moe.oracle.unquantized import UnquantizedMoeBackend
from vllm.model_executor.layers.fused_moe.routed_experts import RoutedExperts
from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import UnquantizedFusedMoEMethod
from vllm.model_executor.layers.linear import LinearBase, UnquantizedLinearMethod
from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm
from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

from llm.rollout.engine import EngineError

_JOINED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
_PLAIN_EXPERTS = (UnquantizedMoeBackend.TRITON, UnquantizedMoeBackend.BATCHED_TRITON)


@dataclass(frozen=True)
class Rows:
    """Tensors that are joined by rows in one parameter; rows beyond them are padding."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    module: nn.Module
    attribute: str = "weight"

    def read(self) -> dict[str, Tensor]:
        """The tensors, by name."""
        pieces = self._joined()[: sum(self.sizes)].split(self.sizes)
        return dict(zip(self.names, pieces, strict=True))

    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace those that are given."""
        held = self.read() | {name: tensors[name] for name in self.names if name in tensors}
        self._replace(torch.cat([held[name].to(self._parameter) for name in self.names]))

    @property
    def _parameter(self) -> Tensor:
        return getattr(self.module, self.attribute).data

    def _joined(self) -> Tensor:
        return self._parameter

    def _replace(self, joined: Tensor) -> None:
        self._parameter[: len(joined)].copy_(joined)


class PackedRows(Rows):
    """The weight of a linear layer on a CPU: what its kernel multiplies with is a packed copy."""

    def _joined(self) -> Tensor:
        layer: Any = self.module
        identity = torch.eye(_inputs(layer), dtype=layer.weight.dtype)
        return layer.cpu_linear(identity, layer.weight, None).t()

    def _replace(self, joined: Tensor) -> None:
        layer: Any = self.module
        dropped = layer.weight.numel() == 0
        if dropped:
            layer.weight = nn.Parameter(joined, requires_grad=False)
        else:
            super()._replace(joined)
        dispatch_cpu_unquantized_gemm(layer, remove_weight=dropped)
        if dropped:  # of the default type, whatever the type was
            layer.weight = nn.Parameter(joined.new_empty(0), requires_grad=False)


@dataclass(frozen=True)
class Experts:
    """A matrix of every expert, ``(experts, outputs, inputs)`` in vLLM."""

    name: str
    module: RoutedExperts
    attribute: str
    transposed: bool  # in transformers

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def read(self) -> dict[str, Tensor]:
        """The tensor, by name."""
        held = self._parameter
        if self._packing:
            places = _places(held.shape[1], held.shape[2], held.dtype, self._packing)
            held = torch.empty_like(held).view(len(held), -1).index_copy_(1, places, held.flatten(1)).view_as(held)
        return {self.name: held.mT if self.transposed else held}

    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace it where it is given."""
        if self.name not in tensors:
            return
        given = tensors[self.name].to(self._parameter)
        given = (given.mT if self.transposed else given).contiguous()
        self._parameter.copy_(cpu_prepack_moe_weight(given, self._packing) if self._packing else given)

    @property
    def _parameter(self) -> Tensor:
        return getattr(self.module, self.attribute).data

    @property
    def _packing(self) -> str | None:
        """Name of the kernel that weights are packed for."""
        method: Any = self.module.quant_method
        if not isinstance(method, UnquantizedFusedMoEMethod):
            raise EngineError(f"{self.name}: quantised experts cannot be replaced: publish an adapter")
        if method.unquantized_backend is UnquantizedMoeBackend.CPU:
            return method.moe_kernel.fused_experts.isa
        if method.unquantized_backend not in _PLAIN_EXPERTS:
            raise EngineError(f"{self.name}: experts laid out for {method.unquantized_backend.name}: triton is known")
        return None


Held = Rows | Experts


def held_by(model: Any, model_type: str) -> list[Held]:
    """Everything that a model holds, on one device.

    Parameters
    ----------
    model
        vLLM's.
    model_type
        Of its configuration: "qwen3", "qwen3_moe", "gpt_oss".
    """
    known: set[Tensor] = set()
    found: list[Held] = []
    head = model.lm_head
    for path, module in model.named_modules():
        name = transformers_name(path, model_type)
        if module is head:
            continue
        for held in _of_module(name, module, model_type):
            known.add(getattr(held.module, held.attribute))
            found.append(held)
    found.append(_rows("lm_head", head, model.config.vocab_size))
    known.add(head.weight)
    for path, parameter in model.named_parameters():
        if parameter not in known:
            owner, _, attribute = path.rpartition(".")
            name = transformers_name(path, model_type)
            found.append(Rows((name,), (len(parameter),), model.get_submodule(owner), attribute))
    return found


def read(held: list[Held]) -> dict[str, Tensor]:
    """All tensors, by name."""
    return {name: tensor for part in held for name, tensor in part.read().items()}


def write(held: list[Held], tensors: Mapping[str, Tensor]) -> None:
    """Replace those that are given.

    Raises
    ------
    EngineError
        If the model holds no tensor of a name.
    """
    strange = sorted(set(tensors) - {name for part in held for name in part.names})
    if strange:
        raise EngineError(f"{', '.join(strange[:3])}: the engine's model has no such weights ({len(strange)} in all)")
    for part in held:
        if any(name in tensors for name in part.names):
            part.write(tensors)


def transformers_name(path: str, model_type: str) -> str:
    """What transformers calls a module or parameter of vLLM's model."""
    path = path.replace(".base_layer", "").replace(".experts.routed_experts", ".experts")
    if model_type == "gpt_oss":
        path = path.replace(".attn.", ".self_attn.").replace("model.embedding", "model.embed_tokens")
    return path


def unjoined(module: str) -> tuple[str, ...]:
    """The projections that vLLM joins in a module, or the module itself."""
    owner, dot, last = module.rpartition(".")
    return tuple(f"{owner}{dot}{part}" for part in _JOINED.get(last, (last,)))


def _of_module(name: str, module: nn.Module, model_type: str) -> Iterator[Held]:
    if isinstance(module, RoutedExperts):
        turned = model_type == "gpt_oss"
        yield Experts(f"{name}.gate_up_proj", module, "w13_weight", turned)
        yield Experts(f"{name}.down_proj", module, "w2_weight", turned)
        if hasattr(module, "w13_bias"):
            for part, attribute in (("gate_up_proj", "w13_bias"), ("down_proj", "w2_bias")):
                bias = getattr(module, attribute)
                yield Rows((f"{name}.{part}_bias",), (len(bias),), module, attribute)
    elif isinstance(module, VocabParallelEmbedding):
        yield Rows((f"{name}.weight",), (module.org_vocab_size,), module)
    elif isinstance(module, LinearBase):
        if not isinstance(module.quant_method, UnquantizedLinearMethod):
            raise EngineError(f"{name}: quantised weights cannot be replaced: publish an adapter")
        sizes = getattr(module, "output_sizes", None) or [module.output_size]
        yield _rows(name, module, *sizes)
        if getattr(module, "bias", None) is not None:
            yield Rows(_names(name, "bias"), tuple(sizes), module, "bias")


def _rows(name: str, module: nn.Module, *sizes: int) -> Rows:
    kind = PackedRows if hasattr(module, "cpu_linear") else Rows
    return kind(_names(name, "weight"), sizes, module)


def _names(module: str, attribute: str) -> tuple[str, ...]:
    return tuple(f"{name}.{attribute}" for name in unjoined(module))


def _inputs(layer: Any) -> int:
    return layer.input_size if isinstance(layer, LinearBase) else layer.embedding_dim


@cache
def _places(rows: int, columns: int, dtype: torch.dtype, packing: str) -> Tensor:
    """Where each number of an expert's packed matrix stands in the matrix itself, ``(rows * columns,)``.

    Packing moves numbers and leaves their bits: matrices whose bits are row and column numbers are packed to see how.
    """
    whole = {2: torch.int16, 4: torch.int32}[dtype.itemsize]
    row = torch.arange(rows, dtype=whole)[:, None].expand(rows, columns)
    column = torch.arange(columns, dtype=whole).expand(rows, columns)
    row, column = (
        cpu_prepack_moe_weight(part.contiguous()[None].view(dtype), packing).view(whole).flatten().long()
        for part in (row, column)
    )
    return row * columns + column
