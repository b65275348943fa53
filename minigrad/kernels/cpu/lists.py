"""Kernels over lists of arrays: one call for all parameters of a model.

The loop is given a table of the arrays' addresses. Tasks are cut from their concatenation, so a
bias of ten numbers and a matrix of a million make even tasks, and nothing is copied to lie side by
side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from minigrad.errors import GraphError
from minigrad.kernels.arrays.lists import check, overlap
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
    lists: Sequence[Sequence[Array]],
    *rest: Any,
) -> None:
    """Run ``loop(ends, addresses, like, *rest)`` over arrays of one length in every list.

    No address is taken unless `check` lets all arrays pass, and no two threads change one place.

    Parameters
    ----------
    loop : callable
        Takes the ends of the arrays in their concatenation, the table of addresses (list, array)
        and an array of their element type.
    lists : sequence of list of array
        The arrays, of one element type, in the order in which the loop knows them; the second list
        is only read.
    """
    check(loop.__module__.rpartition(".")[2], lists)
    dtype = lists[0][0].dtype
    plain, copies = [], []
    for arrays in zip(*lists, strict=True):
        whole = [contiguous(a) for a in arrays]
        plain.append([a.reshape(-1) for a in whole])
        pairs = enumerate(zip(arrays, whole, strict=True))
        copies += [pair for i, pair in pairs if i != 1 and pair[0] is not pair[1]]
    if plain:
        sizes = np.array([row[0].size for row in plain])
        table = np.array(
            [[_address(a) for a in column] for column in zip(*plain, strict=True)], np.int64
        )
        if _share_memory(table, sizes * dtype.itemsize):
            _refuse_shared(np.delete(table, 1, 0), sizes * dtype.itemsize)
            read = [row[1].copy() for row in plain]  # it may not change under the loop
            table[1] = [_address(a) for a in read]
        loop(sizes.cumsum(), table, plain[0][0][:0], *rest)
    for array, changed in copies:
        array[...] = changed


def _share_memory(table: Array, sizes: Array) -> Any:
    """Return the places in the table of two arrays that overlap, or None."""
    return overlap(np.stack([table, table + sizes], axis=-1))


def _refuse_shared(table: Array, sizes: Array) -> None:
    shared = _share_memory(table, sizes)
    if shared is not None:
        i, j = (place % len(sizes) for place in shared)
        raise GraphError(
            f"arrays {i} and {j} of a step share memory, and both are to be changed; give each a "
            "copy of its own"
        )
