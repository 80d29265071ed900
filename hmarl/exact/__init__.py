"""Proven optima, bounds, and the exact cost of policies on networks small enough.

====================== ==================================================================================
newsvendor             one node, backorders: base-stock
s_S                    one node, backorders, a fixed cost of an order: (s, S), Zheng and Federgruen
serial                 nodes in a row, backorders: echelon base-stock, Clark and Scarf
lost_sales             one node, lost sales: value iteration on stock and pipeline
warehouse              stores behind a warehouse, lost sales: value iteration on all stocks
decentralised          the same where stores see their own stock alone: a cost that is reached
bounds                 where the optimum is out of reach: a cost that no policy can stay below
clairvoyant            what foresight would earn on each demand path: a linear programme, a bound above every policy
policy_evaluation      the exact cost of a given policy: its Markov chain, played by the simulator
constant_order         the same of a constant order with lost sales, whose stock has no limit
gap                    how far a policy is above the optimum
====================== ==================================================================================

The others are what these share: `conditions` (what stands in the way of a method), `distribution` (a day's demand as
probabilities), `clark_scarf` (the recursion, on trees), `value_iteration` (when it stops, and why larger stocks gain
nothing), `warehouse_sweep` (its kernels), `proof` (what is proven), `solve` (the method that fits).
"""

from hmarl.exact.bounds import lower_bound
from hmarl.exact.clairvoyant import clairvoyant_profit
from hmarl.exact.decentralised import best_decentralised
from hmarl.exact.policy_evaluation import policy_cost
from hmarl.exact.proof import Bound, Optimum, Proof
from hmarl.exact.solve import optimal_cost

__all__ = [
    "Bound",
    "Optimum",
    "Proof",
    "best_decentralised",
    "clairvoyant_profit",
    "lower_bound",
    "optimal_cost",
    "policy_cost",
]
