"""The pointwise half of a ConvNeXt block as one operation, for the compiled kernel."""

from __future__ import annotations

from typing import Any

from minigrad.autograd.node import Cast, Function
from minigrad.dtypes import DType, float32, float64
from minigrad.errors import ShapeError
from minigrad.kernels import pick
from minigrad.kernels.formulas.mlp import Weights
from minigrad.modes import is_grad_enabled, state
from minigrad.ops.arguments import check_same_dtype
from minigrad.ops.declare import operation
from minigrad.ops.operands import cast
from minigrad.ops.precision import FLOAT32, half_of, obey
from minigrad.tensor import Tensor, is_recording


class PointwiseMLP(Function):
    """See `pointwise_mlp`; inputs are x, skip, factor, and the fields of `Weights`."""

    bfloat16 = True
    saves = (0, 2, *range(3, 3 + len(Weights._fields)))

    def __init__(self, eps: float, grn_eps: float, keep: bool) -> None:
        self.eps, self.grn_eps, self.keep = eps, grn_eps, keep

    def forward(self, x: Any, skip: Any, factor: Any, *parameters: Any) -> Any:
        kernel = pick("mlp", x)
        y, self.kept = kernel(
            x, skip, Weights(*parameters), factor, self.eps, self.grn_eps, self.keep
        )
        return _as(y, skip.dtype)

    def backward(self, g: Any, x: Any, factor: Any, *parameters: Any) -> Any:
        kept = None if isinstance(g, Tensor) else self.kept
        narrow, skip = x.dtype, g.dtype
        if isinstance(g, Tensor) and narrow != parameters[0].dtype:  # the formula takes one type
            g, x, factor = (_as(t, parameters[0].dtype) for t in (g, x, factor))
        gx, g_parameters = pick("mlp_vjp", g)(
            g, x, Weights(*parameters), kept, factor, self.eps, self.grn_eps
        )
        pairs = zip(g_parameters, parameters, strict=True)
        to_parameters = [v if v is None else _as(v, p.dtype) for v, p in pairs]
        return (_as(gx, narrow), _as(g, skip), None, *to_parameters)


def _as(t: Any, dtype: DType) -> Any:
    return t if t is None or t.dtype == dtype else Cast(dtype)(t)


def mixes(x: Tensor, dtype: DType) -> bool:
    """Return True if the kernel for x takes values of a two-byte type beside float32.

    Then `autocast` has nothing to cast: products are in the type of x, sums in float32, and the
    parameters stay float32. The result has the type of the skip connection.
    """
    return dtype.name in getattr(pick("mlp", x.array), "mixes", ())


def is_one_operation(x: Tensor, w1: Tensor, w2: Tensor) -> bool:
    """Return True where `pointwise_mlp` is to do the work of the layers in a block for x.

    With a kernel that keeps what backward needs it always is; one that does not, as NumPy's, pays
    where nothing is recorded. Under autocast the layers decide their precision one by one, unless
    one kernel takes two types. What does not fit together is left to the layers, whose errors say
    it best.

    Parameters
    ----------
    x : Tensor, (N, C, *spatial)
        The input of the block.
    w1, w2 : Tensor, (H, C) and (C, H)
        The weights of its linear layers.
    """
    dtype = w1.dtype
    half = half_of(x)
    if half is None:
        known = x.dtype == dtype and (dtype in (float32, float64) or mixes(x, dtype))
    else:
        known = dtype == float32 and x.dtype.itemsize <= 4 and mixes(x, half)
    return (
        known
        and x.shape[1:2] == w1.shape[1:] == w2.shape[:1]
        and (not is_grad_enabled() or getattr(pick("mlp", x.array), "keeps", False))
    )


def _is_mixed(x: Tensor, skip: Tensor, factor: Tensor | None, *parameters: Tensor | None) -> bool:
    """Return True if these operands are what the kernel takes in mixed precision."""
    return (
        x.dtype.itemsize == 2
        and skip.dtype in (x.dtype, float32)
        and (factor is None or factor.dtype == skip.dtype)
        and all(p is None or p.dtype == float32 for p in parameters)
        and mixes(x, x.dtype)
    )


@operation("", autocast=FLOAT32)
def pointwise_mlp(
    x: Tensor,
    skip: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None = None,
    grn_weight: Tensor | None = None,
    grn_bias: Tensor | None = None,
    *,
    factor: Tensor | None = None,
    eps: float = 1e-6,
    grn_eps: float = 1e-6,
    recompute: bool = False,
) -> Tensor:
    """All of a ConvNeXt block that works position by position, in one operation.

    ``y = skip + (grn(gelu(norm(x) @ w1.T + b1)) @ w2.T + b2) * scale * factor``

    It equals the same steps one by one; compiled, it keeps the hidden values, four times as large
    as x, in the cache.

    Parameters
    ----------
    x, skip : Tensor, (N, *spatial, C)
        The output of the depthwise convolution and the input of the block, channels last.
    norm_weight, norm_bias : Tensor, (C,)
        Of the layer norm.
    w1, b1 : Tensor, (H, C) and (H,)
        The expanding linear layer.
    w2, b2 : Tensor, (C, H) and (C,)
        The linear layer back to C.
    scale : Tensor, (C,), optional
        Layer scale, ConvNeXt V1.
    grn_weight, grn_bias : Tensor, (H,), optional
        Of global response normalisation, ConvNeXt V2.
    factor : Tensor, (N,), optional
        Of every sample's branch: drop path.
    eps, grn_eps : float, default 1e-6
        Of the layer norm and of GRN.
    recompute : bool, default False
        Do not keep the hidden values for backward, 4 C numbers a position, but compute them again.

    Returns
    -------
    Tensor, (N, *spatial, C)

    Raises
    ------
    ShapeError, DTypeError
        If x and skip differ in shape, or a weight does not fit in shape or type.

    Notes
    -----
    Sources: Liu et al., arXiv:2201.03545; Woo et al., arXiv:2301.00808.
    """
    channels = x.shape[-1]
    if x.shape != skip.shape:
        raise ShapeError(f"pointwise_mlp: x is {x.shape} but skip is {skip.shape}")
    if w1.shape[1:] != (channels,) or w2.shape != w1.shape[::-1]:
        raise ShapeError(
            f"pointwise_mlp: x has {channels} channels, so w1 must be (H, {channels}) and w2 "
            f"({channels}, H), got {w1.shape} and {w2.shape}"
        )
    row, wide = (channels,), w1.shape[:1]
    for name, value, shape in (
        ("norm_weight", norm_weight, row), ("norm_bias", norm_bias, row), ("b1", b1, wide),
        ("b2", b2, row), ("scale", scale, row), ("grn_weight", grn_weight, wide),
        ("grn_bias", grn_bias, wide), ("factor", factor, x.shape[:1]),
    ):  # fmt: skip
        if value is not None and value.shape != shape:
            raise ShapeError(
                f"pointwise_mlp: x is {x.shape} and w1 {w1.shape}, so {name} must be {shape}, got "
                f"{value.shape}"
            )
    parameters = (norm_weight, norm_bias, w1, b1, w2, b2, scale, grn_weight, grn_bias)
    if scale is not None and skip.dtype.itemsize < scale.dtype.itemsize:
        skip = cast(skip, scale.dtype)  # as skip + scale * branch would have it
    factor = None if factor is None else cast(factor, skip.dtype)
    if not _is_mixed(x, skip, factor, *parameters):
        if state.autocast is not None:
            x, skip, factor, *rest = obey("pointwise_mlp", x, skip, factor, *parameters)
            parameters = tuple(rest)
        given = (t for t in (x, skip, factor, *parameters) if t is not None)
        check_same_dtype("pointwise_mlp", *given)
    keep = not recompute and is_recording(x, *parameters)
    return PointwiseMLP(eps, grn_eps, keep)(x, skip, factor, *parameters)
