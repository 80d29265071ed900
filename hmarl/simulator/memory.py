"""How kernels find their arrays.

A kernel that takes a hundred arrays as arguments spends microseconds on taking them over from Python. Here it takes
one: a table with a row for each array, its address and its shape. Within a kernel `fields` gives the arrays by name.

Replications are the last axis of every array that has them, so that a loop over replications runs over
neighbouring numbers and the compiler plays several at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

_ROWS: dict[str, tuple[int, types.Type, int]] = {}  # name -> row of the table, type, dimensions
_WIDTH = 5  # address, or the number itself where it has no dimension; up to four lengths


def declare(kind: types.Type, dimensions: int, names: str) -> None:
    """Give names, split by spaces, a row of the table each; `kind` is ``types.float64`` or ``types.int64``."""
    for name in names.split():
        assert name not in _ROWS, name
        _ROWS[name] = len(_ROWS), kind, dimensions


def address_table(arrays: Mapping[str, Any]) -> np.ndarray:
    """The table of declared arrays, which must outlive it; other names are left out.

    Arrays are contiguous and never reallocated. An integer without dimensions is held by the table itself.
    """
    table = np.zeros((len(_ROWS), _WIDTH), np.int64)
    for name, (row, kind, dimensions) in _ROWS.items():
        if name not in arrays:
            continue
        array = arrays[name]
        if dimensions == 0:
            table[row, 0] = array
            continue
        assert (array.dtype, array.ndim) == (np.dtype(str(kind)), dimensions), name
        assert array.flags.c_contiguous, name
        table[row, 0] = array.ctypes.data
        table[row, 1 : 1 + dimensions] = array.shape
    return table


@intrinsic(prefer_literal=True)
def fields(typingctx, table, names):
    """In a kernel: the arrays of a table by their names, split by spaces; a tuple where there are several."""
    chosen = [_ROWS[name] for name in names.literal_value.split()]
    kinds = [types.Array(kind, dimensions, "C") if dimensions else kind for _, kind, dimensions in chosen]
    result = types.Tuple(kinds) if len(kinds) > 1 else kinds[0]

    def generate(context, builder, signature, arguments):
        base = context.make_array(signature.args[0])(context, builder, arguments[0]).data

        def word(row, column):
            return builder.load(builder.gep(base, [context.get_constant(types.intp, row * _WIDTH + column)]))

        values = []
        for (row, kind, dimensions), full in zip(chosen, kinds, strict=True):
            if dimensions == 0:
                values.append(word(row, 0))
                continue
            item = context.get_data_type(kind)
            size = context.get_constant(types.intp, context.get_abi_sizeof(item))
            shape = [word(row, 1 + axis) for axis in range(dimensions)]
            strides = [size]
            for length in shape[:0:-1]:
                strides.insert(0, builder.mul(strides[0], length))
            array = context.make_array(full)(context, builder)
            data = builder.inttoptr(word(row, 0), item.as_pointer())
            populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
            values.append(array._getvalue())
        return context.make_tuple(builder, signature.return_type, values) if len(values) > 1 else values[0]

    return result(table, names), generate
