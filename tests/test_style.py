"""The rules of the house: formatting, types, small files, light imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hmarl", "llm", "cluster", "tune", "benchmarks")
SOURCES = sorted(path for package in PACKAGES for path in ROOT.glob(f"{package}/**/*.py"))
TESTS = sorted(ROOT.glob("tests/**/*.py"))
HEAVY = ("ray", "torch", "transformers", "vllm", "numba", "matplotlib", "scipy", "pandas")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")], ids=["check", "format"])
def test_ruff(arguments: tuple[str, ...]) -> None:
    done = run("-m", "ruff", *arguments, *PACKAGES, "tests")
    assert done.returncode == 0, done.stdout + done.stderr


def test_types() -> None:
    done = run("-m", "mypy")
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_are_small_and_named_for_what_they_hold() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in lengths.items() if lines >= 400} == {}
    assert [path for path in SOURCES if path.name in ("utils.py", "util.py", "helpers.py", "common.py")] == []


def test_every_folder_of_the_package_is_one() -> None:
    folders = {path.parent for path in SOURCES if not path.is_relative_to(ROOT / "benchmarks")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_nothing_names_a_place_of_one_machine() -> None:
    places = ("/work" + "/", "/root" + "/", "/home" + "/", "/opt" + "/", "/farm" + "/")
    others = [ROOT / name for name in ("README.md", "Makefile", "pyproject.toml", ".ci/run")]
    named = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in [*SOURCES, *TESTS, *others]
        for place in places
        if place in path.read_text()
    ]
    assert named == []


def imported_by(code: str) -> list[str]:
    """Which heavy packages a fresh interpreter has imported after `code`."""
    program = f"import json, sys\n{code}\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = run("-c", program)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_hmarl_is_light() -> None:
    assert imported_by("import hmarl") == []


def test_a_network_needs_neither_ray_nor_torch() -> None:
    loaded = imported_by("import hmarl; hmarl.Simulator(hmarl.load_network('two_store'))")
    assert not {"ray", "torch"} & set(loaded)


def commands() -> list[str]:
    """Modules that run with ``python -m``."""
    names = []
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__main__":
            names.append(".".join(parts[:-1]))
        elif 'if __name__ == "__main__"' in path.read_text():
            names.append(".".join(parts))
    return names


@pytest.mark.parametrize("command", commands())
def test_help_is_quick(command: str) -> None:
    """What makes a command slow to answer is what it imports; seconds on a busy machine are not asserted."""
    code = f"""
import contextlib, runpy
sys.argv = [{command!r}, "--help"]
status = None
try:
    runpy.run_module({command!r}, run_name="__main__", alter_sys=True)
except SystemExit as end:
    status = end.code
assert status in (0, None), status
"""
    assert imported_by(code) == []


def test_help_says_what_the_command_does() -> None:
    for command in commands():
        done = run("-m", command, "--help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.lower().startswith("usage"), command
        assert len(done.stdout.splitlines()) > 3, command
