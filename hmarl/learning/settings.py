"""What PPO is told: every number of the algorithm, with its unit and range. Reads neither Ray nor torch."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PPOSettings(BaseModel):
    """Proximal policy optimisation (Schulman et al. 2017) with generalised advantage estimation (2016).

    A rollout is `replications` x `days` days of the chain: RLlib's environment steps. A role with n agents
    gets n times as many agent-steps out of it, and `epochs` passes over them, whatever n is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    replications: int = Field(128, ge=1, le=65536, description="chains that a runner steps side by side")
    same_draws: int = Field(
        8, ge=1, description="replications that meet the same demand; an advantage is over what they have in common"
    )
    days: int = Field(32, ge=1, le=65536, description="days of each chain in a rollout, between two updates")
    minibatch: int = Field(2048, ge=1, description="agent-steps of one role in a gradient step, about")
    epochs: int = Field(4, ge=1, le=100, description="passes over a rollout")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Adam's step size at the start")
    final_learning_rate: float = Field(0, ge=0, le=1, description="and at the end; linear in between")
    gamma: float = Field(0.97, gt=0, lt=1, description="discount a day")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="lambda of the advantage estimate, 0 to 1")
    clip: float = Field(0.2, gt=0, lt=1, description="clipping of the probability ratio, 1 - clip to 1 + clip")
    entropy: float = Field(0.01, ge=0, description="weight of the entropy bonus at the start")
    final_entropy: float = Field(0, ge=0, description="and at the end; linear in between")
    value_coefficient: float = Field(0.5, ge=0, description="weight of the value loss")
    value_loss: Literal["squared", "huber"] = Field("huber", description="of the normalised values")
    normalise_values: bool = Field(True, description="the critic predicts values less their mean, by their spread")
    gradient_clip: float = Field(0.5, gt=0, description="largest norm of a role's gradient")
    hidden: tuple[int, ...] = Field((64, 64), min_length=1, description="units of the tanh layers, actor and critic")
    critic_warmup: int = Field(0, ge=0, description="first updates in which only the critic moves")
    team: float = Field(
        0,
        ge=0,
        le=1,
        description="share of an agent's pay that is the sum of all agents' rewards, not its own",
    )
    endless: bool = Field(
        False, description="chains never begin anew; else after the network's days, values bootstrapped"
    )
    threads: int = Field(
        2, ge=1, description="of a learner; from 2 on a large minibatch's critic is worked out beside its actor"
    )

    def group(self, learners: int = 1) -> int:
        """Replications that meet the same draws: `same_draws`, or what of it divides a learner's replications."""
        return math.gcd(self.replications // learners, self.same_draws)

    @property
    def rollout(self) -> int:
        """Days of the chain in a rollout, all replications of a runner together."""
        return self.replications * self.days


PPO_SETTINGS: dict[str, PPOSettings] = {
    "default": PPOSettings(),
    "fine": PPOSettings(
        replications=256,
        same_draws=32,
        days=64,
        learning_rate=1e-3,
        gae_lambda=0.9,
        entropy=0.03,
    ),
    "classic": PPOSettings(
        replications=16,
        same_draws=1,
        days=128,
        minibatch=64,
        epochs=10,
        learning_rate=3e-4,
        final_learning_rate=3e-4,
        gamma=0.99,
        gae_lambda=0.95,
        clip=0.2,
        entropy=0.01,
        final_entropy=0.01,
        value_coefficient=0.5,
        value_loss="squared",
        gradient_clip=0.5,
        hidden=(64, 64),
    ),
}
"""`default` is what did well everywhere; `fine` has large rollouts and more entropy: nearer to the optimum where agents
see stock alone and choose quantities, but on tight_supply its stores learn nothing beyond ordering the forecast;
`classic` the published hyperparameters, a rollout of 2,048 days.
Values are normalised in both, which the publication does not say: on two_store, one seed, classic came
to a store reward of 19.54 a day with it and 19.38 without, after 60 rollouts.
"""
