"""Normalisation: layer, group, instance, batch, and global response normalisation.

The formulas are in `minigrad.kernels.formulas`. They normalise channels-last arrays, so images
(N, C, *spatial) are permuted first: a view, because that is how they lie in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad import dtypes
from minigrad.autograd.node import Function
from minigrad.backend import get_xp
from minigrad.errors import OptionError, ShapeError
from minigrad.kernels import pick
from minigrad.modes import no_grad, state
from minigrad.ops.arguments import check_floating, check_same_dtype, check_tensor
from minigrad.ops.declare import operation
from minigrad.ops.elementwise import rsqrt
from minigrad.ops.operands import cast
from minigrad.ops.precision import FLOAT32, obey
from minigrad.ops.reduce import mean, norm
from minigrad.ops.shape import permute, reshape
from minigrad.tensor import Tensor, wrap


class LayerNorm(Function):
    """Normalise the last axis; weight and bias may be None."""

    bfloat16 = True
    saves = (0, 1)

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Any, weight: Any, bias: Any) -> Any:
        return pick("layer_norm", x)(x, weight, bias, self.eps)

    def backward(self, g: Any, x: Any, weight: Any) -> Any:
        return _needed(self, pick("layer_norm_vjp", g)(g, x, weight, self.eps))


class GroupNorm(Function):
    """Normalise (N, L, C) over L and groups of channels; weight and bias may be None."""

    saves = (0, 1)

    def __init__(self, groups: int, eps: float) -> None:
        self.groups, self.eps = groups, eps

    def forward(self, x: Any, weight: Any, bias: Any) -> Any:
        return pick("group_norm", x)(x, weight, bias, self.groups, self.eps)

    def backward(self, g: Any, x: Any, weight: Any) -> Any:
        return _needed(self, pick("group_norm_vjp", g)(g, x, weight, self.groups, self.eps))


class BatchNorm(Function):
    """Normalise every channel of (..., C) over the batch; keeps `mean` and `var` for the caller."""

    saves = (0, 1)

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Any, weight: Any, bias: Any) -> Any:
        y, self.mean, self.var = pick("batch_norm", x)(x, weight, bias, self.eps)
        return y

    def backward(self, g: Any, x: Any, weight: Any) -> Any:
        return _needed(self, pick("batch_norm_vjp", g)(g, x, weight, self.eps))


class GlobalResponseNorm(Function):
    """Global response normalisation of (N, L, C)."""

    bfloat16 = True
    saves = (0, 1)

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Any, gamma: Any, beta: Any) -> Any:
        return pick("grn", x)(x, gamma, beta, self.eps)

    def backward(self, g: Any, x: Any, gamma: Any) -> Any:
        return _needed(self, pick("grn_vjp", g)(g, x, gamma, self.eps))


def _needed(node: Function, grads: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([g if need else None for g, need in zip(grads, node.needs, strict=True)])


# ---- layout ---------------------------------------------------------------------------------


def _channels_last(x: Tensor) -> Tensor:
    return permute(x, (0, *range(2, x.ndim), 1))


def _channels_first(x: Tensor) -> Tensor:
    return permute(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))


def _samples(name: str, input: Any) -> Tensor:
    """Return (N, C, *spatial) as floating (N, *spatial, C)."""
    x = check_tensor(name, input)
    check_floating(name, x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: input must be (N, C, ...), got shape {x.shape}")
    return _channels_last(x)


def _affine(name: str, x: Tensor, shape: tuple[int, ...], **parameters: Any) -> list[Tensor | None]:
    """Check weight and bias: both of `shape`, or None."""
    found: list[Tensor | None] = []
    for key, value in parameters.items():
        if value is not None:
            value = check_tensor(name, value)
            if value.shape != shape:
                raise ShapeError(f"{name}: {key} must have shape {shape}, got {value.shape}")
            check_same_dtype(name, x, value)
        found.append(value)
    return found


def _last_axes(name: str, x: Tensor, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return the lengths of the axes that are normalised, in which the shape of x must end."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[x.ndim - len(shape) :] != shape:
        raise ShapeError(
            f"{name}: input of shape {x.shape} must end in normalized_shape {shape}; for "
            "images (N, C, H, W) normalise channels with x.permute(0, 2, 3, 1)"
        )
    return shape


def _check_eps(name: str, eps: float) -> None:
    if not eps >= 0.0:
        raise OptionError(f"{name}: eps must not be negative, got {eps}")


# ---- the functions users call ---------------------------------------------------------------


@operation("functional", autocast=FLOAT32)
def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over the last axes: ``(x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    input : Tensor, (..., *normalized_shape)
        Floating.
    normalized_shape : int or sequence of int
        The last axes of `input`, over which mean and (biased) variance are taken.
    weight, bias : Tensor, `normalized_shape`, optional
        Scale and shift.
    eps : float, default 1e-5
        Added to the variance. ConvNeXt uses 1e-6.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    ShapeError
        If `input` does not end in `normalized_shape`, or a parameter has another shape.

    Notes
    -----
    Source: Ba, Kiros, Hinton, arXiv:1607.06450.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.layer_norm(mg.tensor([[1.0, 3.0]]), 2, eps=0.0)
    tensor([[-1.,  1.]])
    """
    x = check_tensor("layer_norm", input)
    if state.autocast is not None:
        x, weight, bias = obey("layer_norm", x, weight, bias)
    check_floating("layer_norm", x)
    shape = _last_axes("layer_norm", x, normalized_shape)
    weight, bias = _affine("layer_norm", x, shape, weight=weight, bias=bias)
    _check_eps("layer_norm", eps)
    if 0 in shape:
        y = x * (1.0 if weight is None else weight)
        return y if bias is None else y + bias
    if len(shape) == 1:
        return LayerNorm(eps)(x, weight, bias)
    rows = reshape(x, (*x.shape[: x.ndim - len(shape)], math.prod(shape)))
    flat = [None if p is None else reshape(p, (-1,)) for p in (weight, bias)]
    return reshape(LayerNorm(eps)(rows, *flat), x.shape)


@operation("functional")
def rms_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide by the root mean square over the last axes: ``x / sqrt(mean(x²) + eps) * weight``.

    Parameters
    ----------
    input : Tensor, (..., *normalized_shape)
        Floating.
    normalized_shape : int or sequence of int
        The last axes of `input`, over which the mean is taken.
    weight : Tensor, `normalized_shape`, optional
        Scale.
    eps : float, optional
        Added to the mean; by default the distance from 1 to the next number of this dtype, of
        float32 for half precision.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    ShapeError
        If `input` does not end in `normalized_shape`, or the weight has another shape.

    Notes
    -----
    Source: Zhang and Sennrich, arXiv:1910.07467.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.rms_norm(mg.tensor([3.0, 4.0]) * 2**0.5, 2, eps=0.0)
    tensor([0.8485, 1.1314])
    """
    x = check_tensor("rms_norm", input)
    check_floating("rms_norm", x)
    shape = _last_axes("rms_norm", x, normalized_shape)
    if 0 in shape:
        raise ShapeError(f"rms_norm: an empty axis has no mean; normalized_shape {shape} has a 0")
    (weight,) = _affine("rms_norm", x, shape, weight=weight)
    wide = cast(x, dtypes.promote_types(x.dtype, dtypes.float32))
    eps = dtypes.spacing(wide.dtype) if eps is None else eps
    _check_eps("rms_norm", eps)
    axes = tuple(range(-len(shape), 0))
    y = cast(wide * rsqrt(mean(wide * wide, axes, keepdim=True) + eps), x.dtype)
    return y if weight is None else y * weight


@operation("functional")
def normalize(
    input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12
) -> Tensor:
    """Divide by the norm along `dim`, which is taken to be at least `eps`.

    Parameters
    ----------
    input : Tensor
        Floating.
    p : float, default 2
        Order of the norm, see `norm`.
    dim : int or tuple of int, default 1
        The axes of one vector.
    eps : float, default 1e-12
        Keeps a vector of zeros from a division by zero.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.normalize(mg.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6, 0.8],
            [0. , 0. ]])
    """
    x = check_tensor("normalize", input)
    check_floating("normalize", x)
    length: Tensor = norm(x, p, dim, keepdim=True).clamp(min=eps)
    return x / length


@operation("functional", autocast=FLOAT32)
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every sample over its positions and groups of channels.

    Parameters
    ----------
    input : Tensor, (N, C, ...)
        Floating.
    num_groups : int
        The C channels are cut into so many groups; mean and variance are taken per group.
    weight, bias : Tensor, (C,), optional
        Scale and shift per channel.
    eps : float, default 1e-5
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    OptionError
        If the channels do not split into `num_groups`.
    ShapeError
        If a parameter does not have shape (C,).

    Notes
    -----
    Source: Wu and He, arXiv:1803.08494.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([[1.0, 3.0, 5.0, 9.0]])
    >>> mg.nn.functional.group_norm(x, 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    if state.autocast is not None:
        input, weight, bias = obey("group_norm", input, weight, bias)
    x = _samples("group_norm", input)
    channels = x.shape[-1]
    if num_groups < 1 or channels % num_groups:
        raise OptionError(
            f"group_norm: {channels} channels do not split into num_groups={num_groups}"
        )
    return _group_norm("group_norm", x, num_groups, weight, bias, eps)


def _group_norm(name: str, x: Tensor, groups: int, weight: Any, bias: Any, eps: float) -> Tensor:
    n, *size, channels = x.shape
    weight, bias = _affine(name, x, (channels,), weight=weight, bias=bias)
    _check_eps(name, eps)
    if n and 0 in x.shape:
        raise ShapeError(f"{name}: input of shape {(n, channels, *size)} has nothing to normalise")
    rows = reshape(x, (n, math.prod(size), channels))
    return _channels_first(reshape(GroupNorm(groups, eps)(rows, weight, bias), x.shape))


@operation("functional", autocast=FLOAT32)
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every channel of every sample over its positions.

    Parameters
    ----------
    input : Tensor, (N, C, ...)
        Floating, with more than one position when its own statistics are used.
    running_mean, running_var : Tensor, (C,), optional
        Running statistics: moved towards the mean over the samples while `use_input_stats`, used
        in place of them otherwise.
    weight, bias : Tensor, (C,), optional
        Scale and shift per channel.
    use_input_stats : bool, default True
        Take mean and variance from the input.
    momentum : float, default 0.1
        Share of the new statistics in the running ones.
    eps : float, default 1e-5
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    ShapeError
        If there is one position only, or a parameter does not have shape (C,).

    Notes
    -----
    Source: Ulyanov et al., arXiv:1607.08022.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.instance_norm(mg.tensor([[[1.0, 3.0]]]))
    tensor([[[-1.,  1.]]])
    """
    name = "instance_norm"
    if state.autocast is not None:
        x, weight, bias = obey(name, input, weight, bias)
        if x is not input:
            rest = (weight, bias, use_input_stats, momentum, eps)
            return cast(instance_norm(x, running_mean, running_var, *rest), input.dtype)
    x = _samples(name, input)
    n, *size, channels = x.shape
    mean, var = _running(name, x, running_mean, running_var, use_input_stats)
    if not use_input_stats:
        return _normalize_by(name, x, mean, var, weight, bias, eps)
    if math.prod(size) < 2 and n:
        raise ShapeError(
            f"{name}: more than one position per channel is needed, got input of shape "
            f"{(n, channels, *size)}"
        )
    y = _group_norm(name, x, channels, weight, bias, eps)
    if mean is not None and n:
        positions = tuple(range(1, x.ndim - 1))
        batch_mean = x.array.mean(axis=positions).mean(axis=0)
        batch_var = x.array.var(axis=positions, ddof=1).mean(axis=0)
        _move(mean, batch_mean, momentum)
        _move(var, batch_var, momentum)
    return y


@operation("functional", autocast=FLOAT32)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every channel over the batch, or with running statistics.

    Parameters
    ----------
    input : Tensor, (N, C, ...)
        Floating.
    running_mean, running_var : Tensor, (C,), or None
        Running statistics. In training they move, in place, towards those of the batch (the
        variance unbiased): ``running = (1 - momentum) * running + momentum * batch``.
    weight, bias : Tensor, (C,), optional
        Scale and shift per channel.
    training : bool, default False
        Use the statistics of the batch.
    momentum : float, default 0.1
        Share of the new statistics in the running ones.
    eps : float, default 1e-5
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    ShapeError
        If training sees exactly one value per channel, or a parameter does not have shape (C,).
    OptionError
        If running statistics are needed and missing.

    Notes
    -----
    Source: Ioffe and Szegedy, arXiv:1502.03167.

    Examples
    --------
    >>> import minigrad as mg
    >>> mean, var = mg.zeros(1), mg.ones(1)
    >>> x = mg.tensor([[1.0], [3.0]])
    >>> mg.nn.functional.batch_norm(x, mean, var, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    >>> mean
    tensor([0.2])
    """
    name = "batch_norm"
    if state.autocast is not None:
        x, weight, bias = obey(name, input, weight, bias)
        if x is not input:
            rest = (weight, bias, training, momentum, eps)
            return cast(batch_norm(x, running_mean, running_var, *rest), input.dtype)
    x = _samples(name, input)
    *lead, channels = x.shape
    mean, var = _running(name, x, running_mean, running_var, training)
    if not training:
        return _normalize_by(name, x, mean, var, weight, bias, eps)
    weight, bias = _affine(name, x, (channels,), weight=weight, bias=bias)
    _check_eps(name, eps)
    count = math.prod(lead)
    if count == 0:  # nothing to measure: the running statistics stay
        nothing = wrap(get_xp(x.array).zeros(channels, x.dtype))
        return _normalize_by(name, x, nothing, nothing, weight, bias, 1.0)
    if count == 1:
        raise ShapeError(
            f"{name}: training needs more than one value per channel, got input of shape "
            f"{(lead[0], channels, *lead[1:])}; use a larger batch or model.eval()"
        )
    op = BatchNorm(eps)
    y = op(x, weight, bias)
    if mean is not None:
        _move(mean, op.mean, momentum)
        _move(var, op.var * (count / (count - 1)), momentum)
    return _channels_first(y)


def _running(name: str, x: Tensor, mean: Any, var: Any, optional: bool) -> tuple[Any, Any]:
    """Check the running statistics; both or neither, and both where they are needed."""
    if (mean is None) != (var is None) or (mean is None and not optional):
        raise OptionError(
            f"{name}: running_mean and running_var are needed to normalise without the statistics "
            "of the input; give both"
        )
    for key, value in (("running_mean", mean), ("running_var", var)):
        if value is not None and check_tensor(name, value).shape != x.shape[-1:]:
            raise ShapeError(f"{name}: {key} must have shape {x.shape[-1:]}, got {value.shape}")
    return mean, var


@no_grad
def _move(running: Tensor, new: Any, momentum: float) -> None:
    """Move running statistics towards new ones, in place."""
    running.mul_(1.0 - momentum).add_(wrap(new).astype(running.dtype), alpha=momentum)


def _normalize_by(
    name: str, x: Tensor, mean: Tensor, var: Tensor, weight: Any, bias: Any, eps: float
) -> Tensor:
    """Normalise with given statistics: one multiplication and one addition per element."""
    weight, bias = _affine(name, x, x.shape[-1:], weight=weight, bias=bias)
    _check_eps(name, eps)
    scale = rsqrt(var.detach() + eps).astype(x.dtype)
    scale = scale if weight is None else scale * weight
    shift = -mean.detach().astype(x.dtype) * scale
    return _channels_first(x * scale + (shift if bias is None else shift + bias))


@operation("functional", autocast=FLOAT32)
def global_response_norm(
    input: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-6, channel_dim: int = -1
) -> Tensor:
    """Global response normalisation (GRN) of ConvNeXt V2: channels compete by their norm.

    ``y = x + gamma * (x * r) + beta``, where ``r = |x| / (mean over channels of |x| + eps)`` and
    ``|x|`` is the Euclidean norm of each channel over all positions of a sample.

    Parameters
    ----------
    input : Tensor, (N, ..., C), or (N, C, ...) with ``channel_dim=1``
        Floating.
    gamma, beta : Tensor, (C,) or of shape (1, ..., C)
        Scale and shift; V2 starts them at 0, which makes GRN the identity.
    eps : float, default 1e-6
        Added to the mean norm.
    channel_dim : {-1, 1}
        Where the channels are.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Raises
    ------
    ShapeError
        If the parameters do not have C elements.

    Notes
    -----
    The norm's derivative at an all-zero channel is 0, as in PyTorch.
    Source: Woo et al., arXiv:2301.00808, section 3.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([[[1.0, 3.0]]])
    >>> mg.nn.functional.global_response_norm(x, mg.ones(2), mg.zeros(2), eps=0.0)
    tensor([[[1.5, 7.5]]])
    """
    name = "global_response_norm"
    x = check_tensor(name, input)
    if state.autocast is not None:
        x, gamma, beta = obey(name, x, gamma, beta)
    check_floating(name, x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: input must be (N, ..., C), got shape {x.shape}")
    if channel_dim not in (-1, x.ndim - 1, 1):
        raise OptionError(f"{name}: channel_dim must be -1 or 1, got {channel_dim}")
    first = channel_dim == 1 and x.ndim > 2
    x = _channels_last(x) if first else x
    n, *size, channels = x.shape
    gamma, beta = (_flat(t) for t in (check_tensor(name, gamma), check_tensor(name, beta)))
    _affine(name, x, (channels,), gamma=gamma, beta=beta)
    rows = reshape(x, (n, math.prod(size), channels))
    y = reshape(GlobalResponseNorm(eps)(rows, gamma, beta), x.shape)
    return _channels_first(y) if first else y


def _flat(parameter: Tensor) -> Tensor:
    """Return (1, ..., C), the shape in official checkpoints, as (C,)."""
    return parameter if parameter.ndim == 1 else reshape(parameter, (-1,))
