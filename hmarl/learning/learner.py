"""The PPO learner: RLlib's losses without its overhead a minibatch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo.ppo import (
    LEARNER_RESULTS_KL_KEY,
    LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY,
    LEARNER_RESULTS_VF_LOSS_UNCLIPPED_KEY,
)
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import ALL_MODULES
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.metrics import (
    MODULE_TRAIN_BATCH_SIZE_MEAN,
    NUM_ENV_STEPS_TRAINED,
    NUM_ENV_STEPS_TRAINED_LIFETIME,
    NUM_MODULE_STEPS_TRAINED,
    NUM_MODULE_STEPS_TRAINED_LIFETIME,
    WEIGHTS_SEQ_NO,
)
from torch import Tensor

from hmarl.learning.actions import Evaluation
from hmarl.learning.distributed import average
from hmarl.learning.losses import surrogate_gradient, surrogate_loss, value_gradient, value_loss
from hmarl.learning.module import GLOBAL, LOCAL, ActorCritic
from hmarl.learning.parameters import FlatParameters

NUM_EPOCHS_TRAINED_LIFETIME = "num_epochs_trained_lifetime"
"""Passes over its rollouts by module: the same for every module, however many agents it has."""

WORTH_A_THREAD = 1024
"""Rows of a minibatch from which the critic's gradient is worked out on a second thread, beside the actor's. With 2,048
the two take 0.57 of the time they take in turn, with 512 0.85, with 64 more."""

Tensors = dict[str, Tensor]


class BatchedPPOLearner(PPOTorchLearner):
    """Trains :class:`hmarl.learning.module.ActorCritic` modules, each on its own agent-steps: `num_epochs` passes in
    equal minibatches.

    RLlib's losses, clipping and schedules, without a graph: the gradients are written out (see `losses`, `actions`,
    `module`) into one vector a module, which is averaged over the learners, clipped and stepped.

    ``learner_config_dict``: value_loss ("squared", "huber"), normalise_values (bool), critic_warmup (updates
    in which only the critics move), minibatch (agent-steps, about; RLlib's ``minibatch_size`` cannot be
    larger than the environment steps of a rollout), threads. Learning rate and entropy weight follow RLlib's
    schedules over the sampled environment steps.
    """

    def __repr__(self) -> str:
        """What Ray's dashboard calls the actor."""
        return f"learner: {', '.join(sorted(self.config.policies))}"

    def build(self) -> None:
        self._flat: dict[str, FlatParameters] = {}
        super().build()
        torch.set_num_threads(max(1, self.config.learner_config_dict["threads"] // 2))
        self._generator = torch.Generator()
        self._second_thread = ThreadPoolExecutor(1)

    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig | None = None) -> None:
        config = config or self.config.get_config_for_module(module_id)
        self._flat[module_id] = flat = self._module[module_id].flat_parameters()
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(flat.groups, eps=1e-5, fused=True),
            params=flat.groups,
            lr_or_lr_schedule=config.lr,
        )

    def _make_modules_ddp_if_necessary(self) -> None:
        """Not necessary: gradients are averaged in one piece."""

    def update(
        self,
        batch: Any = None,
        batches: Any = None,
        batch_refs: Any = None,
        episodes: Any = None,
        episodes_refs: Any = None,
        data_iterators: Any = None,
        training_data: TrainingData | None = None,
        *,
        timesteps: dict[str, Any] | None = None,
        num_total_minibatches: int = 0,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        shuffle_batch_per_epoch: bool = True,
        _no_metrics_reduce: bool = False,
        **kwargs: Any,
    ) -> Any:
        """One rollout's gradient steps; parameters and result are those of RLlib's ``Learner.update``."""
        self._check_is_built()
        self.before_gradient_based_update(timesteps=timesteps or {})
        data = training_data or TrainingData(episodes=episodes, episodes_refs=episodes_refs)
        data.validate()
        data.solve_refs()
        self._weights_seq_no += 1
        self._generator.manual_seed((self.config.seed or 0) + self._weights_seq_no)
        columns = self._learner_connector(
            rl_module=self.module, batch={}, episodes=data.episodes, shared_data={}, metrics=self.metrics
        )
        trained = 0
        for role, role_columns in columns.items():
            if self.should_module_be_updated(role):
                trained += self._train_module(role, role_columns, num_epochs, shuffle_batch_per_epoch)
        self._count(ALL_MODULES, NUM_MODULE_STEPS_TRAINED, NUM_MODULE_STEPS_TRAINED_LIFETIME, trained)
        steps = num_epochs * sum(block.env_steps() for block in data.episodes)
        self._count(ALL_MODULES, NUM_ENV_STEPS_TRAINED, NUM_ENV_STEPS_TRAINED_LIFETIME, steps)
        self.after_gradient_based_update(timesteps=timesteps or {})
        return None if _no_metrics_reduce else self.metrics.reduce()

    @torch.no_grad()
    def _train_module(self, role: str, columns: dict[str, Any], epochs: int, shuffle: bool) -> int:
        """All gradient steps of one module; the agent-steps they were taken on."""
        module: ActorCritic = self.module[role]
        settings, config = self.config.learner_config_dict, self.config.get_config_for_module(role)
        flat, (optimizer,) = self._flat[role], (o for _, o in self.get_optimizers_for_module(role))
        warming_up = self._weights_seq_no <= settings["critic_warmup"]
        flat.groups[0].grad = None if warming_up else flat.gradients[: len(flat.groups[0])]
        entropy_weight = float(self.entropy_coeff_schedulers_per_module[role].get_current_value())
        predictions, targets = columns.pop(Columns.VF_PREDS), columns[Postprocessing.VALUE_TARGETS]
        explained = 1 - (targets - predictions).var() / targets.var().clamp_min(1e-8)
        if settings["normalise_values"]:
            module.value_scale.update(targets)
        columns[Postprocessing.VALUE_TARGETS] = module.value_scale.normalise(targets)
        parts, totals = self._parts(targets), torch.zeros(6, device=targets.device)
        for epoch in range(epochs):
            for minibatch in self._minibatches(columns, parts, shuffle):
                values = self._beside(self._critic_backward, module, minibatch, config)
                evaluation, ratio = self._actor_backward(module, minibatch, config, entropy_weight)
                values()
                if warming_up:
                    flat.gradients[: len(flat.groups[0])] = 0
                average(flat.gradients)
                if epoch == epochs - 1:
                    totals[5] += flat.norm()
                    totals[:5] += self._figures(minibatch, values(), evaluation, ratio, config, entropy_weight)
                if config.grad_clip:
                    flat.clip(config.grad_clip)
                optimizer.step()
        names = (
            self.TOTAL_LOSS_KEY,
            POLICY_LOSS_KEY,
            VF_LOSS_KEY,
            ENTROPY_KEY,
            LEARNER_RESULTS_KL_KEY,
            "gradients_default_optimizer_global_norm",
        )
        figures = dict(zip(names, (totals / parts).tolist(), strict=True))
        figures[LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY] = explained.item()
        figures[LEARNER_RESULTS_VF_LOSS_UNCLIPPED_KEY] = figures[VF_LOSS_KEY]
        figures[MODULE_TRAIN_BATCH_SIZE_MEAN] = len(targets) / parts
        figures[WEIGHTS_SEQ_NO] = self._weights_seq_no
        self.metrics.log_dict(figures, key=role, window=1)
        self.metrics.log_value((role, NUM_EPOCHS_TRAINED_LIFETIME), epochs, reduce="lifetime_sum")
        trained = epochs * len(targets)
        self._count(role, NUM_MODULE_STEPS_TRAINED, NUM_MODULE_STEPS_TRAINED_LIFETIME, trained)
        return trained

    def _parts(self, targets: Tensor) -> int:
        """Minibatches an epoch, the same number in all learners."""
        count = torch.tensor(float(len(targets)), device=targets.device)
        average(count)
        return max(1, round(count.item() / self.config.learner_config_dict["minibatch"]))

    def _minibatches(self, columns: dict[str, Any], parts: int, shuffle: bool) -> Iterator[Tensors]:
        """Every agent-step once, in an order of its own, in equal parts."""
        flat: Tensors = {**columns, **columns[Columns.OBS]}
        for unused in (Columns.OBS, Columns.ACTION_DIST_INPUTS):
            flat.pop(unused, None)
        if shuffle:
            count, device = len(flat[LOCAL]), flat[LOCAL].device
            order = torch.randperm(count, generator=self._generator).to(device)
            flat = {name: tensor[order] for name, tensor in flat.items()}
        split = {name: tensor.tensor_split(parts) for name, tensor in flat.items()}
        for k in range(parts):
            yield {name: tensors[k] for name, tensors in split.items()}

    def _beside(
        self, backward: Callable[..., Tensor], module: ActorCritic, minibatch: Tensors, config: AlgorithmConfig
    ) -> Callable[[], Tensor]:
        """Begin a gradient on a second thread, where it is long enough to be worth one."""
        rows = minibatch[GLOBAL]
        if self.config.learner_config_dict["threads"] > 1 and len(rows) >= WORTH_A_THREAD and rows.device.type == "cpu":
            return self._second_thread.submit(backward, module, minibatch, config).result
        values = backward(module, minibatch, config)
        return lambda: values

    @torch.no_grad()
    def _critic_backward(self, module: ActorCritic, minibatch: Tensors, config: AlgorithmConfig) -> Tensor:
        """The gradient of the value loss; the normalised values."""
        activations = module.critic.activations(minibatch[GLOBAL])
        values = activations[-1].squeeze(-1)
        targets, kind = minibatch[Postprocessing.VALUE_TARGETS], self.config.learner_config_dict["value_loss"]
        gradient = value_gradient(values, targets, kind).mul_(config.vf_loss_coeff)
        module.critic.backward(activations, gradient.unsqueeze(-1))
        return values

    def _actor_backward(
        self, module: ActorCritic, minibatch: Tensors, config: AlgorithmConfig, entropy_weight: float
    ) -> tuple[Evaluation, Tensor]:
        """The gradient of the surrogate less the entropy bonus; the actions' probabilities, and over the old ones."""
        activations = module.actor.activations(minibatch[LOCAL])
        evaluation = module.actions.evaluate(module.action_inputs(activations[-1]), minibatch[Columns.ACTIONS])
        ratio = (evaluation.log_probs - minibatch[Columns.ACTION_LOGP]).exp_()
        of_log_probs = surrogate_gradient(ratio, minibatch[Postprocessing.ADVANTAGES], config.clip_param)
        gradient = evaluation.gradient(of_log_probs, -entropy_weight / len(ratio))
        module.actor_backward(activations, gradient)
        return evaluation, ratio

    def _figures(
        self,
        minibatch: Tensors,
        values: Tensor,
        evaluation: Evaluation,
        ratio: Tensor,
        config: AlgorithmConfig,
        entropy_weight: float,
    ) -> Tensor:
        """A minibatch's loss, its parts, and the divergence (KL) from the old policy."""
        kind = self.config.learner_config_dict["value_loss"]
        of_policy = surrogate_loss(ratio, minibatch[Postprocessing.ADVANTAGES], config.clip_param)
        of_values = value_loss(values, minibatch[Postprocessing.VALUE_TARGETS], kind)
        entropy = evaluation.entropy.mean()
        divergence = (ratio - 1 - ratio.log()).mean()
        loss = of_policy + config.vf_loss_coeff * of_values - entropy_weight * entropy
        return torch.stack([loss, of_policy, of_values, entropy, divergence])

    def _count(self, key: str, name: str, lifetime: str, steps: int) -> None:
        self.metrics.log_value((key, name), steps, reduce="sum")
        self.metrics.log_value((key, lifetime), steps, reduce="lifetime_sum", with_throughput=key == ALL_MODULES)
