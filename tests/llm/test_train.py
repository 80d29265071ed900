"""``python -m llm.train``: what a run leaves behind, how it goes on, how it ends."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import llm
from cluster.local import LocalCluster
from hmarl.errors import InputError
from hmarl.runs import read_rows
from llm.job import asked_otherwise
from llm.settings import GRPOSettings
from llm.tasks.demonstrations import demonstrate
from llm.tasks.supply_chain import SupplyChainTask
from llm.train import main

ROOT = Path(__file__).resolve().parents[2]


def command(module: str, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "first"


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    """The whole job, as short as it goes; killed in the middle of a step, and all of Ray with it, and called again."""
    asked = ("grpo", "--quick", "--output-dir", str(folder))
    process = subprocess.Popen(
        [sys.executable, "-m", "llm.train", *asked], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(read_rows(folder / "metrics.jsonl")) < 7:
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "final").exists()
    return command("llm.train", *asked, "--json")


def test_a_whole_training_by_command(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert done.returncode == 0, done.stderr
    assert "supervised training:" not in done.stdout  # it was done before the kill
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["model"] == str(folder / "final")
    rows = last["evaluation"]["rows"]
    assert {"model", "sft", "random", "heuristic", "base_stock"} <= rows.keys()
    assert rows["heuristic"]["profit"]["mean"] == pytest.approx(1675, abs=250)
    assert last["evaluation"]["bound"]["mean"] > rows["order_up_to:80"]["profit"]["mean"]
    for name in ("config.yaml", "train.log", "metrics.jsonl", "ledger.csv", "evaluation.json", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").iterdir())


def test_every_prompt_is_in_the_ledger_once(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    settings = GRPOSettings(quick=True)
    rows = list(csv.DictReader((folder / "ledger.csv").open()))
    assert sorted((int(row["epoch"]), int(row["number"])) for row in rows) == [(0, k) for k in range(settings.episodes)]
    steps = [json.loads(line)["steps"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, settings.steps + 1))


def test_the_model_loads_as_any_other(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder / "final")
    tokenizer = AutoTokenizer.from_pretrained(folder / "final")
    assert model.get_input_embeddings().weight.shape[0] >= len(tokenizer)


def test_the_same_command_again_trains_nothing_anew(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    before = (folder / "final" / "model.safetensors").read_bytes()
    again = command("llm.train", "grpo", "--quick", "--output-dir", str(folder))
    assert again.returncode == 0, again.stderr
    assert (folder / "final" / "model.safetensors").read_bytes() == before
    assert "reinforcement learning:" not in again.stdout


def test_other_settings_are_refused(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    other = command("llm.train", "grpo", "--quick", "--output-dir", str(folder), "--beta", "0.1")
    assert other.returncode == 2
    assert other.stderr.startswith("error: ")
    assert other.stderr.count("\n") == 1
    assert "beta 0.0, now 0.1: repeat those, or choose another --name" in other.stderr


def test_what_follows_a_training(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    model = str(folder / "final")
    judged = command("llm.evaluate", "--model", model, "--episodes", "5", "--compare", "heuristic", "--json")
    assert judged.returncode == 0, judged.stderr
    assert json.loads(judged.stdout.splitlines()[-1])["episodes"] == 5
    asked = command("llm.ask", "--model", model, "--seed", "3")
    assert asked.returncode == 0, asked.stderr
    assert "Order" in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("grop",), "did you mean grpo"),
        (("grpo", "--learning_rate", "1"), "did you mean --learning-rate"),
        (("grpo", "--num-generations", "5"), "num_generations: 5: must divide"),
        (("grpo", "--model", "nowhere/nothing"), "nowhere/nothing"),
        (("grpo", "--network", "corner_shp"), "did you mean corner_shop"),
        (("grpo", "--continuation", "order_up"), "order_up"),
        (("sft", "--data", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(InputError, match=re.escape(said)):
        main([*arguments, "--output-dir", str(folder)])
    assert not folder.exists()


def test_what_cannot_be_done_is_one_line_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ("--quick", "--demonstrations", "0", "--tensor-parallel", "2", "--output-dir", str(folder))
    ended = command("llm.train", "grpo", *arguments)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert "an engine cannot start: " in ended.stderr
    assert "tensor_parallel: merged weights are published to engines of one device" in ended.stderr
    assert "Traceback (most recent call last)" in (folder / "train.log").read_text()


@pytest.mark.slow
def test_a_language_model_goes_on_without_a_node_and_uses_the_next(
    done: subprocess.CompletedProcess[str], folder: Path, nodes: LocalCluster, tmp_path: Path
) -> None:
    """Two workers that share the model out and two engines that serve its adapter, on two nodes. In the end every
    prompt was trained on exactly once."""
    from peft import AutoPeftModelForCausalLM

    run = tmp_path / "model"
    metrics = run / "metrics.jsonl"

    def workers() -> list[int]:
        return [row["workers"] for row in read_rows(metrics)]

    command = (
        *("python", "-m", "llm.train", "grpo", "--quick", "--model", str(folder / "sft" / "final"), "--no-economics"),
        *("--gradient-accumulation-steps", "1", "--num-generations", "8", "--beta", "0.05", "--learning-rate", "3e-3"),
        *("--episodes", "800", "--evaluation-episodes", "4", "--compare-episodes", "2"),
        *("--workers", "2", "--batch-size", "16", "--engines", "2", "--eval-steps", "200", "--save-steps", "5"),
        *("--max-completion-length", "8", "--output-dir", str(run), "--storage", str(tmp_path / "storage")),
    )
    lost = nodes.nodes[-1]
    with nodes.running(nodes.submission("model", *command)) as until:
        until(lambda: len(workers()) > 7)
        lost.kill()
        until(lambda: 1 in workers())
        nodes.add(2)
        until(lambda: workers()[-1] == 2)
        until((run / "report.html").exists)
    ledger = list(csv.DictReader((run / "ledger.csv").open()))
    assert Counter(int(row["number"]) for row in ledger) == Counter(range(800))
    rows = read_rows(metrics)
    assert [row["steps"] for row in rows] == list(range(1, 201))
    assert all(row["mismatch_max"] < 1e-4 for row in rows)
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert rows[-1]["kl"] > 0
    assert {*AutoPeftModelForCausalLM.from_pretrained(run / "final").peft_config} == {"default"}


def test_demonstrations_that_ask_otherwise_are_told_of() -> None:
    plain, told = (SupplyChainTask("corner_shop", economics=economics) for economics in (False, True))
    examples = demonstrate(plain, plain.heuristic, 1)
    assert asked_otherwise(plain, examples) == []
    assert asked_otherwise(plain, []) == []
    assert asked_otherwise(told, examples) == [
        "data: example 1 asks by user; the model is judged on prompts by system, user: see --economics"
    ]


def test_without_an_algorithm() -> None:
    ended = command("llm.train")
    assert ended.returncode == 2
    assert "grpo|sft" in ended.stderr


@pytest.mark.parametrize("name", llm.__all__)
def test_what_python_offers(name: str) -> None:
    offered: Callable[..., object] = getattr(llm, name)
    assert offered.__name__ == name
