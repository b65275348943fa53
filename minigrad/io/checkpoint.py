"""One door for other programs' weights: from any file or folder come arrays by name.

The first bytes say what a file is. What it holds beside weights (an optimizer, an average of the
weights, counters) is left out, and said so. What the names mean is not asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minigrad.errors import DataError, brief
from minigrad.files import Source, opened
from minigrad.io.safetensors import read_safetensors
from minigrad.io.torch_file import LEGACY, StoredTensor, read_torch
from minigrad.io.unpickle import Inert

__all__ = ["Checkpoint", "read_checkpoint"]

WEIGHTS = ("model", "module", "state_dict", "weights", "network_weights", "net")  # the first wins
OTHERS = ("optim", "ema", "scaler", "sched")  # parts whose names contain this are asked for by name
DEPTH, VISITS, NAME = 16, 500_000, 1000  # of a state; one that contains itself is no state


@dataclass
class Checkpoint:
    """The weights that a file holds.

    Attributes
    ----------
    tensors : dict of str to numpy.ndarray
        By name, in the file's order. They are views of the file, so not writeable: copy what is to
        outlive it or to change.
    metadata : dict of str to object
        What else the file says: texts of a safetensors file; numbers, texts and options beside the
        weights of a PyTorch file.
    format : str
        "safetensors", "torch", "torch legacy".
    path : Path
        The file or folder.
    selected : str
        The part of the file that the weights are; empty if they are all of it.
    dropped : tuple of str
        The names of other parts, and of entries that are no tensors.
    """

    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, Any]
    format: str
    path: Path
    selected: str = ""
    dropped: tuple[str, ...] = field(default=())


def read_checkpoint(path: str | Path, select: str | None = None) -> Checkpoint:
    """Read the weights of a checkpoint of any kind: safetensors or PyTorch's.

    Parameters
    ----------
    path : path
        The file. Its content decides what it is, not its name.
    select : str, optional
        The part to take, such as "model_ema"; parts of parts with a dot. By default the whole, if
        it is named tensors, else the first of "model", "module", "state_dict", … that is; never an
        average (EMA) of weights, which must be asked for.

    Raises
    ------
    DataError
        If the file is missing, damaged, or of another kind; if it would run code; or if it has no
        such part.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from minigrad.io import save_file
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> save_file({"head.bias": np.zeros(3)}, path, {"by": "me"})
    >>> checkpoint = read_checkpoint(path)
    >>> checkpoint.tensors, checkpoint.metadata
    ({'head.bias': array([0., 0., 0.])}, {'by': 'me'})
    """
    with opened(path, mapped=True) as source:
        head = source.read(32)
        source.seek(0)
        for kind, begins, read in _KINDS:
            if begins(head):
                return read(source, kind, select)
    raise DataError(
        f"{path}: no checkpoint that is known, which are safetensors and PyTorch's files; it "
        f"begins with {brief(head)}"
    )


def _safetensors(source: Source, kind: str, select: str | None) -> Checkpoint:
    arrays, metadata = read_safetensors(source)
    prefix = f"{select}." if select else ""
    taken = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
    if not taken and prefix:
        raise _no_part(source, select, {name.partition(".")[0] for name in arrays})
    dropped = tuple(name for name in arrays if not name.startswith(prefix))
    return Checkpoint(taken, dict(metadata), kind, Path(source.path), select or "", dropped)


def _torch(source: Source, kind: str, select: str | None) -> Checkpoint:
    state = read_torch(source)
    if isinstance(state, StoredTensor):
        state = {"": state}
    if type(state) is not dict:
        raise DataError(f"{source.path}: holds a {type(state).__name__} and no named tensors")
    part = state
    selected = _default(source, state) if select is None else select
    for key in selected.split(".") if selected else ():
        part = part.get(key, {}) if type(part) is dict else {}
    found = _walk(source, part)
    stored = {name: leaf for name, leaf in found.items() if isinstance(leaf, StoredTensor)}
    if not stored:
        raise _no_part(source, selected, map(str, state))
    dropped = [name for name in found if name not in stored]
    if selected:
        dropped += [str(key) for key in state if str(key) != selected.partition(".")[0]]
    return Checkpoint(
        {name: leaf.read() for name, leaf in stored.items()},
        _options(state),
        kind,
        Path(source.path),
        selected,
        tuple(dropped),
    )


_KINDS: tuple[tuple[str, Callable[[bytes], bool], Callable[..., Checkpoint]], ...] = (
    ("torch", lambda head: head[:4] == b"PK\3\4", _torch),
    ("torch legacy", lambda head: head[:1] == b"\x80" and LEGACY in head, _torch),
    ("safetensors", lambda head: head[8:9] == b"{", _safetensors),
)


def _default(source: Source, state: Mapping[Any, Any]) -> str:
    """Return which part of a state is its weights."""
    holders = [key for key, part in state.items() if type(part) is dict and _has_tensors(part)]
    for name in WEIGHTS:
        if name in holders:
            return name
    if _has_tensors(state):
        return ""
    possible = [key for key in holders if not any(word in str(key).lower() for word in OTHERS)]
    if len(possible) != 1:
        raise _no_part(source, None, map(str, holders))
    return str(possible[0])


def _has_tensors(part: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, StoredTensor) for value in part.values())


def _walk(source: Source, tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree by the paths to them."""
    leaves: dict[str, Any] = {}
    waiting, visits = [("", tree, 0)], 0
    while waiting:
        name, value, depth = waiting.pop()
        if type(value) is dict:
            items = list(value.items())
        elif type(value) is list or type(value) is tuple:
            items = list(enumerate(value))
        else:
            if name in leaves:
                raise DataError(f"{source.path}: two entries have the name {name!r}")
            leaves[name] = value
            continue
        visits += len(items)
        if depth == DEPTH or visits > VISITS or len(name) > NAME:
            raise DataError(
                f"{source.path}: its state is nested too deeply, or in itself, at {name[:80]!r}"
            )
        for key, item in reversed(items):
            waiting.append((f"{name}.{key}" if name else str(key), item, depth + 1))
    return leaves


def _options(state: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the numbers and texts of a state, and the options that a program was called with."""
    found = _plain(state)
    for key, value in state.items():
        if isinstance(value, Inert) and isinstance(value.state, dict):
            found[str(key)] = _plain(value.state)
    return found


def _plain(state: Mapping[Any, Any]) -> dict[str, Any]:
    plain = (bool, int, float, str, type(None))
    return {str(key): value for key, value in state.items() if isinstance(value, plain)}


def _no_part(source: Source, select: str | None, parts: Iterable[str]) -> DataError:
    wanted = (
        f"no tensors in {select!r:.80}" if select else "more than one part, or none, has tensors"
    )
    listed = ", ".join(sorted(parts)[:8])
    return DataError(f"{source.path}: {wanted}; choose with select= among {listed[:400]}")
