"""Interpolation of images: nearest, linear, bilinear, trilinear, bicubic, area.

Every mode is one small matrix per axis (see `minigrad.kernels.arrays.separable`): row i holds
the weights of the input pixels that output pixel i is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from minigrad.errors import OptionError, ShapeError, unknown
from minigrad.kernels.arrays.separable import AxisMap
from minigrad.ops.arguments import check_floating, check_tensor
from minigrad.ops.declare import operation
from minigrad.ops.neural.pool import Resizing, Separable, adaptive_map
from minigrad.ops.shape import clone
from minigrad.tensor import Tensor

Array = np.ndarray[Any, Any]

_MODES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "trilinear": (3,),
}
_ALIGNABLE = ("linear", "bilinear", "bicubic", "trilinear")


def _triangle(t: Array) -> Array:
    """Weight of linear interpolation at distance t."""
    return np.maximum(0.0, 1.0 - np.abs(t))


def _cubic(t: Array) -> Array:
    """Weight of cubic convolution at distance t, with a = -0.75 as in PyTorch and OpenCV."""
    a, t = -0.75, np.abs(t)
    near = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0
    far = a * (((t - 5.0) * t + 8.0) * t - 4.0)
    return np.where(t <= 1.0, near, np.where(t < 2.0, far, 0.0))


@lru_cache(maxsize=256)
def _nearest_map(n: int, out: int, scale: float, exact: bool) -> AxisMap:
    """Take the pixel under the start (or the centre, if `exact`) of every output pixel."""
    # PyTorch computes in float32; the nearest pixel can depend on that rounding.
    position = (np.arange(out, dtype=np.float32) + np.float32(0.5 if exact else 0.0)) * np.float32(
        scale
    )
    index = np.minimum(np.floor(position).astype(np.int64), n - 1)
    return AxisMap((index[:, None] == np.arange(n)).astype(np.float64))


@lru_cache(maxsize=256)
def _smooth_map(n: int, out: int, scale: float, mode: str, align_corners: bool) -> AxisMap:
    """Weigh pixels by their distance; beyond the border the last pixel repeats."""
    i = np.arange(out)
    if align_corners:
        centre = i * ((n - 1) / (out - 1) if out > 1 else 0.0)
    else:
        centre = (i + 0.5) * scale - 0.5
    kernel: Callable[[Array], Array] = _cubic if mode == "bicubic" else _triangle
    reach = 2 if mode == "bicubic" else 1
    matrix = np.zeros((out, n))
    first = np.floor(centre).astype(np.int64)
    for offset in range(1 - reach, reach + 1):
        pixel = first + offset
        np.add.at(matrix, (i, np.clip(pixel, 0, n - 1)), kernel(centre - pixel))
    return AxisMap(matrix)


@operation("functional")
def interpolate(
    input: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """Resize images to `size`, or by `scale_factor`.

    Parameters
    ----------
    input : Tensor, (N, C, L), (N, C, H, W) or (N, C, D, H, W)
        Floating.
    size : int or tuple of int, optional
        Size of the result.
    scale_factor : float or tuple of float, optional
        Multiplier of the size, which is rounded down. Give this or `size`.
    mode : str, default 'nearest'
        'nearest', 'nearest-exact', 'area', 'linear' (1-D), 'bilinear', 'bicubic' (2-D) or
        'trilinear' (3-D).
    align_corners : bool, optional
        In the linear and cubic modes: True aligns the centres of the corner pixels,
        False (default) the corners of the images.
    recompute_scale_factor : bool, optional
        Take the scale from the rounded sizes in place of `scale_factor`. Along an axis whose length
        stays there is nothing to scale: it is copied.

    Returns
    -------
    Tensor, (N, C, ...)
        Channels-last in memory.

    Raises
    ------
    OptionError
        If the options contradict each other or do not fit the number of axes.
    ShapeError
        If `input` has no spatial axes, or a size is not positive.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([[[0.0, 1.0]]])
    >>> mg.nn.functional.interpolate(x, size=4, mode="linear")
    tensor([[[0.  , 0.25, 0.75, 1.  ]]])
    """
    x = check_tensor("interpolate", input)
    dims = x.ndim - 2
    if dims not in (1, 2, 3):
        raise ShapeError(
            f"interpolate: input must be (N, C, L), (N, C, H, W) or (N, C, D, H, W), got {x.shape}"
        )
    check_floating("interpolate", x)
    if mode not in _MODES:
        raise unknown("interpolation mode", mode, _MODES)
    if dims not in _MODES[mode]:
        fitting = ", ".join(m for m, d in _MODES.items() if dims in d)
        raise OptionError(
            f"interpolate: mode {mode!r} does not fit input of shape {x.shape}; use {fitting}"
        )
    if align_corners is not None and mode not in _ALIGNABLE:
        raise OptionError(
            f"interpolate: align_corners has no meaning in mode {mode!r}; leave it out"
        )
    out, scales = _sizes(x.shape[2:], size, scale_factor, bool(recompute_scale_factor))
    if min(out) < 1 or 0 in x.shape[1:]:
        raise ShapeError(f"interpolate: cannot resize {x.shape} to {out}; sizes must be positive")
    maps: list[AxisMap | None] = []
    for n, o, scale in zip(x.shape[2:], out, scales, strict=True):
        if n == o:  # copied, even if a scale_factor says that the pixels lie closer
            maps.append(None)
        elif mode == "area":
            maps.append(adaptive_map(n, o))
        elif mode.startswith("nearest"):
            maps.append(_nearest_map(n, o, scale, mode == "nearest-exact"))
        else:
            maps.append(_smooth_map(n, o, scale, mode, bool(align_corners)))
    if not any(maps):
        return clone(x)
    asked = None if scale_factor is None or recompute_scale_factor else scales
    return Separable(tuple(maps), Resizing(mode, bool(align_corners), asked))(x)


def _sizes(
    shape: tuple[int, ...], size: Any, factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the size of the result, and how many input pixels one output pixel spans."""
    if (size is None) == (factor is None):
        raise OptionError("interpolate: give either size or scale_factor")
    given = factor if size is None else size
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(shape)
    if len(values) != len(shape):
        raise OptionError(
            f"interpolate: {'size' if factor is None else 'scale_factor'} takes one number or "
            f"{len(shape)}, got {given!r}"
        )
    if size is None:
        out = tuple(math.floor(n * f) for n, f in zip(shape, values, strict=True))
        if not recompute:
            return out, tuple(1.0 / f if f else 0.0 for f in values)
    else:
        if not all(isinstance(v, (int, np.integer)) for v in values):
            raise OptionError(f"interpolate: size must be integers, got {size!r}")
        out = tuple(map(int, values))
    return out, tuple(n / o if o else 0.0 for n, o in zip(shape, out, strict=True))
