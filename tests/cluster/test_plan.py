"""``python -m cluster.plan``: a plan for people, a plan for ``llm.train``, and one line where the input is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.plan import main
from cluster.planning.parts import BUILT_IN
from hmarl.errors import InputError
from llm.settings import GRPOSettings, make_settings


def planned(*arguments: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """A run of the command, and its last line."""
    command = [sys.executable, "-m", "cluster.plan", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done, json.loads(done.stdout.splitlines()[-1])


def test_a_plan_that_fits_is_what_training_takes(tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    model = ["--model", "tiny-gpt-oss", "--lora-r", "4", "--tokens", "128", "--rows", "30"]
    done, plan = planned(*model, "--gpu", "l4-24", "--gpus-per-node", "2", "--nodes", "2", "--out", str(out))
    assert done.returncode == 0
    assert json.loads(out.read_text()) == plan
    assert plan["fits"]
    assert plan["memory"]["total"] == sum(list(plan["memory"].values())[1:8])
    assert plan["smallest"]["gpus"] == 2  # one trains, one answers
    bundles = plan["placement"]["bundles"]
    assert sum(bundle["gpus"] for bundle in bundles) <= 4
    settings = make_settings(GRPOSettings, {"plan": out})
    assert settings.model_dump(mode="json", include=set(plan["settings"])) == plan["settings"]
    assert (settings.model, settings.lora_r, settings.lora_alpha) == ("tiny-gpt-oss", 4, 8)
    assert settings.workers == sum(bundle["role"] == "trainer" for bundle in bundles)
    assert settings.engines == sum(bundle["role"] == "engine" for bundle in bundles)
    assert (settings.max_prompt_length, settings.max_completion_length) == (96, 32)
    assert settings.rows_a_step % settings.num_generations == 0
    assert settings.rows_a_step >= 30
    settings.validate()
    for words in ("adapter", "It fits on 2 x 2 l4-24", "node 2:", "Smallest that fits: 1 node of 2 l4-24", "Assumed:"):
        assert words in done.stdout


def test_a_plan_that_does_not_fit_says_what_would_help(tmp_path: Path) -> None:
    """A layer of gpt-oss-120b is 6 GiB: gathered, gathered ahead and on its way they are most of 22 GiB."""
    config = tmp_path / "config.json"
    kinds = ["sliding_attention", "full_attention"]
    config.write_text(json.dumps(BUILT_IN["openai/gpt-oss-120b"] | {"num_hidden_layers": 2, "layer_types": kinds}))
    done, plan = planned("--model", str(config), "--gpu", "l4-24", "--no-gradient-checkpointing", "--nodes", "1")
    assert done.returncode == 1
    assert not plan["fits"]
    assert plan["settings"] is plan["placement"] is None
    memory = plan["memory"]
    assert memory["needed"] > memory["gpu"]
    over = (memory["needed"] - memory["gpu"]) / 2**30
    assert f"on 8 GPUs a worker needs {over:.1f} GiB more than its GPU has" in done.stdout
    changes = {entry["change"]: entry for entry in plan["help"]}
    assert changes["gradient checkpointing"]["needed"] < memory["needed"]
    assert changes["--tokens 2048"]["needed"] < memory["needed"]
    assert changes["--gpu a100-40"]["fits"]
    out = tmp_path / "plan.json"
    out.write_text(json.dumps(plan))
    with pytest.raises(InputError, match="a JSON object with `settings`"):
        make_settings(GRPOSettings, {"plan": out})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--gpu", "h100"], "--gpu: 'h100': unknown, did you mean h100-80"),
        (["--nodes", "0"], "--nodes: '0': at least 1"),
        (["--gpus-per-node", "x"], "--gpus-per-node: 'x': a whole number"),
        (["--model", "no-such/model"], "--model: 'no-such/model': one of openai/gpt-oss-20b"),
        (["--tokens", "100", "--answer-tokens", "100"], "--answer-tokens: 100: below --tokens 100"),
        (["--workers", "9"], "--workers: 9: at most 8"),
        (["--tensor-parallel", "16"], "--tensor-parallel: 16: at most 8"),
        (["--lora-r", "0", "--expert-targets", "mlp.experts.down_proj"], "--expert-targets: they are adapters"),
        (["--node", "1"], "'--node': unknown, did you mean"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], line: str) -> None:
    with pytest.raises(InputError) as error:
        main(arguments)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_gpt_oss_120b_on_two_nodes() -> None:
    done, plan = planned("--gpu", "h100-80", "--gpus-per-node", "8", "--nodes", "2")
    assert done.returncode == 0
    assert plan["memory"]["needed"] < plan["memory"]["gpu"]
    assert plan["publish"]["bytes"] == 23_887_872
    assert plan["publish"]["full_bytes"] == pytest.approx(233.7e9, rel=1e-3)
    assert plan["settings"]["workers"] >= plan["settings"]["min_workers"] >= 5  # 47 GiB on 8, 217 of them shared
