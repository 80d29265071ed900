"""Arithmetic on rows: one number a replication.

Each loop touches few arrays: the compiler plays several replications at once only where few comparisons show that
the rows do not overlap.
"""

from __future__ import annotations

from numba import njit


@njit(error_model="numpy")
def copy(to, row):
    for b in range(len(to)):
        to[b] = row[b]


@njit(error_model="numpy")
def fill(to, value):
    for b in range(len(to)):
        to[b] = value


@njit(error_model="numpy")
def add(to, row):
    for b in range(len(to)):
        to[b] += row[b]


@njit(error_model="numpy")
def subtract(to, row):
    for b in range(len(to)):
        to[b] -= row[b]


@njit(error_model="numpy")
def add_all(to, rows):
    """Add the rows of a matrix one after another."""
    for i in range(len(rows)):
        add(to, rows[i])


@njit(error_model="numpy")
def shift(rows):
    """Move each row of a matrix to the place before; the last keeps what it held."""
    for i in range(len(rows) - 1):
        copy(rows[i], rows[i + 1])
