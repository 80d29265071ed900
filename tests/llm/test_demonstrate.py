"""python -m llm.demonstrate."""

from __future__ import annotations

from pathlib import Path

import pytest

from hmarl.errors import InputError
from llm.demonstrate import main
from llm.tasks.demonstrations import read_examples


def test_the_command_of_the_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demonstrations.jsonl"
    assert main(["--episodes", "20", "--policy", "heuristic", "--out", str(out)]) == 0
    assert len(read_examples(out)) == 20 * 29
    shown = capsys.readouterr().out
    assert shown.startswith("580 examples, mean reward -")
    assert "  user: Day " in shown
    assert "  assistant: Decision: Order " in shown
    assert shown.endswith(f"written: {out}\n")


def test_any_role_of_any_network(tmp_path: Path) -> None:
    out = tmp_path / "warehouse.jsonl"
    options = ["--network=two_store", "--role=warehouse", "--episodes=2", "--policy=base_stock", "--random=0"]
    assert main([*options, "--economics", "--set", "days=20", "--out", str(out)]) == 0
    examples = read_examples(out)
    assert len(examples) == 40
    assert "You order coffee for warehouse" in examples[0].prompt[0]["content"]


def test_a_wrong_policy_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="policy: 'heurist': unknown, did you mean heuristic"):
        main(["--policy", "heurist", "--out", str(tmp_path / "none.jsonl")])
    assert not list(tmp_path.iterdir())
