"""Proven optima, bounds, and the exact cost of policies on networks small enough."""

from hmarl.exact.decentralised import best_decentralised
from hmarl.exact.proof import Bound, Optimum, Proof
from hmarl.exact.solve import METHODS, optimal_cost

__all__ = ["METHODS", "Bound", "Optimum", "Proof", "best_decentralised", "optimal_cost"]
