"""What RLlib's users know by name is there: results, callbacks, Tune."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from ray import tune
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback

from hmarl.envs.rllib import MultiAgentSupplyChain
from hmarl.learning.algorithm import PPOSettings, ppo_config
from hmarl.learning.blocks import Block
from hmarl.network import load_network
from hmarl.roles import Chain

pytestmark = pytest.mark.usefixtures("ray_session")
NETWORK = load_network("two_store", days=10)
ROLLOUT = 8 * 24

NOT_OURS = {
    "env_to_module": "the runner has no connectors",
    "module_to_env": "the runner has no connectors",
    "env_runners/connector_pipeline_timer": "the runner has no connectors",
    "env_runners/timers/connectors": "the runner has no connectors",
    "env_runners/env_step_timer": "a rollout is timed as a whole: env_runners/sample",
    "env_runners/env_reset_timer": "a rollout is timed as a whole: env_runners/sample",
    "env_runners/rlmodule_inference_timer": "a rollout is timed as a whole: env_runners/sample",
    "learner_connector/timers": "ours is one connector: training_batch",
    "_throughput": "of the lifetime counters of all modules together only",
    "learners/store/diff_num_grad_updates_vs_sampler_policy": "0: rollouts are never older than the weights",
}
"""Names, or parts of them, that RLlib's own runner and learner give and ours do not, and why."""

ONLY_OURS = {
    "env_runners/module_reward_mean/store",
    "evaluation/env_runners/module_reward_mean/store",
    "learners/store/num_epochs_trained_lifetime",
    "learners/__all_modules__/learner_connector/timers/connectors/training_batch",
}


class Constant:
    name = "constant"

    def orders(self, chain: Chain) -> np.ndarray:
        return np.full(chain.simulator.shape, 100.0)


def ours() -> PPOConfig:
    others = {"warehouse": Constant(), "supplier": Constant()}
    ppo = PPOSettings(replications=8, days=24, minibatch=96, epochs=1)
    return ppo_config(NETWORK, ppo, learns=["store"], others=others, steps=10_000)


def stock() -> PPOConfig:
    env_config = {"network": NETWORK, "roles": ["store"], "critic_view": False}
    return (
        PPOConfig()
        .environment(MultiAgentSupplyChain, env_config=env_config)
        .env_runners(num_env_runners=0)
        .multi_agent(policies={"store"}, policy_mapping_fn=lambda *args, **kwargs: "store")
        .training(
            train_batch_size_per_learner=48,
            minibatch_size=24,
            num_epochs=1,
            use_kl_loss=False,
            grad_clip=0.5,
            grad_clip_by="global_norm",
        )
    )


def names(result: Mapping[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in result.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= names(value, f"{name}/")
        else:
            found.add(name)
    return {name for name in found if not name.startswith(("config/", "perf/"))}


def test_results_have_the_names_of_rllibs_own():
    found = []
    for config in (stock(), ours()):
        algorithm = config.evaluation(evaluation_interval=1, evaluation_duration=1).build_algo()
        algorithm.train()
        found.append(names(algorithm.train()))
        algorithm.stop()
    theirs, own = found
    missing = {name for name in theirs - own if not any(part in name for part in NOT_OURS)}
    assert missing == set()
    assert own - theirs <= ONLY_OURS


class Heard(RLlibCallback):
    """Notes what is called, in this process."""

    calls: ClassVar[list[str]] = []

    def on_algorithm_init(self, **kwargs: Any) -> None:
        self.calls.append("init")

    def on_environment_created(self, *, env: Chain, **kwargs: Any) -> None:
        assert env.replications == 8
        self.calls.append("environment")

    def on_sample_end(self, *, samples: list[Block], metrics_logger: Any, **kwargs: Any) -> None:
        metrics_logger.log_value("blocks", len(samples), reduce="sum")
        self.calls.append("sample")

    def on_train_result(self, *, result: dict, **kwargs: Any) -> None:
        assert float(result["env_runners"]["blocks"]) == 1
        self.calls.append("result")

    def on_evaluate_start(self, **kwargs: Any) -> None:
        self.calls.append("evaluate")

    def on_evaluate_end(self, *, evaluation_metrics: dict, **kwargs: Any) -> None:
        assert float(evaluation_metrics["env_runners"]["num_episodes"]) == 8
        self.calls.append("evaluated")


def test_callbacks_are_called():
    Heard.calls.clear()
    algorithm = ours().callbacks(Heard).evaluation(evaluation_interval=1, evaluation_duration=1).build_algo()
    algorithm.train()
    assert Heard.calls == [
        "environment", "environment", "init", "sample", "evaluate", "sample", "evaluated", "result",
    ]  # fmt: skip


class FailsOnce(RLlibCallback):
    """Ends a trial in its second iteration; not the trial that takes its place."""

    def on_train_result(self, *, algorithm: Algorithm, result: dict, **kwargs: Any) -> None:
        first = Path(algorithm.config.env_config["marker"])
        if result["training_iteration"] == 2 and not first.exists():
            first.touch()
            raise ZeroDivisionError("the machine is switched off")


def test_a_tune_run_that_stopped_is_resumed(tmp_path: Path):
    config = ours().environment(env_config={**ours().env_config, "marker": str(tmp_path / "marker")})
    config.callbacks(FailsOnce)
    run = tune.Tuner(
        "PPO",
        param_space=config,
        run_config=tune.RunConfig(
            name="run",
            storage_path=str(tmp_path),
            stop={"num_env_steps_sampled_lifetime": 4 * ROLLOUT},
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
            verbose=0,
        ),
    )
    (failed,) = run.fit()
    assert failed.error is not None
    assert failed.metrics["training_iteration"] == 1
    (result,) = tune.Tuner.restore(str(tmp_path / "run"), "PPO", param_space=config, resume_errored=True).fit()
    assert result.error is None
    assert result.metrics["num_env_steps_sampled_lifetime"] == 4 * ROLLOUT
    assert result.metrics["training_iteration"] == 4
