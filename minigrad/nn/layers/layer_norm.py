"""Layer normalisation, over the last axes or over the channels of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.errors import OptionError, unknown
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers._sizes import check_lengths
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor

__all__ = ["LayerNorm"]

FORMATS = ("channels_last", "channels_first")


class LayerNorm(Module):
    """Normalise each position to mean 0 and variance 1, then scale and shift.

    y = (x − mean(x)) / √(var(x) + eps) · weight + bias, with the biased variance, over the last
    ``len(normalized_shape)`` axes (Ba et al., 2016).

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Lengths of the axes that are normalised together.
    eps : float, default 1e-5
        Added to the variance. ConvNeXt uses 1e-6.
    elementwise_affine : bool, default True
        Whether there are a weight and a bias at all.
    bias : bool, default True
        Whether there is a bias beside the weight.
    data_format : {"channels_last", "channels_first"}
        "channels_first" normalises axis 1 of (N, C, *spatial), as ConvNeXt's stem does.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.randn(2, 96, 8, 8)
    >>> y = mg.nn.LayerNorm(96, data_format="channels_first")(x)
    >>> y.shape, bool((y.mean(1).abs() < 1e-5).all())
    ((2, 96, 8, 8), True)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        data_format: str = "channels_last",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        if data_format not in FORMATS:
            raise unknown("LayerNorm data_format", data_format, FORMATS)
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        for length in shape:
            check_lengths("LayerNorm", normalized_shape=length)
        self.normalized_shape = tuple(shape)
        if data_format == "channels_first" and len(self.normalized_shape) != 1:
            raise OptionError(
                "LayerNorm: channels_first normalises the channel axis alone; give "
                f"normalized_shape as one integer, not {normalized_shape}"
            )
        self.eps, self.data_format = eps, data_format
        self.elementwise_affine = elementwise_affine
        self.weight: Parameter | None
        self.register_parameter("weight", None)
        self.bias: Parameter | None
        self.register_parameter("bias", None)
        if elementwise_affine:
            self.weight = init.empty(*self.normalized_shape, device=device, dtype=dtype)
            if bias:
                self.bias = init.empty(*self.normalized_shape, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to one and the bias to zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.data_format == "channels_last":
            return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        # Images lie channels-last in memory, so both of these moves are free views.
        y = x.movedim(1, -1)
        y = F.layer_norm(y, self.normalized_shape, self.weight, self.bias, self.eps)
        return y.movedim(-1, 1)

    def extra_repr(self) -> str:
        text = f"{self.normalized_shape}, eps={self.eps}"
        text += f", elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        if self.data_format != "channels_last":
            text += f", data_format={self.data_format!r}"
        return text
