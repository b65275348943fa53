"""Activations, softmax and its logarithm, differentiable to any order."""

from __future__ import annotations

from typing import Any

from minigrad import dtypes
from minigrad.autograd.node import Function, sum_to
from minigrad.backend import get_xp
from minigrad.errors import DTypeError, OptionError, ShapeError, unknown
from minigrad.kernels import pick
from minigrad.modes import state
from minigrad.ops.arguments import check_dim, check_floating, check_same_dtype, check_tensor
from minigrad.ops.declare import operation
from minigrad.ops.elementwise import Sigmoid, sigmoid
from minigrad.ops.inplace import change
from minigrad.ops.operands import cast
from minigrad.ops.precision import FLOAT32, HALF, obey
from minigrad.ops.shape import chunk, reshape
from minigrad.tensor import Tensor

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


class Relu(Function):
    """``max(x, 0)``; derivative 0 at 0."""

    saves_output = True

    def forward(self, x: Any) -> Any:
        return pick("relu", x)(x)

    def backward(self, g: Any, y: Any) -> Any:
        return pick("relu_vjp", g)(g, y)


class LeakyRelu(Function):
    """``x`` where positive, ``slope * x`` elsewhere."""

    several_steps = True
    saves = (0,)

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return get_xp(x).where(x > 0, x, x * self.slope)

    def backward(self, g: Any, x: Any) -> Any:
        positive = (x > 0).astype(g.dtype)
        return g * (positive + (1.0 - positive) * self.slope)


class Elu(Function):
    """``scale * x`` where positive, ``scale * alpha * (exp(steepness * x) - 1)`` elsewhere."""

    several_steps = True
    saves = (0,)

    def __init__(self, alpha: float, scale: float = 1.0, steepness: float = 1.0) -> None:
        self.alpha, self.scale, self.steepness = alpha * scale, scale, steepness

    def forward(self, x: Any) -> Any:
        xp = get_xp(x)
        z = xp.minimum(x, 0) * self.steepness
        return xp.where(x < 0, self.alpha * xp.expm1(z), x * self.scale)

    def backward(self, g: Any, x: Any) -> Any:
        xp = get_xp(g)
        z = xp.where(x < 0, x, 0.0) * self.steepness
        slope = (self.alpha * self.steepness) * xp.exp(z)
        return g * xp.where(x <= 0, slope, xp.full_like(x, self.scale))


class Mish(Function):
    """``x * tanh(log(1 + exp(x)))``."""

    several_steps = True
    saves = (0,)

    def forward(self, x: Any) -> Any:
        return x * get_xp(x).tanh(Softplus(1.0, 20.0)(x))

    def backward(self, g: Any, x: Any) -> Any:
        t = get_xp(g).tanh(Softplus(1.0, 20.0)(x))
        return g * (t + x * (1.0 - t * t) * Sigmoid()(x))


class Hardtanh(Function):
    """``x`` limited to (low, high); derivative 0 at the ends."""

    saves = (0,)

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def forward(self, x: Any) -> Any:
        return get_xp(x).clip(x, self.low, self.high)

    def backward(self, g: Any, x: Any) -> Any:
        return get_xp(g).where((x <= self.low) | (x >= self.high), 0.0, g)


class HardSigmoid(Function):
    """``relu6(x + 3) / 6``; derivative 0 at the ends."""

    several_steps = True
    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).clip(x + 3.0, 0.0, 6.0) / 6.0

    def backward(self, g: Any, x: Any) -> Any:
        return get_xp(g).where((x <= -3.0) | (x >= 3.0), 0.0, g / 6.0)


class HardSwish(Function):
    """``x * relu6(x + 3) / 6``; derivative 0 and 1 at the ends, as in PyTorch."""

    several_steps = True
    saves = (0,)

    def forward(self, x: Any) -> Any:
        return x * (get_xp(x).clip(x + 3.0, 0.0, 6.0) / 6.0)

    def backward(self, g: Any, x: Any) -> Any:
        where = get_xp(g).where
        return where(x <= -3.0, 0.0, where(x < 3.0, g * (x / 3.0 + 0.5), g))


class Prelu(Function):
    """``x`` where positive, ``weight * x`` elsewhere."""

    several_steps = True
    saves = (0, 1)

    def forward(self, x: Any, weight: Any) -> Any:
        return get_xp(x).where(x > 0, x, x * weight)

    def backward(self, g: Any, x: Any, weight: Any) -> Any:
        where = get_xp(g).where
        return where(x > 0, g, g * weight), sum_to(where(x > 0, 0.0, g * x), weight.shape)


class Silu(Function):
    """``x * sigmoid(x)``."""

    several_steps = True
    saves = (0,)

    def forward(self, x: Any) -> Any:
        return x * Sigmoid()(x)

    def backward(self, g: Any, x: Any) -> Any:
        s = Sigmoid()(x)
        return g * (s * (1.0 + x * (1.0 - s)))


class Softplus(Function):
    """``log(1 + exp(beta * x)) / beta``, and x itself where ``beta * x > threshold``."""

    several_steps = True
    saves = (0,)

    def __init__(self, beta: float, threshold: float) -> None:
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Any) -> Any:
        xp = get_xp(x)
        z = x * self.beta
        curve = xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))
        return xp.where(z > self.threshold, x, curve / self.beta)

    def backward(self, g: Any, x: Any) -> Any:
        z = x * self.beta
        return g * get_xp(g).where(z > self.threshold, 1.0, Sigmoid()(z))


class Logsigmoid(Function):
    """``log(sigmoid(x)) = min(x, 0) - log(1 + exp(-|x|))``."""

    several_steps = True
    saves = (0,)

    def forward(self, x: Any) -> Any:
        xp = get_xp(x)
        return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))

    def backward(self, g: Any, x: Any) -> Any:
        return g * Sigmoid()(-x)


class Gelu(Function):
    """``x * Phi(x)``, or its tanh approximation; see `minigrad.kernels.formulas.gelu`."""

    bfloat16 = True
    saves = (0,)

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel

    def forward(self, x: Any) -> Any:
        return pick(self.kernel, x)(x)

    def backward(self, g: Any, x: Any) -> Any:
        return pick(self.kernel + "_vjp", g)(g, x)


class Softmax(Function):
    """``exp(x) / sum(exp(x))`` along one axis."""

    saves_output = True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return pick("softmax", x)(x, self.axis)

    def backward(self, g: Any, y: Any) -> Any:
        return pick("softmax_vjp", g)(g, y, self.axis)


class LogSoftmax(Function):
    """``x - log(sum(exp(x)))`` along one axis."""

    saves_output = True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return pick("log_softmax", x)(x, self.axis)

    def backward(self, g: Any, y: Any) -> Any:
        return pick("log_softmax_vjp", g)(g, y, self.axis)


# ---- the functions users call ---------------------------------------------------------------


def _floating(name: str, input: Any) -> Tensor:
    x = check_tensor(name, input)
    check_floating(name, x)
    return x


@operation("minigrad functional Tensor", inplace=True)
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``max(input, 0)``, elementwise.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype but bool.
    inplace : bool, default False
        Change `input` itself and return it; so for all activations that have this argument.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.relu(mg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if inplace:
        return change(input, "relu_", relu)
    x = check_tensor("relu", input)
    if x.dtype == dtypes.bool_:
        raise DTypeError("relu: a boolean is no number; convert it with x.float()")
    return Relu()(x)


@operation("functional")
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``min(max(input, 0), 6)``, elementwise.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.relu6(mg.tensor([-1.0, 3.0, 9.0]))
    tensor([0., 3., 6.])
    """
    if inplace:
        return change(input, "relu6_", relu6)
    return hardtanh(input, 0.0, 6.0)


@operation("minigrad functional")
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return `input` where it is positive and ``negative_slope * input`` elsewhere.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.leaky_relu(mg.tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1,  2. ])
    """
    if inplace:
        return change(input, "leaky_relu_", leaky_relu, negative_slope)
    return LeakyRelu(negative_slope)(_floating("leaky_relu", input))


@operation("minigrad functional")
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return `input` where it is positive and ``alpha * (exp(input) - 1)`` elsewhere.

    Source: Clevert et al., arXiv:1511.07289.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.elu(mg.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.    ])
    """
    if inplace:
        return change(input, "elu_", elu, alpha)
    return Elu(alpha)(_floating("elu", input))


@operation("functional")
def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Return `input` limited to [min_val, max_val]; unlike `clamp`, no gradient at the ends.

    Raises
    ------
    OptionError
        If the limits are not in order.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.hardtanh(mg.tensor([-4.0, 0.5, 4.0]))
    tensor([-1. ,  0.5,  1. ])
    """
    if inplace:
        return change(input, "hardtanh_", hardtanh, min_val, max_val)
    if min_val >= max_val:
        raise OptionError(f"hardtanh: min_val {min_val} must be smaller than max_val {max_val}")
    return Hardtanh(min_val, max_val)(_floating("hardtanh", input))


@operation("minigrad functional")
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input * sigmoid(input)``, elementwise (also called swish).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.silu(mg.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    if inplace:
        return change(input, "silu_", silu)
    return Silu()(_floating("silu", input))


@operation("minigrad functional", autocast=FLOAT32)
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ``log(1 + exp(beta * input)) / beta``, elementwise: a smooth relu.

    Where ``beta * input > threshold`` the result is `input` itself, as in PyTorch.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.softplus(mg.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.    ])
    """
    x = _floating("softplus", input)
    if state.autocast is not None:
        (x,) = obey("softplus", x)
    return Softplus(beta, threshold)(x)


@operation("minigrad functional")
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return 1.0507 times `elu` of alpha 1.6733: mean 0 and variance 1 stay what they are.

    Source: Klambauer et al., arXiv:1706.02515.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.selu(mg.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """
    if inplace:
        return change(input, "selu_", selu)
    return Elu(SELU_ALPHA, SELU_SCALE)(_floating("selu", input))


@operation("minigrad functional")
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return `input` where it is positive and ``alpha * (exp(input / alpha) - 1)`` elsewhere.

    Source: Barron, arXiv:1704.07483.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.celu(mg.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.    ])
    """
    if not alpha:
        raise OptionError("celu: alpha must not be 0, by which the input is divided")
    if inplace:
        return change(input, "celu_", celu, alpha)
    return Elu(alpha, 1.0, 1.0 / alpha)(_floating("celu", input))


@operation("functional")
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``relu6(input + 3) / 6``, a sigmoid made of straight lines.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.hardsigmoid(mg.tensor([-4.0, 0.0, 4.0]))
    tensor([0. , 0.5, 1. ])
    """
    if inplace:
        return change(input, "hardsigmoid_", hardsigmoid)
    return HardSigmoid()(_floating("hardsigmoid", input))


@operation("functional")
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input * relu6(input + 3) / 6``.

    Source: Howard et al., arXiv:1905.02244.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.hardswish(mg.tensor([-4.0, 0.0, 4.0]))
    tensor([-0.,  0.,  4.])
    """
    if inplace:
        return change(input, "hardswish_", hardswish)
    return HardSwish()(_floating("hardswish", input))


@operation("functional")
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input * tanh(softplus(input))``.

    Source: Misra, arXiv:1908.08681.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.mish(mg.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.944 ])
    """
    if inplace:
        return change(input, "mish_", mish)
    return Mish()(_floating("mish", input))


@operation("functional")
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Cut `input` in two along `dim` and return ``first * sigmoid(second)``.

    Raises
    ------
    ShapeError
        If the axis has an odd length.

    Notes
    -----
    Source: Dauphin et al., arXiv:1612.08083.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.glu(mg.tensor([2.0, 0.0]))
    tensor([1.])
    """
    x = _floating("glu", input)
    axis = check_dim("glu", dim, x.ndim)
    if x.ndim == 0 or x.shape[axis] % 2:
        raise ShapeError(
            f"glu: the axis {dim} is cut in two, so its length must be even; the shape is {x.shape}"
        )
    first, second = chunk(x, 2, axis)
    return first * sigmoid(second)


@operation("minigrad functional Tensor", autocast=HALF)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return `input` where it is positive and ``weight * input`` elsewhere, the slope learned.

    Parameters
    ----------
    input : Tensor, (N, C, ...)
        Floating.
    weight : Tensor, (C,) or (1,)
        A slope for every channel, or one for all.

    Raises
    ------
    ShapeError
        If there are neither one nor C slopes.

    Notes
    -----
    Source: He et al., arXiv:1502.01852.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.prelu(mg.tensor([-2.0, 2.0]), mg.tensor([0.25]))
    tensor([-0.5,  2. ])
    """
    x = _floating("prelu", input)
    weight = check_tensor("prelu", weight)
    if state.autocast is not None:
        x, weight = obey("prelu", x, weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(
            f"prelu: weight must be of shape (1,) or ({channels},), the channels of the input "
            f"{x.shape}, not {weight.shape}"
        )
    if weight.numel() > 1:
        weight = reshape(weight, (-1, *(1,) * (x.ndim - 2)))
    elif not x.ndim:
        weight = reshape(weight, ())
    check_same_dtype("prelu", x, weight)
    return Prelu()(x, weight)


@operation("functional")
def logsigmoid(input: Tensor) -> Tensor:
    """Return ``log(sigmoid(input))``, elementwise, without overflow.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.logsigmoid(mg.tensor([0.0, -100.0]))
    tensor([  -0.6931, -100.    ])
    """
    return Logsigmoid()(_floating("logsigmoid", input))


@operation("minigrad functional")
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Gaussian error linear unit, ``input * Phi(input)``, Phi the normal distribution function.

    Parameters
    ----------
    input : Tensor
        Any shape, floating.
    approximate : {'none', 'tanh'}
        Exact, or ``input * (1 + tanh(sqrt(2/pi) * (input + 0.044715 * input**3))) / 2``.

    Returns
    -------
    Tensor

    Raises
    ------
    OptionError
        If `approximate` is something else.

    Notes
    -----
    Source: Hendrycks and Gimpel, arXiv:1606.08415.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.gelu(mg.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.    ,  0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise unknown("gelu approximation", approximate, ["none", "tanh"])
    kernel = "gelu" if approximate == "none" else "gelu_tanh"
    return Gelu(kernel)(_floating("gelu", input))


@operation("minigrad functional Tensor", autocast=FLOAT32)
def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Return ``exp(input) / sum(exp(input))`` along `dim`: positive numbers with sum 1.

    Parameters
    ----------
    input : Tensor
        Any shape, floating.
    dim : int
        The axis along which the results add up to 1.
    dtype : dtype, optional
        Convert to this type first.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    ShapeError
        If there is no axis `dim`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.softmax(mg.tensor([0.0, 0.0]), dim=0)
    tensor([0.5, 0.5])
    """
    x, axis = _along("softmax", input, dim, dtype)
    return Softmax(axis)(x) if x.array.size else x.clone()


@operation("minigrad functional Tensor", autocast=FLOAT32)
def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Return ``log(softmax(input, dim))``, computed without overflow; see `softmax`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.log_softmax(mg.zeros(2), -1)
    tensor([-0.6931, -0.6931])
    """
    x, axis = _along("log_softmax", input, dim, dtype)
    return LogSoftmax(axis)(x) if x.array.size else x.clone()


def _along(name: str, input: Any, dim: int, dtype: Any) -> tuple[Tensor, int]:
    x = check_tensor(name, input)
    if dtype is not None:
        x = cast(x, dtypes.to_dtype(dtype))
    elif state.autocast is not None:
        (x,) = obey(name, x)
    check_floating(name, x)
    axis = check_dim(name, dim, x.ndim)
    return x, axis
