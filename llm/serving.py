"""Engines for a model that is trained: what evaluates it asks them."""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.rollout.engine import EngineSettings, Kind

if TYPE_CHECKING:
    from llm.rollout.pool import Pool


@contextlib.contextmanager
def serving(
    path: Path,
    *,
    engines: int = 1,
    kind: Kind = "auto",
    tensor_parallel: int = 1,
    max_model_len: int = 1536,
    threads: int = 1,
) -> Iterator[Pool]:
    """A pool of engines that hold a model, inside the block. Ray must be connected.

    Parameters
    ----------
    path
        Folder of a model, or of an adapter: it is served beside its base where engines can, else merged into it.
    engines, kind, tensor_parallel
        How many processes generate, with what, on how many GPUs each.
    max_model_len
        Tokens of the longest prompt and its answer.
    threads
        With which an engine computes on a CPU.
    """
    import ray
    from transformers import AutoConfig

    from llm.models import ADAPTER_CONFIG, base_of
    from llm.rollout.pool import start_pool
    from llm.rollout.weights import serves_adapters

    base, adapter = base_of(path)
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    device = "cuda" if ray.cluster_resources().get("GPU") else "cpu"
    beside = adapter is not None and serves_adapters(config, device, kind)
    with tempfile.TemporaryDirectory() as temporary:
        folder = base if beside or adapter is None else _merged(path, Path(temporary) / "merged")
        settings = EngineSettings(
            model=str(folder),
            kind=kind,
            dtype=_dtype(config),
            max_model_len=max_model_len,
            tensor_parallel=tensor_parallel,
            adapters=int(beside),
            max_lora_rank=json.loads((path / ADAPTER_CONFIG).read_text())["r"] if beside else 16,
        )
        pool = start_pool(settings, engines=engines, threads=threads, name=f"engine-{secrets.token_hex(3)}")
        try:
            if beside:
                _publish(pool, path, settings.dtype)
            yield pool
        finally:
            pool.close()


def _merged(path: Path, folder: Path) -> Path:
    from llm.models import export, load_model, load_tokenizer

    export(load_model(path), load_tokenizer(path), folder)
    return folder


def _publish(pool: Pool, path: Path, dtype: str) -> None:
    from safetensors.torch import load_file

    from llm.models import ADAPTER_CONFIG
    from llm.rollout.weights import adapter_weights

    tensors = load_file(path / "adapter_model.safetensors")
    config = json.loads((path / ADAPTER_CONFIG).read_text())
    pool.publish(adapter_weights(tensors, config, version=1, step=0, dtype=dtype))


def _dtype(config: Any) -> str:
    """Of the weights as they are computed with."""
    if config.model_type == "gpt_oss":
        return "bfloat16"
    return str(config.dtype or "float32").removeprefix("torch.")
