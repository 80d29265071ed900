"""Asking the engines: the answers of a generation, with their rewards."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from hmarl.errors import InputError
from llm.chat import completion_texts, prompt_ids, stop_token_ids
from llm.rollout.engine import Completion, Request, Sampling
from llm.settings import GRPOSettings
from llm.tasks.decider import Generate
from llm.tasks.supply_chain import SupplyChainTask
from llm.tasks.task import Message, Prompt
from llm.trainers.own import OwnEpisodes
from llm.trainers.prompts import Place, Plan, PromptSource

_SAMPLES, _EVERY = 2, 10  # answers that are shown, every so many generations and in the last
_NUMBER = re.compile(r"\d+(?!.*\d)", re.DOTALL)
Pool = Any


@dataclass
class Answers:
    """Of a generation, those of a prompt side by side; one entry an answer.

    Attributes
    ----------
    prompt_ids, completion_ids
        Tokens.
    logprobs
        Of the completion's tokens as they were sampled; NaN where they were not.
    rewards
        Of the task.
    places
        Of the prompts.
    numbers
        What was measured: seconds, shares, money.
    samples
        A few of the answers: ``prompt``, ``answer``, ``order`` (None: it could not be read), ``reward``.
    """

    prompt_ids: list[tuple[int, ...]]
    completion_ids: list[tuple[int, ...]]
    logprobs: list[tuple[float, ...]]
    rewards: list[float]
    places: list[Place]
    numbers: dict[str, float] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)

    def part(self, worker: int, workers: int) -> Answers:
        """The share of a worker: rows in their order, equally many for each."""
        size = len(self.rewards) // workers
        rows = slice(worker * size, (worker + 1) * size)
        return Answers(
            self.prompt_ids[rows],
            self.completion_ids[rows],
            self.logprobs[rows],
            self.rewards[rows],
            self.places,
            self.numbers,
            self.samples,
        )


class _Asked(NamedTuple):
    """A generation that the engines work on."""

    prompts: list[Prompt]
    ids: list[tuple[int, ...]]
    task: SupplyChainTask  # that judges
    version: int
    replies: Any  # a future


class Rollouts:
    """Rank 0's view of the task and the engines.

    Attributes
    ----------
    source
        Of the prompts.
    own
        The model's own episodes, and the copy of it that judges where nothing else does.
    fixed
        Tokens of a prompt that is the same in every run of the task.
    version
        Of the weights that answers are asked of.
    """

    def __init__(self, settings: GRPOSettings, task: SupplyChainTask, pool: Pool, tokenizer: Any) -> None:
        self.settings, self.task, self.pool, self.tokenizer = settings, task, pool, tokenizer
        self.sampling = Sampling(
            settings.max_completion_length,
            settings.temperature,
            settings.top_p,
            stop_token_ids(tokenizer),
            task.pattern if settings.constrain else None,
        )
        plan = Plan(settings.groups_a_step, settings.episodes, settings.refresh, settings.own_states)
        self.own = OwnEpisodes(settings, task, self.generate, self.sampler)
        self.source = PromptSource(task, plan, settings.epochs, settings.seed, self.own.prompts)
        self._ahead: dict[int, _Asked] = {}
        self.version = 0
        self.generations = settings.steps // settings.iterations
        self.fixed = self._ids(task.prompts(1, 0)[0].messages)  # of the weights' fingerprint

    def answers(self, generation: int) -> Answers:
        """Of a generation, by the newest weights, or by those that were newest when it was asked ahead."""
        begun = time.perf_counter()
        for wanted in range(generation, min(generation + self.settings.staleness + 1, self.generations)):
            if wanted not in self._ahead:
                self._ahead[wanted] = self._ask(wanted)
        prompts, ids, task, version, replied = self._ahead.pop(generation)
        groups = replied.result()
        generated = time.perf_counter()
        n = self.settings.num_generations
        replies = [reply for group in groups for reply in group]
        tokens = sum(len(reply.token_ids) for reply in replies)
        places = self.source.plan.places(generation)
        rng = np.random.default_rng((self.settings.seed, 3, generation))
        explored = [self._explored(reply, rng) for reply in replies]
        texts = completion_texts(self.tokenizer, [reply.token_ids for reply in explored])
        judgement = task.judge([prompt for prompt in prompts for _ in range(n)], texts)
        gains = judgement.gains[~np.isnan(judgement.gains)]
        copied, self.own.numbers = self.own.numbers, {}
        shown = range(0, _SAMPLES * n, n) if self._is_shown(generation) else ()
        return Answers(
            [key for key in ids for _ in range(n)],
            [reply.token_ids for reply in explored],
            [reply.logprobs for reply in explored],
            judgement.rewards.tolist(),
            places,
            {
                "generation_seconds": generated - begun,
                "reward_seconds": time.perf_counter() - generated,
                "gain": float(gains.mean()) if len(gains) else math.nan,
                "parse_failures": sum(action is None for action in judgement.actions) / len(replies),
                "unparsed_groups": float(judgement.unparsed_groups),
                "distinct_answers": _distinct([reply.token_ids for reply in explored], n),
                "completion_tokens": float(tokens),
                "tokens_per_second": tokens / (generated - begun),
                "version": version,
                "staleness": self.version - version,
                "engines_working": self.pool.working,
                "requests_resent": self.pool.counts.resent,
                **copied,
            },
            [
                {
                    "prompt": prompts[row // n].messages[-1]["content"],
                    "answer": texts[row],
                    "order": judgement.actions[row],
                    "reward": float(judgement.rewards[row]),
                }
                for row in shown
                if row < len(texts)
            ],
        )

    def _is_shown(self, generation: int) -> bool:
        return generation % _EVERY == 0 or generation == self.generations - 1

    def generate(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """The model's likeliest answers, by the newest weights."""
        sampling = Sampling(self.settings.max_completion_length, 0.0, 1.0, self.sampling.stop_token_ids)
        return self._texts([Request(self._ids(messages), 0) for messages in conversations], sampling)

    def sampler(self, seed: int) -> Generate:
        """Answers sampled as in training."""
        rng = np.random.default_rng((seed, 7))

        def generate(conversations: Sequence[Sequence[Message]]) -> list[str]:
            seeds = rng.integers(2**31, size=len(conversations)).tolist()
            asked = [Request(self._ids(messages), key) for messages, key in zip(conversations, seeds, strict=True)]
            return self._texts(asked, self.sampling)

        return generate

    def _texts(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        replies = self.pool.generate(requests, sampling, self.version)
        return completion_texts(self.tokenizer, [reply.token_ids for (reply,) in replies])

    def _ask(self, generation: int) -> _Asked:
        prompts = self.source.prompts(generation)
        task = self.own.judging(generation)
        ids = [self._ids(prompt.messages) for prompt in prompts]
        requests = [
            Request(key, request_seed(self.settings.seed, place), self.settings.num_generations)
            for key, place in zip(ids, self.source.plan.places(generation), strict=True)
        ]
        return _Asked(prompts, ids, task, self.version, self.pool.submit(requests, self.sampling, self.version))

    def state(self) -> dict[str, Any]:
        """Prompts and copies, plain data."""
        return {"prompts": self.source.state(), "copies": self.own.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with what :meth:`state` gave."""
        self.source.restore(state["prompts"])
        self.own.restore(state["copies"])

    def _ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        ids = tuple(prompt_ids(self.tokenizer, messages))
        longest = self.settings.max_prompt_length
        if len(ids) > longest:
            raise InputError(f"max_prompt_length: {longest}: a prompt has {len(ids)} tokens")
        return ids

    def _explored(self, reply: Completion, rng: np.random.Generator) -> Completion:
        if not self.settings.explore or rng.random() >= self.settings.explore:
            return reply
        (text,) = completion_texts(self.tokenizer, [reply.token_ids])
        other = with_other_number(text, int(rng.integers(int(self.task.highest) + 1)))
        if other == text:
            return reply
        ends = [token for token in reply.token_ids[-1:] if token in self.sampling.stop_token_ids]
        ids = (*self.tokenizer.encode(other, add_special_tokens=False), *ends)
        return Completion(ids, (math.nan,) * len(ids), reply.finish)


def with_other_number(text: str, number: int) -> str:
    """The same answer with another order: the last number counts.

    >>> with_other_number("30 in stock. Decision: Order 25 units", 40)
    '30 in stock. Decision: Order 40 units'
    """
    return _NUMBER.sub(str(number), text)


def request_seed(seed: int, place: Place) -> int:
    """Of the sampling of a prompt's answers: another one in each epoch."""
    return int(np.random.SeedSequence((seed, 4, *place)).generate_state(1)[0] >> 1)


def _distinct(answers: Sequence[tuple[int, ...]], n: int) -> float:
    """Different answers in a group, on average."""
    return float(np.mean([len({*answers[first : first + n]}) for first in range(0, len(answers), n)]))
