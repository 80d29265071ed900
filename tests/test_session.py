"""Ray: our own, on the loopback interface, quiet, and gone afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from hmarl.errors import InputError
from hmarl.session import Need, connect, lacking

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import signal, sys
before = signal.getsignal(signal.SIGTERM)
from hmarl.session import Need, connect, lacking
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
print(ray.is_initialized(), psutil.wait_procs(family, timeout=20)[1])
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
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    if given == "environment":
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with (
        pytest.raises(InputError, match=r"address: '127\.0\.0\.1:9': no Ray cluster answers there"),
        connect("127.0.0.1:9" if given == "argument" else None),
    ):
        pass


@pytest.mark.parametrize("address", ["nonsense", "http://127.0.0.1:8265", "ray://127.0.0.1:10001"])
def test_what_is_no_address_of_a_head(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(InputError, match="HOST:PORT of a cluster's head"), connect(address):
        pass


SMALL, LARGE = {"CPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("needs", "nodes", "types", "why"),
    [
        ([Need("runners", 4)], [SMALL, SMALL], [], ""),
        ([Need("runners", 1, cpus=4)], [SMALL], [(LARGE, 1)], ""),
        ([Need("runners", 1, cpus=4)], [SMALL], [(LARGE, 0)], "runners: no node has 4 CPU; the largest have 2 CPU"),
        (
            [Need("runners", 3), Need("engines", 2)],
            [SMALL, SMALL],
            [],
            "together 5 CPU; the cluster has 4 CPU",
        ),
        (
            [Need("engines", 4, gpus=1)],
            [SMALL],
            [(LARGE, 3)],
            "together 4 CPU and 4 GPU; the cluster has 2 CPU, and may grow to 24 CPU and 3 GPU",
        ),
    ],
)
def test_what_a_cluster_can_never_start(
    needs: list[Need], nodes: list[dict[str, float]], types: list[tuple[dict[str, float], int]], why: str
) -> None:
    assert lacking(needs, nodes, types) == why


ASK = """
import sys
from hmarl.errors import Failed, InputError
from hmarl.session import Need, connect
address, count, cpus, wait = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
try:
    with connect(address, needs=[Need("runners", count, cpus)], wait=wait):
        print("room")
except (InputError, Failed) as error:
    print(f"{type(error).__name__}: {error}")
"""
HOLD = """
import sys
from hmarl.session import connect
with connect(sys.argv[1]):
    import ray
    group = ray.util.placement_group([{"CPU": 2}])
    group.wait()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of two nodes of 2 CPUs, and a head without."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        nodes.add_node(num_cpus=2)
    yield nodes.address
    nodes.shutdown()


def ask(cluster: str, count: int, cpus: float, wait: float = 60) -> str:
    asked = [sys.executable, "-c", ASK, cluster, str(count), str(cpus), str(wait)]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout.strip()


def test_room_is_waited_for_and_what_can_never_be_is_refused_at_once(cluster: str) -> None:
    assert ask(cluster, 4, 1) == "room"
    assert ask(cluster, 1, 3) == (
        "InputError: asked for 1 runners of 3 CPU each: runners: no node has 3 CPU; the largest have 2 CPU"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, cluster], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert ask(cluster, 3, 1, wait=1) == (
        "Failed: asked for 3 runners of 1 CPU each: no room after 1 s; of 4 CPU free are 2 CPU"
    )
    holder.communicate("")
    assert ask(cluster, 3, 1) == "room"
