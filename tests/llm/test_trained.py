"""A trained model that is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from hmarl import InputError
from llm.chat import prompt_ids
from llm.models import export, load_model, load_tokenizer
from llm.tiny import tiny_model
from llm.trained import TrainedModel

QUESTION = [{"role": "user", "content": "Stock 42. Order?"}]
LONGER = [{"role": "system", "content": "You order for a shop."}, *QUESTION]
ANSWER = "Decision: Order 25 units"


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned one answer by heart."""
    import torch

    folder = tmp_path_factory.mktemp("taught") / "final"
    tokenizer = load_tokenizer(tiny_model("tiny"))
    torch.manual_seed(0)
    model = load_model(tiny_model("tiny"))
    rows = []
    for messages in (QUESTION, LONGER):
        prompt = prompt_ids(tokenizer, messages)
        answer = tokenizer.encode(ANSWER + "<|return|>")
        rows.append((torch.tensor([prompt + answer]), torch.tensor([[-100] * len(prompt) + answer])))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(60):
        loss = sum(model(ids, labels=labels).loss for ids, labels in rows)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1
    export(model, tokenizer, folder)
    return folder


def test_response(taught: Path) -> None:
    model = TrainedModel(taught)
    assert model.generate_response(QUESTION) == ANSWER
    assert model.generate(QUESTION, max_new_tokens=2) == "Decision: Order 25"
    assert model.generate_all([QUESTION, LONGER]) == [ANSWER, ANSWER]  # prompts of different lengths


def test_sampling_follows_its_seed_and_leaves_the_global_one() -> None:
    import torch

    model = TrainedModel("tiny")
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    answers = [model.generate(QUESTION, max_new_tokens=8, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]
    assert torch.rand(1) == expected


def test_an_unknown_model() -> None:
    with pytest.raises(InputError, match=r"^model: 'no such folder'"):
        TrainedModel("no such folder")
