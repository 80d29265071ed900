"""What the value iterations share: when they stop, and why nothing outside the states searched is better.

Relative value iteration (White 1963, "Dynamic programming, Markov chains, and the method of successive
approximations", Journal of Mathematical Analysis and Applications 6, 373-376) on a finite table of values v gives
bounds at every step: with T the operator of the optimality equation, ``min(Tv - v) <= optimal cost a day <=
max(Tv - v)``, and the policy of Tv costs no more than the upper one (Odoni 1969, "On finding the maximal gain for
Markov decision processes", Operations Research 17(5), 857-860; Puterman 1994, Markov Decision Processes, section 8.5).

**States outside the table.** Stocks and orders are searched up to caps. Take v beyond a cap as v at the cap: as if
what exceeds it vanished, free of charge. If ``cost + E v(next) >= v + g`` for *all* states and orders with this
extension, then no policy costs less than g a day, for v is bounded (sum the inequality over days). Inside the caps
it holds by the value iteration, which lets what exceeds a cap vanish. Outside it is reduced to the inside unit by
unit; what that asks of v is checked on the numbers (:func:`stock_cap_holds`, and what the methods say), and where it
fails the caps are raised and the iteration goes on. The policy found never exceeds a cap, so it costs in the
unlimited network what it costs in the table. No theorem about the shape of v or of the optimal policy is needed.
"""

from __future__ import annotations

import numpy as np

from hmarl.exact.distribution import Array

TOLERANCE = 5e-7
"""The iteration stops when the optimal cost is known to plus or minus this, money a day."""

MOST_SWEEPS = 3000
DAMPING = 0.1
"""Part of the old values that a sweep keeps, so that a policy with a cycle does not keep them cycling."""

SLACK = 1e-9
"""By how much rounding may break the order of two values; a tolerance counts it for every unit of a cap."""

SOURCE = (
    "White (1963), J. Math. Anal. Appl. 6; Odoni (1969), Oper. Res. 17(5); Puterman (1994), Markov Decision Processes, "
    "8.5; that larger stocks gain nothing is checked on the values"
)


def rising_from(values: Array, axis: int) -> int:
    """The least stock from which on another unit never lowers the value, whatever the other stocks."""
    falls = np.diff(np.moveaxis(values, axis, 0), axis=0) < -SLACK
    where = np.flatnonzero(falls.any(axis=tuple(range(1, values.ndim))))
    return int(where[-1]) + 1 if len(where) else 0


def worth_of_a_unit(values: Array, axis: int) -> float:
    """The most that one unit more lowers the value."""
    return float(max(0.0, -np.diff(values, axis=axis).min(initial=0.0)))


def stock_cap_holds(values: Array, axis: int, pmf: Array, holding: float, shortage: float) -> bool:
    """Whether a store needs no stock above the cap of its axis.

    A unit above the cap X costs `holding` unless demand takes it. Without it, a demand of at least X + 1 - m units
    can cost at most the larger of `shortage` and the worth K of a unit, where m is the stock from which on v rises;
    a smaller demand nothing. So it is enough that ``holding P(D <= X) >= max(shortage, K) P(D >= X + 1 - m)``.
    """
    cap = values.shape[axis] - 1
    needed = cap + 1 - rising_from(values, axis)
    loss = max(shortage, worth_of_a_unit(values, axis)) * float(pmf[max(needed, 0) :].sum())
    return needed > 0 and holding * float(pmf[: cap + 1].sum()) >= loss + SLACK
