"""Sharing a model out between training workers: FSDP2, as transformers applies it while it loads.

A model loaded with :func:`shard_plan` is read shard by shard (no worker ever holds all of it) and its parameters are
DTensors. Adapters that are added afterwards are whole on every worker; the Trainer keeps them equal. accelerate's own
FSDP is not used: on a CPU it runs plain data parallelism without a word.
"""

from __future__ import annotations

from typing import Any

_SLACK = 0.25  # of a shard: adapters are whole, and some tensors do not divide evenly


def shard_plan(workers: int) -> dict[str, Any]:
    """What ``from_pretrained`` is told so that `workers` processes share the model; nothing for one."""
    if workers == 1:
        return {}
    from transformers.distributed import DistributedConfig

    return {"distributed_config": DistributedConfig(fsdp_size=workers)}


def local_share(model: Any) -> float:
    """Bytes of the frozen and trained parameters that this process holds, as a share of the model's."""
    here = total = 0
    for parameter in model.parameters():
        local = _local(parameter)
        here += local.numel() * local.element_size()
        total += parameter.numel() * parameter.element_size()
    return here / total


def check_share(model: Any, workers: int) -> float:
    """The local share, checked: a model that is not shared out trains as well, until the memory is gone.

    Raises
    ------
    RuntimeError
        If this process holds more than its part.
    """
    share = local_share(model)
    if workers > 1 and share > (1 + _SLACK) / workers + _adapters(model):
        raise RuntimeError(f"the model is not shared out: a worker of {workers} holds {share:.0%} of its bytes")
    return share


def full_state(model: Any, trained_only: bool) -> dict[str, Any]:
    """Whole tensors on the CPU by name, on rank 0; empty elsewhere. All workers must call it."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=trained_only)
    return get_model_state_dict(model, options=options)


def whole(tensor: Any) -> Any:
    """A tensor without shards; all workers must call it."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _local(parameter: Any) -> Any:
    from torch.distributed.tensor import DTensor

    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


def _adapters(model: Any) -> float:
    """Share of the bytes that are trained adapters, held whole."""
    sizes = {True: 0, False: 0}
    for name, parameter in model.named_parameters():
        sizes["lora_" in name] += parameter.numel() * parameter.element_size()
    return sizes[True] / (sizes[True] + sizes[False])
