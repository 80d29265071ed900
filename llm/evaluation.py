"""How good a language model's decisions are, and how far they vary from run to run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmarl.errors import InputError
from hmarl.files import write_atomic
from hmarl.network import Network
from hmarl.policies import Policy, simulate
from hmarl.report.statistics import Estimate, estimate, paired_difference
from llm.variation import Variation, measure, order_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.table import Table

    from llm.generation import Conversation, Generate
    from llm.tasks.supply_chain import SupplyChainTask

FIGURES = ("profit", "fill_rate", "service_level")
BOUND = "clairvoyant bound"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Played:
    """What a policy did, one value an episode; episodes of equal number met the same demand."""

    profit: NDArray[np.float64]  # money an episode
    fill_rate: NDArray[np.float64]  # all demand met over all demand
    service_level: NDArray[np.float64]  # share of a day's demand met, mean over days


@dataclass(frozen=True)
class Row:
    """A policy's figures with their 95 % intervals."""

    profit: Estimate  # money an episode
    fill_rate: Estimate
    service_level: Estimate
    ahead: Estimate | None = None  # the model's profit less this one's, paired by episode

    def to_json(self) -> dict[str, Any]:
        """Mean, low, high and n of each."""
        return {name: value and value.to_json() for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """The reverse of :meth:`to_json`."""
        return cls(**{name: value and Estimate.from_json(value) for name, value in data.items()})


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found."""

    model: str  # name of its row
    network: str
    period: str
    days: int  # counted an episode
    episodes: int
    seed: int
    rows: dict[str, Row]  # the model first
    continuation: str | None  # the row of the rule that the reward of the training went on with
    bound: Estimate | None  # no policy can earn more, money an episode
    behind: Estimate | None  # the bound less the model's profit, paired
    no_bound: str  # why there is none
    decisions: int
    parse_failures: int
    tokens_a_decision: float
    orders: dict[str, int]  # order, units -> decisions
    variation: Variation | None = None

    @property
    def failed(self) -> float:
        """Share of the decisions that could not be read; nothing was ordered then."""
        return self.parse_failures / self.decisions

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and numbers: what evaluation.json holds."""
        return {
            **vars(self),
            "rows": {name: row.to_json() for name, row in self.rows.items()},
            "bound": self.bound and self.bound.to_json(),
            "behind": self.behind and self.behind.to_json(),
            "variation": self.variation and self.variation.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """The reverse of :meth:`to_json`."""
        parsed = {
            "rows": {name: Row.from_json(row) for name, row in data["rows"].items()},
            "bound": data["bound"] and Estimate.from_json(data["bound"]),
            "behind": data["behind"] and Estimate.from_json(data["behind"]),
            "variation": data["variation"] and Variation.from_json(data["variation"]),
        }
        return cls(**{**data, **parsed})

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read an evaluation.json.

        Raises
        ------
        InputError
            If the file is missing or holds something else.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not an evaluation.json of this program") from error

    def save(self, path: str | Path) -> Path:
        """Write it as JSON; returns the path."""
        return write_atomic(path, json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def table(self) -> Table:
        """For a terminal."""
        from llm.report.table import evaluation_table

        return evaluation_table(self)


def play(network: Network, policy: Policy, episodes: int, seed: int = 0, split: str = "test") -> Played:
    """Let a policy decide on the demand paths that every policy meets.

    Parameters
    ----------
    split
        "test", or "validation" where something is chosen by the result.
    """
    paths = simulate(network, policy, replications=episodes, seed=seed, split=split)
    figures = {name: paths.metrics[name] for name in FIGURES}
    return Played(**figures | {"profit": figures["profit"] * (paths.days - paths.warmup)})


def evaluate(
    task: SupplyChainTask,
    generate: Generate,
    *,
    episodes: int,
    seed: int = 0,
    name: str = "model",
    compare: Mapping[str, Policy | Played],
    continuation: str | None = None,
    sampled: Generate | None = None,
    temperature: float = 1.0,
    repeats: int = 5,
    paths: int = 20,
    states: int = 200,
    progress: Progress = lambda text: None,
) -> Evaluation:
    """Play a language model and others on the same test paths, with 95 % intervals.

    Parameters
    ----------
    task
        What the model is asked, and how its answers are read.
    generate
        Its answers, the likeliest ones.
    episodes, seed
        Test paths; their numbers and what keys them.
    name
        Of the model's row.
    compare
        What to play beside it by name, or what :func:`play` found on the same paths before.
    continuation
        Name of the row of the rule that the reward of the training went on with.
    sampled, temperature
        Sampled answers of the same model: where they are given, their variation from run to run is measured.
    repeats, paths, states
        Of that; see :class:`Variation`.
    progress
        Told what begins.

    Raises
    ------
    InputError
        Fewer than 2 episodes.
    """
    from llm.tasks.decider import LanguageModelPolicy

    if episodes < 2:
        raise InputError(f"episodes: {episodes}: at least 2, or there is no interval")
    network = task.network
    heard = _Heard(generate)
    progress(f"{name}: {episodes} episodes")
    played = {name: play(network, LanguageModelPolicy(task, heard), episodes, seed)}
    decisions, tokens = len(heard.texts), generate.tokens - heard.tokens
    for other, policy in compare.items():
        progress(other)
        played[other] = policy if isinstance(policy, Played) else play(network, policy, episodes, seed)
    progress(BOUND)
    bound, no_bound = foresight(network, episodes, seed)
    orders = Counter(order_of(task, text) for text in heard.texts)
    variation = None
    if sampled is not None:
        progress(f"{name}: {repeats} times {paths} episodes again")
        chosen = np.linspace(0, decisions - 1, min(states, decisions)).astype(int).tolist()
        asked = [heard.conversations[i] for i in chosen]
        variation = measure(
            task, sampled, temperature=temperature, repeats=repeats, paths=min(paths, episodes), seed=seed, asked=asked,
            likeliest=[order_of(task, heard.texts[i]) for i in chosen],
        )  # fmt: skip
    return Evaluation(
        model=name,
        network=network.name,
        period=network.period,
        days=network.days - network.warmup,
        episodes=episodes,
        seed=seed,
        rows={other: _row(found, None if other == name else played[name]) for other, found in played.items()},
        continuation=continuation,
        bound=None if bound is None else estimate(bound),
        behind=None if bound is None else paired_difference(bound, played[name].profit),
        no_bound=no_bound,
        decisions=decisions,
        parse_failures=orders.pop(None, 0),
        tokens_a_decision=tokens / decisions,
        orders={f"{order:g}": count for order, count in sorted(orders.items()) if order is not None},
        variation=variation,
    )


class _Heard:
    """Keeps what was asked and what was answered."""

    def __init__(self, generate: Generate) -> None:
        self.generate, self.tokens = generate, generate.tokens  # tokens before
        self.conversations: list[Conversation] = []
        self.texts: list[str] = []

    def __call__(self, conversations: Sequence[Conversation]) -> list[str]:
        texts = self.generate(conversations)
        self.conversations += conversations
        self.texts += texts
        return texts


def _row(found: Played, model: Played | None) -> Row:
    figures = {name: estimate(getattr(found, name)) for name in FIGURES}
    return Row(**figures, ahead=None if model is None else paired_difference(model.profit, found.profit))


def foresight(
    network: Network, episodes: int, seed: int, split: str = "test"
) -> tuple[NDArray[np.float64] | None, str]:
    """The most profit of each path that :func:`play` plays, or why it is not known."""
    from hmarl.exact import clairvoyant_profit
    from hmarl.policies import make_policy

    recorded = range(episodes)
    paths = simulate(
        network, make_policy("no_order", network), replications=episodes, seed=seed, split=split, record=recorded
    )
    try:
        return clairvoyant_profit(network, paths.trace["demand"].swapaxes(0, 1)), ""
    except InputError as error:
        return None, str(error)
