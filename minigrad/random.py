"""Random numbers from seeded, counter-based streams.

A `Generator` is NumPy's Philox: a number is a function of the seed and a counter, and the state
is a handful of integers that a checkpoint can hold. Numbers are drawn on the host and then moved,
so a seed gives the same ones on the CPU and on a GPU.
"""

from __future__ import annotations

import math
import operator
import os
import secrets
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from minigrad import backend, dtypes
from minigrad.errors import DataError, DTypeError, OptionError, ShapeError, brief
from minigrad.loading import integer
from minigrad.tensor import Tensor

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
    "trunc_normal",
    "uniform",
]

Array = np.ndarray[Any, Any]
_STATE_WORDS = 13  # counter 4, key 2, buffer 4, and three single numbers


_all: weakref.WeakSet[Generator] = weakref.WeakSet()


class Generator:
    """A stream of random numbers.

    Drawing is safe from several threads: each call takes its numbers in one piece.

    Parameters
    ----------
    seed : int, optional
        Start of the stream; default: one from the operating system.

    Examples
    --------
    >>> Generator(0).random((2,)).tolist() == Generator(0).random((2,)).tolist()
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        self._new_bits()
        _all.add(self)
        self.manual_seed(secrets.randbits(63) if seed is None else seed)

    def _new_bits(self) -> None:
        self._bits = np.random.Philox(0)
        self._draw = np.random.Generator(self._bits)

    def _after_fork(self) -> None:
        """Continue at the same place, with a lock that no thread of the parent can hold."""
        state = self._bits.state
        self._new_bits()
        self._bits.state = state

    def __repr__(self) -> str:
        return f"<Generator seed={self._seed}>"

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` again; returns the generator."""
        try:
            seed = operator.index(seed)
        except TypeError:
            raise DTypeError(f"manual_seed: a seed is an int, not {type(seed).__name__}") from None
        if not -(2**63) <= seed < 2**64:
            raise OptionError(f"manual_seed: the seed must fit into 64 bits, {seed} does not")
        self._bits.state = np.random.Philox(seed % 2**64).state
        self._seed = seed
        return self

    def seed(self) -> int:
        """Start a stream with a seed from the operating system; returns the seed."""
        return self.manual_seed(secrets.randbits(63))._seed

    def initial_seed(self) -> int:
        """Return the seed that the stream started with."""
        return self._seed

    def get_state(self) -> Tensor:
        """Return the place in the stream as a uint8 tensor of 104 bytes."""
        state: Any = self._bits.state
        words = np.concatenate([
            state["state"]["counter"],
            state["state"]["key"],
            state["buffer"],
            np.array([state["buffer_pos"], state["has_uint32"], state["uinteger"]], np.uint64),
        ])  # fmt: skip
        return Tensor(words.astype("<u8").view(np.uint8))

    def set_state(self, state: Tensor | Array) -> Generator:
        """Return to a place that `get_state` recorded; returns the generator.

        Raises
        ------
        DataError
            If `state` is not such a tensor.
        """
        self.prepare_state(state)()
        return self

    def prepare_state(self, state: Tensor | Array) -> Callable[[], None]:
        """Check a state; return the function that returns to it (see `loading`)."""
        try:
            data = np.asarray(
                backend.to_device(state.array, "cpu") if isinstance(state, Tensor) else state
            )
        except ValueError:  # nested lists of unequal lengths
            data = np.asarray(None)
        if data.dtype != np.uint8 or data.shape != (8 * _STATE_WORDS,):
            raise DataError(
                f"set_rng_state: a state is a uint8 tensor of {8 * _STATE_WORDS} bytes, not "
                f"{data.dtype} of shape {data.shape}; pass what get_rng_state() returned"
            )
        words = np.ascontiguousarray(data).view("<u8").astype(np.uint64)
        position, has_half, half = (int(word) for word in words[10:])
        # NumPy believes the position in its buffer of four numbers, and would read beyond it.
        if position > 4 or has_half > 1 or half >= 2**32:
            raise DataError(
                f"set_rng_state: these bytes are not the state of a generator (buffer position "
                f"{position} of 4); pass what get_rng_state() returned"
            )
        place: Any = {
            "bit_generator": "Philox",
            "state": {"counter": words[:4], "key": words[4:6]},
            "buffer": words[6:10],
            "buffer_pos": position,
            "has_uint32": has_half,
            "uinteger": half,
        }

        def commit() -> None:
            self._bits.state = place

        return commit

    def branch(self, number: int) -> Generator:
        """Go on with stream `number` of those that begin at this place; 0 is the stream itself.

        Examples
        --------
        >>> draws = [Generator(0).branch(i).random((2,)).tolist() for i in (0, 0, 1)]
        >>> draws[0] == draws[1], draws[0] == draws[2]
        (True, False)
        """
        stream = integer(number)
        if stream is None or stream < 0:
            raise OptionError(
                f"Generator.branch: number must be a whole number, 0 or more, got {brief(number)}"
            )
        if stream:
            state: Any = self._bits.state
            state["state"]["key"][1] ^= np.uint64(stream)
            state["buffer_pos"], state["has_uint32"] = 4, 0  # what is left there is of this stream
            self._bits.state = state
        return self

    # ---- arrays -----------------------------------------------------------------------------

    def random(self, shape: tuple[int, ...], dtype: Any = dtypes.float32) -> Array:
        """Draw floats uniformly from [0, 1) as a NumPy array."""
        dtype = dtypes.to_dtype(dtype)
        if dtype.itemsize > 2:
            return self._draw.random(shape, dtype)
        steps = 2048 if dtype == dtypes.float16 else 256  # that half precision can tell apart
        return (self._draw.integers(steps, size=shape) / steps).astype(dtype)

    def normal(self, shape: tuple[int, ...], dtype: Any = dtypes.float32) -> Array:
        """Draw from the standard normal distribution as a NumPy array."""
        dtype = dtypes.to_dtype(dtype)
        wide = dtypes.float32 if dtype.itemsize == 2 else dtype
        return self._draw.standard_normal(shape, wide).astype(dtype, copy=False)

    def integers(
        self, low: int, high: int, shape: tuple[int, ...], dtype: Any = dtypes.int64
    ) -> Array:
        """Draw integers from [low, high) as a NumPy array."""
        return self._draw.integers(low, high, shape).astype(dtypes.to_dtype(dtype), copy=False)

    def permutation(self, n: int) -> Array:
        """Draw an order of 0 … n-1 as a NumPy array of int64."""
        return self._draw.permutation(n)


_default = Generator()


def _after_fork() -> None:
    for generator in list(_all):
        generator._after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


_replayed: ContextVar[Generator | None] = ContextVar("minigrad.replayed", default=None)


def default_generator() -> Generator:
    """Return the generator that draws where none is given.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(7)
    >>> default_generator().initial_seed()
    7
    """
    return _replayed.get() or _default


def _source(generator: Generator | None) -> Generator:
    return generator or default_generator()


def replay(state: Tensor) -> None:
    """Draw the numbers from `state` on once more in this context, and in no other."""
    _replayed.set(Generator(0).set_state(state))


def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream of `seed`; returns that generator.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> a = mg.randn(3)
    >>> _ = mg.manual_seed(0)
    >>> bool((a == mg.randn(3)).all())
    True
    """
    return default_generator().manual_seed(seed)


def seed() -> int:
    """Give the default generator a seed from the operating system; returns the seed.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.seed() == mg.initial_seed()
    True
    """
    return default_generator().seed()


def initial_seed() -> int:
    """Return the seed that the default generator's stream started with.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(7)
    >>> mg.initial_seed()
    7
    """
    return default_generator().initial_seed()


def get_rng_state() -> Tensor:
    """Return the place of the default generator in its stream (uint8).

    Examples
    --------
    >>> import minigrad as mg
    >>> state = mg.get_rng_state()
    >>> first = mg.rand(2)
    >>> mg.set_rng_state(state)
    >>> mg.equal(mg.rand(2), first)
    True
    """
    return default_generator().get_state()


def set_rng_state(state: Tensor | Array) -> None:
    """Set the default generator back to a place that `get_rng_state` recorded.

    Examples
    --------
    >>> import minigrad as mg
    >>> state = mg.get_rng_state()
    >>> first = mg.rand(2)
    >>> mg.set_rng_state(state)
    >>> mg.equal(mg.rand(2), first)
    True
    """
    default_generator().set_state(state)


# ---- tensors --------------------------------------------------------------------------------


def _size(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """Return a shape given as one sequence or as several integers."""
    given = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    try:
        shape = tuple([operator.index(n) for n in given])
    except TypeError:
        raise DTypeError(f"{name}: a size is a sequence of ints, not {given!r}") from None
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name}: a size has no negative length, got {shape}")
    return shape


def _float_dtype(name: str, dtype: Any) -> dtypes.DType:
    found = dtypes.default_dtype[0] if dtype is None else dtypes.to_dtype(dtype)
    if not dtypes.is_floating(found):
        raise DTypeError(f"{name}: the numbers are floats, dtype cannot be {found}; use randint")
    return found


def _finish(array: Array, device: Any, requires_grad: bool = False) -> Tensor:
    return Tensor(backend.to_device(np.asarray(array), device), requires_grad)


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return floats drawn uniformly from [0, 1).

    Parameters
    ----------
    *size : int
        The shape, as ``rand(2, 3)`` or ``rand((2, 3))``.
    generator : Generator, optional
        Where to draw from; default: the default generator.
    dtype : dtype, optional
        A floating type; default: the default dtype.
    device : str, optional
        Where to put the result; the numbers do not depend on it.
    requires_grad : bool, default False
        Record operations on the result.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.rand(2, 3).shape
    (2, 3)
    """
    array = _source(generator).random(_size("rand", size), _float_dtype("rand", dtype))
    return _finish(array, device, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return floats from the standard normal distribution; parameters as in `rand`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.randn((2, 3), dtype=mg.float64).dtype
    dtype('float64')
    """
    array = _source(generator).normal(_size("randn", size), _float_dtype("randn", dtype))
    return _finish(array, device, requires_grad)


def rand_like(x: Tensor, *, dtype: Any = None, generator: Generator | None = None) -> Tensor:
    """Return `rand` with the shape, dtype and device of `x`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.rand_like(mg.zeros(2, 3)).shape
    (2, 3)
    """
    return rand(x.shape, generator=generator, dtype=dtype or x.dtype, device=x.device)


def randn_like(x: Tensor, *, dtype: Any = None, generator: Generator | None = None) -> Tensor:
    """Return `randn` with the shape, dtype and device of `x`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.randn_like(mg.zeros(2, 3)).shape
    (2, 3)
    """
    return randn(x.shape, generator=generator, dtype=dtype or x.dtype, device=x.device)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
) -> Tensor:
    """Return integers drawn uniformly from [low, high); ``randint(high, size)`` starts at 0.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.randint(3, 4, (2,)), mg.randint(1, (2,))
    (tensor([3, 3]), tensor([0, 0]))
    """
    if size is None and isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    if size is None or high is None:
        raise OptionError("randint: give a size: randint(high, size) or randint(low, high, size)")
    if low >= high:
        raise OptionError(f"randint: there is no integer in [{low}, {high}); high must exceed low")
    shape = _size("randint", (size,))
    wanted = dtypes.int64 if dtype is None else dtypes.to_dtype(dtype)
    return _finish(_source(generator).integers(low, high, shape, wanted), device)


def randint_like(x: Tensor, low: int, high: int | None = None, *, dtype: Any = None) -> Tensor:
    """Return `randint` with the shape, dtype and device of `x`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.randint_like(mg.zeros(3), 0, 2).shape
    (3,)
    """
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, x.shape, dtype=dtype or x.dtype, device=x.device)


def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: str | None = None
) -> Tensor:
    """Return the integers 0 … n-1 in a random order.

    Examples
    --------
    >>> import minigrad as mg
    >>> sorted(mg.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    (n,) = _size("randperm", (n,))
    wanted = dtypes.int64 if dtype is None else dtypes.to_dtype(dtype)
    return _finish(_source(generator).permutation(n).astype(wanted, copy=False), device)


def uniform(
    low: float = 0.0,
    high: float = 1.0,
    size: Any = (),
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return floats drawn uniformly from [low, high).

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.random.uniform(-1, 1, (100,))
    >>> bool(x.abs().max() <= 1)
    True
    """
    if low > high:
        raise OptionError(f"uniform: low {low} is above high {high}")
    shape, wanted = _size("uniform", (size,)), _float_dtype("uniform", dtype)
    array = _source(generator).random(shape, wanted) * float(high - low) + float(low)
    return _finish(array, device, requires_grad)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return floats from normal distributions.

    Parameters
    ----------
    mean, std : float or Tensor
        Of each element; tensors broadcast and give the shape.
    size : sequence of int, optional
        The shape, if both are numbers.
    generator, dtype, device, requires_grad
        As in `rand`.

    Raises
    ------
    OptionError
        If `std` is negative, or `size` and tensors are given together.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.normal(10.0, 0.0, (2,))
    tensor([10., 10.])
    """
    tensors = [value for value in (mean, std) if isinstance(value, Tensor)]
    if tensors and size is not None:
        raise OptionError("normal: a size goes with numbers only; tensors have their own shape")
    place = device if device is not None else tensors[0].device if tensors else None
    centre, spread = [
        backend.to_device(v.array, "cpu") if isinstance(v, Tensor) else float(v)
        for v in (mean, std)
    ]
    if np.any(np.less(spread, 0)):
        raise OptionError("normal: std must not be negative")
    if tensors:
        shape = np.broadcast_shapes(np.shape(centre), np.shape(spread))
        dtype = dtype or tensors[0].dtype
    else:
        shape = _size("normal", ((),) if size is None else (size,))
    wanted = _float_dtype("normal", dtype)
    array = _source(generator).normal(shape, wanted) * spread + centre
    return _finish(np.asarray(array, wanted), place, requires_grad)


def bernoulli(x: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Return 1 with the probabilities in `x`, else 0.

    Raises
    ------
    OptionError
        If a probability is not in [0, 1].

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.bernoulli(mg.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    _float_dtype("bernoulli", x.dtype)
    p = backend.to_device(x.array, "cpu")
    if not np.all((p >= 0) & (p <= 1)):
        raise OptionError("bernoulli: probabilities are in [0, 1]; apply sigmoid to logits first")
    drawn = _source(generator).random(p.shape, dtypes.float64) < p
    return _finish(drawn.astype(x.dtype), x.device)


def multinomial(
    x: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Draw `num_samples` indices per row of weights, with the weights as probabilities.

    Without replacement the indices are those of the largest ``weight ** (1 / u)``, with `u` uniform
    in (0, 1) (Efraimidis and Spirakis, 2006), as in PyTorch.

    Parameters
    ----------
    x : Tensor
        Weights ≥ 0, shape (n,) or (rows, n).
    num_samples : int
        How many to draw.
    replacement : bool, default False
        Whether an index may come up again.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.multinomial(mg.tensor([0.0, 1.0, 0.0]), 1)
    tensor([1])
    """
    weights = backend.to_device(x.array, "cpu").astype(np.float64)
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial: weights are (n,) or (rows, n), not {x.shape}")
    if not (np.all(weights >= 0) and np.all(np.isfinite(weights)) and np.all(weights.sum(-1) > 0)):
        raise OptionError("multinomial: weights must be finite, >= 0 and not all 0 in a row")
    possible = int(np.min((weights > 0).sum(-1)))
    if num_samples < 1 or (not replacement and num_samples > possible):
        raise OptionError(
            f"multinomial: num_samples={num_samples} must be positive, and without replacement at "
            f"most {possible}, the number of weights above 0"
        )
    draw = _source(generator)
    if replacement:
        ends = weights.cumsum(-1)
        spots = draw.random((*weights.shape[:-1], num_samples), np.float64) * ends[..., -1:]
        index = (spots[..., None] >= ends[..., None, :]).sum(-1)
    else:
        waits = -np.log1p(-draw.random(weights.shape, np.float64))
        waits = np.where(weights > 0, backend.quiet(np.divide, waits, weights), math.inf)
        index = waits.argsort(-1, kind="stable")[..., :num_samples]
    return _finish(index.astype(np.int64, copy=False), x.device)


def trunc_normal(
    size: Any,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return floats from the part of a normal distribution between `a` and `b`.

    Values outside are drawn again. Where the interval holds little of the distribution, values
    are drawn uniformly from it and kept with the probability that their density gives.

    Parameters
    ----------
    size : sequence of int
        The shape.
    mean, std : float
        Of the whole distribution.
    a, b : float
        The bounds, absolute values as in PyTorch's ``nn.init.trunc_normal_`` (not multiples of
        `std`).
    generator, dtype, device, requires_grad
        As in `rand`.

    Raises
    ------
    OptionError
        If `std` is negative or `a` is not below `b`.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.random.trunc_normal((1000,), a=-0.5, b=1.0)
    >>> bool((x >= -0.5).all()), bool((x <= 1.0).all())
    (True, True)
    """
    if std < 0 or not a < b:
        raise OptionError(f"trunc_normal: std={std} must be >= 0 and a={a} below b={b}")
    wanted = _float_dtype("trunc_normal", dtype)
    shape = _size("trunc_normal", (size,))
    draw = _source(generator)
    if std == 0:
        values = np.full(shape, min(max(mean, a), b))
    else:
        low, high = (a - mean) / std, (b - mean) / std
        values = mean + std * _between(draw, math.prod(shape), low, high).reshape(shape)
    return _finish(values.clip(a, b).astype(wanted), device, requires_grad)


def _between(draw: Generator, n: int, low: float, high: float) -> Array:
    """Draw n standard normal values in [low, high] by rejection, in float64."""
    mass = 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)))
    peak = min(max(low, 0.0), high)  # where the density is highest
    if mass < 0.25:  # the density is below 1e-20 of its peak outside these bounds
        low, high = max(low, peak - 10), min(high, peak + 10)
    found = np.empty(0)
    while len(found) < n:
        need = n - len(found)
        if mass >= 0.25:
            z = draw.normal((need,), np.float64)
            keep = (z >= low) & (z <= high)
        else:
            z = low + (high - low) * draw.random((need,), np.float64)
            keep = draw.random((need,), np.float64) < np.exp((peak * peak - z * z) / 2)
        found = np.concatenate([found, z[keep]])
    return found
