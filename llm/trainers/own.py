"""The model's own episodes: where some of the prompts come from, and what its fast copy is fitted to.

The copy takes the mean of the orders that the model samples. From a model that was taught a crude rule with some random
orders among its own this is much better than the rule, and it changes smoothly from round to round; a copy of the
likeliest orders jumps, and the training with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hmarl.policies import simulate
from llm.runs import SELF
from llm.settings import GRPOSettings
from llm.tasks.decider import Generate, LanguageModelPolicy
from llm.tasks.imitation import Imitation, Observed, imitate
from llm.tasks.supply_chain import SupplyChainTask
from llm.tasks.task import Prompt

_DAYS_TAKEN = 10  # situations that an episode gives
_EPISODES = 64  # at least, where a copy learns from them


class OwnEpisodes:
    """Plays the model, with the weights of now; with the continuation `self` also says what judges its answers.

    The copy of a round (``refresh`` generations) is made when the round is first asked, kept for as long as its
    answers are judged, and part of checkpoints.

    Parameters
    ----------
    generate
        Its likeliest answers: what it plays by where a rule judges.
    sampler
        Its sampled ones, for a seed: where the copy does.

    Attributes
    ----------
    numbers
        How good the newest copy is, until someone takes them.
    """

    def __init__(
        self,
        settings: GRPOSettings,
        task: SupplyChainTask,
        generate: Generate,
        sampler: Callable[[int], Generate],
    ) -> None:
        self.settings, self.task, self.generate, self.sampler = settings, task, generate, sampler
        self.numbers: dict[str, float] = {}
        self._observed: Observed | None = None  # of episodes that no copy was fitted to
        self._copies: dict[int, Imitation] = {}

    def prompts(self, n: int, seed: int) -> list[Prompt]:
        """`n` prompts that the model meets in episodes of its own."""
        copied = self.settings.continuation == SELF
        model = LanguageModelPolicy(self.task, self.sampler(seed) if copied else self.generate)
        self._observed = Observed(self.task, model, self.settings.perturb, seed)
        episodes = max(math.ceil(n / _DAYS_TAKEN), _EPISODES if copied else 1)
        return self.task.prompts_of(self.task.situations_of(self._observed, episodes, seed, n))

    def judging(self, generation: int) -> SupplyChainTask:
        """The task that judges the answers of a generation, once its prompts are made."""
        if self.settings.continuation != SELF:
            return self.task
        round_ = generation // self.settings.refresh
        if round_ not in self._copies:
            self._copies = {kept: copy for kept, copy in self._copies.items() if kept >= round_ - 1}
            self._copies[round_] = self._copy(round_)
        return self.task.with_continuation(self._copies[round_])

    def _copy(self, round_: int) -> Imitation:
        settings = self.settings
        if self._observed is None:  # a later epoch: the prompts were there
            self.prompts(1, round_)
        assert self._observed is not None
        decisions = self._observed.decisions()
        self._observed = None
        copy = imitate(self.task, decisions, settings.seed)
        paths = simulate(
            self.task.network, copy, replications=settings.evaluation_episodes, seed=settings.seed, split="validation"
        )
        self.numbers = {
            "imitation": copy.agreement(decisions),
            "continuation_profit": paths.mean("profit") * (paths.days - paths.warmup),
        }
        return copy

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {str(round_): copy.to_json() for round_, copy in self._copies.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with what :meth:`state` gave."""
        self._copies = {int(round_): Imitation.from_json(self.task, data) for round_, data in state.items()}
