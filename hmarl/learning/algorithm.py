"""RLlib's PPO, told to train roles of a supply chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from hmarl.errors import InputError
from hmarl.learning.blocks import TrainingBatch
from hmarl.learning.learner import BatchedPPOLearner
from hmarl.learning.module import ActorCritic
from hmarl.learning.runner import BatchedEnvRunner, raise_failures, role_spaces
from hmarl.learning.settings import PPO_SETTINGS, PPOSettings
from hmarl.network.config import Network
from hmarl.roles import Chain

if TYPE_CHECKING:
    from hmarl.policies import Policy

_PROBE = 0.1  # seconds that each iteration waits for runners that are away: they may be for long, with their nodes

__all__ = ["PPO_SETTINGS", "PPOSettings", "module_path", "ppo_config", "start_from", "trained_module"]


def ppo_config(
    network: Network,
    ppo: PPOSettings | None = None,
    *,
    learns: Sequence[str],
    others: Mapping[str, Policy] | None = None,
    steps: int,
    seed: int = 0,
    num_env_runners: int = 0,
    num_learners: int = 0,
    num_gpus_per_learner: float = 0,
) -> PPOConfig:
    """The configuration of a training run; ``.build_algo()`` makes the algorithm.

    Parameters
    ----------
    network
        The supply chain.
    ppo
        PPO's settings; the default ones where left out.
    learns
        The roles that learn, one policy each, shared by all agents of the role.
    others
        Who acts for the roles that do not learn: rules, or frozen policies.
    steps
        Days of the chain, all replications together (RLlib's ``num_env_steps_sampled_lifetime``), over which
        learning rate and entropy weight are annealed.
    seed
        Of first weights, sampled actions, demand and minibatches: the same seed gives identical numbers on
        one machine.
    num_env_runners, num_learners
        Remote ones; 0: in this process. Each runner steps `ppo.replications`. Learners share the replications
        sampled and the agent-steps of a minibatch among them.
    num_gpus_per_learner
        1: a learner's networks and batches are on a GPU; the runners stay on the CPU.

    Raises
    ------
    InputError
        If a role to learn is not in the network, nobody acts for a role, or replications cannot be shared equally.
    """
    ppo, others = ppo or PPOSettings(), dict(others or {})
    spaces = role_spaces(Chain(network))
    _check_roles(list(spaces), learns, others)
    learns = [role for role in spaces if role in learns]
    learners = max(1, num_learners)
    if ppo.replications % learners:
        raise InputError(f"num_learners: {num_learners}: one that divides the {ppo.replications} replications")
    batch, minibatch = ppo.rollout * max(1, num_env_runners) // learners, -(-ppo.minibatch // learners)
    model = {"hidden": list(ppo.hidden), "seed": seed}
    specs = {
        role: RLModuleSpec(
            module_class=ActorCritic,
            observation_space=spaces[role][0],
            action_space=spaces[role][1],
            model_config=model,
        )
        for role in learns
    }
    return (
        PPOConfig()
        .environment(
            Chain,
            env_config={
                "network": network,
                "others": others,
                "endless": ppo.endless,
                "team": ppo.team,
                "same_draws": ppo.group(learners),
            },
            disable_env_checking=True,
        )
        .multi_agent(policies=set(learns), policy_mapping_fn=_no_mapping)
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
        .env_runners(
            env_runner_cls=BatchedEnvRunner,
            num_env_runners=num_env_runners,
            num_envs_per_env_runner=ppo.replications,
            rollout_fragment_length=ppo.days,
            sample_timeout_s=600,
        )
        .learners(
            num_learners=num_learners,
            num_gpus_per_learner=num_gpus_per_learner,
            learner_class=BatchedPPOLearner,
            learner_connector=partial(
                TrainingBatch,
                network=network,
                gamma=ppo.gamma,
                lambda_=ppo.gae_lambda,
                same_draws=ppo.group(learners),
            ),
            add_default_connectors_to_learner_pipeline=False,
            learner_config_dict=ppo.model_dump(include={"value_loss", "normalise_values", "critic_warmup", "threads"})
            | {"minibatch": minibatch},
        )
        .training(
            train_batch_size_per_learner=batch,
            minibatch_size=min(minibatch, batch),  # RLlib allows no more, and shares blocks by it
            num_epochs=ppo.epochs,
            lr=_annealed(ppo.learning_rate, ppo.final_learning_rate, steps),
            gamma=ppo.gamma,
            lambda_=ppo.gae_lambda,
            clip_param=ppo.clip,
            entropy_coeff=_annealed(ppo.entropy, ppo.final_entropy, steps),
            vf_loss_coeff=ppo.value_coefficient,
            vf_clip_param=float("inf"),
            grad_clip=ppo.gradient_clip,
            grad_clip_by="global_norm",
            use_kl_loss=False,
        )
        .evaluation(evaluation_config=PPOConfig.overrides(explore=False))
        .fault_tolerance(
            restart_failed_env_runners=True,
            restart_failed_sub_environments=True,
            delay_between_env_runner_restarts_s=1,
            env_runner_health_probe_timeout_s=_PROBE,
        )
        .callbacks(on_env_runners_recreated=raise_failures)
        .debugging(seed=seed, log_level="ERROR")
    )


def _no_mapping(agent_id: str, *args: object, **kwargs: object) -> str:
    """RLlib asks for one; the runner knows its roles."""
    raise NotImplementedError("agents are mapped to roles by the runner")


def _check_roles(roles: Sequence[str], learns: Sequence[str], others: Mapping[str, object]) -> None:
    for role in learns:
        if role not in roles:
            raise InputError(f"learns: {role!r}: one of {', '.join(roles)}, the roles of this network")
    if not learns:
        raise InputError(f"learns: nobody: at least one of {', '.join(roles)}")
    for role in roles:
        if role not in learns and role not in others:
            raise InputError(f"others: nobody acts for the {role}: a policy for each role that does not learn")


def _annealed(first: float, last: float, steps: int) -> float | list[list[float]]:
    return first if first == last else [[0, first], [max(1, steps), last]]


def trained_module(algorithm: Algorithm, role: str) -> ActorCritic:
    """The learner's module of a role, critic and all (a local learner's)."""
    return algorithm.learner_group._learner.module[role].unwrapped()


def module_path(checkpoint: str | Path, role: str) -> Path:
    """Where a checkpoint of an algorithm keeps a role's module: ``RLModule.from_checkpoint`` takes it."""
    return Path(checkpoint).absolute() / "learner_group" / "learner" / "rl_module" / role


def start_from(algorithm: Algorithm, modules: Mapping[str, str | Path]) -> None:
    """Put the modules of earlier checkpoints in the place of an algorithm's first ones, actors and critics.

    Parameters
    ----------
    modules
        By role the folder of an RLModule: see :func:`module_path`.
    """
    for role, path in modules.items():
        algorithm.restore_from_path(str(Path(path).absolute()), component=f"learner_group/learner/rl_module/{role}")
