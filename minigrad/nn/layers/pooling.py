"""Average, maximum and adaptive pooling in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from minigrad.nn import functional as F
from minigrad.nn.layers._sizes import Size
from minigrad.nn.module import Module
from minigrad.ops.neural.spatial import per_axis
from minigrad.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]


class _MaxPool(Module):
    dims: ClassVar[int]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
    ) -> None:
        name = type(self).__name__
        per_axis(name, "kernel_size", kernel_size, self.dims)
        per_axis(name, "stride", kernel_size if stride is None else stride, self.dims)
        per_axis(name, "padding", padding, self.dims, least=0)
        per_axis(name, "dilation", dilation, self.dims)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.dims - 1]
        y: Tensor = pool(
            x, self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode
        )
        return y

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Largest value of each window of (N, C, L); parameters as `MaxPool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.MaxPool1d(2)(mg.ones(1, 3, 8)).shape
    (1, 3, 4)
    """

    dims = 1


class MaxPool2d(_MaxPool):
    """Largest value of each window of (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or tuple of int
        Size of the window.
    stride : int or tuple of int, optional
        Step of the window; `kernel_size` if left out.
    padding : int or tuple of int, default 0
        Border of −∞ on each side.
    dilation : int or tuple of int, default 1
        Distance between the window's elements.
    ceil_mode : bool, default False
        Whether a window that reaches beyond the end counts.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.MaxPool2d(2)(mg.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """

    dims = 2


class MaxPool3d(_MaxPool):
    """Largest value of each window of (N, C, D, H, W); parameters as `MaxPool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.MaxPool3d(2)(mg.ones(1, 3, 4, 4, 4)).shape
    (1, 3, 2, 2, 2)
    """

    dims = 3


class _AvgPool(Module):
    dims: ClassVar[int]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        name = type(self).__name__
        per_axis(name, "kernel_size", kernel_size, self.dims)
        per_axis(name, "stride", kernel_size if stride is None else stride, self.dims)
        per_axis(name, "padding", padding, self.dims, least=0)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[self.dims - 1]
        return pool(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """Mean of each window of (N, C, L); parameters as `AvgPool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.AvgPool1d(2)(mg.ones(1, 3, 8)).shape
    (1, 3, 4)
    """

    dims = 1


class AvgPool2d(_AvgPool):
    """Mean of each window of (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or tuple of int
        Size of the window.
    stride : int or tuple of int, optional
        Step of the window; `kernel_size` if left out.
    padding : int or tuple of int, default 0
        Border of zeros on each side.
    ceil_mode : bool, default False
        Whether a window that reaches beyond the end counts.
    count_include_pad : bool, default True
        Whether the border counts in the divisor.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.AvgPool2d(2)(mg.tensor([[[[1.0, 3.0], [5.0, 7.0]]]]))
    tensor([[[[4.]]]])
    """

    dims = 2


class AvgPool3d(_AvgPool):
    """Mean of each window of (N, C, D, H, W); parameters as `AvgPool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.AvgPool3d(2)(mg.ones(1, 3, 4, 4, 4)).shape
    (1, 3, 2, 2, 2)
    """

    dims = 3


class _AdaptivePool(Module):
    dims: ClassVar[int]
    kind: ClassVar[str]

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        pool = getattr(F, f"adaptive_{self.kind}_pool{self.dims}d")
        result: Tensor = pool(x, self.output_size)
        return result

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePool):
    """Average pooling of signals to a given length; parameters as `AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.AdaptiveAvgPool1d(1)(mg.ones(1, 3, 8)).shape
    (1, 3, 1)
    """

    dims, kind = 1, "avg"


class AdaptiveAvgPool2d(_AdaptivePool):
    """Average pooling of images to a given size, whatever the input's.

    Parameters
    ----------
    output_size : int, None or tuple of them
        Lengths of the result; None keeps an axis. 1 is the global mean.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.AdaptiveAvgPool2d(1)(mg.ones(2, 3, 7, 5)).shape
    (2, 3, 1, 1)
    """

    dims, kind = 2, "avg"


class AdaptiveAvgPool3d(_AdaptivePool):
    """Average pooling of volumes to a given size; parameters as `AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.AdaptiveAvgPool3d(1)(mg.ones(1, 3, 4, 4, 4)).shape
    (1, 3, 1, 1, 1)
    """

    dims, kind = 3, "avg"


class AdaptiveMaxPool1d(_AdaptivePool):
    """Maximum pooling of signals to a given length; parameters as `AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.AdaptiveMaxPool1d(1)(mg.ones(1, 3, 8)).shape
    (1, 3, 1)
    """

    dims, kind = 1, "max"


class AdaptiveMaxPool2d(_AdaptivePool):
    """Maximum pooling of images to a given size; parameters as `AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.AdaptiveMaxPool2d(1)(mg.ones(1, 3, 8, 8)).shape
    (1, 3, 1, 1)
    """

    dims, kind = 2, "max"


class AdaptiveMaxPool3d(_AdaptivePool):
    """Maximum pooling of volumes to a given size; parameters as `AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.AdaptiveMaxPool3d(1)(mg.ones(1, 3, 4, 4, 4)).shape
    (1, 3, 1, 1, 1)
    """

    dims, kind = 3, "max"
