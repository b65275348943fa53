"""What is asked of the arguments of `backward` and `grad`, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad import backend, dtypes
from minigrad.autograd.node import Cast
from minigrad.errors import DTypeError, GraphError, ShapeError
from minigrad.tensor import Tensor, wrap

__all__ = ["check_grad", "input_node", "pair"]


def input_node(t: Tensor, where: str) -> Any:
    """Return the node of a tensor to differentiate with respect to."""
    if not isinstance(t, Tensor) or not t.requires_grad:
        raise GraphError(
            f"{where}: an input does not require grad; call x.requires_grad_() before using it"
        )
    return t._node


def pair(
    tensors: Tensor | Sequence[Tensor], grads: Tensor | Sequence[Tensor | None] | None, where: str
) -> list[tuple[Tensor, Tensor]]:
    """Check the outputs and match each with its incoming gradient."""
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    given = [grads] if isinstance(grads, Tensor) else list(grads or [None] * len(tensors))
    if len(given) != len(tensors):
        raise GraphError(f"{where}: {len(tensors)} outputs but {len(given)} gradients for them")
    pairs = []
    for t, g in zip(tensors, given, strict=True):
        if not t.requires_grad:
            raise GraphError(
                f"{where}: the tensor of shape {t.shape} does not require grad and has no graph; "
                "was it computed under no_grad, from detached or from integer tensors?"
            )
        if g is None:
            if t.array.size != 1:
                raise GraphError(
                    f"{where}: the tensor has shape {t.shape}, and only a scalar has a gradient "
                    "without one given; reduce it first (loss.sum() or loss.mean()), pass a "
                    "gradient of its shape, or use autograd.functional.jacobian"
                )
            g = wrap(backend.get_xp(t.array).ones_like(t.array))
        elif g.shape != t.shape:
            raise ShapeError(f"{where}: the gradient has shape {g.shape}, its tensor {t.shape}")
        elif g.dtype != t.dtype:
            if not dtypes.is_floating(g.dtype):
                raise DTypeError(f"{where}: the gradient is {g.dtype}, its tensor {t.dtype}")
            g = Cast(t.dtype)(g)
        pairs.append((t, g))
    return pairs


def check_grad(t: Tensor, g: Tensor) -> None:
    """Refuse to add `g` to a ``grad`` that somebody set to something else."""
    old = t.grad
    if old is None:
        return
    if old.shape != g.shape:
        raise ShapeError(
            f"backward: x.grad has shape {old.shape}, but x has {g.shape}; set x.grad to None first"
        )
    if old.dtype != g.dtype:
        raise DTypeError(
            f"backward: x.grad is {old.dtype}, but x is {g.dtype}; set x.grad to None first"
        )
