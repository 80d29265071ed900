"""A model that is not shared out is noticed by its bytes."""

from __future__ import annotations

import pytest

from llm.models import load_model, resolve
from llm.trainers.sharding import check_share, full_state, local_share


def test_a_model_that_every_worker_holds_whole_is_an_error() -> None:
    model = load_model(resolve("tiny"))
    assert local_share(model) == 1
    assert check_share(model, 1) == 1
    with pytest.raises(RuntimeError, match="a worker of 2 holds 100% of its bytes"):
        check_share(model, 2)


def test_the_state_of_a_whole_model_is_its_own() -> None:
    model = load_model(resolve("tiny"))
    state = full_state(model, trained_only=False)
    assert {name: tensor.shape for name, tensor in model.state_dict().items()} == {
        name: tensor.shape for name, tensor in state.items()
    }
