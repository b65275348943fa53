"""Where a surface passes a level, as segments of lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["crossings"]

Floats = NDArray[np.float64]


def crossings(surface: Floats, level: float) -> Floats:
    """Return the segments (n, 2 ends, 2) along which a surface on a grid passes `level`.

    Each square of the grid is two triangles, so that no case is in doubt: either no side of a
    triangle is crossed or two are, those that meet at the corner which lies alone on its side.

    Parameters
    ----------
    surface : array (rows, columns)
        Its value at evenly spaced points; what is not finite has no line.
    level : float
        The value to follow.

    Returns
    -------
    array (n, 2, 2) of float64
        Both ends of each segment as shares of the grid, across and up.

    Examples
    --------
    >>> crossings(np.array([[0.0, 0.0], [1.0, 1.0]]), 0.25).tolist()
    [[[0.0, 0.25], [0.25, 0.25]], [[0.25, 0.25], [1.0, 0.25]]]
    """
    rows, columns = surface.shape
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    corners = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, c, d), (b, d, a))])
    values = surface.reshape(-1)[corners]
    below = values < level
    count = below.sum(1)
    crossed = (count % 3 != 0) & np.isfinite(values).all(1)
    corners, values, below, count = (v[crossed] for v in (corners, values, below, count))
    alone = np.where(count == 1, below.argmax(1), below.argmin(1))
    each = np.arange(len(alone))
    places = np.stack([corners % columns / (columns - 1), corners // columns / (rows - 1)], axis=-1)
    start, here = places[each, alone], values[each, alone]
    ends = []
    for step in (1, 2):
        other = (alone + step) % 3
        share = (level - here) / (values[each, other] - here)
        ends.append(start + share[:, None] * (places[each, other] - start))
    return np.stack(ends, axis=1)
