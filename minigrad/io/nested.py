"""Saving and loading nested state: `save` and `load`.

The file is an ordinary safetensors file. Each tensor is named by the path that leads to it
(``model.stages.0.0.dwconv.weight``), and the metadata entry ``minigrad`` holds the rest as JSON:
the nesting, numbers, strings. Nothing in it is code, so loading a stranger's file is safe.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError, DTypeError, MinigradError, MissingExtra
from minigrad.io.safetensors import load_file, save_file, without_duplicates
from minigrad.nn import init
from minigrad.tensor import Tensor

__all__ = ["building", "load", "load_weights", "save", "unpack"]

_KEY = "minigrad"
_MISTAKES = (  # what unexpected values lead to
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


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
        The file, by convention ``….safetensors``.

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
    try:
        tree = _pack(state, "", arrays)
        text = json.dumps(tree)
    except RecursionError:
        raise DataError("save: the state is nested too deeply, or contains itself") from None
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"save: the state has a number that no file can hold ({error})") from None
    flat = isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())
    bare = flat and list(arrays) == list(state)  # its keys are names as they are
    save_file(arrays, path, {"format": "minigrad"} if bare else {_KEY: text})


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

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "state.safetensors")
    ...     mg.io.save({"step": 3, "weights": [mg.ones(2)]}, path)
    ...     mg.io.load(path)
    {'step': 3, 'weights': [tensor([1., 1.])]}
    """
    return unpack(path, *load_file(path))


def unpack(path: str | Path, arrays: dict[str, NDArray[Any]], metadata: Mapping[str, Any]) -> Any:
    """Return the state that the arrays and metadata of a file are; its tensors are the arrays."""
    if _KEY not in metadata:
        return {name: _tensor(path, name, array) for name, array in arrays.items()}
    try:
        state = _unpack(json.loads(metadata[_KEY], object_pairs_hook=without_duplicates), arrays)
        if arrays:
            raise ValueError(f"it has no place for {next(iter(arrays))!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: the file is whole, but its checkpoint metadata is not ({error!r:.200})"
        ) from None
    return state


def load_weights(path: str | Path) -> dict[str, Any]:
    """Load the weights of a model by name: bare, or out of a whole model's or a run's file.

    Raises
    ------
    DataError
        If the file is missing or damaged, or holds something else.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "layer.safetensors")
    ...     mg.io.save(mg.nn.Linear(2, 3).state_dict(), path)
    ...     sorted(mg.io.load_weights(path))
    ['bias', 'weight']
    """
    state = load(path)
    if isinstance(state, dict):
        for key in ("ema", "weights", "model"):  # the average, where a run keeps one
            if isinstance(state.get(key), dict) and state[key]:
                state = state[key]
                break
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor | np.ndarray)
        for name, value in state.items()
    ):
        raise DataError(f"{path}: a safetensors file, but not of a model's weights")
    return state


@contextmanager
def building(path: str | Path, weights: Any) -> Iterator[None]:
    """Build a model as a file says, and load its weights, inside the block.

    Whatever goes wrong there is the file's fault, and the model cannot have many more parameters
    than the file has weights for; random initial values are left out.

    Raises
    ------
    DataError
        Naming the file.
    """
    given = weights.values() if isinstance(weights, Mapping) else ()
    count = sum(int(np.prod(getattr(value, "shape", ()))) for value in given)
    try:
        with init.skip_random(), init.at_most(4 * count + 4096):  # some are built twice
            yield
    except MissingExtra:
        raise
    except (MinigradError, *_MISTAKES) as error:
        what = str(error) if isinstance(error, MinigradError) else repr(error)
        raise DataError(
            f"{path}: the file is whole, but the model that it describes cannot be built: "
            f"{what[:1000]}"
        ) from error


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
    value = _plain(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor | np.ndarray):
        kind = "$tensor" if isinstance(value, Tensor) else "$array"
        name = path
        while name in arrays or name == "__metadata__":
            name += "_"
        arrays[name] = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        return {kind: name}
    if isinstance(value, list | tuple):
        items = [_pack(v, _join(path, i), arrays) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping):
        pairs = [(_key(k, path), _pack(v, _join(path, k), arrays)) for k, v in value.items()]
        if all(isinstance(k, str) and not k.startswith("$") for k, _ in pairs):
            return dict(pairs)
        return {"$map": pairs}
    raise DataError(
        f"save: {path or 'the state'} is of type {type(value).__name__}; only tensors, arrays, "
        "numbers, strings, None and dicts, lists and tuples of them can be saved"
        + ("; save its state_dict()" if hasattr(value, "state_dict") else "")
    )


def _plain(value: Any) -> Any:
    """Return a number of NumPy's as one of Python's, and anything else as it is."""
    return value.item() if isinstance(value, np.bool_ | np.integer | np.floating) else value


def _key(key: Any, path: str) -> Any:
    key = _plain(key)
    if key is None or isinstance(key, bool | int | float | str):
        return key
    raise DataError(
        f"save: {path or 'the state'} has the key {key!r:.80} of type {type(key).__name__}; only "
        "strings, numbers and None can be keys in a file"
    )


def _unpack(tree: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Turn back what `_pack` made; each array is taken out of `arrays`."""
    if isinstance(tree, list):
        return [_unpack(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if not any(key.startswith("$") for key in tree):
        return {key: _unpack(item, arrays) for key, item in tree.items()}
    ((kind, content),) = tree.items()
    match kind, content:
        case "$tensor", str(name):
            return Tensor(arrays.pop(name))
        case "$array", str(name):
            return arrays.pop(name)
        case "$tuple", [*items]:
            return tuple(_unpack(item, arrays) for item in items)
        case "$map", [*pairs]:
            keys = [key for key, _ in pairs]
            if len(set(keys)) == len(pairs):
                return {key: _unpack(item, arrays) for key, item in pairs}
    raise ValueError(f"no value is written as {tree!r:.80}")


def _join(path: str, key: Any) -> str:
    """Return the name of the value of `key`; lone surrogates, which no file can hold, escaped."""
    key = str(key).encode("utf-8", "backslashreplace").decode()
    return f"{path}.{key}" if path else key
