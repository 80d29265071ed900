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
from llm.settings import GRPOSettings

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
    from llm.models import ADAPTER_CONFIG, base_of

    base, adapter = base_of(path)
    config = _config(base)
    beside = adapter is not None and _serves_adapters(config, kind)
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
        with started(settings, engines, threads) as pool:
            if beside:
                _publish(pool, path, settings.dtype)
            yield pool


def engine_to_train(settings: GRPOSettings, path: Path, highest_rank: int | None = None) -> EngineSettings:
    """Engines for a model that is trained. Ray must be connected.

    Adapters that are trained are served beside their base where engines can, else merged into it; the engines' weights
    have the trainer's type. Before the first weights are published they hold the base alone.

    Parameters
    ----------
    path
        Folder of the model, or of the adapter, that training begins with.
    highest_rank
        Of an adapter; that of the settings where left out.
    """
    from llm.models import base_of, origin_of
    from llm.trainers.precision import weights_type

    base, _ = base_of(path)
    beside = settings.use_lora and not settings.expert_targets and _serves_adapters(_config(base), settings.engine)
    return EngineSettings(
        model=str(base),
        kind=settings.engine,
        dtype=weights_type(settings, path),
        max_model_len=settings.max_prompt_length + settings.max_completion_length,
        tensor_parallel=settings.tensor_parallel,
        adapters=settings.staleness + 2 if beside else 0,
        max_lora_rank=highest_rank or settings.lora_r,
        origin=origin_of(base, settings.model),
    )


@contextlib.contextmanager
def serving_to_train(settings: GRPOSettings, path: Path, pool: Pool | None = None) -> Iterator[Pool]:
    """A pool of engines for a model that is trained, inside the block.

    Parameters
    ----------
    path
        See :func:`engine_to_train`.
    pool
        Whose engines are shared.
    """
    if pool is not None:
        own = pool.shared(settings.staleness)
        try:
            yield own
        finally:
            own.close()
        return
    engine, threads = engine_to_train(settings, path), settings.threads_of(settings.engines)
    with started(engine, settings.engines, threads, settings.staleness) as made:
        yield made


@contextlib.contextmanager
def started(settings: EngineSettings, engines: int, threads: int, staleness: int = 0) -> Iterator[Pool]:
    """A pool of engines inside the block."""
    from llm.rollout.pool import start_pool

    name = f"engine-{secrets.token_hex(3)}"
    pool = start_pool(settings, engines=engines, staleness=staleness, threads=threads, name=name)
    try:
        yield pool
    finally:
        pool.close()


def _config(base: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(base, trust_remote_code=False)


def _serves_adapters(config: Any, kind: Kind) -> bool:
    from hmarl.session import has_gpus
    from llm.rollout.weights import serves_adapters

    return serves_adapters(config, "cuda" if has_gpus() else "cpu", kind)


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
