"""Kernels over lists of arrays: one call for all parameters of a model.

The arrays are told to the loop as a table of their addresses. Tasks are cut from their
concatenation, so a bias of ten numbers and a matrix of a million make even tasks, and nothing is
copied to lie side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from minigrad.kernels.cpu.arrays import Array, contiguous
from minigrad.kernels.cpu.compile import compiled, serial

__all__ = ["BLOCK", "over_lists", "piece", "place"]

BLOCK = 1 << 14  # elements in one task


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@compiled
def piece(addresses, column, i, offset, count, like):  # type: ignore[no-untyped-def]
    """Return `count` elements of array i in a list, from `offset` on, as an array like `like`."""
    address = addresses[column, i] + offset * like.itemsize
    return carray(_pointer(address), (count,), like.dtype)


@compiled
def place(ends, at, stop):  # type: ignore[no-untyped-def]
    """Return array, offset and number of the elements from `at` on, before `stop`."""
    i = np.searchsorted(ends, at, side="right")
    begin = ends[i - 1] if i else 0
    return i, at - begin, min(stop, ends[i]) - at


@serial
def _address(row):  # type: ignore[no-untyped-def]
    return row.ctypes.data


def over_lists(
    loop: Callable[..., None],
    one: Callable[..., None],
    lists: Sequence[Sequence[Array]],
    *rest: Any,
) -> None:
    """Run ``loop(ends, addresses, like, *rest)`` over arrays of one length in every list.

    Parameters
    ----------
    loop : callable
        Takes the ends of the arrays in their concatenation, the table of addresses (list, array)
        and an array of their element type.
    one : callable
        ``one(*arrays, *rest)`` does the same for one array of each list; for those of another
        element type than the first array.
    lists : sequence of list of array
        The arrays, in the order in which the loop knows them.
    """
    plain, copies, dtype = [], [], lists[0][0].dtype
    for arrays in zip(*lists, strict=True):
        if any(a.dtype != dtype for a in arrays):
            one(*arrays, *rest)
            continue
        rows = [contiguous(a).reshape(-1) for a in arrays]
        plain.append(rows)
        copies += [pair for pair in zip(arrays, rows, strict=True) if not _is_plain(pair[0])]
    if plain:
        ends = np.cumsum([row[0].size for row in plain])
        table = [[_address(a) for a in column] for column in zip(*plain, strict=True)]
        loop(ends, np.array(table, np.int64), plain[0][0][:0], *rest)
    for array, row in copies:
        if array.flags.writeable:  # else it was only read
            array[...] = row.reshape(array.shape)


def _is_plain(array: Array) -> bool:
    return array.flags.c_contiguous  # type: ignore[no-any-return]
