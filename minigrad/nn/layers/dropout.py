"""Dropout of elements, of whole channels, and of whole residual branches."""

from __future__ import annotations

from typing import ClassVar

from minigrad.errors import OptionError, ShapeError
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.ops.create import ones
from minigrad.tensor import Tensor

__all__ = ["DropPath", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d"]


def _check_rate(name: str, rate: float, below_one: bool = False) -> float:
    if not 0.0 <= rate <= 1.0 or (below_one and rate == 1.0):
        end = ")" if below_one else "]"
        raise OptionError(f"{name}: the probability to drop must lie in [0, 1{end}, got {rate}")
    return rate


class Dropout(Module):
    """In training, set elements to zero with probability p and scale the others by 1/(1 − p).

    Parameters
    ----------
    p : float, default 0.5
        Probability to drop an element.
    inplace : bool, default False
        Whether the input itself is changed.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Dropout(0.5).eval()(mg.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        self.p, self.inplace = _check_rate(type(self).__name__, p), inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class _ChannelDropout(Dropout):
    """Drop whole channels of (N, C, *spatial): neighbours in a map are too alike to drop singly."""

    dims: ClassVar[int]

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.dims + 2:
            raise ShapeError(f"expects a {self.dims + 2}-D input (N, C, …), got shape {x.shape}")
        if not self.training:
            return x
        kept = ones(*x.shape[:2], *(1,) * self.dims, dtype=x.dtype, device=x.device)
        kept = F.dropout(kept, self.p, self.training)
        return x.mul_(kept) if self.inplace else x * kept


class Dropout1d(_ChannelDropout):
    """Drop whole channels of (N, C, L) with probability p.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(1, 3, 8)
    >>> layer = mg.nn.Dropout1d(0.5).eval()
    >>> mg.equal(layer(x), x)
    True
    """

    dims = 1


class Dropout2d(_ChannelDropout):
    """Drop whole channels of (N, C, H, W) with probability p.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(1, 3, 8, 8)
    >>> layer = mg.nn.Dropout2d(0.5).eval()
    >>> mg.equal(layer(x), x)
    True
    """

    dims = 2


class Dropout3d(_ChannelDropout):
    """Drop whole channels of (N, C, D, H, W) with probability p.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(1, 3, 4, 4, 4)
    >>> layer = mg.nn.Dropout3d(0.5).eval()
    >>> mg.equal(layer(x), x)
    True
    """

    dims = 3


class DropPath(Module):
    """Stochastic depth: in training, drop the whole branch of a sample (Huang et al., 2016).

    Each sample keeps its branch with probability 1 − drop_prob, scaled by 1/(1 − drop_prob).

    Parameters
    ----------
    drop_prob : float, default 0
        Probability to drop, below 1.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> y = mg.nn.DropPath(0.5)(mg.ones(8, 2))
    >>> sorted(set(y.flatten().tolist())), bool((y[:, 0] == y[:, 1]).all())
    ([0.0, 2.0], True)
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        self.drop_prob = _check_rate("DropPath", drop_prob, below_one=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.drop_path(x, self.drop_prob, self.training)

    def extra_repr(self) -> str:
        return f"drop_prob={self.drop_prob:.3f}"
