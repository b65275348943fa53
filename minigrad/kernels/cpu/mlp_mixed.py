"""The pointwise half of a block for bfloat16: on tiles where there are some, else in float32.

In float32 x is widened, and y narrowed to the type of the skip connection. Backward finds the
hidden values in bfloat16: they are most of what a training step keeps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minigrad.kernels.cpu import mlp_tiles, tiles
from minigrad.kernels.cpu.arrays import Array, narrowed, widened
from minigrad.kernels.formulas.mlp import Weights

__all__ = ["backward", "forward"]


def forward(mlp: Callable[..., Any]) -> Callable[..., Any]:
    """Return `mlp` for bfloat16."""

    @functools.wraps(mlp)
    def run(
        x: Array,
        skip: Array,
        parameters: Weights,
        factor: Array | None = None,
        eps: float = 1e-6,
        grn_eps: float = 1e-6,
        keep: bool = True,
    ) -> Any:
        if tiles.why_none() is None and x.size and not keep and mlp_tiles.fits(parameters):
            return mlp_tiles.forward(x, skip, parameters, factor, eps), None
        given = map(widened, (x, skip, parameters, factor))
        result = mlp(*given, eps, grn_eps, keep)
        if result is NotImplemented:
            return result
        y, saved = result
        return narrowed(y, skip.dtype), saved._replace(hidden=narrowed(saved.hidden, x.dtype))

    return run


def backward(mlp_vjp: Callable[..., Any]) -> Callable[..., Any]:
    """Return `mlp_vjp` for bfloat16; gradients have the types of what they belong to."""

    @functools.wraps(mlp_vjp)
    def run(g: Array, x: Array, parameters: Weights, *args: Any, **options: Any) -> Any:
        result = mlp_vjp(*map(widened, (g, x, parameters, *args)), **options)
        if result is NotImplemented:
            return result
        gx, found = result
        pairs = zip(found, parameters, strict=True)
        return narrowed(gx, x.dtype), Weights(
            *(None if p is None else narrowed(v, p.dtype) for v, p in pairs)
        )

    return run
