"""Jobs: what is sent to the cluster, and a training submitted to three nodes that ask for a token."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
_LARGEST = 2 * 1024**2  # bytes of what is sent


def test_neither_secrets_nor_data_are_sent(tmp_path: Path) -> None:
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env.packaging import create_package

    project = tmp_path / "project"
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(".venv", ".git", "runs"))
    secret = (".env", ".env.local", "data/sales.csv", "runs/first/config.yaml", "ours.pem", ".venv/bin/python")
    for name in secret:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("secret")
    package = tmp_path / "package.zip"
    create_package(str(project), package, include_gitignore=True, excludes=get_runtime_env_default_excludes())
    with zipfile.ZipFile(package) as found:
        names = {name.split("/", 1)[1] for name in found.namelist() if "/" in name} | {*found.namelist()}
    assert {"hmarl/train.py", "llm/train.py", "tune/sweep.py", "cluster/plan.py"} <= names
    assert not [name for name in secret if name in names]
    assert package.stat().st_size < _LARGEST


@dataclass
class Cluster:
    """A head without processors and two nodes."""

    dashboard: str  # URL
    environment: dict[str, str]  # of who may use it

    def submit(self, *entrypoint: str, working_dir: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
        command = [*RAY, "job", "submit", "--address", self.dashboard, "--working-dir", str(working_dir), "--"]
        return subprocess.run(
            [*command, *entrypoint], env=self.environment | more, capture_output=True, text=True, timeout=600
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    port, dashboard = _free_port(), _free_port()
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    environment.pop("RAY_ADDRESS", None)
    folder = Path("/tmp") / f"ray-{secrets.token_hex(3)}"  # sockets have short names
    head = ["--head", f"--port={port}", "--num-cpus=0", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
    started = [_start([*head, f"--temp-dir={folder}"], environment)]
    try:
        started += [_start([f"--address=127.0.0.1:{port}", "--num-cpus=2"], environment) for _ in range(2)]
        found = Cluster(f"http://127.0.0.1:{dashboard}", environment)
        empty = tmp_path_factory.mktemp("empty")
        end = time.monotonic() + 120
        while (asked := found.submit("true", working_dir=empty)).returncode != 0:  # until it takes jobs
            assert time.monotonic() < end, asked.stderr
        yield found
    finally:
        for process in reversed(started):
            os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def _start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    own = ["--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={_free_port()}"]  # nodes of one machine
    command = [*RAY, "start", "--block", "--object-store-memory=200000000", *own, *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.slow
def test_a_submitted_training_goes_on_where_it_was_stopped(cluster: Cluster, tmp_path: Path) -> None:
    """With two runners on the nodes, and a folder that all nodes see."""
    short = ("python", "-m", "hmarl.train", "--network", "two_store", "--name", "ours", "--phases", "phase1_stores")
    few = ("--evaluate-every", "20000", "--evaluation-episodes", "4", "--compare-episodes", "4", "--runners", "2")
    asked = (*short, *few, "--runs", str(tmp_path))
    ended = cluster.submit(*asked, "--steps", "40000")
    assert ended.returncode == 0, ended.stdout
    metrics = tmp_path / "ours" / "phase1_stores" / "metrics.jsonl"
    before = [json.loads(line)["steps"] for line in metrics.read_text().splitlines()]
    again = cluster.submit(*asked, "--steps", "80000")
    assert again.returncode == 0, again.stdout
    steps = [json.loads(line)["steps"] for line in metrics.read_text().splitlines()]
    assert steps[: len(before)] == before
    assert steps[-1] >= 80000 > before[-1]
    assert (tmp_path / "ours" / "report.html").exists()


@pytest.mark.slow
def test_another_token_is_refused(cluster: Cluster) -> None:
    refused = cluster.submit("python", "-m", "hmarl.train", RAY_AUTH_TOKEN=secrets.token_hex(32))
    assert refused.returncode != 0
    assert "token" in refused.stdout + refused.stderr
