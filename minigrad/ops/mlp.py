"""The pointwise half of a ConvNeXt block as one operation, for the compiled kernel."""

from __future__ import annotations

from typing import Any

from minigrad.autograd.node import Function
from minigrad.errors import ShapeError
from minigrad.kernels import pick
from minigrad.kernels.reference.mlp import Parameters
from minigrad.modes import state
from minigrad.ops.precision import obey
from minigrad.tensor import Tensor, is_recording

__all__ = ["pointwise_mlp"]


class PointwiseMLP(Function):
    """See `pointwise_mlp`; inputs are x, skip, factor, and the fields of `Parameters`."""

    saves = (0, 2, *range(3, 3 + len(Parameters._fields)))

    def __init__(self, eps: float, grn_eps: float, keep: bool) -> None:
        self.eps, self.grn_eps, self.keep = eps, grn_eps, keep

    def forward(self, x: Any, skip: Any, factor: Any, *parameters: Any) -> Any:
        kernel = pick("mlp", x)
        y, self.kept = kernel(
            x, skip, Parameters(*parameters), factor, self.eps, self.grn_eps, self.keep
        )
        return y

    def backward(self, g: Any, x: Any, factor: Any, *parameters: Any) -> Any:
        kept = None if isinstance(g, Tensor) else self.kept
        gx, g_parameters = pick("mlp_vjp", g)(
            g, x, Parameters(*parameters), kept, factor, self.eps, self.grn_eps
        )
        return (gx, g, None, *g_parameters)


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
    ShapeError
        If x and skip differ in shape, or a weight does not fit.

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
    parameters = (norm_weight, norm_bias, w1, b1, w2, b2, scale, grn_weight, grn_bias)
    if state.autocast is not None:
        x, skip, factor, *rest = obey("pointwise_mlp", x, skip, factor, *parameters)
        parameters = tuple(rest)
    keep = not recompute and is_recording(x, *parameters)
    return PointwiseMLP(eps, grn_eps, keep)(x, skip, factor, *parameters)
