"""What an engine has room for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.planning.gpus import GIB, Gpu
from cluster.planning.parts import BF16, Model

UTILISATION = 0.92  # of a GPU's memory is vLLM's, by default
WORKING = 3 * GIB  # of a GPU: vLLM's activations, its graphs and the adapters it holds
MAX_SEQUENCES = 256  # that are generated side by side: EngineSettings' own


@dataclass(frozen=True)
class Engine:
    """An engine on some GPUs of one node.

    Attributes
    ----------
    tensor_parallel
        GPUs.
    weights
        Bytes on each of them.
    room
        Bytes on each of them for keys and values; may be below 0.
    sequence
        Bytes on each of them of the keys and values of a sequence of full length.
    """

    tensor_parallel: int
    weights: float
    room: float
    sequence: float

    @property
    def sequences(self) -> int:
        """Of full length that fit."""
        return max(0, int(self.room / self.sequence))

    @property
    def at_once(self) -> int:
        """Sequences that are generated side by side."""
        return min(self.sequences, MAX_SEQUENCES)


def engines(model: Model, gpu: Gpu, gpus_per_node: int, tokens: int, adapters: bool) -> Iterator[Engine]:
    """Engines on 1, 2, 4, ... GPUs of a node, those without room included.

    Parameters
    ----------
    tokens
        Of a sequence.
    adapters
        Whether engines serve the trained adapters beside the weights as shipped. Otherwise merged weights are
        published to them, which takes weights in bfloat16 on one GPU.
    """
    tensor_parallel = 1
    while tensor_parallel <= (gpus_per_node if adapters else 1):
        if model.heads % tensor_parallel == 0:
            yield _engine(model, gpu, tensor_parallel, tokens, model.served if adapters else model.base * BF16)
        tensor_parallel *= 2


def _engine(model: Model, gpu: Gpu, tensor_parallel: int, tokens: int, weights: float) -> Engine:
    each = weights / tensor_parallel
    room = gpu.memory * UTILISATION - each - WORKING
    return Engine(tensor_parallel, each, room, model.kv_bytes(tokens) / min(tensor_parallel, model.kv_heads))
