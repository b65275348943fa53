"""Batch and instance normalisation: statistics per channel, over the batch or per sample."""

from __future__ import annotations

from typing import Any, ClassVar

from minigrad import dtypes
from minigrad.errors import ShapeError
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers._sizes import check_lengths
from minigrad.nn.module import Module, Parameter
from minigrad.ops.create import zeros
from minigrad.tensor import Tensor

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
]


class _ChannelNorm(Module):
    """Weight, bias and running statistics per channel."""

    axes: ClassVar[tuple[int, ...]]  # accepted numbers of axes

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _optional_state = ("num_batches_tracked",)  # PyTorch did not save it before 0.4

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: str | None,
        dtype: Any,
        bias: bool,
    ) -> None:
        check_lengths(type(self).__name__, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight: Parameter | None
        self.register_parameter("weight", None)
        self.bias: Parameter | None
        self.register_parameter("bias", None)
        if affine:
            self.weight = init.empty(num_features, device=device, dtype=dtype)
            if bias:
                self.bias = init.empty(num_features, device=device, dtype=dtype)
        stats: list[Tensor | None] = [None, None, None]
        if track_running_stats:
            mean, var = (init.empty(num_features, device=device, dtype=dtype) for _ in range(2))
            seen = zeros((), dtype=dtypes.int64, device=device)
            stats = [mean.detach(), var.detach(), seen]
        for name, value in zip(
            ("running_mean", "running_var", "num_batches_tracked"), stats, strict=True
        ):
            self.register_buffer(name, value)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batches."""
        if self.running_mean is not None and self.running_var is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set the weight to one, the bias to zero, and forget the statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input(self, x: Tensor) -> None:
        if x.ndim not in self.axes:
            expected = " or ".join(f"{n}-D" for n in self.axes)
            raise ShapeError(f"expects a {expected} input, got shape {x.shape}")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, x: Tensor) -> Tensor:
        self._check_input(x)
        momentum = self.momentum
        seen = self.num_batches_tracked if self.training else None
        if momentum is None:  # plain average of all batches so far
            momentum = 0.0 if seen is None else 1.0 / (seen.item() + 1.0)
        y = F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training or self.running_mean is None,
            momentum=momentum,
            eps=self.eps,
        )
        if seen is not None:  # a batch that was refused does not count
            seen.add_(1)
        return y


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L); parameters as `BatchNorm2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.BatchNorm1d(3)(mg.randn(4, 3, 8)).shape
    (4, 3, 8)
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalise each channel over the batch and all positions (Ioffe and Szegedy, 2015).

    In training the batch's statistics are used and the running ones follow:
    running = (1 − momentum)·running + momentum·batch (unbiased variance). In evaluation the
    running ones are used.

    Parameters
    ----------
    num_features : int
        Channels of the input (N, C, H, W).
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Weight of the new batch; None averages all batches equally.
    affine : bool, default True
        Whether each channel has a weight and a bias.
    track_running_stats : bool, default True
        Whether running statistics are kept; without them the batch's are always used.
    device, dtype : optional
        Where and in which element type the parameters are made.
    bias : bool, default True
        False leaves the bias out.

    Examples
    --------
    >>> import minigrad as mg
    >>> norm = mg.nn.BatchNorm2d(3)
    >>> _ = norm(mg.randn(8, 3, 4, 4))
    >>> norm.num_batches_tracked.item()
    1
    """

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes (N, C, D, H, W); parameters as `BatchNorm2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.BatchNorm3d(3)(mg.randn(4, 3, 4, 4, 4)).shape
    (4, 3, 4, 4, 4)
    """

    axes = (5,)


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, x: Tensor) -> Tensor:
        self._check_input(x)
        if x.shape[1] != self.num_features:
            raise ShapeError(f"expects {self.num_features} channels, got shape {x.shape}")
        return F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            use_input_stats=self.training or self.running_mean is None,
            momentum=0.1 if self.momentum is None else self.momentum,
            eps=self.eps,
        )


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of signals (N, C, L); parameters as `InstanceNorm2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.InstanceNorm1d(3)(mg.randn(4, 3, 8)).shape
    (4, 3, 8)
    """

    axes = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Normalise each channel of each sample over its positions (Ulyanov et al., 2016).

    Parameters
    ----------
    num_features : int
        Channels of the input (N, C, H, W).
    eps : float, default 1e-5
        Added to the variance.
    momentum : float, default 0.1
        Weight of the new batch in the running statistics, where they are tracked.
    affine : bool, default False
        Whether each channel has a weight and a bias.
    track_running_stats : bool, default False
        Whether running statistics are kept and used in evaluation.
    device, dtype : optional
        Where and in which element type the parameters are made.
    bias : bool, default True
        False leaves the bias out.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.InstanceNorm2d(3)(mg.randn(4, 3, 8, 8)).shape
    (4, 3, 8, 8)
    """

    axes = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of volumes (N, C, D, H, W); parameters as `InstanceNorm2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.InstanceNorm3d(3)(mg.randn(4, 3, 4, 4, 4)).shape
    (4, 3, 4, 4, 4)
    """

    axes = (5,)
