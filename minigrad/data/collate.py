"""Batches: samples of one structure become one such structure of tensors.

The rules are PyTorch's: arrays and numbers are stacked, Python floats to float64, ints to int64,
bools to bool; strings become a list; tuples, lists and mappings are collated field by field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.dtypes import bool_, float64, int64, promote_types, to_dtype, uint8
from minigrad.errors import DataError, DTypeError
from minigrad.ops.shape import stack
from minigrad.tensor import Tensor

__all__ = ["as_array", "collate", "default_collate", "is_array", "rebuild", "to_tensors"]

_KINDS: dict[str, tuple[type, ...]] = {  # the first that fits
    "text": (str, bytes),
    "a number or an array": (bool, int, float, np.ndarray, np.generic, Tensor),
    "a mapping": (Mapping,),
    "a sequence": (Sequence,),
}

_PYTHON = {bool: bool_, int: int64, float: float64}


def default_collate(samples: Sequence[Any]) -> Any:
    """Put samples together into a batch.

    Parameters
    ----------
    samples : sequence
        Numbers, arrays, Tensors or strings, or tuples, lists and mappings of them, to any depth.

    Returns
    -------
    Tensor, or list, tuple, dict of Tensors
        What one sample is, with a first axis that counts the samples. Python floats become
        float64, ints int64 and bools bool; arrays keep their element type, unsigned integers that
        no tensor has become int64. Strings become a list.

    Raises
    ------
    DataError
        If the samples differ in structure or shape, or hold what is none of these. The message
        names the sample.

    Examples
    --------
    >>> default_collate([(1, {"age": 0.5}), (2, {"age": 1.5})])
    (tensor([1, 2]), {'age': tensor([0.5000, 1.5000], dtype=float64)})
    """
    if not samples:
        raise DataError("default_collate: there is no sample to make a batch of")
    return collate(samples, range(len(samples)))


def collate(samples: Sequence[Any], numbers: Sequence[int], place: str = "") -> Any:
    """Do what `default_collate` does; messages call the samples by their `numbers`."""
    first = samples[0]
    kind = _kind(first, f"sample {numbers[0]}{place}")
    if len(set(map(type, samples))) > 1:
        for number, sample in zip(numbers, samples, strict=True):
            if _kind(sample, f"sample {number}{place}") != kind:
                raise _differ(numbers[0], first, number, sample, place)
    if kind == "text":
        return list(samples)
    if kind == "a mapping":
        for number, sample in zip(numbers, samples, strict=True):
            if sample.keys() != first.keys():
                raise DataError(
                    f"sample {number}{place} has the keys {sorted(map(repr, sample))}, but sample "
                    f"{numbers[0]}{place} has {sorted(map(repr, first))}; every sample of a data "
                    "set needs the same"
                )
        return {k: collate([s[k] for s in samples], numbers, f"{place}[{k!r}]") for k in first}
    if kind == "a sequence":
        for number, sample in zip(numbers, samples, strict=True):
            if len(sample) != len(first):
                raise DataError(
                    f"sample {number}{place} has {len(sample)} fields, but sample "
                    f"{numbers[0]}{place} has {len(first)}; all samples need as many"
                )
        fields = enumerate(zip(*samples, strict=True))
        return rebuild(first, [collate(field, numbers, f"{place}[{i}]") for i, field in fields])
    return _stack(samples, numbers, place)


def rebuild(like: Any, fields: Iterable[Any]) -> Any:
    """Return a tuple, named tuple or list of `fields`, as `like` is one."""
    if isinstance(like, tuple):
        return type(like)(*fields) if hasattr(like, "_fields") else tuple(fields)
    return list(fields)


def is_array(value: Any) -> bool:
    """Return whether a value is an array: ours, NumPy's or another library's."""
    return isinstance(value, Tensor) or hasattr(type(value), "__array__")


def as_array(value: Any) -> Any:
    """Return the NumPy array of what is an array, anything else as it is."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    return np.asarray(value) if is_array(value) else value


def to_tensors(batch: Any) -> Any:
    """Turn the arrays of a batch that somebody else has collated into Tensors."""
    if isinstance(batch, np.ndarray):
        return Tensor(batch)
    if isinstance(batch, Mapping):
        return {key: to_tensors(value) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return rebuild(batch, map(to_tensors, batch))
    return batch


def _kind(value: Any, what: str) -> str:
    for kind, types in _KINDS.items():
        if isinstance(value, types):
            return kind
    if is_array(value):  # of another library
        return "a number or an array"
    found = "None" if value is None else f"of type {type(value).__name__}"
    raise DataError(
        f"{what} is {found}; a batch is made of numbers, arrays, strings, and tuples, lists and "
        "dicts of them: let the data set hand out one of these, or give the DataLoader a collate_fn"
    )


def _stack(values: Sequence[Any], numbers: Sequence[int], place: str) -> Tensor:
    types = set(map(type, values))
    if types <= _PYTHON.keys():
        dtype = reduce(promote_types, map(_PYTHON.__getitem__, types))
        try:
            return Tensor(np.array(values, dtype))
        except OverflowError:
            n = next(n for n, v in zip(numbers, values, strict=True) if abs(v) >= 1 << 63)
            raise DataError(f"sample {n}{place} is a number beyond 64 bits") from None
    items: Sequence[Any] = values
    if types != {Tensor} and types != {np.ndarray}:
        items = [_array(v, n, place) for v, n in zip(values, numbers, strict=True)]
    if len({item.shape for item in items}) > 1:
        raise _ragged(items, numbers, place)
    if types == {Tensor}:
        return stack(items)
    wanted = {item.dtype: item.dtype for item in items}
    for dtype in wanted:
        try:
            wanted[dtype] = _element(dtype)
        except DTypeError as error:
            n = next(n for n, item in zip(numbers, items, strict=True) if item.dtype == dtype)
            raise DataError(f"sample {n}{place} is of {dtype}: {error}") from None
    dtype = reduce(promote_types, wanted.values())
    batch = np.stack(items if len(wanted) == 1 else [item.astype(dtype) for item in items])
    if batch.dtype == np.uint64 and batch.size and batch.max() >= 1 << 63:
        n = next(n for n, item in zip(numbers, items, strict=True) if item.max() >= 1 << 63)
        raise DataError(f"sample {n}{place} is beyond int64: no tensor has uint64")
    return Tensor(batch.astype(dtype, copy=False))


def _element(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the element type that a tensor has for it."""
    native = dtype.newbyteorder("=")
    return int64 if native.kind == "u" and native != uint8 else to_dtype(native)


def _array(value: Any, number: int, place: str) -> NDArray[Any]:
    try:
        return np.asarray(as_array(value))
    except (TypeError, ValueError) as error:
        raise DataError(f"sample {number}{place} is no array: {error}") from None


def _ragged(items: Sequence[Any], numbers: Sequence[int], place: str) -> DataError:
    shape = items[0].shape
    n, other = next((n, i.shape) for n, i in zip(numbers, items, strict=True) if i.shape != shape)
    return DataError(
        f"what is stacked must have one shape: sample {n}{place} has {other}, sample "
        f"{numbers[0]}{place} has {shape}; for pictures add transforms.Resize or RandomResizedCrop "
        "to the DataLoader's transform, else give it a collate_fn"
    )


def _differ(first: int, like: Any, number: int, other: Any, place: str) -> DataError:
    a, b = (type(value).__name__ for value in (like, other))
    return DataError(
        f"sample {number}{place} is of type {b}, but sample {first}{place} of type {a}; every "
        "sample of a data set needs the same structure"
    )
