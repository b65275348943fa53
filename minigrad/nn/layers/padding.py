"""Borders around signals, images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from minigrad.errors import OptionError, ShapeError
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = [
    f"{kind}Pad{dims}d"
    for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero")
    for dims in (1, 2, 3)
]


class _Pad(Module):
    dims: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int]) -> None:
        count = 2 * self.dims
        pads = (padding,) * count if isinstance(padding, int) else tuple(padding)
        if len(pads) != count or any(type(n) is not int for n in pads):
            raise OptionError(
                f"{type(self).__name__}: padding is one integer or {count}, (before, after) "
                f"of the last axis first, got {padding!r}"
            )
        self.padding = pads

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (self.dims + 1, self.dims + 2):
            raise ShapeError(
                f"{type(self).__name__}: the input must have {self.dims} axes behind its channels, "
                f"got shape {x.shape}"
            )
        return self._padded(x)

    def _padded(self, x: Tensor) -> Tensor:
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        return repr(self.padding)


class _ConstantPad(_Pad):
    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def _padded(self, x: Tensor) -> Tensor:
        return F.pad(x, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return repr(self.padding)


class ConstantPad1d(_ConstantPad):
    """Surround the last axes with a value: ``(padding, value)``, of (N, C, L).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ConstantPad1d((1, 2), 9.0)(mg.tensor([[[1.0, 2.0]]]))
    tensor([[[9., 1., 2., 9., 9.]]])
    """

    dims = 1


class ConstantPad2d(_ConstantPad):
    """Surround the last axes with a value: ``(padding, value)``, of (N, C, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ConstantPad2d((1, 0, 0, 1), 9.0)(mg.tensor([[[[1.0]]]]))
    tensor([[[[9., 1.],
              [9., 9.]]]])
    """

    dims = 2


class ConstantPad3d(_ConstantPad):
    """Surround the last axes with a value: ``(padding, value)``, of (N, C, D, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ConstantPad3d(1, 9.0)(mg.ones(1, 2, 4, 4, 4)).shape
    (1, 2, 6, 6, 6)
    """

    dims = 3


class ZeroPad1d(_ZeroPad):
    """Surround the last axes with zeros, of (N, C, L).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ZeroPad1d((1, 2))(mg.tensor([[[1.0, 2.0]]]))
    tensor([[[0., 1., 2., 0., 0.]]])
    """

    dims = 1


class ZeroPad2d(_ZeroPad):
    """Surround the last axes with zeros, of (N, C, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ZeroPad2d((1, 0, 0, 1))(mg.tensor([[[[1.0]]]]))
    tensor([[[[0., 1.],
              [0., 0.]]]])
    """

    dims = 2


class ZeroPad3d(_ZeroPad):
    """Surround the last axes with zeros, of (N, C, D, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ZeroPad3d(1)(mg.ones(1, 2, 4, 4, 4)).shape
    (1, 2, 6, 6, 6)
    """

    dims = 3


class ReflectionPad1d(_Pad):
    """Continue the last axes as in a mirror, without the border, of (N, C, L).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ReflectionPad1d(2)(mg.tensor([[[1.0, 2.0, 3.0]]]))
    tensor([[[3., 2., 1., 2., 3., 2., 1.]]])
    """

    dims = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """Continue the last axes as in a mirror, without the border, of (N, C, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ReflectionPad2d(1)(mg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    tensor([[[[4., 3., 4., 3.],
              [2., 1., 2., 1.],
              [4., 3., 4., 3.],
              [2., 1., 2., 1.]]]])
    """

    dims = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """Continue the last axes as in a mirror, without the border, of (N, C, D, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ReflectionPad3d(1)(mg.ones(1, 2, 4, 4, 4)).shape
    (1, 2, 6, 6, 6)
    """

    dims = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Repeat the border of the last axes, of (N, C, L).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ReplicationPad1d(2)(mg.tensor([[[1.0, 2.0, 3.0]]]))
    tensor([[[1., 1., 1., 2., 3., 3., 3.]]])
    """

    dims = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """Repeat the border of the last axes, of (N, C, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ReplicationPad2d(1)(mg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.],
              [3., 3., 4., 4.],
              [3., 3., 4., 4.]]]])
    """

    dims = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """Repeat the border of the last axes, of (N, C, D, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ReplicationPad3d(1)(mg.ones(1, 2, 4, 4, 4)).shape
    (1, 2, 6, 6, 6)
    """

    dims = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """Continue the last axes from their other end, of (N, C, L).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.CircularPad1d(2)(mg.tensor([[[1.0, 2.0, 3.0]]]))
    tensor([[[2., 3., 1., 2., 3., 1., 2.]]])
    """

    dims = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """Continue the last axes from their other end, of (N, C, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.CircularPad2d(1)(mg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    tensor([[[[4., 3., 4., 3.],
              [2., 1., 2., 1.],
              [4., 3., 4., 3.],
              [2., 1., 2., 1.]]]])
    """

    dims = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """Continue the last axes from their other end, of (N, C, D, H, W).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.CircularPad3d(1)(mg.ones(1, 2, 4, 4, 4)).shape
    (1, 2, 6, 6, 6)
    """

    dims = 3
    mode = "circular"
