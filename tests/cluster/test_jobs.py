"""Jobs: what is sent to the cluster."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

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
