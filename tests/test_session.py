"""Ray: our own, on the loopback interface, quiet, and gone afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import signal, sys
before = signal.getsignal(signal.SIGTERM)
from hmarl.session import connect
with connect():
    import ray
    assert signal.getsignal(signal.SIGTERM) is before
    pids = set()
    import psutil
    family = psutil.Process().children(recursive=True)
    listening = {c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == "LISTEN"}
    print(len(family) > 2, sorted(listening))
    with connect():
        pass
    print(ray.is_initialized(), ray.get(ray.put(3)))
print(ray.is_initialized(), [p for p in family if p.is_running() and p.status() != "zombie"])
"""


def test_a_session_is_local_quiet_and_ends() -> None:
    pytest.importorskip("psutil")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] in (
        "True ['127.0.0.1']",
        "True ['127.0.0.1', '::ffff:127.0.0.1']",
        "True ['::ffff:127.0.0.1']",
    )
    assert lines[1:] == ["True 3", "False []"]


def test_an_address_that_nobody_serves_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With RAY_ADDRESS set no Ray of our own is started in its place."""
    code = "from hmarl.session import connect\nwith connect(): pass"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={
            "RAY_ADDRESS": "127.0.0.1:1",
            "PATH": "/usr/bin:/bin",
            "RAY_gcs_rpc_server_connect_timeout_s": "1",
        },
    )
    assert done.returncode != 0
