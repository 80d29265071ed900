"""Costs that no policy can stay below, where the optimum is out of reach.

Everything that only restricts what may be ordered or shipped (capacities, case packs, reviews, unreliable sources,
orders that get lost or are heard late, what a node sees) and every order cost is left out, which can only lower the
cost. Two bounds remain; the higher one is given.

**Stock moves freely** (:func:`_relaxed`): the balance relaxation of :mod:`hmarl.exact.clark_scarf`. Lost sales become
backorders at p / (T + 1) a day, T the days from the outermost order to the store: a policy of the system with lost
sales can be copied in one with backorders that orders each lost unit again the next morning and sends it through
without a stop. It then owes the unit on T + 1 evenings, p in all, and holds no more. For one node this is Janakiraman,
Seshadri and Shanthikumar (2007).

**Each store alone** (:func:`_alone`): what a node ships to a store on a day is an order that the store alone could
place with a source that always delivers, so that the store costs at least its optimum alone (its own bound where
that is out of reach); stock above it costs at least 0.

A shipment that arrives late from an unlimited source is one ordered later, so that there the shortest lead time
counts. Inside the tree, where stock in transit costs nothing but stock that waits does, this would not be true, nor
is it where stock that finds no room is lost.
"""

from __future__ import annotations

from hmarl.exact.clark_scarf import Stage, grid_error, solve_echelons
from hmarl.exact.conditions import demand_complication
from hmarl.exact.distribution import day_demand, density, grid_step
from hmarl.exact.proof import Bound
from hmarl.network import Network, Node

_SERIES = (
    "Clark and Scarf (1960), Optimal policies for a multi-echelon inventory problem, Management Science 6(4); "
    "Federgruen and Zipkin (1984), Approximations of dynamic, multilocation production and inventory problems, "
    "Management Science 30(1)"
)
_OPTIMUM = "Zipkin (2008), Old and new methods for lost-sales inventory systems, Operations Research 56(5)"
_LOST = (
    "Janakiraman, Seshadri and Shanthikumar (2007), A comparison of the optimal costs of two canonical inventory "
    "systems, Operations Research 55(5)"
)


def lower_bound(network: Network) -> Bound | None:
    """The highest of the bounds that apply; None where none does or none is above 0: no useful bound.

    Parameters
    ----------
    network
        Any. There is a bound where the horizon is endless, storage unlimited, and the stores' demand independent from
        day to day and alike; with backorders, where moreover no other node has customers and nothing is lost or late
        between the nodes.
    """
    stores = [name for name in network.nodes if not network.children(name)]
    if network.finite or any(node.storage_capacity for node in network.nodes.values()):
        return None
    demands = [network.item(name, sku).demand for name in stores for sku in network.skus]
    integer = network.quantities == "integer"
    if any(demand is None or demand_complication(demand, integer) for demand in demands):
        return None
    bounds = [_relaxed(network, stores)] if _is_tractable(network, stores) else []
    if network.unmet_demand == "lost" and len(network.nodes) > 1:
        bounds.append(_alone(network, stores))
    return max((bound for bound in bounds if bound.value > 0), key=lambda bound: bound.value, default=None)


def _is_tractable(network: Network, stores: list[str]) -> bool:
    """Whether shipments inside the tree always arrive, and when they should, and only stores have customers."""
    inside = [node for node in network.nodes.values() if node.upstream is not None]
    if any(not isinstance(node.lead_time, int) or node.delays or node.shipment_loss for node in inside):
        return False
    return not any(network.item(n, sku).demand for n in network.nodes if n not in stores for sku in network.skus)


def _relaxed(network: Network, stores: list[str]) -> Bound:
    """The balance relaxation, tree by tree and SKU by SKU."""
    roots = [name for name, node in network.nodes.items() if node.upstream is None]
    value = sum(_relaxed_cost(network, root, sku) for root in roots for sku in network.skus)
    if network.unmet_demand == "lost" and len(network.nodes) == 1:
        return Bound(value, "unmet demand is owed at penalty / (lead time + 1) a day instead of lost", _LOST)
    shared = len(stores) > len(roots)
    name = "stock moves freely between the nodes below a node" if shared else "orders know no limit and cost nothing"
    if network.unmet_demand == "backorder":
        return Bound(value, name, _SERIES)
    name += ", unmet demand is owed at penalty / (lead time from outside + 1) a day instead of lost"
    return Bound(value, name, f"{_SERIES}; {_LOST}")


def _shortest_lead_time(node: Node) -> int:
    """Days from a shipment to the first day whose demand it may serve."""
    return node.lead_time if isinstance(node.lead_time, int) else min(node.lead_time.distribution()[0])


def _relaxed_cost(network: Network, root: str, sku: str) -> float:
    """A lower bound on one SKU's cost in the tree below `root`."""
    integer = network.quantities == "integer"
    demands = [demand for name in network.nodes if (demand := network.item(name, sku).demand) is not None]
    step = grid_step(demands, integer)

    def stage(name: str, days: int) -> Stage:
        """The tree from a node down; `days` from the outermost order until the node ships, at the soonest."""
        node, item = network.nodes[name], network.item(name, sku)
        lead_time = _shortest_lead_time(node) + (0 if node.upstream else node.order_lead_time)
        below = tuple(stage(child, days + lead_time) for child in network.children(name))
        # where holding costs less below a node, it is taken to cost as little at the node
        holding = min([item.holding_cost, *(child.holding for child in below)])
        if item.demand is None:
            return Stage(name, lead_time, holding, below=below)
        owed = days + lead_time + 1 if network.unmet_demand == "lost" else 1
        demand = day_demand(item.demand, integer, step)
        return Stage(name, lead_time, holding, item.shortage_cost / owed, demand=demand)

    tree = stage(root, 0)
    cost = solve_echelons(tree, step).cost
    return cost - 1e-9 * abs(cost) - grid_error(tree, step, max(density(demand, integer) for demand in demands))


def _alone(network: Network, stores: list[str]) -> Bound:
    """Each store and SKU with a source that always delivers; those that are alike are solved once."""
    alike: dict[str, list[Network]] = {}
    for name in stores:
        for sku in network.skus:
            store = _store_alone(network, name, sku)
            alike.setdefault(store.model_dump_json(), []).append(store)
    value = sum(len(same) * _alone_cost(same[0]) for same in alike.values())
    return Bound(value, "each store alone with a source that always delivers", f"{_OPTIMUM}; {_LOST}")


def _alone_cost(store: Network) -> float:
    """The optimum of one node with lost sales, or its bound where that is out of reach."""
    from hmarl.exact import lost_sales

    if lost_sales.refusal(store) is not None:
        return _relaxed_cost(store, "store", "sku")
    optimum = lost_sales.solve(store)
    return optimum.cost - optimum.proof.tolerance


def _store_alone(network: Network, name: str, sku: str) -> Network:
    """The store and one SKU, with what holding and being short cost there."""
    item = network.item(name, sku)
    node = Node(
        lead_time=_shortest_lead_time(network.nodes[name]),
        demand=item.demand,
        holding_cost=item.holding_cost,
        shortage_cost=item.shortage_cost,
    )
    return Network(
        nodes={"store": node}, skus=["sku"], quantities=network.quantities, unmet_demand=network.unmet_demand
    )
