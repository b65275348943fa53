"""Tiles of rows from x to y: in one way without GRN, in two with it."""

from __future__ import annotations

from numba import get_thread_id, prange

from minigrad.kernels.cpu.compile import parallel
from minigrad.kernels.cpu.gemm import PACKED, Matrix, multiply
from minigrad.kernels.cpu.mlp_plan import place, tasks_of, tile_of, workspace
from minigrad.kernels.cpu.mlp_steps import activated, below, norm, residual, respond, row
from minigrad.kernels.cpu.tasks import take

__all__ = ["forward", "forward_hidden", "forward_rest"]


@parallel
def forward(rows, hidden, keep, p, slab, memory, tasks):  # type: ignore[no-untyped-def]
    """Take tiles all the way; with `keep` leave the hidden values."""
    channels, size = p.b2.size, p.b1.size
    for _thread in prange(tasks.threads):
        task = take(tasks)
        while task < tasks_of(slab):
            tile = tile_of(slab, task)
            m, count = tile.at, tile.samples * tile.length
            normed, branch, a = workspace(memory[get_thread_id()], count, channels, slab.chunk)
            norm(normed, rows, m, count, p, False)
            for k in range(0, size, slab.chunk):
                width = min(slab.chunk, size - k)
                bias = p.b1[k : k + width]
                w1, w2 = Matrix(p.w1, k * channels, PACKED), Matrix(p.w2, k * channels, PACKED)
                h = place(hidden, k, m, width) if keep else a
                multiply(h, normed, w1, (count, channels, width), False)
                z = activated(a, h, count, bias, keep)
                multiply(branch, z, w2, (count, width, channels), k > 0)
            residual(rows, m, count, branch, p)
            task = take(tasks)


@parallel
def forward_hidden(hidden, sums, rows, known, keep, p, slab, memory, tasks):  # type: ignore[no-untyped-def]
    """Take tiles to h, or without `keep` to ``gelu(h + b1)``; sum up its squares, part by part."""
    channels, size = p.b2.size, p.b1.size
    for _thread in prange(tasks.threads):
        task = take(tasks)
        while task < tasks_of(slab):
            tile = tile_of(slab, task)
            at, count = tile.at, tile.samples * tile.length
            normed, _, a = workspace(memory[get_thread_id()], count, channels, slab.chunk)
            norm(normed, rows, slab.first + at, count, p, known)
            for k in range(0, size, slab.chunk):
                width = min(slab.chunk, size - k)
                h = place(hidden, k, at, width)
                w1 = Matrix(p.w1, k * channels, PACKED)
                multiply(h, normed, w1, (count, channels, width), False)
                z = activated(a, h, count, p.b1[k : k + width], keep)
                for n in range(tile.samples):
                    total = sums[tile.part + n, k : k + width]
                    total[:] = 0
                    for i in range(n * tile.length, (n + 1) * tile.length):
                        value = row(z, i, width)
                        for j in range(width):
                            total[j] += value[j] * value[j]
            task = take(tasks)


@parallel
def forward_rest(rows, hidden, gain, keep, p, slab, memory, tasks):  # type: ignore[no-untyped-def]
    """Take tiles from there to the end, through GRN with a gain for every sample and column."""
    channels, size = p.b2.size, p.b1.size
    for _thread in prange(tasks.threads):
        task = take(tasks)
        while task < tasks_of(slab):
            tile = tile_of(slab, task)
            at, count = tile.at, tile.samples * tile.length
            _, branch, a = workspace(memory[get_thread_id()], count, channels, slab.chunk)
            for k in range(0, size, slab.chunk):
                width = min(slab.chunk, size - k)
                z = place(hidden, k, at, width)
                if keep:
                    z = activated(a, z, count, p.b1[k : k + width], True)
                for n in range(tile.samples):
                    part, own = below(z, n * tile.length), gain[tile.sample + n, k : k + width]
                    respond(part, tile.length, own, p.grn_bias[k : k + width])
                w2 = Matrix(p.w2, k * channels, PACKED)
                multiply(branch, z, w2, (count, width, channels), k > 0)
            residual(rows, slab.first + at, count, branch, p)
            task = take(tasks)
