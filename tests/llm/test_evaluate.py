"""``python -m llm.evaluate``: a model's table, JSON and file; what is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from hmarl.errors import InputError
from hmarl.network import load_network
from llm.evaluate import main
from llm.evaluation import Evaluation
from llm.settings import GRPOSettings
from llm.tiny import tiny_model


@pytest.fixture
def model(tmp_path):
    """The untrained tiny model as the result of a run on a corner shop of 6 days."""
    network = load_network("corner_shop", days=6)
    settings = {key.removesuffix("_"): value for key, value in GRPOSettings().model_dump(mode="json").items()}
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"name": "ours", "settings": settings, "network": network.model_dump(mode="json")})
    )
    shutil.copytree(tiny_model("tiny"), tmp_path / "final")
    return tmp_path / "final"


def test_a_runs_model_is_judged_on_its_network(ray_session, model, tmp_path, capsys):
    out = tmp_path / "evaluation.json"
    arguments = ["--model", str(model), "--episodes", "3", "--compare", "heuristic", "--engine", "transformers"]
    again = ["--repeats", "2", "--paths", "2", "--states", "4", "--out", str(out), "--json"]
    assert main([*arguments, *again]) == 0
    printed = capsys.readouterr().out
    found = Evaluation.load(out)
    assert found.to_json() == json.loads(printed.splitlines()[-1])
    assert (found.days, found.episodes, found.decisions) == (6, 3, 18)
    assert list(found.rows) == ["model", "heuristic", "order_up_to:80"]
    assert found.continuation == "order_up_to:80"
    assert found.parse_failures == 18  # its weights are random
    assert found.variation.repeats == 2
    assert "18 decisions: 18 could not be read (100.0" in printed
    assert main([*arguments, *again]) == 0
    assert Evaluation.load(out) == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "runs/none/final"], "model: 'runs/none/final': no such folder"),
        (["--model", "tiny", "--compare", "magic"], "policy: 'magic': unknown"),
        (["--model", "tiny", "--network", "corner_sho"], "corner_sho"),
        (["--model", "tiny", "--repeats", "1"], "--repeats: 1: at least 2, or 0"),
        (["--model", "tiny", "--episodes", "1"], "--episodes: '1': at least 2"),
        ([], "--model: is missing"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(InputError) as error:
        main(arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
