"""Inference over images larger than a model, or memory, can take at once: window by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.backend import Device
from minigrad.errors import DTypeError, OptionError, ShapeError, brief, unknown
from minigrad.loading import check_kinds, check_numbers
from minigrad.modes import no_grad
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["MODES", "check_windows", "sliding_window_inference"]

Array = NDArray[Any]
MODES = ("constant", "gaussian", "hann")
FLOOR = 1e-3  # least weight at the rim of a window, beside 1 in its middle


def sliding_window_inference(
    inputs: Any,
    roi_size: int | Sequence[int | None],
    predictor: Callable[[Tensor], Any],
    overlap: float | Sequence[float] = 0.25,
    mode: str = "constant",
    batch: int = 1,
    *,
    sigma_scale: float = 0.125,
    pad_mode: str = "constant",
    out: Array | None = None,
    device: str | None = None,
) -> Any:
    """Predict windows that overlap, and average what they say of each position.

    Besides `inputs` and the result, which may both be memory-mapped files, only `batch` windows are
    in memory at a time. For a predictor that looks at one position at a time the result is that of
    ``predictor(inputs)``.

    Parameters
    ----------
    inputs : array or Tensor, (N, C, *spatial)
        Signals, images, volumes; a ``numpy.memmap`` is read window by window.
    roi_size : int or sequence of int
        Sides of a window; None takes the whole axis. A side may be longer than the input: the
        window is filled up at both ends.
    predictor : callable
        ``predictor(windows)``, from ``(B, C, *roi_size)`` to ``(B, K, *roi_size)``, B ≤ `batch`. A
        `Module` is called in evaluation mode; no graph is recorded.
    overlap : float or sequence of float, default 0.25
        Share of a window that it has in common with the next, 0 to less than 1; per axis, if so
        given.
    mode : {"constant", "gaussian", "hann"}
        Whether all positions of a window count equally, or those at its rim less: by a normal
        distribution over its sides, whose value at the corners is at least 1e-3 per axis, or by
        Hann's window, ``sin²(π (i + ½) / n)``, which comes closer to 0.
    batch : int, default 1
        Windows predicted at once; they may belong to several samples.
    sigma_scale : float, default 0.125
        Standard deviation of the normal distribution over the window's side.
    pad_mode : str, default "constant"
        How windows longer than the input are filled: "constant" (zeros) or another of `numpy.pad`.
    out : array, (N, K, *spatial), optional
        Where to put the result: floating, for instance a ``numpy.memmap``. By default a new array
        in the type of the predictions.
    device : str, optional
        Where the windows go: by default beside the predictor's parameters.

    Returns
    -------
    array or Tensor, (N, K, *spatial)
        `out`, if it was given; a Tensor where `inputs` is one.

    Raises
    ------
    OptionError, ShapeError, DTypeError
        If an option is out of its range, or the predictor's result does not fit its window.

    Notes
    -----
    The windows stand on a grid and their weights are products of one factor per axis, so the sum of
    all weights at a position is such a product too: each window is added with its final weight, and
    no second volume is needed to divide by.

    Examples
    --------
    >>> import numpy as np
    >>> import minigrad as mg
    >>> from minigrad.models import sliding_window_inference
    >>> volume = np.random.default_rng(0).random((1, 1, 20, 24, 28), np.float32)
    >>> y = sliding_window_inference(
    ...     volume, 16, lambda x: mg.cat([x, 1 - x], 1), mode="gaussian"
    ... )
    >>> y.shape, bool(np.allclose(y[:, :1], volume))
    ((1, 2, 20, 24, 28), True)
    """
    array: Array = inputs.cpu().numpy() if isinstance(inputs, Tensor) else np.asanyarray(inputs)
    if array.ndim < 3 or 0 in array.shape:
        raise ShapeError(
            "sliding_window_inference: inputs must be (N, C, *spatial) and not empty, got shape "
            f"{array.shape}; a single image needs inputs[None]"
        )
    shares = check_windows("sliding_window_inference", array.ndim - 2, overlap, mode, batch)
    check_numbers("sliding_window_inference", sigma_scale=sigma_scale)
    check_kinds("sliding_window_inference", Callable, predictor=predictor)
    try:
        np.pad(np.zeros(1), 1, mode=pad_mode)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise OptionError(
            "sliding_window_inference: pad_mode is 'constant' or another of numpy.pad, got "
            f"{brief(pad_mode)}"
        ) from None
    if not sigma_scale > 0:
        raise OptionError(f"sliding_window_inference: sigma_scale must be > 0, got {sigma_scale}")
    roi = _roi(roi_size, array.shape[2:])
    axes = [
        _axis(n, side, share, _profile(mode, side, sigma_scale))
        for n, side, share in zip(array.shape[2:], roi, shares, strict=True)
    ]
    predict = _Predict(predictor, device, array.dtype)
    jobs = product(range(len(array)), *(range(len(axis.starts)) for axis in axes))
    fresh = True
    while chosen := list(islice(jobs, batch)):
        places = [(n, [_place(a, k) for a, k in zip(axes, ks, strict=True)]) for n, *ks in chosen]
        scores = predict(np.stack([_read(array, n, place, pad_mode) for n, place in places]), roi)
        if fresh:
            shape = (len(array), scores.shape[1], *array.shape[2:])
            out, fresh = _result(out, shape, scores.dtype), False
        for (n, place), score in zip(places, scores, strict=True):
            _add(out, n, place, score)
    return Tensor(out) if isinstance(inputs, Tensor) else out


# ---- the windows ------------------------------------------------------------------------------


class _Axis(NamedTuple):
    """Where the windows of one axis begin, and what each says of its positions."""

    length: int
    side: int
    starts: list[int]  # negative where the window is longer than the axis
    weights: list[Array]  # the sum of all weights at a position is 1


class _Place(NamedTuple):
    """The part of one axis that a window covers."""

    image: slice
    window: slice
    fill: tuple[int, int]  # positions before and after that the image lacks
    weight: Array


def _profile(mode: str, side: int, sigma_scale: float) -> Array:
    """Return how much each position of a window counts, along one axis."""
    place = np.arange(side) + 0.5
    profile: Array = np.ones(side)
    if mode == "hann":
        profile = np.sin(np.pi * place / side) ** 2
    if mode == "gaussian":
        distance = (place - side / 2) / (sigma_scale * side)
        profile = np.maximum(np.exp(-0.5 * distance**2), FLOOR)
    return profile


def _axis(length: int, side: int, overlap: float, profile: Array) -> _Axis:
    """Distribute windows over an axis; the last one ends where the axis ends."""
    if side >= length:
        starts = [-((side - length) // 2)]
    else:
        step = max(int(side * (1.0 - overlap)), 1)
        count = math.ceil((length - side) / step) + 1
        starts = [min(i * step, length - side) for i in range(count)]
    total = np.zeros(max(length, side))
    shift = -min(starts)
    for start in starts:
        total[start + shift :][:side] += profile
    return _Axis(length, side, starts, [profile / total[s + shift :][:side] for s in starts])


def _place(axis: _Axis, number: int) -> _Place:
    start = axis.starts[number]
    first, last = max(start, 0), min(start + axis.side, axis.length)
    inside = slice(first - start, last - start)
    fill = (inside.start, axis.side - inside.stop)
    return _Place(slice(first, last), inside, fill, axis.weights[number][inside])


def _read(array: Array, n: int, place: Sequence[_Place], pad_mode: str) -> Array:
    """Return one window (C, *roi) as a copy in memory, filled up where the image ends."""
    where: Any = (n, slice(None), *(p.image for p in place))
    window = np.array(array[where])
    if any(any(p.fill) for p in place):
        window = np.pad(window, [(0, 0), *(p.fill for p in place)], mode=pad_mode)  # type: ignore[call-overload]
    return window


def _add(out: Any, n: int, place: Sequence[_Place], score: Array) -> None:
    """Add what a window says, (K, *roi), to the result, by its weight."""
    score = score[(slice(None), *(p.window for p in place))]
    for i, p in enumerate(place):
        ones = [1] * (len(place) - 1 - i)
        score = score * p.weight.astype(score.dtype).reshape(-1, *ones)
    out[(n, slice(None), *(p.image for p in place))] += score


class _Predict:
    """Calls the predictor on windows; a module in evaluation mode and without a graph."""

    def __init__(self, predictor: Any, device: str | None, dtype: Any) -> None:
        self.predictor = predictor
        first = next(predictor.parameters(), None) if isinstance(predictor, Module) else None
        self.device = None if first is None else str(first.device)
        if device is not None:
            self.device = Device(device)
        self.dtype = first.dtype if first is not None else dtype if dtype.kind == "f" else "float32"

    def __call__(self, windows: Array, roi: tuple[int, ...]) -> Array:
        x = Tensor(windows.astype(self.dtype, copy=False))
        x = x if self.device is None else x.to(self.device)
        training = isinstance(self.predictor, Module) and self.predictor.training
        if training:
            self.predictor.eval()
        try:
            y = no_grad().run(self.predictor, x)
        finally:
            if training:
                self.predictor.train()
        scores: Array = y.cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
        if scores.ndim != windows.ndim or (len(scores), *scores.shape[2:]) != (len(windows), *roi):
            raise ShapeError(
                f"sliding_window_inference: the predictor made {scores.shape} of windows "
                f"{windows.shape}; it must keep their number and their sides {roi}: for a U-Net "
                "over ConvNeXt pass head_upsample='auto'"
            )
        if scores.dtype.kind != "f":
            raise DTypeError(
                "sliding_window_inference: predictions are averaged, so they must be floating, "
                f"got {scores.dtype}; return scores or probabilities, and take argmax of the result"
            )
        return scores


# ---- options ----------------------------------------------------------------------------------


def _roi(size: Any, sides: tuple[int, ...]) -> tuple[int, ...]:
    values = tuple(size) if isinstance(size, Sequence) else (size,) * len(sides)
    if len(values) != len(sides) or any(
        v is not None and (isinstance(v, bool) or not isinstance(v, int | np.integer) or v < 1)
        for v in values
    ):
        raise OptionError(
            f"sliding_window_inference: roi_size must be a positive integer or {len(sides)} of "
            f"them (None: the whole axis) for an image of sides {sides}, got {size!r}"
        )
    return tuple(n if v is None else int(v) for v, n in zip(values, sides, strict=True))


def check_windows(name: str, dims: int, overlap: Any, mode: Any, batch: Any) -> tuple[float, ...]:
    """Refuse windows that cannot be; return the overlap along every axis."""
    if not isinstance(mode, str) or mode not in MODES:
        raise unknown(f"{name} mode", mode, MODES)
    if type(batch) is not int or batch < 1:
        raise OptionError(f"{name}: batch must be 1 or more, got {batch!r}")
    values = tuple(overlap) if isinstance(overlap, Sequence) else (overlap,) * dims
    numbers = all(isinstance(v, int | float | np.number) and 0.0 <= v < 1.0 for v in values)
    if len(values) != dims or not numbers:
        raise OptionError(
            f"{name}: overlap must lie in [0, 1), one number or {dims}, got {overlap!r}"
        )
    return values


def _result(out: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return the array for the result, filled with zeros."""
    if out is None:
        return np.zeros(shape, dtype)
    if getattr(out, "shape", None) != shape or np.dtype(out.dtype).kind != "f":
        found = f"{out.dtype} {out.shape}" if hasattr(out, "shape") else brief(out)
        raise ShapeError(
            f"sliding_window_inference: out must be a floating array of shape {shape}, got {found}"
        )
    out[...] = 0.0
    return out
