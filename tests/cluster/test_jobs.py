"""Jobs: what is sent to the cluster, and who may send it; test_nodes.py has jobs that run."""

from __future__ import annotations

import secrets
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from cluster.local import LocalCluster

ROOT = Path(__file__).resolve().parents[2]
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


@pytest.mark.slow
def test_another_token_is_refused(nodes: LocalCluster, tmp_path: Path) -> None:
    other = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    submitted = nodes.run(nodes.submission("ours", "true", folder=tmp_path), **other)
    assert submitted.returncode != 0
    assert "Invalid authentication token" in submitted.stderr
    for more in (other, {"RAY_AUTH_MODE": "disabled"}):
        told = ["--runs", str(tmp_path), "--address", nodes.address]
        joined = nodes.run([sys.executable, "-m", "hmarl.train", *told], **more)
        assert (joined.returncode, joined.stderr.count("\n")) == (2, 1)
        assert "the cluster asks for another token than the one in RAY_AUTH_TOKEN" in joined.stderr


@pytest.mark.slow
def test_the_dashboard_listens_on_the_loopback_interface_alone(nodes: LocalCluster) -> None:
    import psutil

    port = int(nodes.dashboard.rpartition(":")[2])
    listening = [c.laddr.ip for c in psutil.net_connections("inet") if c.status == "LISTEN" and c.laddr.port == port]
    assert [ip.removeprefix("::ffff:") for ip in listening] == ["127.0.0.1"]
