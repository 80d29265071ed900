"""The peak memory of a training worker, from the real model trained on tensors without memory.

The model is built, shared out between workers (FSDP2), run forward and backward and stepped as the trainers do it
(:mod:`llm.models`, :mod:`llm.trainers.sharding`), with a process group that talks to nobody and tensors that know
their shape alone. torch's trackers say what would be held at the worst moment.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing import get_context
from typing import Any

from cluster.planning.gpus import GIB
from cluster.planning.parts import BF16, Model, transformers_config, untrained
from llm.adapters import LoraSettings, add_adapters, recompute
from llm.quiet import quiet
from llm.trainers.sharding import shard_plan

HEAD_COLUMNS = 32_768  # of the vocabulary that TRL scores at once
CONTEXT = 2 * GIB  # CUDA, NCCL, cuBLAS
FRAGMENTED = 0.05  # of the peak: torch's allocator cannot use all that it holds


@dataclass(frozen=True)
class Training:
    """What a worker does, as far as memory is concerned.

    Attributes
    ----------
    config
        The model's.
    workers
        That share the model out.
    tokens, answer_tokens
        Of a sequence, and how many of them are trained on.
    batch_size
        Sequences in a forward pass.
    lora
        None: all weights are trained, in one pass a step: between passes the trainers keep gradients whole.
    gradient_checkpointing
        Activations are computed again in the backward pass.
    """

    config: dict[str, Any]
    workers: int
    tokens: int
    answer_tokens: int
    batch_size: int = 1
    lora: LoraSettings | None = LoraSettings()  # noqa: RUF009 (frozen)
    gradient_checkpointing: bool = True


@dataclass(frozen=True)
class Peak:
    """Bytes that a worker holds at the worst moment.

    Attributes
    ----------
    parameters, gradients, optimiser
        Its part of them; of adapters all.
    gathered
        Weights of the layers that are computed just then.
    all_gather
        Buffers for weights and gradients on their way.
    activations
        Of the forward pass.
    temporary
        Of the backward pass.
    """

    parameters: int = 0
    gradients: int = 0
    optimiser: int = 0
    gathered: int = 0
    all_gather: int = 0
    activations: int = 0
    temporary: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(asdict(self).values())

    @property
    def reserve(self) -> float:
        """What a GPU needs beside it: its libraries, fragmentation, and a layer gathered ahead."""
        return CONTEXT + FRAGMENTED * self.total + self.gathered


_CATEGORIES = {  # of torch's trackers, for one worker and for several
    "Parameter": "parameters", "Sharded Param": "parameters", "Buffer": "parameters",
    "Gradient": "gradients", "Sharded Grad": "gradients", "Unsharded Grad": "gradients",
    "Optstate": "optimiser", "OptState": "optimiser",
    "Unsharded Param": "gathered",
    "All Gather": "all_gather", "Reduce Scatter": "all_gather",
    "Activation": "activations", "Inputs": "activations", "Other": "activations",
    "Temp": "temporary",
}  # fmt: skip


class Dryrun:
    """Measures trainings in a process of its own: the process group is the whole process's."""

    def __init__(self) -> None:
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_alone)
        self._known: list[tuple[Training, Peak]] = []

    def __enter__(self) -> Dryrun:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.shutdown(cancel_futures=True)

    def peak(self, training: Training) -> Peak:
        """Of a worker. One alone is estimated: torch's tracker for it looks at every module after every operation.

        Raises
        ------
        InputError
            If the model has no layers for the adapters.
        """
        return self.estimate(training) if training.workers == 1 else self._measured(training)

    def estimate(self, training: Training) -> Peak:
        """The same in a fraction of the time: each further layer adds as much as the one before."""
        layers = transformers_config(training.config).get_text_config().num_hidden_layers
        few, more = _sample(training.config)
        if more >= layers:
            return self._measured(training)
        small, large = (asdict(self._measured(replace(training, config=cut(training.config, n)))) for n in (few, more))
        grown = {name: large[name] + (large[name] - small[name]) * (layers - more) // (more - few) for name in small}
        return Peak(**grown)

    def _measured(self, training: Training) -> Peak:
        for known, peak in self._known:
            if known == training:
                return peak
        self._known.append((training, self._process.submit(measure, training).result()))
        return self._known[-1][1]


def rescaled(peak: Peak, model: Model, training: Training, workers: int) -> Peak:
    """The peak with another number of workers, both two at least: shards change, and how far layers are padded."""
    before = training.workers
    old, new = (_shards(model, count, "adapter") for count in (before, workers))
    was, padded = (count * _shards(model, count, "adapter", "embeddings", "head") for count in (before, workers))
    peak = replace(
        peak,
        parameters=peak.parameters + (new - old) * BF16,
        gathered=peak.gathered * padded // was,
        all_gather=peak.all_gather * padded // was,
    )
    if training.lora:
        return peak
    return replace(peak, gradients=peak.gradients * new // old, optimiser=peak.optimiser * new // old)


def _shards(model: Model, workers: int, *without: str) -> int:
    """Numbers of the largest shard."""
    return sum(tensor.shard(workers) for tensor in model.tensors if tensor.part not in without)


def cut(config: dict[str, Any], layers: int) -> dict[str, Any]:
    """The configuration with its first layers alone."""
    made = transformers_config(config).to_dict()
    kinds = {"layer_types": made["layer_types"][:layers]} if made.get("layer_types") else {}
    return {**config, **kinds, "num_hidden_layers": layers}


def _sample(config: dict[str, Any]) -> tuple[int, int]:
    """Two numbers of layers that hold the kinds of layers in the same proportion."""
    kinds: Sequence[str] = getattr(transformers_config(config).get_text_config(), "layer_types", None) or ["full"]
    period = next(n for n in range(1, len(kinds) + 1) if all(kinds[i] == kinds[i % n] for i in range(len(kinds))))
    few = period * math.ceil(2 / period)
    return few, few + period


def _alone() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["HF_HUB_OFFLINE"] = "1"


def measure(training: Training) -> Peak:
    """The peak of a worker, in this process."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    with quiet(), _process_group(training.workers):
        model = _sharded(training)
        base = model.get_base_model() if training.lora else model
        with FakeTensorMode(allow_non_fake_inputs=True):
            model.to_empty(device="cpu")
            base.tie_weights()
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            optimiser = torch.optim.AdamW(trained, lr=1e-5)
            for parameter in trained:
                parameter.grad = torch.zeros_like(parameter)
            optimiser.step()
            optimiser.zero_grad()
            tracker = _tracker(base, trained, optimiser)
            with tracker:
                for _ in range(2 if training.lora else 1):  # the second with the gradients of the first
                    forward_backward(model, training)
                    tracker.reset_mod_stats()
                optimiser.step()
            (found,) = tracker.get_tracker_snapshot("peak").values()
    held = dict.fromkeys((field.name for field in fields(Peak)), 0)
    for kind, size in found.items():
        if kind != "Total":
            held[_CATEGORIES[kind.value]] += size
    return Peak(**held)


@contextmanager
def _process_group(workers: int) -> Iterator[None]:
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=workers)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _sharded(training: Training) -> Any:
    """The model on the meta device, shared out as transformers does it while it loads, with what training adds."""
    import torch

    with torch.device("meta"):
        model = untrained(training.config)
        options = shard_plan(training.workers)
        if options:
            config, _, manager = type(model).prepare_distribute_model(options["distributed_config"])
            model = type(model).maybe_distribute_model(model, config, manager)
        return trainable(model, training)


def trainable(model: Any, training: Training) -> Any:
    """The same with what training adds."""
    recompute(model, training.gradient_checkpointing)
    return (add_adapters(model, training.lora) if training.lora else model).train()


def _tracker(base: Any, trained: Sequence[Any], optimiser: Any) -> Any:
    from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker, _FSDPRefType
    from torch.distributed._tools.mem_tracker import MemTracker
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor
    from torch.utils.hooks import RemovableHandle

    if not isinstance(base, FSDPModule):
        tracker, nothing = MemTracker(), RemovableHandle(OrderedDict())
        for parameter in base.parameters():
            if not parameter.requires_grad:  # it would hook into its gradient
                tracker._param_to_grad_hook_handles[parameter] = (nothing, nothing)
        tracker.track_external(base, optimiser)
        return tracker
    tracker = FSDPMemTracker(base, optimiser)

    def note_gradient(adapter: Any) -> None:
        tracker._update_and_maybe_create_winfos(adapter.grad, _FSDPRefType.SHARDED_GRAD)

    for adapter in (parameter for parameter in trained if not isinstance(parameter, DTensor)):  # not FSDP2's
        tracker._update_and_maybe_create_winfos(adapter, _FSDPRefType.SHARDED_PARAM)
        adapter.register_post_accumulate_grad_hook(note_gradient)
    return tracker


def forward_backward(model: Any, training: Training) -> None:
    """Forward and backward. As many logits are held as TRL holds, which goes through the vocabulary by columns."""
    import torch

    ids = torch.zeros(training.batch_size, training.tokens, dtype=torch.long)
    vocabulary = model.get_output_embeddings().weight.shape[0]
    rows = math.ceil(training.answer_tokens * min(1, HEAD_COLUMNS / vocabulary))
    logits = model(input_ids=ids, use_cache=False, logits_to_keep=rows).logits
    logits.float().logsumexp(-1).sum().backward()
