"""The task of ordering: one agent, one day, one number."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmarl.errors import InputError, unknown
from hmarl.network import Network, apply_scenario, load_network
from hmarl.network.config import ROLES, Quantities, Shaping
from hmarl.policies import Policy
from hmarl.policies.levels import way_to_stores
from hmarl.roles import Chain
from hmarl.roles.plan import base_stock_level
from hmarl.simulator import Params
from llm.tasks.answers import answer_pattern, parse_order
from llm.tasks.counterfactual import MOST_FUTURES, Counterfactual
from llm.tasks.exploration import deciding, make_mixture
from llm.tasks.rules import default_continuation, named_policy
from llm.tasks.situations import Record, Situation, by_path, play, replay
from llm.tasks.task import Judgement, Message, ParseError, Prompt
from llm.tasks.wording import Wording

Index = NDArray[np.int64]


class SupplyChainTask:
    """Agents of one role of a network order, day by day; see :class:`llm.tasks.task.Task`.

    Parameters
    ----------
    network
        The supply chain, or a preset's name.
    role
        Whose agents decide: all nodes of the role with all their SKUs, each for itself. Left out: the stores, or the
        only role there is.
    continuation
        Who orders for all other agents, and for all after the order that is judged: a spec of
        :func:`llm.tasks.rules.named_policy`, or a policy. Left out: ``order_up_to:80`` for corner_shop, elsewhere
        ``base_stock``.
    days
        H, days that an order is judged on, its own included. Left out: until the order has arrived and two days
        more.
    futures
        K, demand paths that each order of a state meets, 1 to 2,047.
    scenarios
        Of :data:`hmarl.network.SCENARIOS`; prompts come from each in turn.
    economics
        Whether prompts explain the rules and the money and say more of the past. Without, they are as short as a
        model wants them that was made for this task.
    show_recommendation
        Whether prompts say what a textbook base-stock rule would order.
    margin
        How much worse than the worst answer of its group an answer is rewarded that cannot be parsed.
    shaping
        Bonuses added to the reward; left out, those of the network's role.
    reward_scale
        Money that a reward of 1 stands for. Left out: the mean demand of a day of the busiest agent, a unit at its cost
        or at what a lost sale costs (margin and shortage cost), whichever is more.
    highest
        Largest order, units. Left out: that of the role's action where it is a quantity, else twice the highest
        base-stock level of its agents.
    around_rules
        Whether prompts come from states around the continuation and base-stock rules; else of about even orders, from
        none to too many.

    Raises
    ------
    InputError
        An unknown role, rule or scenario, or a number that is not allowed.
    """

    def __init__(
        self,
        network: Network | str,
        role: str | None = None,
        *,
        continuation: Policy | str | None = None,
        days: int | None = None,
        futures: int = 8,
        scenarios: Sequence[str] = ("normal",),
        economics: bool = True,
        show_recommendation: bool = False,
        margin: float = 0.5,
        shaping: Shaping | None = None,
        reward_scale: float | None = None,
        highest: float | None = None,
        around_rules: bool = True,
    ) -> None:
        network = load_network(network) if isinstance(network, str) else network
        self.role = _role(network, role)
        if shaping is not None:
            settings = network.role_settings(self.role).model_copy(update={"shaping": shaping})
            network = network.model_copy(update={"roles": {**network.roles, self.role: settings}})
        if not 1 <= futures <= MOST_FUTURES:
            raise InputError(f"futures: {futures}: 1 to {MOST_FUTURES}")
        self.network, self.margin, self.around_rules = network, margin, around_rules
        self.scenarios = {name: apply_scenario(network, name) for name in scenarios}
        chain = Chain(network)
        params, agents = chain.simulator.params, chain.roles[self.role].agents
        places = [(int(node), sku) for node in chain.roles[self.role].nodes for sku in range(len(network.skus))]
        self.agents = {a: place for a, place in zip(agents, places, strict=True) if params.mean_demand[place] > 0}
        levels = base_stock_level(params)
        self.highest = highest or _highest(network, self.role, max(levels[place] for place in self.agents.values()))
        self.whole = params.integer
        self._review = {agent: int(params.review_period[node]) for agent, (node, _) in self.agents.items()}
        self.wording = Wording(network, self.agents, self.highest, economics)
        continuation = default_continuation(network) if continuation is None else continuation
        if isinstance(continuation, str):
            self.continuation, self.continuation_name = named_policy(network, continuation), continuation
        else:
            self.continuation, self.continuation_name = continuation, continuation.name
        self.heuristic = named_policy(network, "heuristic")
        self._recommending = named_policy(network, "base_stock") if show_recommendation else None
        below, _ = way_to_stores(params)
        nodes = sorted({node for node, _ in self.agents.values()})
        horizon = max(network.longest_lead_time(network.node_names[n]) + _waiting(params, n, below) for n in nodes)
        self.rollout = Counterfactual(self.continuation, days or horizon + 2, futures)
        self.reward_scale = reward_scale or max(_worth_of_a_day(params, place) for place in self.agents.values())

    @property
    def name(self) -> str:
        """``corner_shop/store``."""
        return f"{self.network.name}/{self.role}"

    @property
    def pattern(self) -> str:
        """Regular expression of an answer without reasoning."""
        return answer_pattern(int(self.highest))

    def parse(self, text: str) -> int | float:
        """The order that an answer decides on; see :func:`llm.tasks.answers.parse_order`."""
        return parse_order(text, self.highest, self.whole)

    def with_continuation(self, policy: Policy) -> SupplyChainTask:
        """The same task, judged with another continuation: the model of some steps ago, for instance."""
        other = copy.copy(self)
        other.continuation, other.continuation_name = policy, policy.name
        other.rollout = replace(self.rollout, policy=policy)
        return other

    def prompts(self, n: int, seed: int) -> list[Prompt]:
        """`n` prompts from the states that a mixture of policies visits, each from a training path of its own."""
        rng = np.random.default_rng((seed, len(self.scenarios)))
        situations: list[Situation] = []
        for scenario, numbers in zip(self.scenarios, np.array_split(np.arange(n), len(self.scenarios)), strict=True):
            if not len(numbers):
                continue
            mixture = make_mixture(
                self.role, self.continuation, self.heuristic, self.highest, len(numbers), rng, self.around_rules
            )
            situations += self._situations(mixture, scenario, numbers, seed, rng)
        return self.prompts_of(situations)

    def _situations(
        self, policy: Policy, scenario: str, ids: Index, seed: int, rng: np.random.Generator
    ) -> list[Situation]:
        """One situation of each path."""
        network = self.scenarios[scenario]
        days = rng.integers(network.days, size=len(ids))
        agents = rng.choice(list(self.agents), len(ids))
        chain = Chain(network, len(ids), seed, split="train", ids=ids)
        record = play(chain, policy, int(days.max()), scenario)
        return [self._decision(record, row, int(days[row]), str(agents[row])) for row in range(len(ids))]

    def _decision(self, record: Record, path: int, day: int, agent: str) -> Situation:
        """The agent's last decision until a day."""
        return record.situation(path, day - day % self._review[agent], agent)

    def decides(self, agent: str, day: int) -> bool:
        """Whether an agent may order on a day: between its reviews it may not."""
        return day % self._review[agent] == 0

    def situations_of(self, policy: Policy, episodes: int, seed: int, n: int) -> list[Situation]:
        """`n` situations that a policy meets on training paths of all scenarios: a day and an agent of each drawn at
        random, no situation twice where there are so many."""
        rng = np.random.default_rng((seed, 1))
        found: list[Situation] = []
        for scenario, ids in zip(self.scenarios, np.array_split(np.arange(episodes), len(self.scenarios)), strict=True):
            network, wanted = self.scenarios[scenario], math.ceil(n * len(ids) / episodes)
            if not wanted:
                continue
            chain = Chain(network, len(ids), seed, split="train", ids=ids)
            record = play(chain, deciding(self.role, policy, self.continuation), network.days, scenario)
            many = len(ids) * network.days * len(self.agents)
            for number in rng.choice(many, wanted, replace=many < wanted):
                path, rest = divmod(int(number), network.days * len(self.agents))
                day, agent = divmod(rest, len(self.agents))
                found.append(self._decision(record, path, day, list(self.agents)[agent]))
        return found[:n]

    def prompts_of(self, situations: Sequence[Situation]) -> list[Prompt]:
        """The prompts of situations, numbered in their order."""
        conversations: list[list[Message]] = [[]] * len(situations)
        for (scenario, _, _), numbers in by_path(situations).items():
            chain = replay(self.scenarios[scenario], [situations[number] for number in numbers])
            asked = self.messages(chain, np.arange(len(numbers)), [situations[number].agent for number in numbers])
            for number, messages in zip(numbers, asked, strict=True):
                conversations[number] = messages
        return [
            Prompt(number, messages, situation.to_json())
            for number, (messages, situation) in enumerate(zip(conversations, situations, strict=True))
        ]

    def messages(self, chain: Chain, rows: Index, agents: Sequence[str]) -> list[list[Message]]:
        """What each agent of some replications is asked."""
        recommended = None
        if self._recommending is not None:
            places = np.array([self.agents[agent] for agent in agents])
            orders = np.rint(self._recommending.orders(chain)[rows, places[:, 0], places[:, 1]])
            recommended = np.minimum(orders, self.highest).tolist()
        return self.wording.messages(chain, rows, agents, recommended)

    def judge(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Judgement:
        """What each answer is worth: mean gain over the continuation's own order on the same futures.

        An answer that cannot be parsed gets its group's worst reward less the margin; all answers of a group without
        one that can be parsed get 0.
        """
        actions = [self._action(text) for text in completions]
        groups: dict[int, int] = {}
        group = np.array([groups.setdefault(prompt.number, len(groups)) for prompt in prompts])
        states = {prompt.number: prompt.state for prompt in prompts}
        situations = [Situation(**states[number]) for number in groups]
        orders = np.array([math.nan if action is None else float(action) for action in actions])
        gains, bonuses = np.full((2, len(orders)), math.nan)
        for (scenario, _, _), numbers in by_path(situations).items():
            rows = np.flatnonzero(np.isin(group, numbers) & ~np.isnan(orders))
            if len(rows):
                chain = replay(self.scenarios[scenario], [situations[number] for number in numbers])
                places = np.array([self.agents[situations[number].agent] for number in numbers])
                row_of = np.searchsorted(numbers, group[rows])
                gains[rows], bonuses[rows] = self.rollout.gains(chain, self.role, places, row_of, orders[rows])
        rewards, unparsed = reward_unparsed(gains / self.reward_scale + bonuses, group, self.margin)
        return Judgement(rewards, gains, actions, unparsed)

    def _action(self, text: str) -> int | float | None:
        try:
            return self.parse(text)
        except ParseError:
            return None


def reward_unparsed(rewards: NDArray[np.float64], group: Index, margin: float) -> tuple[NDArray[np.float64], int]:
    """Rewards for answers that could not be parsed (NaN): the worst of the group less the margin; 0 for a whole group
    of them. And how many such groups there are.

    >>> reward_unparsed(np.array([1.0, np.nan, -2.0, np.nan]), np.array([0, 0, 0, 1]), 0.5)
    (array([ 1. , -2.5, -2. ,  0. ]), 1)
    """
    worst = np.full(group.max() + 1, math.inf)
    np.fmin.at(worst, group, rewards)
    without = np.isinf(worst)
    stand_in = np.where(without, 0.0, worst - margin)[group]
    return np.where(np.isnan(rewards), stand_in, rewards), int(without.sum())


def reward_function(task: SupplyChainTask) -> Callable[..., list[float]]:
    """The task's reward as TRL's trainers call it.

    The data set needs the columns ``number`` and ``state`` of :func:`dataset_row`; a completion is a text or a
    conversation of the model's turn.
    """

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        asked = [
            Prompt(number, messages, json.loads(state))
            for number, messages, state in zip(columns["number"], prompts, columns["state"], strict=True)
        ]
        texts = [text if isinstance(text, str) else text[-1]["content"] for text in completions]
        return task.judge(asked, texts).rewards.tolist()

    reward.__name__ = "gain"
    return reward


def dataset_row(prompt: Prompt) -> dict[str, Any]:
    """A prompt as a row of a data set; the state as JSON, since its shape differs from row to row."""
    return {"prompt": prompt.messages, "number": prompt.number, "state": json.dumps(prompt.state)}


def _role(network: Network, role: str | None) -> str:
    roles = [name for name in ROLES if network.nodes_of(name)]
    if role is None:
        return roles[0]
    if role not in roles:
        raise unknown(f"role of {network.name}", role, roles)
    return role


def _waiting(params: Params, node: int, below: NDArray[np.float64]) -> int:
    """Days from an order to the next one that can be heard, and from the node's shelf to a store's."""
    return math.ceil(params.order_lead_time[node] + params.review_period[node] + below[node, 0])


def _worth_of_a_day(params: Params, place: tuple[int, int]) -> float:
    """Money that a day's mean demand of an agent stands for."""
    unit, short = params.unit_cost[place], params.shortage_cost[place]
    rate = max(unit, params.price[place] - unit + short, short)
    return float(params.mean_demand[place] * (rate or 1.0))


def _highest(network: Network, role: str, level: float) -> float:
    """The largest order that the role's action allows, or twice a base-stock level, rounded up to tens."""
    action = network.role_settings(role).action
    return action.high if isinstance(action, Quantities) else 10.0 * math.ceil(level / 5)
