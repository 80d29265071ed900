"""Reinforcement learning: with how many workers, and whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hmarl.runs import read_rows
from llm.evaluation import play
from llm.tasks.decider import LanguageModelPolicy
from llm.tasks.supply_chain import SupplyChainTask

APART = 1e-5  # of weights
ROUNDED = 1e-4  # the same where several workers make the sums; a step moves a weight by up to 3e-3


def test_every_step_is_exact_and_every_prompt_is_trained_once(uninterrupted: Any) -> None:
    rows = uninterrupted.rows
    assert [row["steps"] for row in rows] == [1, 2, 3, 4]
    assert all(row["mismatch_max"] < 1e-4 for row in rows)
    assert rows[0]["parse_failures"] < 0.5
    assert rows[0]["grad_norm"] > 0
    assert uninterrupted.ledger == [f"0,{number},{1 + number // 8}" for number in range(32)]


def test_the_trained_model_is_the_best_of_those_validated(uninterrupted: Any, task: SupplyChainTask) -> None:
    """What was exported earns on validation paths what was measured through the engines."""
    from llm.generation import EngineGenerate
    from llm.models import load_tokenizer
    from llm.rollout.engine import EngineSettings
    from llm.rollout.transformers_engine import TransformersEngine

    validated = [row for row in uninterrupted.rows if "validation_profit" in row]
    assert [row["steps"] for row in validated] == [2, 4]
    best = max(validated, key=lambda row: row["validation_profit"])
    assert validated[-1]["best_step"] == best["steps"]
    assert f"best on validation paths: step {best['steps']}" in (uninterrupted.folder / "train.log").read_text()
    engine = TransformersEngine(EngineSettings(str(uninterrupted.final), kind="transformers", max_model_len=128))
    generate = EngineGenerate(engine.generate, load_tokenizer(uninterrupted.final), max_tokens=8)
    played = play(task.network, LanguageModelPolicy(task, generate), 4, split="validation")
    assert played.profit.mean() == pytest.approx(best["validation_profit"])


def test_weights_that_only_get_worse_are_left_behind_in_time(
    run_grpo: Callable[..., Any], supervised: Any, tmp_path: Path
) -> None:
    """The rate is 0 in the first step and then far too high."""
    run = run_grpo(tmp_path, episodes=64, warmup=0.25, learning_rate=0.3, eval_steps=1, patience=2)
    assert [row["best_step"] for row in run.rows] == [1, 1, 1]
    assert run.rows[-1]["stopped"] == "2 validations without a better one than that of step 1"
    assert "ended early: 2 validations" in (tmp_path / "train.log").read_text()
    assert run.apart(supervised) == 0


def test_samples_are_kept_as_the_report_shows_them(uninterrupted: Any) -> None:
    samples = read_rows(uninterrupted.folder / "samples.jsonl")
    assert [sample["steps"] for sample in samples] == [1, 1, 4, 4]
    assert all(sample["prompt"].endswith("Order?") for sample in samples)
    for sample in samples:
        assert (sample["order"] is None) or str(sample["order"]) in sample["answer"]


def test_judged_by_a_copy_of_itself_and_killed(run_grpo: Callable[..., Any], tmp_path: Path) -> None:
    expected = run_grpo(tmp_path / "whole", continuation="self")
    assert [row["steps"] for row in expected.rows if "imitation" in row] == [1, 3]
    assert all(0 < row["imitation"] <= 1 for row in expected.rows if "imitation" in row)
    killer = threading.Thread(target=_kill_worker_after, args=(tmp_path / "killed" / "metrics.jsonl", 3), daemon=True)
    killer.start()
    run = run_grpo(tmp_path / "killed", continuation="self")
    killer.join(timeout=1)
    assert "died" in (tmp_path / "killed" / "train.log").read_text()
    assert read_rows(run.folder / "samples.jsonl") == read_rows(expected.folder / "samples.jsonl")
    _check_same(run, expected)


def test_the_finished_run_is_not_done_again(uninterrupted: Any, run_grpo: Callable[..., Any]) -> None:
    begun = time.monotonic()
    assert run_grpo(uninterrupted.folder).final == uninterrupted.final
    assert time.monotonic() - begun < 1


@pytest.mark.slow
def test_the_same_call_goes_on_where_a_killed_driver_stopped(
    uninterrupted: Any, run_grpo: Callable[..., Any], supervised: Any, small_grpo: dict[str, Any], tmp_path: Path
) -> None:
    values = [json.dumps(small_grpo), str(supervised.final), str(tmp_path)]
    driver = subprocess.Popen([sys.executable, "-c", _DRIVER, *values])
    while not any(row["steps"] >= 2 for row in read_rows(tmp_path / "metrics.jsonl")):
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    run = run_grpo(tmp_path)
    assert run.ledger == uninterrupted.ledger
    assert run.apart(uninterrupted) < APART


_DRIVER = """
import json, sys
from pathlib import Path
from hmarl.progress import Reporter
from hmarl.session import Need, connect
from llm.rollout.engine import EngineSettings
from llm.rollout.pool import start_pool
from llm.settings import GRPOSettings
from llm.tasks.supply_chain import SupplyChainTask
from llm.trainers.grpo import grpo

values, model, folder = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
with connect(needs=[Need("processes", 3)]):
    pool = start_pool(EngineSettings(model, kind="vllm", max_model_len=128), engines=1)
    task = SupplyChainTask("corner_shop", economics=False)
    grpo(GRPOSettings(**values), task, pool, Path(model), folder, Reporter(folder / "train.log", quiet=True))
"""


def test_two_workers_share_the_model_out_and_learn_the_same(
    uninterrupted: Any, run_grpo: Callable[..., Any], tmp_path: Path
) -> None:
    run = run_grpo(tmp_path, workers=2, batch_size=32)
    _check_same(run, uninterrupted, ROUNDED)


def test_two_trainings_share_an_engine_and_learn_what_each_does_alone(
    run_grpo: Callable[..., Any], supervised: Any, tmp_path: Path
) -> None:
    """Their adapters are served beside the base in turn."""
    from peft import AutoPeftModelForCausalLM

    from llm.rollout.engine import EngineSettings
    from llm.rollout.pool import start_pool

    asked: dict[str, Any] = {"use_lora": True, "lora_r": 8, "episodes": 32, "beta": 0.01}
    other: dict[str, Any] = {**asked, "lora_r": 4, "seed": 1}
    settings = EngineSettings(str(supervised.final), kind="vllm", max_model_len=128, adapters=1, max_lora_rank=8)
    pool = start_pool(settings, engines=1, num_cpus=0, name="adapters")
    try:
        alone = run_grpo(tmp_path / "alone", pool=pool, **asked)
        with ThreadPoolExecutor() as threads:
            first = threads.submit(run_grpo, tmp_path / "first", pool=pool.shared(), **asked)
            second = threads.submit(run_grpo, tmp_path / "second", pool=pool.shared(), **other)
        run, different = first.result(), second.result()
    finally:
        pool.close()
    for done in (alone, run, different):
        assert all(row["mismatch_max"] < 1e-4 for row in done.rows)
        assert done.rows[0]["kl"] == pytest.approx(0, abs=1e-6)
        assert done.rows[1]["kl"] > 0
    _check_same(run, alone)
    assert {*AutoPeftModelForCausalLM.from_pretrained(different.final).peft_config} == {"default"}


def test_engines_without_adapters_are_not_shared(taught_pool: Any) -> None:
    from llm.rollout.engine import EngineError

    with pytest.raises(EngineError, match="these serve none"):
        taught_pool.shared()


def _check_same(run: Any, expected: Any, apart: float = APART) -> None:
    """Trained on the same prompts to the same weights."""
    assert run.ledger == expected.ledger
    assert [row["loss"] for row in run.rows] == pytest.approx([row["loss"] for row in expected.rows], abs=1e-6)
    assert run.rows[-1]["validation_profit"] == pytest.approx(expected.rows[-1]["validation_profit"])
    assert run.apart(expected) < apart


def _kill_worker_after(metrics: Path, step: int) -> None:
    import psutil

    while not any(row["steps"] >= step for row in read_rows(metrics)):
        time.sleep(0.01)
    for process in psutil.Process().children(recursive=True):
        if "RayTrainWorker" in process.name() or "RayTrainWorker" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
