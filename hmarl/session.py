"""How every entry point reaches Ray: a small local one of our own, unless an address is given."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import warnings
from collections.abc import Iterator
from typing import Any

from hmarl.errors import InputError

LOOPBACK = "127.0.0.1"
_OBJECT_STORE = 200 * 1024**2  # bytes; what passes through it is small


@contextlib.contextmanager
def connect(
    address: str | None = None,
    *,
    cpus: int = 0,
    object_store: int = _OBJECT_STORE,
    verbose: bool = False,
) -> Iterator[None]:
    """Be connected to Ray inside the block.

    Parameters
    ----------
    address
        A running cluster; without it the environment's ``RAY_ADDRESS``; without that a Ray of our own on this
        machine, bound to the loopback interface, which ends with the block. A cluster that happens to run on the
        machine is never joined unasked.
    cpus, object_store
        What a Ray of our own needs: processors, by count (as many as there are where that is more; processes share
        them), and bytes for what passes between processes.
    verbose
        Keep Ray's own messages.

    Raises
    ------
    InputError
        If no cluster answers at the address.

    Notes
    -----
    A connection that is already there is used and left as it is. The signal handlers, which Ray replaces, are
    put back.
    """
    if not verbose:
        _quiet_environment()
    import ray

    with contextlib.nullcontext() if verbose else _quiet():
        if ray.is_initialized():
            yield
            return
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        options: dict[str, Any] = {
            "address": address,
            "log_to_driver": verbose,
            "logging_level": logging.INFO if verbose else logging.ERROR,
        }
        with _signal_handlers():
            if address == "local":
                _init_on_loopback(options, max(cpus, os.cpu_count() or 1) if cpus else None, object_store)
            else:
                _join(options)
        try:
            with contextlib.nullcontext() if verbose else _quiet():  # ray.init has set the levels anew
                yield
        finally:
            ray.shutdown()


def _join(options: dict[str, Any]) -> None:
    import ray

    try:
        ray.init(**options)
    except ConnectionError as error:
        raise InputError(f"address: {options['address']!r}: no Ray cluster answers there") from error


def _init_on_loopback(options: dict[str, Any], cpus: int | None, object_store: int) -> None:
    import ray
    from ray._private import ray_constants

    # Ray turns a loopback address into the machine's own, and its processes then listen on every interface,
    # unless it is told that there will be no cluster; that is a constant read from the environment on import.
    clusters = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        ray.init(
            include_dashboard=False,
            num_cpus=cpus,
            object_store_memory=object_store,
            _node_ip_address=LOOPBACK,
            **options,
        )
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters


@contextlib.contextmanager
def _signal_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # only the main thread may set handlers
            for number, handler in kept.items():
                signal.signal(number, handler)


def _quiet_environment() -> None:
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PYTHONWARNINGS": "ignore",  # inherited by Ray's processes
    }.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' deprecation notices and banners out of our output."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.rllib", "ray.tune")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(ray|torch|gymnasium)\b.*")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
