"""A cluster of several nodes on this machine, for tests and measurements: its nodes can be killed and added.

Each node is a real one, started by ``ray start``; all listen on the loopback interface and ask for a token.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hmarl.errors import Failed
from hmarl.session import LOOPBACK

PROJECT = Path(__file__).resolve().parents[1]
RAY = (sys.executable, "-m", "ray.scripts.scripts")
_OBJECT_STORE = 200 * 1024**2  # bytes of a node
_STARTS_IN = 120.0  # seconds
_HOLDS_IN = 300.0
_SPOT = "DRAIN_NODE_REASON_PREEMPTION"


Until = Callable[[Callable[[], Any]], Any]
"""Waits until a function returns something true, and returns that."""


@dataclass(frozen=True)
class Node:
    """One of its nodes."""

    name: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """As a machine that is switched off: nothing on it says goodbye."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class LocalCluster:
    """Made by :func:`local_cluster`.

    Attributes
    ----------
    address
        What ``--address`` and ``RAY_ADDRESS`` take.
    dashboard
        URL that jobs are submitted to.
    environment
        Of processes that may use it: it has the token.
    """

    address: str
    dashboard: str
    environment: dict[str, str]
    folder: Path
    nodes: list[Node] = field(default_factory=list)

    def add(self, cpus: int = 2) -> Node:
        """Start a node and wait until the cluster has it."""
        node = self._start([f"--address={self.address}", f"--num-cpus={cpus}"])
        end = time.monotonic() + _STARTS_IN
        while node.name not in self.ids():
            if node.process.poll() is not None or time.monotonic() > end:
                raise Failed(f"node {node.name} does not start: see {self.folder}")
        return node

    def ids(self) -> dict[str, str]:
        """Ray's ids of the nodes that it holds for alive, by name."""
        code = (
            "import ray, sys; ray.init(sys.argv[1], logging_level='ERROR', log_to_driver=False)\n"
            "[print(node['NodeName'], node['NodeID']) for node in ray.nodes() if node['Alive']]"
        )
        told = self.run([sys.executable, "-c", code, self.address])
        return dict(line.split() for line in told.stdout.splitlines() if len(line.split()) == 2)

    def notice(self, node: Node, seconds: float) -> None:
        """Tell Ray what a cloud tells of a spot machine: it is taken back in so many seconds."""
        asked = [f"--node-id={self.ids()[node.name]}", f"--reason={_SPOT}", "--reason-message=spot"]
        told = self.run(
            [*RAY, "drain-node", f"--address={self.address}", *asked, f"--deadline-remaining-seconds={seconds:.0f}"]
        )
        if told.returncode:
            raise Failed(f"node {node.name} cannot be told: {told.stderr}")

    def run(self, command: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command that may use the cluster; `more` are further variables of its environment."""
        return subprocess.run(command, env=self.environment | more, capture_output=True, text=True, timeout=900)

    def submission(self, name: str, *entrypoint: str, folder: Path = PROJECT) -> list[str]:
        """The command that submits a job of this name, ``ray job submit --working-dir FOLDER -- ENTRYPOINT``."""
        job = [*RAY, "job", "submit", "--address", self.dashboard, "--submission-id", name]
        return [*job, "--working-dir", str(folder), "--", *entrypoint]

    def stop(self, name: str) -> None:
        """Stop a job."""
        self.run([*RAY, "job", "stop", name, "--address", self.dashboard])

    @contextlib.contextmanager
    def running(self, command: Sequence[str]) -> Iterator[Until]:
        """A command that may use the cluster inside the block, which gets a function that waits for something while
        the command runs.

        Raises
        ------
        Failed
            By that function, if the command ends before, or it takes five minutes.
        """
        log = self.folder / f"command-{secrets.token_hex(3)}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                command, cwd=PROJECT, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

        def until(holds: Callable[[], Any]) -> Any:
            end = time.monotonic() + _HOLDS_IN
            while not (found := holds()):
                if process.poll() is not None or time.monotonic() > end:
                    raise Failed(f"{holds} does not hold: {log.read_text()[-5000:]}")
                time.sleep(0.1)
            return found

        try:
            yield until
        finally:
            process.kill()
            process.wait()

    def _start(self, arguments: Sequence[str]) -> Node:
        name = f"node-{len(self.nodes)}"
        # A folder each: where nodes share one, a job's files are unpacked anew under those who run it.
        own = [
            f"--temp-dir={self.folder / name}",
            f"--node-name={name}",
            f"--node-ip-address={LOOPBACK}",
            f"--dashboard-agent-listen-port={free_port()}",
        ]
        own += ["--min-worker-port=0", "--max-worker-port=0", f"--object-store-memory={_OBJECT_STORE}"]
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [*RAY, "start", "--block", *own, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.nodes.append(Node(name, process))
        return self.nodes[-1]


@contextlib.contextmanager
def local_cluster(cpus: Sequence[int] = (2, 2), head: int = 0) -> Iterator[LocalCluster]:
    """A cluster inside the block.

    Parameters
    ----------
    cpus
        Of each node beside the head.
    head
        CPUs of the head.
    """
    port, dashboard = free_port(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets lie in it
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    cluster = LocalCluster(f"{LOOPBACK}:{port}", f"http://{LOOPBACK}:{dashboard}", environment, folder)
    try:
        cluster._start(["--head", f"--port={port}", f"--num-cpus={head}", f"--dashboard-port={dashboard}"])
        _until_jobs_are_taken(cluster)
        for number in cpus:
            cluster.add(number)
        yield cluster
    finally:
        for node in reversed(cluster.nodes):
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _until_jobs_are_taken(cluster: LocalCluster) -> None:
    end = time.monotonic() + _STARTS_IN
    while (told := cluster.run([*RAY, "job", "list", "--address", cluster.dashboard])).returncode:
        if time.monotonic() > end:
            raise Failed(f"the cluster takes no jobs: {told.stderr}")
        time.sleep(0.5)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return int(found.getsockname()[1])
