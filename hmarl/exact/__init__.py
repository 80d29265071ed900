"""Proven optima, bounds, and the exact cost of policies on networks small enough."""

from hmarl.exact.proof import Bound, Optimum, Proof

__all__ = ["Bound", "Optimum", "Proof"]
