"""Batch norm whose statistics are those of the whole batch, of which every rank sees a part."""

from __future__ import annotations

from typing import Any

from minigrad.autograd.node import Function
from minigrad.backend import get_xp
from minigrad.distributed.group import Group
from minigrad.errors import ShapeError
from minigrad.loading import check_kinds
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.nn.layers.batch_norm import _BatchNorm
from minigrad.ops import concatenate, ones
from minigrad.tensor import Tensor

__all__ = ["SyncBatchNorm", "synchronise_batch_norm"]


class AllReduce(Function):
    """The sum over the ranks. What each loss owes to it comes from all of them: a sum again."""

    def __init__(self, group: Group) -> None:
        self.group = group

    def forward(self, x: Any) -> Any:
        total = get_xp(x).array(x, copy=True, order="C")
        self.group.all_reduce(total).wait()
        return total

    def backward(self, g: Any) -> Any:
        return AllReduce(self.group)(g)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over the parts of all ranks; parameters as `minigrad.nn.BatchNorm2d`.

    In training mean and variance, and the running ones, are those of the whole batch, as PyTorch's
    ``SyncBatchNorm`` has them. On one rank, and in evaluation, it is the ordinary layer.

    Parameters
    ----------
    num_features : int
        Channels of the input (N, C, …).
    **options
        Of `minigrad.nn.BatchNorm2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> norm = SyncBatchNorm(3)
    >>> norm(mg.randn(4, 3, 8, 8)).shape
    (4, 3, 8, 8)
    """

    axes = (2, 3, 4, 5)
    group = Group()

    def forward(self, x: Tensor) -> Tensor:
        if self.group.size == 1 or not (self.training or self.running_mean is None):
            return super().forward(x)
        self._check_input(x)
        x = x.movedim(1, -1)
        rows, dtype = x.reshape(-1, x.shape[-1]), x.dtype
        rows = rows.float() if dtype.itemsize == 2 else rows
        # The number of rows travels with their sum: the parts need not be equal.
        length = ones(1, dtype=rows.dtype, device=rows.device) * float(len(rows))
        total = AllReduce(self.group)(concatenate([rows.sum(0), length]))
        count = round(total[-1].item())
        if count < 2:
            raise ShapeError(
                "SyncBatchNorm: training needs more than one value per channel, got one on all "
                "ranks together; use a larger batch or model.eval()"
            )
        mean = total[:-1] / float(count)
        centred = rows - mean
        var = AllReduce(self.group)((centred * centred).sum(0)) / float(count)
        self._follow(mean, var * (count / (count - 1)))
        y = centred / (var + self.eps).sqrt()
        if self.weight is not None:
            y = y * self.weight
        if self.bias is not None:
            y = y + self.bias
        result: Tensor = y.to(dtype).reshape(x.shape).movedim(-1, 1)
        return result

    @no_grad()
    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics towards those of the batch."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:  # plain average of all batches so far
            share = 1.0 / self.num_batches_tracked.item()
        for running, value in ((self.running_mean, mean), (self.running_var, var)):
            running.mul_(1.0 - share).add_(value, alpha=share)


def synchronise_batch_norm(model: Module, group: Group) -> None:
    """Let every batch norm inside `model` measure the parts of all ranks.

    The layers become `SyncBatchNorm`; parameters, statistics and names stay. On one rank nothing
    changes.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.nn.Sequential(mg.nn.BatchNorm1d(2))
    >>> synchronise_batch_norm(model, mg.distributed.init())
    >>> model
    Sequential(
      (0): BatchNorm1d(2, ...)
    )
    """
    check_kinds("synchronise_batch_norm", Module, model=model)
    check_kinds("synchronise_batch_norm", Group, "init() returns one", group=group)
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    if group.size == 1 or not layers:
        return
    talk = group.duplicate()  # gradients are under way meanwhile
    for layer in layers:
        layer.__class__ = SyncBatchNorm
        layer.group = talk
