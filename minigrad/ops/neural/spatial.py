"""What convolution, pooling and resizing share: images and options per spatial axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.errors import OptionError, ShapeError
from minigrad.ops.arguments import check_floating, check_tensor
from minigrad.ops.shape import squeeze, unsqueeze
from minigrad.tensor import Tensor

__all__ = ["axes_names", "check_images", "one_image", "per_axis"]

_NAMES = {1: "L", 2: "H, W", 3: "D, H, W"}


def axes_names(dims: int) -> str:
    """Return the shape of a batch of images in words: ``(N, C, H, W)``."""
    return f"(N, C, {_NAMES[dims]})"


def check_images(name: str, input: Any, dims: int) -> Tensor:
    """Return `input` as (N, C, *spatial), floating; one image without N gets N = 1."""
    x = check_tensor(name, input)
    if x.ndim not in (dims + 1, dims + 2):
        raise ShapeError(
            f"{name}: input must be {axes_names(dims)}, or (C, {_NAMES[dims]}) for one sample; "
            f"got shape {x.shape}"
        )
    check_floating(name, x)
    return x if x.ndim == dims + 2 else unsqueeze(x, 0)


def one_image(y: Tensor, input: Any, dims: int) -> Tensor:
    """Drop the batch axis of the result if `input` had none."""
    return squeeze(y, 0) if np.ndim(input) == dims + 1 else y


def per_axis(name: str, option: str, value: Any, dims: int, least: int = 1) -> tuple[int, ...]:
    """Return an option given as one int, or one int per spatial axis, as a tuple."""
    if type(value) is int and value >= least:
        return (value,) * dims
    plain = type(value) is tuple and len(value) == dims and {*map(type, value)} == {int}
    if plain and min(value) >= least:  # as layers keep it: nothing is left to check
        return value  # type: ignore[no-any-return]
    values = tuple(value) if isinstance(value, Sequence) else (value,) * dims
    if len(values) == 1:
        values *= dims
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values)
    if len(values) != dims or not whole or min(values) < least:
        raise OptionError(
            f"{name}: {option} must be an integer ≥ {least} or {dims} of them, got {value!r}"
        )
    return tuple(map(int, values))
