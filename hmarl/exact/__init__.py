"""Proven optima, bounds, and the exact cost of policies on networks small enough."""

from hmarl.exact.bounds import lower_bound
from hmarl.exact.decentralised import best_decentralised
from hmarl.exact.evaluation import policy_cost
from hmarl.exact.proof import Bound, Optimum, Proof
from hmarl.exact.solve import METHODS, optimal_cost

__all__ = ["METHODS", "Bound", "Optimum", "Proof", "best_decentralised", "lower_bound", "optimal_cost", "policy_cost"]
