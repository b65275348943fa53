"""What comparisons draw: shapes that are 0-d, empty or of size 1, memory that is not contiguous."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import numpy as np

Array = np.ndarray[Any, Any]


@st.composite
def shapes(draw: Any, min_dims: int = 0, max_dims: int = 4, min_side: int = 0) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(min_side, 4), min_size=min_dims, max_size=max_dims)))


def laid_out(values: Array, layout: str) -> Array:
    """Return equal values in C order, with the axes reversed in memory, or with gaps."""
    if layout == "reversed":
        return values.T.copy().T
    if layout == "gaps" and values.ndim:
        wide = np.repeat(values, 2, axis=-1)
        return wide[..., ::2]
    return values


layouts = st.sampled_from(["C", "reversed", "gaps"])


@st.composite
def arrays(
    draw: Any,
    shape: tuple[int, ...] | None = None,
    min_dims: int = 0,
    max_dims: int = 4,
    min_side: int = 0,
    ties: bool | None = None,
) -> Array:
    """Draw float64 values; `ties` makes them small integers, so that equal ones and zeros occur."""
    if shape is None:
        shape = draw(shapes(min_dims, max_dims, min_side))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()) if ties is None else ties:
        values = rng.integers(-2, 3, shape).astype(np.float64)
    else:
        values = rng.standard_normal(shape)
    return laid_out(values, draw(layouts))


def broadcastable(draw: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """Draw a shape that broadcasts to `shape`: lengths set to 1, leading axes dropped."""
    kept = [n if draw(st.booleans()) else 1 for n in shape]
    return tuple(kept[draw(st.integers(0, len(kept))) :])
