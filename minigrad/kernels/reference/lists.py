"""One kernel over lists of arrays: all parameters of a model in one call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from minigrad.kernels.reference._arrays import Array

__all__ = ["one_by_one"]


def one_by_one(formula: Callable[..., None], lists: int) -> Callable[..., None]:
    """Return the formula over lists: its first `lists` arguments become lists of one length."""

    @functools.wraps(formula)
    def run(xp: Any, *args: Any) -> None:
        many: Sequence[Sequence[Array]] = args[:lists]
        for arrays in zip(*many, strict=True):
            formula(xp, *arrays, *args[lists:])

    return run
