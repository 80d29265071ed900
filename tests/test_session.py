"""Ray: our own, on the loopback interface, quiet, and gone afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import ray

from hmarl.errors import InputError
from hmarl.session import connect

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
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] in (
        "True ['127.0.0.1']",
        "True ['127.0.0.1', '::ffff:127.0.0.1']",
        "True ['::ffff:127.0.0.1']",
    )
    assert lines[1:] == ["True 3", "False []"]


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_a_cluster_is_joined_where_an_address_says_so(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def unreachable(**options: object) -> None:
        called.append(options["address"])
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", unreachable)
    if given == "environment":
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")
    with (
        pytest.raises(InputError, match=r"address: '10\.0\.0\.7:6379': no Ray cluster answers there"),
        connect("10.0.0.7:6379" if given == "argument" else None),
    ):
        pass
    assert called == ["10.0.0.7:6379"]
