"""The command line: precedence, one-line errors, exit statuses, what `import hmarl` loads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from hmarl import command
from hmarl.errors import InputError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rate: float = Field(0.1, gt=0)


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    network: str = Field("two_store", description="preset, family or file")
    episodes: int = Field(200, ge=1, description="test episodes, 95 % intervals")
    policies: list[str] = Field(["s_S"], description="rules to judge")
    set_: dict[str, Any] = Field({}, description="a value of the network")
    json_: bool = Field(False, description="one JSON object on the last line")
    period: Literal["day", "week"] = Field("day", description="of the history")
    max_hours: float | None = Field(None, gt=0, description="stop after")
    out: Path | None = Field(None, description="file to write")
    inner: Inner = Field(Inner(), description="more")


def parse(*argv: str) -> Settings:
    return command.parse(Settings, argv, "prog", "what it does")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("HMARL_"):
            monkeypatch.delenv(name)


def test_flags_of_every_kind() -> None:
    settings = parse(
        "--network", "beer_game", "--episodes=7", "--policies", "a,b", "--policies", "c", "--json",
        "--set", "mean_demand=[2,2]", "--set", "demand={distribution: poisson, mean: 5}", "--set", "x=1.5",
        "--period", "week", "--max-hours", "0.5", "--out", "a/b.csv", "--inner", "{rate: 2}",
    )  # fmt: skip
    assert settings.model_dump() == {
        "network": "beer_game",
        "episodes": 7,
        "policies": ["a", "b", "c"],
        "json_": True,
        "set_": {"mean_demand": [2, 2], "demand": {"distribution": "poisson", "mean": 5}, "x": 1.5},
        "period": "week",
        "max_hours": 0.5,
        "out": Path("a/b.csv"),
        "inner": {"rate": 2},
    }


def test_nothing_given_is_the_defaults() -> None:
    assert parse() == Settings()


def test_command_line_before_environment_before_file_before_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("episodes: 1\nnetwork: from_file\nmax-hours: 3\njson: true\n")
    monkeypatch.setenv("HMARL_EPISODES", "2")
    monkeypatch.setenv("HMARL_NETWORK", "from_environment")
    monkeypatch.setenv("HMARL_POLICIES", "a,b")
    settings = parse("--config", str(file), "--network", "from_flag", "--no-json")
    assert (settings.network, settings.episodes, settings.max_hours) == ("from_flag", 2, 3)
    assert settings.policies == ["a", "b"]
    assert settings.json_ is False
    assert settings.period == "day"


def test_a_bare_variable_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPISODES", "9")
    assert parse().episodes == 200


def test_print_config_can_be_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--set", "lead_time=3", "--policies", "a,b", "--json", "--out", "x.csv"]
    with pytest.raises(SystemExit) as left:
        parse(*given, "--print-config")
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["json"] is True
    file = tmp_path / "settings.yaml"
    file.write_text(printed)
    assert parse("--config", str(file)) == parse(*given)


def test_help_names_flags_descriptions_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse("--help")
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--max-hours X" in text
    assert "test episodes, 95 % intervals (default: 200)" in text
    assert "--set KEY=VALUE" in text
    assert "--period day|week" in text


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--episodes", "0"], "--episodes: '0': at least 1"),
        (["--episodes", "many"], "--episodes: 'many': a whole number"),
        (["--episods", "3"], "option: '--episods': unknown, did you mean --episodes"),
        (["--period", "weak"], "--period: 'weak': unknown, did you mean week? one of day, week"),
        (["--max-hours", "-1"], "--max-hours: '-1': above 0"),
        (["--episodes"], "--episodes: expected one argument"),
        (["two_store"], "'two_store': not expected here"),
        (["--set", "lead_time"], "--set: 'lead_time': KEY=VALUE"),
        (["--set", "a=[1"], "--set a: '[1': not YAML"),
        (["--inner", "{rat: 1}"], "--inner: rat: unknown, did you mean rate? one of rate"),
        (["--inner", "{rate: 0}"], "--inner: rate: 0: above 0"),
    ],
)
def test_bad_flags_are_one_line(argv: list[str], line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(*argv)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        ("episodes: 0", "bad.yaml: episodes: 0: at least 1"),
        ("episods: 3", "bad.yaml: 'episods': unknown, did you mean episodes?"),
        ("- 1", "bad.yaml: a mapping of names to values"),
        ("episodes: 1\nepisodes: 2", "bad.yaml: line 2, column 1: not valid YAML: 'episodes' occurs twice"),
        ("a: [1", "bad.yaml: line 1, column 6: not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML: could not determine a constructor"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, content: str, ending: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"^[^\n]*$") as caught:
        parse("--config", str(file))
    assert ending in str(caught.value)


def test_a_missing_file_and_one_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.yaml: cannot be read: No such file"):
        parse("--config", str(tmp_path / "nowhere.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes.yaml: cannot be read: not UTF-8 text"):
        parse("--config", str(tmp_path / "bytes.yaml"))


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMARL_EPISODES", "-3")
    with pytest.raises(InputError, match=r"^HMARL_EPISODES: '-3': at least 1$"):
        parse()


@pytest.mark.parametrize(("kind", "name"), [("presets", "two_store"), ("scenarios", "disruption")])
def test_list_prints_names(kind: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse("--list", kind)
    assert left.value.code == 0
    assert any(line.startswith(f"{name} ") for line in capsys.readouterr().out.splitlines())


def test_list_of_something_else() -> None:
    with pytest.raises(InputError, match=r"--list: 'preset': unknown, did you mean presets?"):
        parse("--list", "preset")


def run_python(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize(
    ("body", "status", "stderr"),
    [
        ("return None", 0, ""),
        ("return 1", 1, ""),
        ("raise InputError('days: 0: at least 1')", 2, "error: days: 0: at least 1\n"),
        (r"raise Failed('no engine is left:\n  killed')", 1, "error: no engine is left: killed\n"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_exit_statuses(body: str, status: int, stderr: str) -> None:
    code = f"""
from hmarl import command
from hmarl.errors import Failed, InputError
def main(argv):
    {body}
command.run(main)
"""
    done = run_python(code)
    assert (done.returncode, done.stderr) == (status, stderr)


def test_sigterm_runs_finally_and_leaves_with_143() -> None:
    code = """
import time
from hmarl import command
def main(argv):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)
command.run(main)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "cleaned\n"
    assert process.returncode == 143


def test_a_reader_that_leaves_is_no_traceback() -> None:
    code = """
import sys
from hmarl import command
def main(argv):
    for _ in range(100_000):
        print("a line that somebody's head does not want")
command.run(main)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=30) == 141


def test_import_hmarl_loads_neither_ray_nor_torch_nor_numba() -> None:
    heavy = ("ray", "torch", "numba", "numpy")
    done = run_python(f"import sys, hmarl; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout == "[]\n"


def test_load_network_loads_neither_ray_nor_torch() -> None:
    code = "import sys, hmarl; hmarl.load_network('two_store'); "
    assert run_python(f"{code}print([m for m in ('ray', 'torch') if m in sys.modules])").stdout == "[]\n"


@pytest.mark.parametrize("argv", [["hmarl", "--help"], ["hmarl.validate", "--help"], ["hmarl.train", "--help"]])
def test_help_is_quick(argv: list[str]) -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "usage" in done.stdout
    assert time.monotonic() - started < 2  # one second, and as much again for a machine that is busy


def test_the_hmarl_command_refuses_an_unknown_command() -> None:
    done = subprocess.run([sys.executable, "-m", "hmarl", "trian"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: command: 'trian': unknown, did you mean train?")


def test_the_hmarl_command_forwards() -> None:
    argv = [sys.executable, "-m", "hmarl", "validate", "--network", "two_stores"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: network: 'two_stores': unknown, did you mean two_store?")
    assert len(done.stderr.splitlines()) == 1


def test_names_that_hmarl_does_not_have() -> None:
    import hmarl

    with pytest.raises(AttributeError, match=r"no attribute 'trian'"):
        hmarl.trian  # noqa: B018
    assert {"train", "load_network", "evaluate"} <= set(dir(hmarl))


@pytest.mark.parametrize(
    "imports",
    [
        "import hmarl",
        "import hmarl, hmarl.train",
        "import hmarl.train, hmarl.learning",
        "from hmarl import train, Run; import hmarl",
        "from hmarl.train import main; import hmarl",
    ],
)
def test_train_is_a_function_and_a_module_whatever_the_order_of_imports(imports: str) -> None:
    code = f"{imports}\nimport hmarl.train as module\nprint(callable(hmarl.train), callable(module.main))"
    done = run_python(code)
    assert done.stdout == "True True\n", done.stderr
