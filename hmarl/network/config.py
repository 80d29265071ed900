"""What a supply chain is: typed configuration, checked when it is read.

Times are in periods (days, or weeks where ``period: week``), quantities in units, money in one currency.
"""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hmarl.network.demand import Demand

Role = Literal["store", "warehouse", "supplier"]
ROLES: tuple[str, ...] = ("store", "warehouse", "supplier")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAME = re.compile(r"\w[\w .-]{0,63}")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            "a name is up to 64 letters, digits, spaces, '_', '-' and '.', beginning with a letter or digit"
        )
    return name


Name = Annotated[str, AfterValidator(_check_name)]
Units = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Periods = Annotated[int, Field(ge=0, le=365)]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UniformLeadTime(Config):
    """A lead time drawn anew for each shipment, each whole number of days equally likely."""

    low: Periods = Field(description="shortest lead time, days")
    high: Periods = Field(description="longest lead time, days")

    @model_validator(mode="after")
    def _ordered(self) -> UniformLeadTime:
        if self.high < self.low:
            raise ValueError(f"high ({self.high}) must not be below low ({self.low})")
        return self

    def distribution(self) -> tuple[list[int], list[float]]:
        """The lead times and their probabilities."""
        days = list(range(self.low, self.high + 1))
        return days, [1 / len(days)] * len(days)


class DiscreteLeadTime(Config):
    """A lead time drawn anew for each shipment from listed days with listed probabilities."""

    days: list[Periods] = Field(min_length=1, description="lead times, days")
    probabilities: list[Probability] = Field(min_length=1, description="probability of each")

    @model_validator(mode="after")
    def _matched(self) -> DiscreteLeadTime:
        if len(self.days) != len(self.probabilities) or abs(sum(self.probabilities) - 1) > 1e-9:
            raise ValueError("days and probabilities must be equally long and the probabilities sum to 1")
        return self

    def distribution(self) -> tuple[list[int], list[float]]:
        """The lead times and their probabilities."""
        return list(self.days), list(self.probabilities)


LeadTime = Periods | UniformLeadTime | DiscreteLeadTime


class Window(Config):
    """Days of an episode, both included; day 0 is the first."""

    first: int = Field(ge=0, description="first day")
    last: int = Field(ge=0, description="last day")

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.last < self.first:
            raise ValueError(f"last ({self.last}) must not be before first ({self.first})")
        return self


class Delay(Window):
    """Days on which shipments take longer."""

    days: Periods = Field(description="days added to the lead time of what is shipped in the window")


class Item(Config):
    """What may differ from SKU to SKU at a node."""

    opening_stock: Units = Field(0, description="units on hand on the first morning")
    demand: Demand | None = Field(None, description="customers' demand at this node")
    price: Money = Field(0, description="revenue a unit sold to customers")
    unit_cost: Money = Field(0, description="value of a unit; paid for what a node without upstream orders")
    holding_cost: Money = Field(0, description="cost a unit left at the end of a day")
    shortage_cost: Money = Field(0, description="cost a unit of unmet demand (lost sales) or of backorders a day")
    order_cost: Money = Field(0, description="fixed cost of an order")
    minimum_order: Units = Field(0, description="smallest order that is not nothing, units")
    case_pack: Units = Field(0, description="orders are multiples of this, units; 0: any quantity")
    target_service: float = Field(0.95, gt=0, lt=1, description="service level that plans aim at")


class ItemOverrides(Config):
    """Fields of :class:`Item` that differ for one SKU; what is left out is as the node says."""

    opening_stock: Units | None = None
    demand: Demand | None = None
    price: Money | None = None
    unit_cost: Money | None = None
    holding_cost: Money | None = None
    shortage_cost: Money | None = None
    order_cost: Money | None = None
    minimum_order: Units | None = None
    case_pack: Units | None = None
    target_service: float | None = Field(None, gt=0, lt=1)


class Node(Item):
    """A place that holds stock: a store, a warehouse, a supplier."""

    upstream: Name | None = Field(None, description="the node that delivers; none: an unlimited source")
    role: Role | None = Field(None, description="overrides the role that follows from the place in the tree")
    lead_time: LeadTime = Field(1, description="days from shipment to the day whose demand it can serve")
    order_lead_time: Periods = Field(0, description="days an order takes to be heard")
    review_period: int = Field(1, ge=1, le=365, description="orders are placed on every so many-th day only")
    storage_capacity: float | None = Field(None, gt=0, description="most units held, all SKUs together")
    order_capacity: float | None = Field(None, gt=0, description="most units ordered (produced) a day, all SKUs")
    reliability: Probability = Field(1, description="probability that its source fills orders on a day")
    order_loss: Probability = Field(0, description="probability that an order is never heard")
    shipment_loss: Probability = Field(0, description="probability that a shipment is lost in transit")
    outages: list[Window] = Field([], description="days on which its source fills nothing")
    delays: list[Delay] = Field([], description="days on which its shipments take longer")
    skus: dict[Name, ItemOverrides] = Field({}, description="what differs by SKU")


class ForecastSettings(Config):
    """How an agent estimates tomorrow's demand from the past."""

    method: Literal["moving_average", "exponential", "seasonal"] = "moving_average"
    window: int = Field(7, ge=1, le=365, description="periods of the moving average and of the error estimate")
    smoothing: float = Field(0.2, gt=0, le=1, description="weight of the newest period (exponential, seasonal)")
    seasonal_smoothing: float = Field(0.1, gt=0, le=1, description="weight of the newest weekday factor (seasonal)")


class Choice(Config):
    """What an agent chooses; the kinds are below."""

    continuous: bool = Field(
        False, description="an action is a number, -1 for the lowest value to 1 for the highest, not one of the values"
    )


class Multiples(Choice):
    """Order a multiple of the forecast."""

    kind: Literal["multiples"] = "multiples"
    values: list[Units] = Field([0, 0.5, 1, 1.5], min_length=2, description="multiples of the agent's forecast")


class Quantities(Choice):
    """Order a quantity: 0, step, 2 step, ... high units; where continuous any from 0 to high."""

    kind: Literal["quantity"] = "quantity"
    high: float = Field(gt=0, description="largest order, units")
    step: float = Field(1, gt=0, description="units from one action to the next")


class OrderUpTo(Choice):
    """Order up to a level, in days of mean demand: of the agent's own position, or of its echelon's."""

    kind: Literal["order_up_to"] = "order_up_to"
    values: list[Units] = Field(min_length=2, description="levels, days of the agent's mean demand")
    echelon: bool = Field(False, description="the position of the node and all below it, not the node's alone")


class Correction(Choice):
    """Order what a base-stock rule orders, corrected by some days of mean demand."""

    kind: Literal["correction"] = "correction"
    values: list[float] = Field(
        [-1, -0.5, -0.25, 0, 0.25, 0.5, 1], min_length=2, description="corrections, days of mean demand"
    )


Action = Annotated[Multiples | Quantities | OrderUpTo | Correction, Field(discriminator="kind")]


class Shaping(Config):
    """Bonuses added to the reward; each is a weight, 0 switches it off."""

    target_stock: float = Field(0, ge=0, description="x (1 - |position - planned position| / planned position)")
    anticipation: float = Field(0, ge=0, description="x order above the forecast ahead of a peak, days of demand")
    extreme_orders: float = Field(0, ge=0, description="x minus the order's excess over three days of demand")


class RoleSettings(Config):
    """What the agents of a role see, may do and are paid."""

    observation: Literal["default", "pipeline", "stock"] = Field(
        "default",
        description="default: the role's few numbers; pipeline: and arrivals by day, weekday, costs, at "
        "stores yesterday's demand; stock: only what there is and what is on its way, all that matters where demand "
        "does not change",
    )
    pipeline_days: int | None = Field(
        None,
        ge=1,
        le=365,
        description="days of arrivals told apart, the last with all later ones; none: all that a lead time can need",
    )
    identity: bool = Field(
        False,
        description="agents also see which node of their role they are: those that are alike may then act differently, "
        "though they share a policy",
    )
    action: Action = Multiples()
    reward: Literal["default", "cost", "profit", "chain_cost", "chain_profit"] = Field(
        "default", description="default: the role's formula; cost, profit: the agent's own; chain_: the whole chain's"
    )
    shaping: Shaping = Shaping()


class Network(Config):
    """A supply chain and the rules it runs by."""

    name: Name = "network"
    period: Literal["day", "week"] = "day"
    days: int = Field(90, ge=1, description="periods of an episode")
    finite: bool = Field(
        False, description="nothing counts after the last period; else an episode is a part of a long run"
    )
    warmup: int = Field(7, ge=0, description="periods at its start that no figure counts")
    first_weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "monday"
    quantities: Literal["integer", "real"] = "integer"
    unmet_demand: Literal["lost", "backorder"] = Field("lost", description="what happens to customers' demand not met")
    unfilled_orders: Literal["keep", "cancel"] = Field(
        "keep", description="what happens to orders between nodes not met"
    )
    shortage: Literal["proportional", "equal_shortfall"] = Field(
        "proportional", description="how a node shares what is too little"
    )
    skus: list[Name] = Field(["sku_1"], min_length=1)
    nodes: dict[Name, Node] = Field(min_length=1)
    forecast: ForecastSettings = ForecastSettings()
    roles: dict[Role, RoleSettings] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Network:
        if len(set(self.skus)) != len(self.skus):
            raise ValueError(f"skus: {self.skus}: each name once")
        for name, node in self.nodes.items():
            if node.upstream is not None and node.upstream not in self.nodes:
                raise ValueError(f"nodes.{name}.upstream: {node.upstream!r}: one of {', '.join(self.nodes)}, or none")
            unknown = set(node.skus) - set(self.skus)
            if unknown:
                raise ValueError(f"nodes.{name}.skus: {sorted(unknown)[0]!r}: one of {', '.join(self.skus)}")
            for sku in self.skus:
                self._check_demand(name, sku)
        for name in self.nodes:
            self._check_no_cycle(name)
        return self

    def _check_demand(self, name: str, sku: str) -> None:
        demand = self.item(name, sku).demand
        if demand is not None and self.period == "week" and (demand.weekday or demand.weekday_add):
            raise ValueError(f"nodes.{name}.demand.weekday: a network of period 'week' has no weekdays")

    def _check_no_cycle(self, name: str) -> None:
        path = [name]
        while (upstream := self.nodes[path[-1]].upstream) is not None:
            if upstream in path:
                raise ValueError(
                    f"nodes.{name}.upstream: {' -> '.join([*path, upstream])}: a cycle; a network is a tree"
                )
            path.append(upstream)

    @cached_property
    def node_names(self) -> list[str]:
        """Names of the nodes, in the order of every array's node axis."""
        return list(self.nodes)

    @cached_property
    def _sources(self) -> set[str | None]:
        """Names of the nodes that deliver to another."""
        return {node.upstream for node in self.nodes.values()}

    def children(self, name: str) -> list[str]:
        """The nodes that `name` delivers to."""
        return [child for child, node in self.nodes.items() if node.upstream == name]

    def role_of(self, name: str) -> Role:
        """A leaf is a store, a root a supplier, what stands between a warehouse; a lone node a store."""
        node = self.nodes[name]
        if node.role is not None:
            return node.role
        if name not in self._sources:
            return "store"
        return "supplier" if node.upstream is None else "warehouse"

    def nodes_of(self, role: str) -> list[str]:
        """Names of the nodes of a role."""
        return [name for name in self.nodes if self.role_of(name) == role]

    def role_settings(self, role: str) -> RoleSettings:
        """What the agents of a role see, may do and are paid."""
        return self.roles.get(role, RoleSettings())  # type: ignore[call-overload]

    def item(self, name: str, sku: str) -> Item:
        """The SKU's numbers at a node: the node's, with what the node's ``skus`` section changes."""
        node = self.nodes[name]
        values: dict[str, Any] = {field: getattr(node, field) for field in Item.model_fields}
        overrides = node.skus.get(sku)
        if overrides is not None:
            values.update({k: v for k, v in overrides if v is not None})
        return Item.model_construct(**values)

    def lead_time_moments(self, name: str) -> tuple[float, float]:
        """Mean and variance of a node's lead time, days and days squared."""
        lead_time = self.nodes[name].lead_time
        if isinstance(lead_time, int):
            return float(lead_time), 0.0
        days, probabilities = lead_time.distribution()
        mean = math.fsum(d * p for d, p in zip(days, probabilities, strict=True))
        return mean, math.fsum((d - mean) ** 2 * p for d, p in zip(days, probabilities, strict=True))

    def longest_lead_time(self, name: str) -> int:
        """The longest lead time of a node, days; scheduled delays left out."""
        lead_time = self.nodes[name].lead_time
        return lead_time if isinstance(lead_time, int) else max(lead_time.distribution()[0])
