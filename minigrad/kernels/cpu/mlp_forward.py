"""Tiles of rows from x to y: in one way without GRN, in two with it."""

from __future__ import annotations

from numba import get_thread_id, prange

from minigrad.kernels.cpu.compile import parallel
from minigrad.kernels.cpu.gelu_pairs import activated_operand
from minigrad.kernels.cpu.gemm import multiply
from minigrad.kernels.cpu.mlp_plan import (
    chunk_of,
    keeps_apart,
    place,
    target,
    tasks_of,
    tile_of,
    workspace,
)
from minigrad.kernels.cpu.mlp_steps import (
    activated,
    activated_again,
    below,
    norm,
    residual,
    respond,
    row,
)
from minigrad.kernels.cpu.pairs import depth_of, operand
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
            left = operand(normed, count, channels, p.w1)
            for k in range(0, size, slab.chunk):
                width = min(slab.chunk, size - k)
                bias = p.b1[k : k + width]
                w1, w2 = chunk_of(p.w1, k * channels), chunk_of(p.w2, k * channels)
                h = target(hidden, a, k, m, width) if keep else a
                multiply(h, left, w1, (count, depth_of(channels, p.w1), width), False)
                apart = keep and keeps_apart(hidden, h, k, m, count, width)
                z = activated_operand(a, h, count, bias, apart, p.w2)
                multiply(branch, z, w2, (count, depth_of(width, p.w2), channels), k > 0)
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
            left = operand(normed, count, channels, p.w1)
            for k in range(0, size, slab.chunk):
                width = min(slab.chunk, size - k)
                h, w1 = target(hidden, a, k, at, width), chunk_of(p.w1, k * channels)
                multiply(h, left, w1, (count, depth_of(channels, p.w1), width), False)
                apart = keep and keeps_apart(hidden, h, k, at, count, width)
                z = activated(a, h, count, p.b1[k : k + width], apart)
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
                bias = p.b1[k : k + width]
                z = activated_again(a, place(hidden, k, at, width), count, bias, keep)
                for n in range(tile.samples):
                    part, own = below(z, n * tile.length), gain[tile.sample + n, k : k + width]
                    respond(part, tile.length, own, p.grn_bias[k : k + width])
                w2, right = chunk_of(p.w2, k * channels), operand(z, count, width, p.w2)
                multiply(branch, right, w2, (count, depth_of(width, p.w2), channels), k > 0)
            residual(rows, slab.first + at, count, branch, p)
            task = take(tasks)
