"""Whose names are these? Found out from the keys alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import LETTERS, DataError, nearest
from minigrad.models.weights.naming import Naming
from minigrad.models.weights.tables import NAMINGS
from minigrad.tensor import Tensor

__all__ = ["Recognised", "as_arrays", "recognise"]

Arrays = dict[str, NDArray[Any]]

_WRAPPER = re.compile(r"(?:module|model|_orig_mod|backbone|encoder)\.")
_KERNEL = re.compile(r"(?:(?:stages\.\d+|blocks)\.\d+\.dwconv|bottleneck\.\d+\.conv1)\.weight")
LOOKED_AT = 4096  # keys, to find the naming
SHOWN = 3
LIKELY = 20  # unknown keys that are compared with the naming's


class Recognised(NamedTuple):
    """Weights under our names, and what they were called."""

    naming: Naming
    prefix: str  # that a wrapper such as DistributedDataParallel put before
    weights: Arrays
    unknown: list[str]  # keys that the naming has no row for


def recognise(weights: Mapping[str, Any]) -> Recognised:
    """Find the naming that knows most of the keys, and rename them.

    Parameters
    ----------
    weights : mapping of str to array or Tensor
        From any of the libraries.

    Returns
    -------
    Recognised

    Raises
    ------
    DataError
        If no naming finds a ConvNeXt's depthwise kernel; it names the nearest naming.

    Examples
    --------
    >>> weights = {"module.stages.0.blocks.0.conv_dw.weight": np.ones((8, 1, 7, 7))}
    >>> recognise(weights).naming.name
    'timm'
    """
    arrays = as_arrays(weights)
    few = dict(list(arrays.items())[:LOOKED_AT])
    prefixes = sorted({prefix for key in few for prefix in _prefixes(key)}, key=len)
    best: tuple[int, Naming, str] | None = None
    for naming, prefix in product(NAMINGS, prefixes):
        inner = _without(prefix, few)
        blocks = naming.blocks(inner)
        count = sum(naming.find(key, array, blocks) is not None for key, array in inner.items())
        if best is None or count > best[0]:
            best = count, naming, prefix
        if count == len(few):  # it knows all of them, which no other can better
            break
    if best is not None:
        _, naming, prefix = best
        ours, unknown = naming.to_ours(_without(prefix, arrays))
        if any(_KERNEL.fullmatch(key) for key in ours):
            outside = [key for key in arrays if not key.startswith(prefix)]
            return Recognised(naming, prefix, ours, [prefix + key for key in unknown] + outside)
    raise _unrecognised(arrays, best)


def as_arrays(weights: Mapping[str, Any]) -> Arrays:
    """Return the weights as NumPy arrays.

    Raises
    ------
    DataError
        If something in it is not an array.
    """
    arrays: Arrays = {}
    for key, value in weights.items():
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        elif hasattr(value, "detach"):  # PyTorch's
            value = value.detach().cpu()
        array = np.asarray(value)
        if not isinstance(key, str) or array.dtype.kind in "OcSUmM":
            raise DataError(
                f"the weights must be arrays of numbers by name, but {key!r:.80} is of type "
                f"{type(value).__name__} and holds {array.dtype}; pass the state_dict itself, not "
                "what contains it"
            )
        arrays[key] = array
    return arrays


def _prefixes(key: str) -> Iterator[str]:
    """Yield what wrappers may have put before a key, the least first."""
    end = 0
    yield ""
    while found := _WRAPPER.match(key, end):
        end = found.end()
        yield key[:end]


def _without(prefix: str, arrays: Arrays) -> Arrays:
    return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}


def _unrecognised(arrays: Arrays, best: tuple[int, Naming, str] | None) -> DataError:
    keys = list(arrays)
    if best is None or not best[0]:
        return DataError(
            f"these are no weights of a ConvNeXt: {_some(keys) or 'there are none'}; known namings "
            f"are {', '.join(sorted({naming.name for naming in NAMINGS}))}"
        )
    count, naming, prefix = best
    _, unknown = naming.to_ours(_without(prefix, arrays))
    rows = [row.theirs for row in naming.rows]
    near = [(key, match) for key in unknown[:LIKELY] for match in nearest(key, rows)]
    hint = f" ({near[0][0]}: is it {near[0][1]}?)" if near else ""
    return DataError(
        f"no naming of ConvNeXt weights fits; the nearest, {naming.name!r}, knows {count} of "
        f"{len(keys)} keys but no depthwise kernel among them; "
        + (f"it does not know {_some(unknown)}{hint}" if unknown else f"they are {_some(keys)}")
    )


def _some(keys: Iterable[str]) -> str:
    keys = list(keys)
    return ", ".join(key[:LETTERS] for key in keys[:SHOWN]) + (", …" if len(keys) > SHOWN else "")
