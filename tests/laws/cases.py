"""What the laws are tried on: small arrays of every shape, layout and domain, drawn by hypothesis.

A row of the table says how to draw one call of its operation::

    lambda d: call(x := d.array(), dim=d.dim(x), keepdim=d.flag())

Floating arrays among the arguments become tensors that require a gradient; integer and boolean
arrays become constant tensors; everything else is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import hypothesis.strategies as st
import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
Domain = Callable[[np.random.Generator, Shape], Array]

SHAPES: list[Shape] = [(), (0,), (1,), (4,), (2, 3), (1, 3), (3, 1), (2, 0), (2, 1, 3)]


class Call(NamedTuple):
    """The arguments of one call."""

    args: tuple[Any, ...]
    options: dict[str, Any]


def call(*args: Any, **options: Any) -> Call:
    return Call(args, options)


# ---- domains --------------------------------------------------------------------------------


def real(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: Shape) -> Array:
    return np.exp(rng.uniform(-1.0, 1.0, shape))


def inside(rng: np.random.Generator, shape: Shape) -> Array:
    """Between -1 and 1, not near the ends."""
    return rng.uniform(-0.9, 0.9, shape)


def probability(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.05, 0.95, shape)


def nonzero(rng: np.random.Generator, shape: Shape) -> Array:
    """Away from 0, where a function has a corner or a pole."""
    return rng.uniform(0.3, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def between(rng: np.random.Generator, shape: Shape) -> Array:
    """Away from all integers and halves, where a function jumps."""
    return rng.integers(-3, 3, shape) + rng.choice([0.15, 0.35, 0.65, 0.85], shape)


def distinct(rng: np.random.Generator, shape: Shape) -> Array:
    """No two alike, so that no extreme is tied."""
    n = int(np.prod(shape))
    return (rng.permutation(n).reshape(shape) - n / 2.0 + 0.25) * 0.4


# ---- layouts --------------------------------------------------------------------------------


def laid_out(values: Array, layout: str) -> Array:
    """Return equal values in another memory layout."""
    if layout == "transposed":
        return values.T.copy().T
    if layout == "gaps" and values.ndim:
        return np.repeat(values, 2, axis=-1)[..., ::2]
    if layout == "backwards" and values.ndim:
        return values[..., ::-1].copy()[..., ::-1]
    return values


# ---- drawing --------------------------------------------------------------------------------


class Draw:
    """Hands out the parts of a call."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 999)))
        self.layout = draw(st.sampled_from(["C", "transposed", "gaps", "backwards"]))

    def pick(self, *values: Any) -> Any:
        return self._draw(st.sampled_from(values))

    def flag(self) -> bool:
        return bool(self.pick(False, True))

    def shape(self, least: int = 0, most: int = 3, filled: bool = False) -> Shape:
        """Draw a shape of `least` to `most` axes; with `filled`, none of them empty."""
        fitting = [s for s in SHAPES if least <= len(s) <= most and not (filled and 0 in s)]
        return self.pick(*fitting)  # type: ignore[no-any-return]

    def array(
        self, domain: Domain = real, shape: Shape | None = None, least: int = 0, most: int = 3,
        filled: bool = False,
    ) -> Array:  # fmt: skip
        shape = self.shape(least, most, filled) if shape is None else shape
        return laid_out(np.asarray(domain(self.rng, shape), np.float64), self.layout)

    def pair(self, x: Domain = real, y: Domain = real, numbers: Sequence[Any] = ()) -> Any:
        """Draw two operands that broadcast; one of them may be a number."""
        shape = self.shape()
        part = tuple([1 if self.flag() else n for n in shape])[self.pick(0, 0, len(shape) // 2) :]
        first, second = self.array(x, shape), self.array(y, part)
        if len(numbers) and self.pick(False, False, True):
            return first, self.pick(*numbers)
        return (first, second) if x is not y or self.flag() else (second, first)

    def same(self, x: Array, domain: Domain = real) -> Array:
        """Draw an array of the shape of `x`."""
        return self.array(domain, x.shape)

    def dim(self, x: Array) -> int:
        n = max(x.ndim, 1)
        return int(self.pick(*range(-n, n)))

    def dims(self, x: Array) -> Any:
        """Draw None, one axis or several."""
        kind = self.pick("all", "one", "several")
        if kind == "all":
            return None
        if kind == "one" or not x.ndim:
            return self.dim(x)
        order = self.rng.permutation(x.ndim)[: self.rng.integers(1, x.ndim + 1)]
        return tuple([int(i) for i in order])

    def integers(self, high: int, shape: Shape, low: int = 0) -> Array:
        return np.asarray(self.rng.integers(low, high, shape))

    def mask(self, shape: Shape) -> Array:
        return np.asarray(self.rng.integers(2, size=shape) > 0)


@st.composite
def calls(draw: Any, build: Callable[[Draw], Call]) -> Call:
    return build(Draw(draw))
