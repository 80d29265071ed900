"""The PPO learner: RLlib's losses without its overhead a minibatch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo.ppo import LEARNER_RESULTS_KL_KEY, LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import ALL_MODULES
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.metrics import (
    NUM_ENV_STEPS_TRAINED,
    NUM_ENV_STEPS_TRAINED_LIFETIME,
    NUM_MODULE_STEPS_TRAINED,
    NUM_MODULE_STEPS_TRAINED_LIFETIME,
)
from torch import Tensor

from hmarl.learning.losses import entropy, surrogate_loss, value_loss
from hmarl.learning.module import GLOBAL, LOCAL, ActorCritic

NUM_EPOCHS_TRAINED_LIFETIME = "num_epochs_trained_lifetime"
"""Passes over its rollouts by module: the same for every module, however many agents it has."""

Tensors = dict[str, Tensor]


class BatchedPPOLearner(PPOTorchLearner):
    """Trains each module on its own agent-steps: `num_epochs` passes in equal minibatches of about
    `minibatch_size`.

    ``learner_config_dict``: value_loss ("squared", "huber"), normalise_values (bool), critic_warmup (updates
    in which only the critics move), threads (of torch). Learning rate and entropy weight follow RLlib's
    schedules over the sampled environment steps.
    """

    def build(self) -> None:
        super().build()
        torch.set_num_threads(self.config.learner_config_dict["threads"])
        self._generator = torch.Generator()

    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig | None = None) -> None:
        config = config or self.config.get_config_for_module(module_id)
        parameters = self.get_parameters(self._module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(parameters, eps=1e-5, fused=True),
            params=parameters,
            lr_or_lr_schedule=config.lr,
        )

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
                trained += self._train_module(role, role_columns, num_epochs, minibatch_size)
        self._count(ALL_MODULES, NUM_MODULE_STEPS_TRAINED, NUM_MODULE_STEPS_TRAINED_LIFETIME, trained)
        steps = num_epochs * sum(block.env_steps() for block in data.episodes)
        self._count(ALL_MODULES, NUM_ENV_STEPS_TRAINED, NUM_ENV_STEPS_TRAINED_LIFETIME, steps)
        self.after_gradient_based_update(timesteps=timesteps or {})
        return None if _no_metrics_reduce else self.metrics.reduce()

    def _train_module(self, role: str, columns: dict[str, Any], epochs: int, size: int | None) -> int:
        """All gradient steps of one module; the agent-steps they were taken on."""
        module: ActorCritic = self.module[role].unwrapped()
        settings = self.config.learner_config_dict
        warming_up = self._weights_seq_no <= settings["critic_warmup"]
        predictions, targets = columns.pop(Columns.VF_PREDS), columns[Postprocessing.VALUE_TARGETS]
        explained = 1 - (targets - predictions).var() / targets.var().clamp_min(1e-8)
        if settings["normalise_values"]:
            module.value_scale.update(targets)
        columns[Postprocessing.VALUE_TARGETS] = module.value_scale.normalise(targets)
        optimizers = [self.get_optimizer(role, name) for name in self._module_optimizers[role]]
        parameters, clip = list(module.parameters()), self.config.get_config_for_module(role).grad_clip
        totals, steps = torch.zeros(5, device=targets.device), 0
        for minibatch in self._minibatches(columns, epochs, size):
            loss, figures = self._loss(role, module, minibatch, warming_up)
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(parameters, clip)
            for optimizer in optimizers:
                optimizer.step()
            totals += figures
            steps += 1
        names = (self.TOTAL_LOSS_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY, ENTROPY_KEY, LEARNER_RESULTS_KL_KEY)
        figures = dict(zip(names, (totals / steps).tolist(), strict=True))
        figures[LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY] = explained.item()
        self.metrics.log_dict(figures, key=role, window=1)
        self.metrics.log_value((role, NUM_EPOCHS_TRAINED_LIFETIME), epochs, reduce="lifetime_sum")
        trained = epochs * len(targets)
        self._count(role, NUM_MODULE_STEPS_TRAINED, NUM_MODULE_STEPS_TRAINED_LIFETIME, trained)
        return trained

    def _minibatches(self, columns: dict[str, Any], epochs: int, size: int | None) -> Iterator[Tensors]:
        """Every agent-step once an epoch, in an order of its own, in equal parts of about `size`."""
        flat: Tensors = {**columns, **columns[Columns.OBS]}
        del flat[Columns.OBS]
        count = len(flat[LOCAL])
        parts = max(1, round(count / size)) if size else 1
        for _ in range(epochs):
            order = torch.randperm(count, generator=self._generator).to(flat[LOCAL].device)
            shuffled = {name: tensor[order].tensor_split(parts) for name, tensor in flat.items()}
            for k in range(parts):
                yield {name: tensors[k] for name, tensors in shuffled.items()}

    def _loss(self, role: str, module: ActorCritic, minibatch: Tensors, warming_up: bool) -> tuple[Tensor, Tensor]:
        """A minibatch's loss, and (detached) it, its parts and the divergence (KL) from the old policy."""
        config = self.config.get_config_for_module(role)
        targets = minibatch[Postprocessing.VALUE_TARGETS]
        values = module.normalised_values(minibatch[GLOBAL])
        of_values = value_loss(values, targets, self.config.learner_config_dict["value_loss"])
        loss = config.vf_loss_coeff * of_values
        with torch.set_grad_enabled(not warming_up):
            outputs = module.forward_train({Columns.OBS: {LOCAL: minibatch[LOCAL]}})
            log_probs = outputs[Columns.ACTION_DIST_INPUTS].log_softmax(-1)
            taken = log_probs.gather(1, minibatch[Columns.ACTIONS].unsqueeze(1)).squeeze(1)
            log_ratio = taken - minibatch[Columns.ACTION_LOGP]
            ratio = log_ratio.exp()
            of_policy = surrogate_loss(ratio, minibatch[Postprocessing.ADVANTAGES], config.clip_param)
            spread = entropy(log_probs)
        if not warming_up:
            weight = self.entropy_coeff_schedulers_per_module[role].get_current_value()
            loss = loss + of_policy - weight * spread
        divergence = (ratio - 1 - log_ratio).mean()
        return loss, torch.stack([loss, of_policy, of_values, spread, divergence]).detach()

    def _count(self, key: str, name: str, lifetime: str, steps: int) -> None:
        self.metrics.log_value((key, name), steps, reduce="sum")
        self.metrics.log_value((key, lifetime), steps, reduce="lifetime_sum", with_throughput=key == ALL_MODULES)
