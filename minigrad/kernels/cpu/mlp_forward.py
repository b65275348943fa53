"""Tiles of rows from x to y: in one way without GRN, in two with it."""

from __future__ import annotations

from numba import get_thread_id, prange

from minigrad.kernels.cpu.compile import parallel
from minigrad.kernels.cpu.gemm import PACKED, Matrix, multiply
from minigrad.kernels.cpu.mlp_plan import place, tile_of, workspace
from minigrad.kernels.cpu.mlp_steps import gelu, gelu_in_place, norm, residual, respond, row

__all__ = ["forward", "forward_hidden", "forward_rest"]


@parallel
def forward(rows, hidden, keep, p, slab, memory):  # type: ignore[no-untyped-def]
    """Take tiles all the way; with `keep` leave the hidden values."""
    channels, size = p.b2.size, p.b1.size
    for task in prange(slab.samples * -(-slab.positions // slab.tile)):
        _, m, count = tile_of(slab, task)
        normed, branch, a = workspace(memory[get_thread_id()], count, channels, slab.chunk)
        norm(normed, rows, m, count, p, False)
        for k in range(0, size, slab.chunk):
            width = min(slab.chunk, size - k)
            bias = p.b1[k : k + width]
            w1, w2 = Matrix(p.w1, k * channels, PACKED), Matrix(p.w2, k * channels, PACKED)
            if keep:
                h = place(hidden, k, m, width)
                multiply(h, normed, w1, (count, channels, width), False)
                gelu(a, h, count, bias)
            else:
                multiply(a, normed, w1, (count, channels, width), False)
                gelu_in_place(a, count, bias)
            multiply(branch, a, w2, (count, width, channels), k > 0)
        residual(rows, m, count, branch, p)


@parallel
def forward_hidden(hidden, sums, rows, known, p, slab, memory):  # type: ignore[no-untyped-def]
    """Take tiles to h; sum up ``gelu(h + b1)^2`` for each."""
    channels, size = p.b2.size, p.b1.size
    for task in prange(len(sums)):
        _, at, count = tile_of(slab, task)
        normed, _, a = workspace(memory[get_thread_id()], count, channels, slab.chunk)
        norm(normed, rows, slab.first + at, count, p, known)
        for k in range(0, size, slab.chunk):
            width = min(slab.chunk, size - k)
            h = place(hidden, k, at, width)
            w1 = Matrix(p.w1, k * channels, PACKED)
            multiply(h, normed, w1, (count, channels, width), False)
            gelu(a, h, count, p.b1[k : k + width])
            total = sums[task, k : k + width]
            total[:] = 0
            for i in range(count):
                value = row(a, i, width)
                for j in range(width):
                    total[j] += value[j] * value[j]


@parallel
def forward_rest(rows, hidden, gain, p, slab, memory):  # type: ignore[no-untyped-def]
    """Take tiles from h to the end, through GRN with a gain for every sample and column."""
    channels, size = p.b2.size, p.b1.size
    for task in prange(slab.samples * -(-slab.positions // slab.tile)):
        n, at, count = tile_of(slab, task)
        _, branch, a = workspace(memory[get_thread_id()], count, channels, slab.chunk)
        for k in range(0, size, slab.chunk):
            width = min(slab.chunk, size - k)
            gelu(a, place(hidden, k, at, width), count, p.b1[k : k + width])
            respond(a, count, gain[n, k : k + width], p.grn_bias[k : k + width])
            w2 = Matrix(p.w2, k * channels, PACKED)
            multiply(branch, a, w2, (count, width, channels), k > 0)
        residual(rows, slab.first + at, count, branch, p)
