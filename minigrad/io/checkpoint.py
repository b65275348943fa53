"""Saving and loading nested state: `save` and `load`.

A checkpoint is an ordinary safetensors file. Its tensors bear the path that leads to them
(``model.stages.0.0.dwconv.weight``), and the metadata entry ``minigrad`` holds the rest as JSON:
the nesting, numbers, strings. Nothing in it is code, so loading a stranger's file is safe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError, DTypeError
from minigrad.io.safetensors import load_file, save_file
from minigrad.tensor import Tensor

__all__ = ["load", "save"]

_KEY = "minigrad"


def save(state: Any, path: str | Path) -> None:
    """Save a state: nested dicts, lists and tuples of tensors, arrays, numbers, strings, None.

    A flat dict of tensors, such as a ``state_dict()``, becomes a plain safetensors file with
    those names, which any other program reads. The write is atomic: a full disk or a crash leaves
    the old file as it was.

    Parameters
    ----------
    state : object
        What to save.
    path : path
        The file, by custom ``….safetensors``.

    Raises
    ------
    DataError
        If something in `state` cannot be stored (its path is named) or the disk refuses.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> path = pathlib.Path(tempfile.mkdtemp(), "state.safetensors")
    >>> save({"epoch": 3, "model": {"weight": mg.ones(2)}}, path)
    >>> load(path)
    {'epoch': 3, 'model': {'weight': tensor([1., 1.])}}
    """
    arrays: dict[str, NDArray[Any]] = {}
    tree = _pack(state, "", arrays)
    flat = isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())
    metadata = {"format": "minigrad"} if flat else {_KEY: json.dumps(tree)}
    save_file(arrays, path, metadata)


def load(path: str | Path) -> Any:
    """Load what `save` saved, or the tensors of any safetensors file as a flat dict.

    Returns
    -------
    object
        Equal to what was saved; tensors on the CPU that require no gradient.

    Raises
    ------
    DataError
        If the file is missing, truncated or malformed.
    """
    arrays, metadata = load_file(path)
    if _KEY not in metadata:
        return {name: _tensor(path, name, array) for name, array in arrays.items()}
    try:
        return _unpack(json.loads(metadata[_KEY]), arrays)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: the file is whole, but its checkpoint metadata is not ({error!r})"
        ) from None


def _tensor(path: str | Path, name: str, array: NDArray[Any]) -> Tensor:
    try:
        return Tensor(array)
    except DTypeError:
        raise DataError(
            f"{path}: {name!r} is {array.dtype}, of which there are no tensors; read the file with "
            "minigrad.io.load_file, which gives arrays"
        ) from None


def _pack(value: Any, path: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return `value` as JSON, with every array moved to `arrays` and replaced by its name.

    JSON has no tuples, arrays or keys other than strings, so everything but a plain number,
    string, list or dict becomes a dict with the one key ``$kind``.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor | np.ndarray):
        if path in arrays:
            raise DataError(f"save: two entries of the state lead to the name {path!r}")
        if isinstance(value, Tensor):
            arrays[path] = value.detach().cpu().numpy()
            return {"$tensor": path}
        arrays[path] = value
        return {"$array": path}
    if isinstance(value, list | tuple):
        items = [_pack(v, _join(path, i), arrays) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping):
        pairs = {k: _pack(v, _join(path, k), arrays) for k, v in value.items()}
        if all(isinstance(k, str) and not k.startswith("$") for k in pairs):
            return pairs
        if all(isinstance(k, int | str) for k in pairs):
            return {"$map": [[k, v] for k, v in pairs.items()]}
    raise DataError(
        f"save: {path or 'the state'} is of type {type(value).__name__}; only tensors, arrays, "
        "numbers, strings, None and dicts, lists and tuples of them can be saved"
        + ("; save its state_dict()" if hasattr(value, "state_dict") else "")
    )


def _unpack(tree: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(tree, list):
        return [_unpack(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    match next(iter(tree.items()), ("", None)):
        case ("$tensor", name):
            return Tensor(arrays[name])
        case ("$array", name):
            return arrays[name]
        case ("$tuple", items):
            return tuple(_unpack(item, arrays) for item in items)
        case ("$map", pairs):
            return {key: _unpack(item, arrays) for key, item in pairs}
    return {key: _unpack(item, arrays) for key, item in tree.items()}


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
