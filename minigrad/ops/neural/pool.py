"""Average, maximum and adaptive pooling in one to three dimensions.

Average pooling is a linear map along each axis (see `minigrad.kernels.arrays.separable`), so
its gradient is the transposed map. Max pooling remembers where the maxima stood: its gradient
scatters to these places, and the gradient of that gathers from them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minigrad.autograd.node import Function
from minigrad.errors import OptionError, ShapeError
from minigrad.kernels import pick
from minigrad.kernels.arrays.separable import AxisMap
from minigrad.ops.declare import operation
from minigrad.ops.neural.spatial import check_images, one_image, per_axis
from minigrad.tensor import Tensor, wrap

Ints = tuple[int, ...]
IntOrInts = int | Ints
Table = np.ndarray[Any, Any]
Window = tuple[int, int, int, int, int]  # n, kernel, stride, padding, dilation


class Pooling(NamedTuple):
    """The windows of average and maximum pooling, one entry per spatial axis."""

    kernel: Ints
    stride: Ints
    padding: Ints
    dilation: Ints
    ceil_mode: bool
    count_include_pad: bool = True
    divisor: int | None = None


class Adaptive(NamedTuple):
    """Windows that lead to `size`."""

    size: Ints


class Resizing(NamedTuple):
    """An interpolation; `scales` are those that were asked for, None where a size was."""

    mode: str
    align_corners: bool
    scales: tuple[float, ...] | None


class Separable(Function):
    """One linear map per spatial axis; the backward applies the transposed maps.

    `rule` says what the maps were made for: they are of one size, an exported graph is of any.
    """

    def __init__(
        self, maps: tuple[AxisMap | None, ...], rule: Pooling | Adaptive | Resizing | None = None
    ) -> None:
        self.maps, self.rule = maps, rule

    def forward(self, x: Any) -> Any:
        return pick("separable", x)(x, self.maps)

    def backward(self, g: Any) -> Any:
        return Separable(tuple(None if m is None else m.T for m in self.maps))(g)


class MaxPool(Function):
    """Maximum of every window; `where` keeps their places, which have no derivative."""

    def __init__(self, tables: tuple[Table, ...], rule: Pooling | Adaptive) -> None:
        self.tables, self.rule = tables, rule

    def forward(self, x: Any) -> Any:
        self.size = x.shape[2:]
        y, self.where = pick("max_pool", x)(x, self.tables)
        return y

    def backward(self, g: Any) -> Any:
        return PoolScatter(self.where, self.size)(g)


class PoolScatter(Function):
    """Add elements at their places in an image of zeros."""

    def __init__(self, where: Any, size: Ints) -> None:
        self.where, self.size = where, size

    def forward(self, g: Any) -> Any:
        return pick("pool_scatter", g)(g, self.where, self.size)

    def backward(self, x: Any) -> Any:
        return PoolGather(self.where)(x)


class PoolGather(Function):
    """Pick elements at places."""

    def __init__(self, where: Any) -> None:
        self.where = where

    def forward(self, x: Any) -> Any:
        self.size = x.shape[2:]
        return pick("pool_gather", x)(x, self.where)

    def backward(self, g: Any) -> Any:
        return PoolScatter(self.where, self.size)(g)


# ---- windows --------------------------------------------------------------------------------


def _out_size(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    reach = n + 2 * p - d * (k - 1) - 1
    if not ceil_mode:
        return reach // s + 1
    out = -(-reach // s) + 1
    return out - 1 if (out - 1) * s >= n + p else out  # no window starts in the padding at the end


@lru_cache(maxsize=256)
def _window_table(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> Table:
    """List the positions of every window; those in the padding repeat the nearest real one."""
    table = np.arange(_out_size(n, k, s, p, d, ceil_mode))[:, None] * s - p + np.arange(k) * d
    valid = (table >= 0) & (table < n)
    if not valid.any(axis=1).all():
        raise ShapeError(
            f"max_pool: with kernel_size {k}, padding {p} and dilation {d}, a window "
            f"holds no pixel of an axis of length {n}; pad less"
        )
    first = np.where(valid, table, n).min(axis=1, keepdims=True)
    last = np.where(valid, table, -1).max(axis=1, keepdims=True)
    nearest: Table = np.clip(table, first, last)
    return nearest


@lru_cache(maxsize=256)
def _adaptive_table(n: int, out: int) -> Table:
    """List the positions of windows that cut n pixels into `out` nearly equal parts."""
    start, end = _adaptive_bounds(n, out)
    table = start[:, None] + np.arange((end - start).max())
    nearest: Table = np.minimum(table, end[:, None] - 1)
    return nearest


def _adaptive_bounds(n: int, out: int) -> tuple[Table, Table]:
    i = np.arange(out)
    return i * n // out, -(-(i + 1) * n // out)


@lru_cache(maxsize=256)
def _average_map(n: int, k: int, s: int, p: int, ceil_mode: bool, divisor: str | int) -> AxisMap:
    """Average windows; `divisor` is a number, 'pixels' or 'padded' (what the window covers)."""
    start = np.arange(_out_size(n, k, s, p, 1, ceil_mode)) * s - p
    end = np.minimum(start + k, n + p)
    position = np.arange(n)
    covers = (position >= start[:, None]) & (position < end[:, None])
    if divisor == "pixels":
        count = covers.sum(axis=1)
    else:
        count = end - start if divisor == "padded" else np.full(len(start), divisor)
    return AxisMap(covers / count[:, None])


@lru_cache(maxsize=256)
def adaptive_map(n: int, out: int) -> AxisMap:
    """Average the windows of adaptive pooling."""
    start, end = _adaptive_bounds(n, out)
    position = np.arange(n)
    covers = (position >= start[:, None]) & (position < end[:, None])
    return AxisMap(covers / (end - start)[:, None])


# ---- the functions users call ---------------------------------------------------------------


def _windows(
    name: str,
    dims: int,
    x: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> list[Window]:
    """Check the options; return (n, k, stride, padding, dilation) of every axis."""
    kernel = per_axis(name, "kernel_size", kernel_size, dims)
    steps = kernel if stride is None else per_axis(name, "stride", stride, dims)
    pads = per_axis(name, "padding", padding, dims, least=0)
    gaps = per_axis(name, "dilation", dilation, dims)
    if any(2 * p > d * (k - 1) + 1 for p, k, d in zip(pads, kernel, gaps, strict=True)):
        raise OptionError(
            f"{name}: padding {pads} may be at most half of kernel_size {kernel}; a window must "
            "not lie in the padding alone"
        )
    windows: list[Window] = list(zip(x.shape[2:], kernel, steps, pads, gaps, strict=True))
    out = [_out_size(*w, ceil_mode) for w in windows]
    if min(out) < 1:
        raise ShapeError(
            f"{name}: the window {kernel} is larger than the padded image ({x.shape[2:]} with "
            f"padding {pads})"
        )
    return windows


def _pooling(windows: list[Window], ceil_mode: bool) -> Pooling:
    _, kernel, stride, padding, dilation = zip(*windows, strict=True)
    return Pooling(kernel, stride, padding, dilation, ceil_mode)


def _avg_pool(
    name: str,
    dims: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    x = check_images(name, input, dims)
    windows = _windows(name, dims, x, kernel_size, stride, padding, 1, ceil_mode)
    divisors: list[str | int] = ["padded" if count_include_pad else "pixels" for _ in range(dims)]
    if divisor_override is not None:
        if divisor_override == 0:
            raise OptionError(f"{name}: divisor_override must not be 0")
        divisors = [divisor_override, *(1 for _ in range(dims - 1))]
    maps = [
        _average_map(n, k, s, p, ceil_mode, divisor)
        for (n, k, s, p, _), divisor in zip(windows, divisors, strict=True)
    ]
    rule = _pooling(windows, ceil_mode)._replace(
        count_include_pad=count_include_pad, divisor=divisor_override
    )
    return one_image(Separable(tuple(maps), rule)(x), input, dims)


def _max_pool(
    name: str,
    dims: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    x = check_images(name, input, dims)
    windows = _windows(name, dims, x, kernel_size, stride, padding, dilation, ceil_mode)
    tables = tuple(_window_table(*w, ceil_mode) for w in windows)
    return _max(MaxPool(tables, _pooling(windows, ceil_mode)), x, input, dims, return_indices)


def _max(op: MaxPool, x: Tensor, input: Any, dims: int, return_indices: bool) -> Any:
    y = one_image(op(x), input, dims)
    if not return_indices:
        return y
    where = wrap(op.where)
    op.guard(where)
    return y, one_image(where, input, dims)


def _adaptive(name: str, dims: int, input: Any, output_size: Any) -> tuple[Tensor, Ints]:
    x = check_images(name, input, dims)
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    if len(wanted) == dims:  # None keeps the length of its axis
        wanted = tuple(n if o is None else o for n, o in zip(x.shape[2:], wanted, strict=True))
    if 0 in x.shape[1:]:
        raise ShapeError(f"{name}: input of shape {x.shape} has no pixels")
    return x, per_axis(name, "output_size", wanted, dims)


def _adaptive_avg_pool(name: str, dims: int, input: Any, output_size: Any) -> Tensor:
    x, out = _adaptive(name, dims, input, output_size)
    maps = tuple(adaptive_map(n, o) for n, o in zip(x.shape[2:], out, strict=True))
    return one_image(Separable(maps, Adaptive(out))(x), input, dims)


def _adaptive_max_pool(
    name: str, dims: int, input: Any, output_size: Any, return_indices: bool
) -> Any:
    x, out = _adaptive(name, dims, input, output_size)
    tables = tuple(_adaptive_table(n, o) for n, o in zip(x.shape[2:], out, strict=True))
    return _max(MaxPool(tables, Adaptive(out)), x, input, dims, return_indices)


@operation("functional")
def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Average of every window of (N, C, L); see `avg_pool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.avg_pool1d(mg.tensor([[[1.0, 3.0, 5.0, 7.0]]]), 2)
    tensor([[[2., 6.]]])
    """
    return _avg_pool(
        "avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    )


@operation("functional")
def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average of every window of (N, C, H, W).

    Parameters
    ----------
    input : Tensor, (N, C, H, W) or (C, H, W)
        Floating.
    kernel_size : int or (int, int)
        Size of the window.
    stride : int or (int, int), optional
        Step between windows; default: `kernel_size`.
    padding : int or (int, int), default 0
        Zeros around the image, at most half of the window.
    ceil_mode : bool, default False
        Keep a last window that is only partly filled.
    count_include_pad : bool, default True
        Count the zeros of the padding in the average.
    divisor_override : int, optional
        Divide every sum by this number instead.

    Returns
    -------
    Tensor, (N, C, OH, OW)
        ``OH = (H + 2 * padding - kernel_size) // stride + 1``.

    Raises
    ------
    ShapeError, OptionError
        If the window does not fit in the image, or an option is out of its range.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.arange(4.0).reshape(1, 1, 2, 2)
    >>> mg.nn.functional.avg_pool2d(x, 2)
    tensor([[[[1.5]]]])
    """
    return _avg_pool(
        "avg_pool2d",
        2,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


@operation("functional")
def avg_pool3d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average of every window of (N, C, D, H, W); see `avg_pool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.avg_pool3d(mg.ones(1, 2, 4, 4, 4), 2).shape
    (1, 2, 2, 2, 2)
    """
    return _avg_pool(
        "avg_pool3d",
        3,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


@operation("functional")
def max_pool1d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum of every window of (N, C, L); see `max_pool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.max_pool1d(mg.tensor([[[1.0, 3.0, 5.0, 7.0]]]), 2)
    tensor([[[3., 7.]]])
    """
    return _max_pool(
        "max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@operation("functional")
def max_pool2d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum of every window of (N, C, H, W).

    Parameters
    ----------
    input : Tensor, (N, C, H, W) or (C, H, W)
        Floating.
    kernel_size : int or (int, int)
        Size of the window.
    stride : int or (int, int), optional
        Step between windows; default: `kernel_size`.
    padding : int or (int, int), default 0
        Pixels around the image that never win, at most half of the window.
    dilation : int or (int, int), default 1
        Step between the pixels of a window.
    ceil_mode : bool, default False
        Keep a last window that is only partly filled.
    return_indices : bool, default False
        Return the places of the maxima too: ``h * W + w``, of the first where several are equal.

    Returns
    -------
    Tensor, (N, C, OH, OW), or (Tensor, Tensor) with `return_indices`

    Raises
    ------
    ShapeError, OptionError
        If the window does not fit in the image, or an option is out of its range.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.arange(4.0).reshape(1, 1, 2, 2)
    >>> mg.nn.functional.max_pool2d(x, 2)
    tensor([[[[3.]]]])
    """
    return _max_pool(
        "max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@operation("functional")
def max_pool3d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum of every window of (N, C, D, H, W); see `max_pool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.max_pool3d(mg.ones(1, 2, 4, 4, 4), 2).shape
    (1, 2, 2, 2, 2)
    """
    return _max_pool(
        "max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@operation("functional")
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Average (N, C, L) to `output_size`; see `adaptive_avg_pool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.adaptive_avg_pool1d(mg.tensor([[[1.0, 3.0, 5.0]]]), 1)
    tensor([[[3.]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


@operation("functional")
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Average (N, C, H, W) over windows that lead to `output_size`, whatever the input size.

    Output pixel i covers the input pixels ``floor(i * H / OH)`` to ``ceil((i + 1) * H / OH) - 1``.

    Parameters
    ----------
    input : Tensor, (N, C, H, W) or (C, H, W)
        Floating.
    output_size : int or (int, int)
        (OH, OW); None in place of a number keeps the length of that axis.

    Returns
    -------
    Tensor, (N, C, OH, OW)

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.adaptive_avg_pool2d(mg.ones(2, 3, 7, 5), 1).shape
    (2, 3, 1, 1)
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


@operation("functional")
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Average (N, C, D, H, W) to `output_size`; see `adaptive_avg_pool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.adaptive_avg_pool3d(mg.ones(1, 2, 5, 5, 5), 2).shape
    (1, 2, 2, 2, 2)
    """
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


@operation("functional")
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum of (N, C, L) over the windows of `adaptive_avg_pool1d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.adaptive_max_pool1d(mg.tensor([[[1.0, 3.0, 5.0]]]), 1)
    tensor([[[5.]]])
    """
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


@operation("functional")
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum of (N, C, H, W) over the windows of `adaptive_avg_pool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.adaptive_max_pool2d(mg.ones(1, 2, 5, 5), 2).shape
    (1, 2, 2, 2)
    """
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


@operation("functional")
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum of (N, C, D, H, W) over the windows of `adaptive_avg_pool3d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.adaptive_max_pool3d(mg.ones(1, 2, 5, 5, 5), 2).shape
    (1, 2, 2, 2, 2)
    """
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)
