"""What a day costs and earns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from hmarl.simulator.params import Params
    from hmarl.simulator.simulator import Outcome


class Costs(NamedTuple):
    """Money of one day by replication, node and SKU, each array ``(replications, nodes, skus)``."""

    holding: np.ndarray
    stockout: np.ndarray
    ordering: np.ndarray
    purchase: np.ndarray
    revenue: np.ndarray

    @property
    def cost(self) -> np.ndarray:
        """Holding, stock-out and ordering cost: what a policy can change."""
        return self.holding + self.stockout + self.ordering

    @property
    def profit(self) -> np.ndarray:
        """Revenue less purchase and cost."""
        return self.revenue - self.purchase - self.cost


def day_costs(params: Params, outcome: Outcome) -> Costs:
    """Money of the day just booked.

    Holding is paid on what is left at the day's end, shortage on lost sales or on open backorders, the order cost on
    each order placed, and the unit cost on what a node without upstream orders.
    """
    root = (params.parent < 0)[:, None]
    return Costs(
        holding=params.holding_cost * outcome.left,
        stockout=params.shortage_cost * outcome.short,
        ordering=params.order_cost * (outcome.ordered > 0),
        purchase=params.unit_cost * root * outcome.ordered,
        revenue=params.price * outcome.sold,
    )
