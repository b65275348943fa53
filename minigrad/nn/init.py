"""Initial values of parameters: PyTorch's `torch.nn.init` functions and defaults.

Each function fills a tensor in place, without recording, and returns it. Inside `skip_random`
the random ones leave memory as it is: for a model whose weights are about to be loaded, or to count
the parameters of a huge one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from minigrad import random
from minigrad.errors import OptionError, ShapeError, unknown
from minigrad.kernels.memory import in_small_pages
from minigrad.modes import no_grad
from minigrad.nn.module import Parameter
from minigrad.ops import create
from minigrad.tensor import Tensor

__all__ = [
    "at_most",
    "calculate_gain",
    "constant_",
    "empty",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "skip_random",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_left: ContextVar[list[int] | None] = ContextVar("numbers that may still be made", default=None)
_skipping: ContextVar[bool] = ContextVar("skipping random initialisation", default=False)


@contextlib.contextmanager
def skip_random() -> Iterator[None]:
    """Leave out random initial values inside the block; constants are still filled in.

    Examples
    --------
    >>> from minigrad import nn
    >>> with nn.init.skip_random():
    ...     layer = nn.Linear(10_000, 10_000)  # no time is spent on 1e8 random numbers
    >>> layer.weight.numel()
    100000000
    """
    token = _skipping.set(True)
    try:
        yield
    finally:
        _skipping.reset(token)


@contextlib.contextmanager
def at_most(count: int) -> Iterator[None]:
    """Refuse to make parameters of more than `count` numbers in all inside the block.

    For a model that a stranger's file describes: it cannot be much larger than the file.

    Examples
    --------
    >>> with at_most(1_000_000):
    ...     weight = empty(10_000, 10_000)
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: a weight of shape (10000, 10000) would make the model larger ...
    """
    token = _left.set([count])
    try:
        yield
    finally:
        _left.reset(token)


def empty(*shape: int, device: str | None = None, dtype: Any = None) -> Parameter:
    """Return an uninitialised parameter; the layer fills it with one of the functions below.

    Examples
    --------
    >>> import minigrad as mg
    >>> empty(2, 3).shape
    (2, 3)
    """
    left = _left.get()
    if left is not None:
        left[0] -= max(1, math.prod(shape))
        if left[0] < 0:
            raise OptionError(
                f"a weight of shape {shape} would make the model larger than it may be here"
            )
    made = Parameter(create.empty(shape, dtype=dtype, device=device))
    if _skipping.get():
        in_small_pages(made.array)
    return made


@no_grad
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with the value `val`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.init.constant_(mg.empty(2, 2), 0.5)
    tensor([[0.5, 0.5],
            [0.5, 0.5]])
    """
    return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.init.zeros_(mg.empty(2, 2))
    tensor([[0., 0.],
            [0., 0.]])
    """
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.init.ones_(mg.empty(2, 2))
    tensor([[1., 1.],
            [1., 1.]])
    """
    return constant_(tensor, 1.0)


@no_grad
def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.init.eye_(mg.empty(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_ fills matrices only, got shape {tensor.shape}")
    zeros_(tensor)
    diagonal = range(min(tensor.shape))
    tensor[diagonal, diagonal] = 1.0
    return tensor


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: random.Generator | None = None
) -> Tensor:
    """Fill with draws from the uniform distribution on [a, b).

    Examples
    --------
    >>> import minigrad as mg
    >>> bool(mg.nn.init.uniform_(mg.empty(100), -1, 1).abs().max() <= 1)
    True
    """
    if _skipping.get():
        return tensor
    drawn = random.uniform(a, b, tensor.shape, generator=generator, dtype=tensor.dtype)
    return no_grad().run(tensor.copy_, drawn)  # type: ignore[no-any-return]


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: random.Generator | None = None
) -> Tensor:
    """Fill with draws from the normal distribution.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> round(float(mg.nn.init.normal_(mg.empty(1000), std=0.1).std()), 2)
    0.1
    """
    if _skipping.get():
        return tensor
    drawn = random.normal(mean, std, tensor.shape, generator=generator, dtype=tensor.dtype)
    return no_grad().run(tensor.copy_, drawn)  # type: ignore[no-any-return]


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: random.Generator | None = None,
) -> Tensor:
    """Fill with draws from the normal distribution cut to [a, b].

    The bounds are values, not multiples of `std` (as in PyTorch): ConvNeXt's
    ``trunc_normal_(w, std=0.02)`` cuts at a hundred standard deviations.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> bool(mg.nn.init.trunc_normal_(mg.empty(1000), std=1.0).abs().max() <= 2)
    True
    """
    if _skipping.get():
        return tensor
    drawn = random.trunc_normal(
        tensor.shape, mean, std, a, b, generator=generator, dtype=tensor.dtype
    )
    return no_grad().run(tensor.copy_, drawn)  # type: ignore[no-any-return]


def orthogonal_(
    tensor: Tensor, gain: float = 1.0, generator: random.Generator | None = None
) -> Tensor:
    """Fill with a random matrix of orthogonal rows (or columns, if they are fewer), times `gain`.

    A tensor of more axes is treated as a matrix of its first axis and all others.

    Raises
    ------
    ShapeError
        If the tensor has less than two axes.

    Notes
    -----
    Source: Saxe et al., arXiv:1312.6120.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = orthogonal_(mg.empty(2, 3, dtype=mg.float64))
    >>> mg.allclose(w @ w.T, mg.eye(2, dtype=mg.float64))
    True
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_ fills at least two axes, got shape {tensor.shape}")
    if _skipping.get() or not tensor.numel():
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    sides = (max(rows, columns), min(rows, columns))
    drawn = random.normal(0.0, 1.0, sides, generator=generator, dtype=np.dtype(np.float64))
    q, r = np.linalg.qr(drawn.array)
    q *= np.sign(np.diagonal(r))  # else the distribution would not be uniform
    q = q.T if rows < columns else q
    values = (q * gain).reshape(tensor.shape)
    return no_grad().run(tensor.copy_, Tensor(values))  # type: ignore[no-any-return]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which a non-linearity asks the standard deviation to grow.

    Parameters
    ----------
    nonlinearity : str
        linear, conv1d … conv_transpose3d, sigmoid, tanh, relu, leaky_relu or selu.
    param : float, optional
        Negative slope of leaky_relu, 0.01 if left out.

    Examples
    --------
    >>> calculate_gain("relu")
    1.4142135623730951
    """
    slope = 0.01 if param is None else param
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5.0 / 3.0,
        "relu": math.sqrt(2.0),
        "leaky_relu": math.sqrt(2.0 / (1.0 + slope**2)),
        "selu": 0.75,
    }
    gains.update({f"conv{t}{d}d": 1.0 for t in ("", "_transpose") for d in (1, 2, 3)})
    if nonlinearity not in gains:
        raise unknown("nonlinearity", nonlinearity, gains)
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """Return fan-in and fan-out: channels times the kernel's area."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"fan-in and fan-out need a weight (out, in, …), got shape {tensor.shape}; "
            "use normal_ or zeros_ for vectors"
        )
    area = math.prod(tensor.shape[2:])
    return tensor.shape[1] * area, tensor.shape[0] * area


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: random.Generator | None = None
) -> Tensor:
    """Fill with U(−a, a), a = gain·√(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> weight = mg.nn.init.xavier_uniform_(mg.empty(256, 128))
    >>> round(float(weight.std()), 2)
    0.07
    """
    bound = gain * math.sqrt(6.0 / max(sum(fans(tensor)), 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(
    tensor: Tensor, gain: float = 1.0, generator: random.Generator | None = None
) -> Tensor:
    """Fill with N(0, σ²), σ = gain·√(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> weight = mg.nn.init.xavier_normal_(mg.empty(256, 128))
    >>> round(float(weight.std()), 2)
    0.07
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(sum(fans(tensor)), 1)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise unknown("mode", mode, ("fan_in", "fan_out"))
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: random.Generator | None = None,
) -> Tensor:
    """Fill with U(−b, b), b = gain·√(3 / fan) (He et al., 2015).

    Parameters
    ----------
    tensor : Tensor
        The weight, (out, in, *kernel).
    a : float, default 0
        Negative slope of the leaky_relu that follows.
    mode : {"fan_in", "fan_out"}
        Keep the variance of the forward or of the backward pass.
    nonlinearity : str, default "leaky_relu"
        As for `calculate_gain`.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> weight = mg.nn.init.kaiming_uniform_(mg.empty(256, 128))
    >>> round(float(weight.std()), 2)
    0.13
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: random.Generator | None = None,
) -> Tensor:
    """Fill with N(0, σ²), σ = gain / √fan (He et al., 2015); parameters as `kaiming_uniform_`.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> weight = mg.nn.init.kaiming_normal_(mg.empty(256, 128))
    >>> round(float(weight.std()), 2)
    0.12
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def default_(weight: Tensor, bias: Tensor | None) -> None:
    """Fill as PyTorch's Linear and convolutions do: both U(−1/√fan_in, 1/√fan_in)."""
    kaiming_uniform_(weight, a=math.sqrt(5.0))
    if bias is not None:
        fan_in = fans(weight)[0]
        bound = 1.0 / math.sqrt(fan_in) if fan_in else 0.0
        uniform_(bias, -bound, bound)
