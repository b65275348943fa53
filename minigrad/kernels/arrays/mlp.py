"""NumPy's way through the pointwise half of a block, see `minigrad.kernels.formulas.mlp`.

The hidden values are four times as large as x, and their way to memory and back takes as long as
the products. So forward takes tiles through all steps, one per thread: rows, or with GRN, which
needs the norms over all positions, samples.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.kernels.arrays.running import widen
from minigrad.kernels.threads import run_tasks

__all__ = ["in_tiles", "widened"]

Array = Any

TILE = 1 << 18  # hidden values of a tile, about
ROWS = 192  # of a tile at least, for the sake of the products
FEW = 4  # tiles, of which the steps share out the work better


def in_tiles(mlp: Callable[..., tuple[Array, None]]) -> Callable[..., tuple[Array, None]]:
    """Run the formula on tiles of rows, or of samples."""

    @functools.wraps(mlp)
    def run(
        xp: Any,
        x: Array,
        skip: Array,
        p: Any,
        factor: Array | None = None,
        eps: float = 1e-6,
        grn_eps: float = 1e-6,
        keep: bool = True,
    ) -> tuple[Array, None]:
        x, skip, p, factor = map(widen, (x, skip, p, factor))
        if not x.size:
            return mlp(xp, x, skip, p, factor, eps, grn_eps)
        y = np.empty(x.shape, np.result_type(x, skip, p.w1))
        out, hidden = y, len(p.w1)
        if p.grn_weight is None:
            if factor is not None:
                factor = np.repeat(factor, x.size // len(x) // x.shape[-1])
            x, skip, out = (a.reshape(-1, a.shape[-1]) for a in (x, skip, y))
        rows = x.size // len(x) // x.shape[-1]  # of the least that can be a tile
        tiles = -(-len(x) // max(1, max(ROWS, TILE // hidden) // rows))
        if tiles < FEW:
            return mlp(xp, x, skip, p, factor, eps, grn_eps)[0].reshape(y.shape), None
        step = -(-len(x) // (tiles + tiles % 2))

        def tile(start: int) -> None:
            at = slice(start, start + step)
            part = None if factor is None else factor[at]
            out[at] = mlp(xp, x[at], skip[at], p, part, eps, grn_eps)[0]

        run_tasks(tile, range(0, len(x), step))
        return y, None

    return run


def widened(mlp_vjp: Callable[..., Any]) -> Callable[..., Any]:
    """Compute the gradients in float32."""

    @functools.wraps(mlp_vjp)
    def run(xp: Any, *args: Any) -> Any:
        return mlp_vjp(xp, *map(widen, args))

    return run
