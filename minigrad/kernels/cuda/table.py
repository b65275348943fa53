"""How threads are laid out over (samples, positions, columns): see the picture in table.cuh."""

from __future__ import annotations

from typing import NamedTuple

from minigrad.kernels.cuda.arrays import THREADS, Array, accumulator, empty, vector

__all__ = ["MOST_SAMPLES", "Table"]

BLOCKS = 1024  # that keep a GPU busy
WIDTH = 128  # threads side by side, at most
MOST_SAMPLES = 65535  # blocks along the third axis of a grid


class Table(NamedTuple):
    """The grid of a kernel, and its last arguments."""

    grid: tuple[int, int, int]
    sizes: tuple[int, int, int, int]  # positions, columns, share, width: the last arguments
    vector: int

    @classmethod
    def of(cls, shape: tuple[int, int, int], *arrays: Array | None) -> Table:
        """Lay `shape` out for arrays that are read or written in vectors."""
        samples, positions, columns = shape
        v = vector(columns, *arrays)
        across = -(-columns // v // WIDTH)
        width = -(-columns // v // across)
        share = -(-samples * positions * across // BLOCKS)
        share = min(positions, max(share, 4 * (THREADS // width)))
        grid = (across, -(-positions // share), samples)
        return cls(grid, (positions, columns, share, width), v)

    def parts(self, like: Array, sums: int = 1) -> Array:
        """Return memory for what the blocks add up over their positions."""
        shape = (self.grid[2], self.grid[1], sums * self.sizes[1])
        return empty(like, shape, accumulator(like.dtype))
