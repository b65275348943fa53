"""The pointwise half of a ConvNeXt block in one go: norm, product, GELU, GRN, product, residual.

    h = norm(x) @ w1.T + b1
    z = gelu(h), followed in V2 by global response normalisation
    y = skip + (z @ w2.T + b2) * scale * factor        x, skip, y: rows of C;  h, z: rows of H = 4 C

h is four times as large as x, and its way to memory and back takes as long as the products. So a
task takes a tile of rows through all steps, a chunk of hidden columns at a time:

           tile of x               chunk of h          chunk of z
    rows  |    C    | -norm, @w1-> | CHUNK | --gelu--> | CHUNK | -@w2, added up-> |    C    |

The tile stays in the cache of its core while the weights stream past.

Backward treats rows in tiles as well; then, in blocks of hidden columns, come the gradients of the
weights, which are sums over rows. In between z and the gradient of h have to be kept, so all this
happens in slabs of rows, small enough for the cache that the cores share. How rows are cut depends
on shapes alone: no sum changes with the number of threads.

x, skip, y and h may be bfloat16, as elements are read and written; then products take bfloat16 too
where there are instructions for it.

Backward needs x, the statistics of its rows, and h, which is computed anew if it was not kept.
Hidden values are stored chunk by chunk: ``h[k * rows + row * width + j]`` is in column ``k + j``.

`mlp_plan` cuts the rows and names what the loops work on, `mlp_steps` has the steps of a tile,
`mlp_forward`, `mlp_few_rows` and `mlp_backward` the loops over tiles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import finite
from minigrad.kernels.constants import are_constant
from minigrad.kernels.cpu import mlp_tiles
from minigrad.kernels.cpu.arrays import Array, empty, narrowed, takes
from minigrad.kernels.cpu.bfloat16 import bits, is_bfloat16, working_type
from minigrad.kernels.cpu.gemm import transpose
from minigrad.kernels.cpu.grn import Response
from minigrad.kernels.cpu.mlp_backward import (
    Left,
    backward,
    backward_hidden,
    pieces,
    scale_gradient,
    weight_gradients,
)
from minigrad.kernels.cpu.mlp_few_rows import FEWEST_ROWS, MOST_ROWS, few_hidden, few_rest, in_pairs
from minigrad.kernels.cpu.mlp_forward import forward, forward_hidden, forward_rest
from minigrad.kernels.cpu.mlp_plan import Hidden, Rows, Slab, complete, cut, packed
from minigrad.kernels.cpu.pairs import multiplies_pairs
from minigrad.kernels.cpu.tasks import Tasks
from minigrad.kernels.formulas.mlp import Weights

__all__ = ["Saved", "mlp", "mlp_vjp"]


class Saved(NamedTuple):
    """What forward leaves to backward."""

    stats: Array  # (rows, 2): mean and 1 / standard deviation
    squares: Array | None  # (samples, H): sums of gelu(h)^2 over positions, for GRN
    hidden: Array | None  # h without b1


def _fits(x: Array, p: Weights, factor: Array | None) -> bool:
    if x.ndim < 2:
        return False
    row, wide = x.shape[-1:], p.w1.shape[:1]
    shapes = (row, row, wide + row, wide, row + wide, row, row, wide, wide)
    return all(
        a is None or (a.shape == shape and _has_type(a, x))
        for a, shape in zip((*p, factor), (*shapes, x.shape[:1]), strict=True)
    )


def _has_type(a: Array, x: Array) -> bool:
    """Return whether a has the type of x, or float32 beside bfloat16."""
    return bool(a.dtype == x.dtype or (a.dtype == np.float32 and is_bfloat16(x.dtype)))


# ---- forward ------------------------------------------------------------------------------------


@takes(
    lambda x, skip, p, factor=None, *_, **__: (
        skip.shape == x.shape and _has_type(skip, x) and _fits(x, p, factor)
    ),
    keeps=True,
    bfloat16=True,
)
def mlp(
    x: Array,
    skip: Array,
    parameters: Weights,
    factor: Array | None = None,
    eps: float = 1e-6,
    grn_eps: float = 1e-6,
    keep: bool = True,
) -> tuple[Array, Saved]:
    """Return ``y = skip + (grn(gelu(norm(x) @ w1.T + b1)) @ w2.T + b2) * scale * factor``.

    Parameters
    ----------
    x, skip : array, (N, *spatial, C)
        The output of the depthwise convolution and the input of the block, channels-last.
    parameters : Weights
        Without `grn_weight` there is no GRN, without `scale` no layer scale.
    factor : array, (N,), optional
        Factor of every sample's branch: drop path.
    eps, grn_eps : float, default 1e-6
        Of the layer norm and of GRN.
    keep : bool, default True
        Keep the hidden values for `mlp_vjp`, which otherwise computes them again: 4 / 3 of its
        work without the memory, 4 C numbers a row.

    Returns
    -------
    tuple of (array, Saved)
        y, of the shape of x, and what `mlp_vjp` needs.
    """
    if not keep and mlp_tiles.fits(x, parameters):
        return mlp_tiles.forward(x, skip, parameters, factor, eps), None  # type: ignore[return-value]
    p, pairs, grn = (
        complete(parameters),
        multiplies_pairs(x.dtype),
        parameters.grn_weight is not None,
    )
    count, columns, dtype = x.size // x.shape[-1], p.b1.size, working_type(x.dtype)
    y, stats = empty(x.shape, skip.dtype), empty((count, 2), dtype)
    squares: Any = empty((len(x), columns), dtype) if grn else None
    hidden = empty(count * columns, x.dtype) if keep else None
    kept = Hidden(empty(0, dtype) if hidden is None else bits(hidden), count, 0)
    saved = Saved(stats, squares, hidden)
    if not count:
        return y, saved
    rows = Rows.of(x, skip, y, stats, factor, eps)
    if not keep and count <= _most_few(parameters):
        _forward_few(rows, in_pairs(p) if pairs else p, squares, grn_eps)
    elif grn:
        _forward_with_grn(rows, p, parameters, saved, grn_eps, pairs)
    else:
        *_, tile, chunk = cut(rows, columns, whole_samples=False)[0]
        slab = Slab(0, 1, count, tile, chunk)
        p, memory = packed(p, parameters, chunk, True, pairs), slab.memory(x.shape[-1], dtype)
        forward(rows, kept, keep, p, slab, memory, Tasks.new())
    if grn and not finite(squares):  # the formula squares in a smaller unit
        return NotImplemented  # type: ignore[no-any-return]
    return y, saved


def _most_few(p: Weights) -> int:
    """Return how many rows are few: fewer where nothing is to be packed for them any more."""
    return FEWEST_ROWS if are_constant(p.w1, p.w2) else MOST_ROWS


def _forward_few(rows: Rows, p: Weights, squares: Array | None, eps: float) -> None:
    """Take few rows all the way, or as far as numbers are finite; without GRN no gain has rows."""
    gain = sums = empty((0, p.b1.size), rows.dtype) if squares is None else squares
    hidden = few_hidden(rows, p, sums)
    if squares is not None:
        if not finite(squares):
            return
        gain = Response.of(squares, p.grn_weight, eps).gain
    few_rest(rows, p, hidden, gain)


def _forward_with_grn(
    rows: Rows, p: Weights, given: Weights, saved: Saved, eps: float, pairs: bool
) -> None:
    """Take whole samples to h, for the sums over positions, and then to the end."""
    dtype, columns = rows.dtype, p.b1.size
    slabs = cut(rows, columns, whole_samples=True)
    p, memory = packed(p, given, slabs[0].chunk, True, pairs), slabs[0].memory(p.b2.size, dtype)
    spare, keep = _spare(saved, slabs, columns), saved.hidden is not None
    for slab in slabs:
        hidden, sums = _hidden(saved, slab, spare), empty((slab.parts, columns), dtype)
        forward_hidden(hidden, sums, rows, False, keep, p, slab, memory, Tasks.new())
        squares = _squares(saved, slab)
        squares[...] = sums.reshape(slab.samples, -1, columns).sum(axis=1)
        gain = Response.of(squares, p.grn_weight, eps).gain
        forward_rest(rows, hidden, gain, keep, p, slab, memory, Tasks.new())


def _spare(saved: Saved, slabs: tuple[Slab, ...], columns: int) -> Array:
    """Return memory for the hidden values of a slab where none are kept."""
    most = max(slab.rows for slab in slabs) if saved.hidden is None else 0
    return empty(most * columns, saved.stats.dtype)


def _hidden(saved: Saved, slab: Slab, spare: Array) -> Hidden:
    """Return the place of a slab's hidden values."""
    if saved.hidden is None:
        return Hidden(spare, slab.rows, 0)
    return Hidden(bits(saved.hidden), len(saved.stats), slab.first)


def _squares(saved: Saved, slab: Slab) -> Array:
    """Return the sums of squares of a slab's samples."""
    assert saved.squares is not None
    first = slab.first // slab.positions
    return saved.squares[first : first + slab.samples]


# ---- backward -----------------------------------------------------------------------------------


@takes(
    lambda g, x, p, saved=None, factor=None, *_: (
        g.shape == x.shape and _has_type(g, x) and _fits(x, p, factor)
    ),
    bfloat16=True,
)
def mlp_vjp(
    g: Array,
    x: Array,
    parameters: Weights,
    saved: Saved | None = None,
    factor: Array | None = None,
    eps: float = 1e-6,
    grn_eps: float = 1e-6,
) -> tuple[Array, Weights]:
    """Gradients of `mlp` with respect to x and the parameters; that of `skip` is g itself."""
    if saved is None:  # forward was the formula
        result = mlp(x, x, parameters, factor, eps, grn_eps, keep=False)
        if result is NotImplemented:
            return NotImplemented  # type: ignore[no-any-return]
        _, saved = result
    if not x.size:
        zeros = (None if v is None else np.zeros_like(v) for v in parameters)
        return np.zeros_like(x), Weights(*zeros)
    gx = empty(x.shape, x.dtype)
    rows = Rows.of(x, g, gx, saved.stats, factor, eps)
    found = _gradients(rows, parameters, saved, grn_eps, multiplies_pairs(x.dtype))
    both = zip(found, parameters, strict=True)
    return gx, Weights(*(None if p is None else narrowed(v, p.dtype) for v, p in both))


def _gradients(rows: Rows, parameters: Weights, saved: Saved, eps: float, pairs: bool) -> Weights:
    """Write the gradient of x to ``rows.out``; return those of the parameters."""
    p = complete(parameters)
    dtype, channels, hidden = rows.dtype, p.b2.size, p.b1.size
    grn = parameters.grn_weight is not None
    slabs = cut(rows, hidden, whole_samples=grn)
    memory, cuts = slabs[0].memory(channels, dtype), pieces(hidden, slabs[0].chunk)
    spare = _spare(saved, slabs, hidden)
    chunk = slabs[0].chunk
    again = packed(p, parameters, chunk, True, pairs) if saved.hidden is None else None
    back = packed(p, parameters, chunk, False, pairs)
    turned, gw1 = empty((channels, hidden), dtype), empty((hidden, channels), dtype)
    gw2 = empty((channels, hidden), dtype)
    total, to_grn = np.zeros(hidden + 3 * channels, dtype), np.zeros((2, hidden), dtype)
    gain, slope = np.ones((1, hidden), dtype), np.zeros((1, hidden), dtype)
    most = max(slab.rows for slab in slabs)
    depths = [slab.pairs if pairs else slab.rows for slab in slabs]
    left = Left.empty(max(depths), channels, hidden, np.dtype(np.int32) if pairs else dtype)
    to_z = empty(most * hidden if grn else 0, dtype)
    for slab, depth in zip(slabs, depths, strict=True):
        h, gz = _hidden(saved, slab, spare), Hidden(to_z, slab.rows, 0)
        if again is not None:
            sums = empty((slab.parts, hidden), dtype)
            forward_hidden(h, sums, rows, True, True, again, slab, memory, Tasks.new())
        if grn:
            sums = empty((slab.parts, 2, hidden), dtype)
            backward_hidden(gz, sums, rows, h, back, slab, memory, Tasks.new())
            g_z, product = sums.reshape(slab.samples, -1, 2, hidden).sum(axis=1).swapaxes(0, 1)
            response = Response.of(_squares(saved, slab), p.grn_weight, eps)
            gain, slope = response.gain, response.slope(product, p.grn_weight)
            to_grn[0] += (product * (response.norm * response.share)).sum(axis=0)
            to_grn[1] += g_z.sum(axis=0)
        sums = empty((slab.tasks, hidden + 3 * channels), dtype)
        of_grn = grn, gain, slope
        backward(left, depth, sums, rows, h, gz, of_grn, back, slab, memory, Tasks.new())
        total += sums.sum(axis=0)
        weight_gradients(turned, gw2, cuts, left, depth, slab.first > 0, Tasks.new())
    transpose(gw1.reshape(-1), turned)
    gscale = np.zeros(channels, dtype)
    scale_gradient(gw2, gscale, p.w2.reshape(gw2.shape), p.scale)
    ends = [hidden, hidden + channels, hidden + 2 * channels]
    gb1, g_norm_weight, g_norm_bias, to_branch = np.split(total, ends)
    return Weights(
        g_norm_weight, g_norm_bias, gw1, gb1, gw2, to_branch * p.scale,
        None if parameters.scale is None else gscale + to_branch * p.b2,
        *(to_grn if grn else (None, None)),
    )  # fmt: skip
