"""The seams at which TRL is used, some of them private: what fails here when TRL moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm.rollout.engine import EngineError, WeightsMismatch
from llm.settings import GRPOSettings


def test_it_publishes_before_each_generation(make: Callable[..., Any]) -> None:
    trainer = make(episodes=16)
    published: list[int] = []
    publish = trainer.vllm_generation.sync_weights

    def noted() -> None:
        published.append(trainer.state.global_step)
        publish()

    trainer.vllm_generation.sync_weights = noted
    trainer.train()
    assert published == [0, 1]
    row = trainer.row({**trainer.state.log_history[-2], "loss": 0.0, "grad_norm": 0.0, "learning_rate": 0.0})
    assert {"reward", "entropy", "mismatch_max", "clip_fraction", "completion_length"} <= row.keys()


def test_weights_that_are_not_published_stop_it(make: Callable[..., Any], supervised: Any) -> None:
    """In bfloat16, at the default learning rate of real models: no log-probability tells such weights apart."""
    from llm.rollout.engine import EngineSettings
    from llm.rollout.pool import start_pool

    usual = GRPOSettings.model_fields["learning_rate"].default
    settings = EngineSettings(str(supervised.final), kind="vllm", dtype="bfloat16", max_model_len=128)
    pool = start_pool(settings, engines=1, num_cpus=0, name="withheld")
    try:
        trainer = make(pool=pool, episodes=24, bf16=True, learning_rate=usual, own_states=0)
        publish = trainer.vllm_generation.sync_weights
        trainer.vllm_generation.sync_weights = lambda: None if trainer.state.global_step == 1 else publish()
        with pytest.raises(EngineError, match=r"version 2 of the weights: not on the board, which holds 1"):
            trainer.train()
    finally:
        pool.close()
    assert trainer.state.global_step == 1


def test_other_log_probabilities_stop_it_in_float32(make: Callable[..., Any]) -> None:
    import torch

    trainer = make()
    rows = {
        "completion_mask": torch.tensor([[1, 1, 0]]),
        "advantages": torch.ones(1),
        "sampling_per_token_logps": torch.tensor([[-1.0, -2.00005, -9.0]]),
    }
    logps = torch.tensor([[-1.0, -2.0, -3.0]])
    trainer._correct({**rows}, logps)
    with pytest.raises(WeightsMismatch, match=r"step 0: .* differ from the trainer's by 0.0002"):
        trainer._correct({**rows}, logps + 0.00015)


def test_equal_rows_are_computed_once_and_count_as_often_as_they_are(make: Callable[..., Any]) -> None:
    import torch
    from trl import GRPOTrainer

    trainer = make()
    ids = torch.randint(10, 300, (3, 9))[[0, 1, 0, 2, 0]]
    mask = torch.ones_like(ids)
    found = []
    for method in (type(trainer), GRPOTrainer):
        trainer.model.zero_grad()
        logps, entropies, _ = method._get_per_token_logps_and_entropies(
            trainer, trainer.model, ids, mask, 4, compute_entropy=True
        )
        (logps * torch.arange(20.0).view(5, 4)).sum().backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()])
        found.append((logps.detach(), entropies.detach(), gradient))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_answers_are_asked_ahead_of_older_weights(make: Callable[..., Any]) -> None:
    trainer = make(episodes=24, staleness=1, own_states=0)
    trainer.train()
    apart = [logs["mismatch_mean"] for logs in trainer.state.log_history if "loss" in logs]
    assert len(apart) == 3
    assert apart[0] < 1e-5
    assert min(apart[1:]) > 1e-4


def test_adapters_are_merged_for_engines_that_cannot_serve_them(make: Callable[..., Any]) -> None:
    make().publish()  # other tests' weights are in the engine: of adapters only what they change is sent
    trainer = make(episodes=24, use_lora=True)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items() if "lora" not in name}
    trainer.train()
    assert trainer.mismatch_max < 1e-4
    assert all((trainer.model.state_dict()[name] == tensor).all() for name, tensor in before.items())


def test_the_head_is_run_on_the_answers_alone(make: Callable[..., Any]) -> None:
    import torch

    from llm.trainers import worker

    worker.run_head_on_answers_alone()
    trainer = make()
    ids = torch.randint(10, 300, (3, 9))
    logps, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, torch.ones_like(ids), 4)
    node = logps.grad_fn
    while "ChunkedLogProb" not in node.name():
        node = next(parent for parent, _ in node.next_functions if parent is not None)
    hidden = node.saved_tensors[0]
    assert len(hidden) == 3 * 4


def test_answers_that_were_not_sampled_are_left_out_of_the_correction(make: Callable[..., Any]) -> None:
    trainer = make(episodes=8, explore=0.5)
    trainer.train()
    assert 0 < trainer.mismatch_max < 1e-4
    assert trainer.state.log_history[-2]["importance_ratio"] == pytest.approx(1, abs=1e-4)


def test_answers_count_by_their_probabilities_ratio() -> None:
    import torch

    from llm.trainers.grpo_trainer import importance

    apart = torch.log(torch.tensor([[0.5, 0.5, 1.0], [2.0, 1.5, 0.99], [2.0, 2.0, 1.0]]))
    torch.testing.assert_close(importance(apart), torch.tensor([0.25, 2.97, 0.0]))


def test_the_correction_is_trls(make: Callable[..., Any]) -> None:
    """The same rows give the same loss and gradient as TRL's own correction, which runs the model twice."""
    import torch
    from trl import GRPOTrainer

    trainer = make()
    trainer.dtype, trainer.current_gradient_accumulation_steps = "bfloat16", 1  # engines may differ
    ids = torch.randint(10, 300, (4, 9), generator=torch.Generator().manual_seed(0))
    rows = {
        "prompt_ids": ids[:, :5],
        "prompt_mask": torch.ones_like(ids[:, :5]),
        "completion_ids": ids[:, 5:],
        "completion_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]),
        "advantages": torch.tensor([1.0, -2.0, 0.5, 3.0]),
    }
    with torch.no_grad():
        logps, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, torch.ones_like(ids), 4)
    sampled = logps - torch.tensor([[0.1, 0.2, 0, 0], [-0.3, 0, 9, 9], [1, 1, 0, 0], [0, torch.nan, -0.1, 0]])
    ratio = torch.tensor([0.3, -0.3, 2.0, -0.1]).exp()
    ratio[2] = 0.0
    assert trainer.vllm_importance_sampling_mode == "sequence_mask"
    assert trainer.vllm_importance_sampling_clip_max == 3
    gradients = []
    for theirs in (False, True):
        trainer.model.zero_grad()
        trainer.vllm_importance_sampling_correction = theirs
        compute = GRPOTrainer._compute_loss if theirs else type(trainer)._compute_loss
        more = {"old_per_token_logps": logps, "importance_sampling_ratio": ratio[:, None]} if theirs else {}
        compute(trainer, trainer.model, {**rows, "sampling_per_token_logps": sampled, **more}).backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]))
    assert gradients[0].norm() > 0
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
