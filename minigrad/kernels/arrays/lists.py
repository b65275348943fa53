"""Kernels over lists of arrays, all parameters of a model in one call, and what they may change.

The second list is only read; the arrays of all others are changed in place. Whoever does so asks
`check` first, for all of them, so that a refusal leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.backend import address, is_writeable
from minigrad.errors import GraphError, ShapeError

__all__ = ["check", "extent", "is_changeable", "one_by_one", "overlap"]

Array = Any


def one_by_one(kernel: Callable[..., None], lists: int, name: str) -> Callable[..., None]:
    """Return the kernel over lists: its first `lists` arguments become lists of one length."""

    def run(*args: Any) -> None:
        many: Sequence[Sequence[Array]] = args[:lists]
        check(name, many)
        for arrays in zip(*many, strict=True):
            kernel(*arrays, *args[lists:])

    return run


def check(kernel: str, lists: Sequence[Sequence[Array]]) -> None:
    """Refuse lists that do not match, or hold memory that must not be changed."""
    for i, arrays in enumerate(zip(*lists, strict=True)):
        shape = arrays[0].shape
        for number, array in enumerate(arrays):
            if array.shape != shape:
                raise ShapeError(
                    f"{kernel}: array {i} has shape {array.shape} in list {number}, but {shape} in "
                    "the first; a step changes arrays of one shape"
                )
            if number != 1 and not is_changeable(array):
                raise GraphError(
                    f"{kernel}: array {i} of list {number}, shape {shape}, is read-only, or "
                    "several of its elements are one; change a copy"
                )


def is_changeable(array: Array) -> bool:
    """Return whether every element of `array` can be written, and is a place of its own.

    Examples
    --------
    >>> one = np.zeros(1)
    >>> is_changeable(one), is_changeable(np.broadcast_to(one, 4))
    (True, False)
    """
    if array.__class__ is np.ndarray and array.flags.carray:  # as a rule: in C order, writeable
        return True
    if not is_writeable(array):
        return False
    if array.flags.c_contiguous or not array.size:
        return True
    reach = array.itemsize
    for step, n in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if n > 1:
            if step < reach:
                return False
            reach += (n - 1) * step
    return True


def extent(array: Array) -> tuple[int, int]:
    """Return the address where the memory of an array begins, and where it ends."""
    low = address(array)
    if not array.size:
        return low, low
    high = low + array.itemsize
    if array.flags.c_contiguous:
        return low, low + array.nbytes
    for step, n in zip(array.strides, array.shape, strict=True):
        if step < 0:
            low += (n - 1) * step
        else:
            high += (n - 1) * step
    return low, high


def overlap(extents: Any) -> tuple[int, int] | None:
    """Return the numbers of two extents (n, 2) that share memory, or None.

    Examples
    --------
    >>> overlap([[0, 4], [8, 12], [3, 5]])
    (0, 2)
    """
    begin, end = np.asarray(extents, np.int64).reshape(-1, 2).T
    some = np.flatnonzero(begin < end)
    order = some[begin[some].argsort()]
    bad = np.flatnonzero(begin[order][1:] < end[order][:-1])
    if not bad.size:
        return None
    return int(order[bad[0]]), int(order[bad[0] + 1])
