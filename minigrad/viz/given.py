"""The numbers that a picture is drawn of: lists, arrays, and tensors of any device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.construct import as_numpy
from minigrad.errors import DTypeError, brief

__all__ = ["numbers"]


def numbers(name: str, values: Any) -> NDArray[np.float64]:
    """Return `values` as float64; `name` says in an error whose they are.

    Raises
    ------
    DTypeError
        If they are no numbers, or rows of different lengths.

    Examples
    --------
    >>> numbers("x", [1, 2])
    array([1., 2.])
    """
    try:
        return np.asarray(as_numpy(values), dtype=np.float64)
    except (TypeError, ValueError):
        raise DTypeError(
            f"{name} must be numbers, in rows of one length; got {brief(values)}"
        ) from None
