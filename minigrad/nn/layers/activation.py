"""Activation functions as layers."""

from __future__ import annotations

from typing import Any

from minigrad.errors import unknown
from minigrad.nn import functional as F
from minigrad.nn.init import constant_, empty
from minigrad.nn.layers._sizes import check_lengths
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardsigmoid",
    "Hardswish",
    "Identity",
    "LeakyReLU",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class Identity(Module):
    """Return the input; takes and ignores any arguments, to stand in for any layer.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(2)
    >>> mg.nn.Identity()(x) is x
    True
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class _InPlace(Module):
    """An activation that may change its input, PyTorch's argument `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """max(x, 0).

    Parameters
    ----------
    inplace : bool, default False
        Whether the input itself is changed; so for all activations that have this argument.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ReLU()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x, self.inplace)


class ReLU6(_InPlace):
    """min(max(x, 0), 6).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ReLU6()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x, self.inplace)


class SELU(_InPlace):
    """1.0507·ELU of alpha 1.6733 (Klambauer et al., 2017).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.SELU()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.1113,  0.    ,  2.1014])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(x, self.inplace)


class Hardswish(_InPlace):
    """x·min(max(x + 3, 0), 6) / 6 (Howard et al., 2019).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Hardswish()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.3333,  0.    ,  1.6667])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(x, self.inplace)


class Hardsigmoid(_InPlace):
    """min(max(x + 3, 0), 6) / 6.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Hardsigmoid()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([0.3333, 0.5   , 0.8333])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.hardsigmoid(x, self.inplace)


class Mish(_InPlace):
    """x·tanh(softplus(x)) (Misra, 2019).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Mish()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.3034,  0.    ,  1.944 ])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.mish(x, self.inplace)


class GELU(Module):
    """x·Φ(x), Φ the normal distribution function (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "none" is exact (erf); "tanh" is 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.GELU()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.1587,  0.    ,  1.9545])
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise unknown("GELU approximation", approximate, ("none", "tanh"))
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(_InPlace):
    """x·sigmoid(x), also called swish.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.SiLU()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.2689,  0.    ,  1.7616])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x, self.inplace)


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Sigmoid()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([0.2689, 0.5   , 0.8808])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Tanh()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.7616,  0.    ,  0.964 ])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)


class Softplus(Module):
    """log(1 + e^(βx)) / β; x itself where βx > threshold.

    Parameters
    ----------
    beta : float, default 1
        Steepness.
    threshold : float, default 20
        Where the function is linear to rounding.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Softplus()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([0.3133, 0.6931, 2.1269])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class LeakyReLU(Module):
    """x where positive, negative_slope·x elsewhere.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Slope for negative x.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.LeakyReLU()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.01,  0.  ,  2.  ])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x where positive, alpha·(eˣ − 1) elsewhere.

    Parameters
    ----------
    alpha : float, default 1
        Minus the limit for x → −∞.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ELU()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.    ,  2.    ])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha, self.inplace = alpha, inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class CELU(ELU):
    """x where positive, alpha·(e^(x/alpha) − 1) elsewhere (Barron, 2017); parameters as `ELU`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.CELU()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.    ,  2.    ])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.celu(x, self.alpha, self.inplace)


class GLU(Module):
    """The first half of an axis times the sigmoid of the second (Dauphin et al., 2016).

    Parameters
    ----------
    dim : int, default -1
        The axis that is cut in two.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.GLU()(mg.tensor([3.0, 5.0, 0.0, 100.0]))
    tensor([1.5, 5. ])
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """x where positive, weight·x elsewhere, with slopes that are learned (He et al., 2015).

    Parameters
    ----------
    num_parameters : int, default 1
        One slope for all channels, or as many as channels (axis 1).
    init : float, default 0.25
        First value of the slopes.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.PReLU()(mg.tensor([-4.0, 4.0])).detach()
    tensor([-1.,  4.])
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_lengths("PReLU", num_parameters=num_parameters)
        self.num_parameters, self.init = num_parameters, init
        self.weight = empty(num_parameters, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all slopes to the first value."""
        constant_(self.weight, self.init)

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Softmax(Module):
    """e^x / Σ e^x along `dim`.

    Parameters
    ----------
    dim : int
        The axis whose values sum to one.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Softmax(-1)(mg.tensor([1.0, 1.0]))
    tensor([0.5, 0.5])
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """Logarithm of the softmax along `dim`, without overflow.

    Parameters
    ----------
    dim : int
        The axis.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.LogSoftmax(-1)(mg.zeros(2))
    tensor([-0.6931, -0.6931])
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
