"""How every entry point reaches Ray: a small local one of our own, unless an address is given."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hmarl.errors import Failed, InputError

LOOPBACK = "127.0.0.1"
WAIT = 60.0
"""Seconds until a cluster that is busy must have room, unless a command is told otherwise."""
_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}")
_ANSWERS_IN = 10.0  # seconds
_OBJECT_STORE = 200 * 1024**2  # bytes; what passes through it is small


@dataclass(frozen=True)
class Need:
    """Processes that a command will start, each on one node.

    Attributes
    ----------
    name
        What they are, in the plural.
    count
        How many.
    cpus, gpus
        Of each; GPUs where the cluster has any.
    """

    name: str
    count: int
    cpus: float = 1
    gpus: float = 0

    @property
    def resources(self) -> dict[str, float]:
        """Of each, by Ray's names; what is not needed is left out."""
        return {name: amount for name, amount in (("CPU", self.cpus), ("GPU", self.gpus)) if amount}

    def __str__(self) -> str:
        return f"{self.count} {self.name} of {_words(self.resources)} each"


@contextlib.contextmanager
def connect(
    address: str | None = None,
    *,
    needs: Sequence[Need] = (),
    wait: float = WAIT,
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
    needs
        What will be started. A cluster that can never have room for all of it is refused at once; one that is busy, or
        whose autoscaler may add nodes, is waited for. A Ray of our own has room for it always: its processes share
        the machine's processors.
    wait
        Seconds, for the cluster to have room.
    object_store
        Bytes that a Ray of our own sets aside for what passes between processes.
    verbose
        Keep Ray's own messages.

    Raises
    ------
    InputError
        If no cluster answers at the address, or if it can never have what is needed.
    Failed
        If it has no room in time.

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
                cpus = sum(need.count * need.cpus for need in needs)
                _init_on_loopback(options, max(round(cpus), os.cpu_count() or 1), object_store)
            else:
                _join(options)
        try:
            if address != "local":
                _wait_for_room(needs, wait)
            with contextlib.nullcontext() if verbose else _quiet():  # ray.init has set the levels anew
                yield
        finally:
            ray.shutdown()


def _join(options: dict[str, Any]) -> None:
    import ray

    address = options["address"]
    if address != "auto":
        _check_answer(address)
    with _environment({"RAY_BACKEND_LOG_LEVEL": "fatal"}):  # of this process: what it has to say is told by us
        try:
            ray.init(**options)
        except ConnectionError as error:
            raise InputError(f"address: {address!r}: no Ray cluster answers there") from error


def _check_answer(address: str) -> None:
    """Refuse at once what Ray itself asks again for half a minute, or for ever."""
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated.gcs_service_pb2 import GetClusterIdRequest
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
    from ray.exceptions import AuthenticationError

    if not _ADDRESS.fullmatch(address):
        raise InputError(
            f"address: {address!r}: HOST:PORT of a cluster's head, such as 10.0.0.1:6379; to a dashboard's address a "
            "job is submitted: ray job submit --address"
        )
    try:
        with init_grpc_channel(address) as channel:
            NodeInfoGcsServiceStub(channel).GetClusterId(GetClusterIdRequest(), timeout=_ANSWERS_IN)
    except AuthenticationError as error:
        raise InputError(f"address: {address!r}: {' '.join(str(error).split())}") from error
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            raise InputError(
                f"address: {address!r}: the cluster asks for another token than the one in RAY_AUTH_TOKEN, "
                "RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token, with RAY_AUTH_MODE=token"
            ) from error
        raise InputError(f"address: {address!r}: no Ray cluster answers there") from error


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables inside the block, where they are not set otherwise."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _wait_for_room(needs: Sequence[Need], wait: float) -> None:
    """Return when the cluster could start all of it now."""
    import ray
    from ray.util import placement_group, remove_placement_group

    if not has_gpus():
        needs = [replace(need, gpus=0) for need in needs]
    bundles = [need.resources for need in needs for _ in range(need.count) if need.resources]
    if not bundles:
        return
    asked = "; ".join(map(str, needs))
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if missing := lacking(needs, nodes, _node_types()):
        raise InputError(f"asked for {asked}: {missing}")
    group = placement_group(bundles)
    try:
        if not group.wait(wait):
            free = _words(ray.available_resources())
            raise Failed(f"asked for {asked}: no room after {wait:.0f} s; of {_words(_sum(nodes))} free are {free}")
    finally:
        remove_placement_group(group)


def lacking(
    needs: Sequence[Need], nodes: Sequence[Mapping[str, float]], types: Sequence[tuple[Mapping[str, float], int]]
) -> str:
    """Why a cluster can never start what is needed, in words; empty where it can.

    Parameters
    ----------
    nodes
        Resources of those that are there.
    types
        Resources of those that an autoscaler may start, and how many of them at most.
    """
    offered = [*nodes, *(resources for resources, most in types if most)]
    for need in needs:
        if not any(all(node.get(name, 0) >= amount for name, amount in need.resources.items()) for node in offered):
            largest = {name: max(node.get(name, 0) for node in offered) for name in need.resources}
            return f"{need.name}: no node has {_words(need.resources)}; the largest have {_words(largest)}"
    there = _sum(nodes)
    grown = _sum([{name: amount * most for name, amount in resources.items()} for resources, most in types])
    most = {name: max(there.get(name, 0), grown.get(name, 0)) for name in there | grown}
    wanted = _sum([{name: amount * need.count for name, amount in need.resources.items()} for need in needs])
    if any(amount > most.get(name, 0) for name, amount in wanted.items()):
        more = f", and may grow to {_words(most)}" if types else ""
        return f"together {_words(wanted)}; the cluster has {_words(there)}{more}"
    return ""


def has_gpus() -> bool:
    """Whether the cluster has a GPU, or its autoscaler may start nodes with one."""
    import ray

    return bool(ray.cluster_resources().get("GPU")) or any(
        resources.get("GPU") for resources, most in _node_types() if most
    )


def _node_types() -> list[tuple[dict[str, float], int]]:
    """What an autoscaler may start; none where there is none."""
    from ray._private.state import state

    config = state.get_cluster_config()
    if config is None:
        return []
    unlimited = 1 << 30
    return [
        (dict(group.resources), group.max_count if group.max_count >= 0 else unlimited)
        for group in config.node_group_configs
    ]


def _sum(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def _words(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU") if name in resources) or "none"


def _init_on_loopback(options: dict[str, Any], cpus: int, object_store: int) -> None:
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
    """Keep the libraries' deprecation notices and banners out of our output, and what Ray's nodes tell everybody."""
    import ray._private.worker as worker

    quiet = {"ray": logging.ERROR, "ray.rllib": logging.ERROR, "ray.tune": logging.ERROR}
    quiet["ray.rllib.utils.actor_manager"] = logging.CRITICAL  # a runner that is gone is told of by us
    loggers = {name: logging.getLogger(name) for name in quiet}
    levels = {name: logger.level for name, logger in loggers.items()}
    show, worker.print_to_stdstream = worker.print_to_stdstream, lambda *what, **how: None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(ray|torch|gymnasium)\b.*")
        try:
            for name, logger in loggers.items():
                logger.setLevel(quiet[name])
            yield
        finally:
            worker.print_to_stdstream = show
            for name, logger in loggers.items():
                logger.setLevel(levels[name])
