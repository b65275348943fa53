"""One door for other programs' weights: from any file or folder come arrays by name.

The first bytes say what a file is. What it holds beside weights (an optimizer, an average of the
weights, counters) is left out, and said so. What the names mean is not asked here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minigrad.errors import DataError, OptionError, brief
from minigrad.files import Source, opened, to_path
from minigrad.io.hdf5 import SIGNATURE, read_hdf5
from minigrad.io.hub import CONFIGS, WEIGHTS, fetch_from_hub, is_hub_name
from minigrad.io.onnx_file import begins_onnx, read_weights
from minigrad.io.safetensors import Arrays, integer, read_safetensors, without_duplicates
from minigrad.io.torch_file import LEGACY, StoredTensor, read_torch
from minigrad.io.unpickle import Inert

__all__ = ["Checkpoint", "read_checkpoint"]

STATES = ("model", "module", "state_dict", "weights", "network_weights", "net")  # the first wins
OTHERS = re.compile(r"(^|_)ema(_|$)|optim|scaler|sched")  # parts that are taken only if asked for
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".h5")  # of the only file of a folder
SHARDS, JSON_LIMIT = 1000, 1 << 22
DEPTH, VISITS, NAME = 16, 200_000, 300  # of a state; one that contains itself is no state


@dataclass
class Checkpoint:
    """The weights that a file holds.

    Attributes
    ----------
    tensors : dict of str to numpy.ndarray
        By name, in the order of the file, or of Keras's lists of names. They are views of the file,
        so not writeable: copy what is to outlive it or to change.
    metadata : dict of str to object
        What else the file says: texts of a safetensors file; numbers, texts and options beside the
        weights of a PyTorch file; attributes of a Keras file, those of its groups by path under
        "groups"; a folder's ``config.json`` under "config", and its ``preprocessor_config.json``
        likewise.
    format : str
        "safetensors", "index" (of several files), "torch", "torch legacy", "keras", "onnx".
    path : Path
        The file.
    selected : str
        The part of the file that the weights are; empty if they are all of it.
    dropped : tuple of str
        The names of other parts, and of entries that are not tensors.
    """

    tensors: Arrays
    metadata: dict[str, Any]
    format: str
    path: Path
    selected: str = ""
    dropped: tuple[str, ...] = ()


def read_checkpoint(path: str | Path, select: str | None = None) -> Checkpoint:
    """Read the weights of a checkpoint: safetensors, PyTorch's files, Keras's HDF5, our ONNX.

    Parameters
    ----------
    path : path
        A file, whose content decides what it is, not its name; the index of a checkpoint in several
        files; a folder with one of these and perhaps a ``config.json``, as hubs have them; or a
        name on Hugging Face's hub such as "timm/convnext_atto.d2_in1k" (extra ``hub``).
    select : str, optional
        The part to take, such as "model_ema"; parts of parts with a dot, in Keras's files with a
        slash. By default the whole, if it is named tensors, else the first of "model", "module",
        "state_dict", … that is; never an average (EMA) of weights, which must be asked for.

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
    if select is not None and not isinstance(select, str):
        raise OptionError(f"read_checkpoint: select is a name or None, got {select!r}")
    if isinstance(path, str) and is_hub_name(path):
        path = fetch_from_hub(path)
    path = to_path(path)
    if not path.is_dir():
        return _read(path, select)
    found = _read(_in_folder(path), select)
    for name in CONFIGS:
        if (path / name).is_file():
            found.metadata[name.removesuffix(".json")] = _json(path / name)
    return found


def _read(path: str | Path, select: str | None, index: bool = True) -> Checkpoint:
    with opened(path, mapped=True) as source:
        head = source.read(32)
        source.seek(0)
        for begins, read in _KINDS:
            if begins(head) and (index or read is not _index):
                return read(source, select)
    if not head:
        raise DataError(f"{path}: the file is empty; fetch it again")
    raise DataError(
        f"{path}: no checkpoint that is known, which are safetensors, PyTorch's files, Keras's "
        f"HDF5 and minigrad's ONNX; it begins with {brief(head[:16])}"
    )


def _in_folder(folder: Path) -> Path:
    """Return the file that a folder's weights are in."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    weights = [name for name in names if name.endswith(SUFFIXES)]
    for name in (*WEIGHTS, *weights[: len(weights) == 1]):
        if name in names:
            return folder / name
    raise DataError(
        f"{folder}: which file holds the weights? It has none of {', '.join(WEIGHTS)}, and "
        f"{len(weights)} files that end in {', '.join(SUFFIXES)}; name one"
    )


def _json(path: Path) -> dict[str, Any]:
    with opened(path) as source:
        text = source.read(JSON_LIMIT)
    try:
        found = json.loads(text, object_pairs_hook=without_duplicates, parse_int=integer)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON ({str(error)[:200]}); fetch the file again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: JSON of a {type(found).__name__}, expected names and values")
    return found


# ---- flat files: their names are paths already --------------------------------------------------


def _safetensors(source: Source, select: str | None) -> Checkpoint:
    arrays, metadata = read_safetensors(source)
    found = Checkpoint(arrays, dict(metadata), "safetensors", Path(source.path))
    return _part(found, select or "", ".")


def _onnx(source: Source, select: str | None) -> Checkpoint:
    found = Checkpoint(read_weights(source), {}, "onnx", Path(source.path))
    return _part(found, select or "", ".")


def _index(source: Source, select: str | None) -> Checkpoint:
    """Gather the tensors of several files, each from the one that the index names."""
    path = Path(source.path)
    index = _json(path)
    places = index.get("weight_map")
    if not isinstance(places, dict) or not all(_beside(name) for name in places.values()):
        raise DataError(f"{path}: its weight_map is no map of tensors to files beside it")
    files = dict.fromkeys(places.values())
    if len(files) > SHARDS:
        raise DataError(f"{path}: {len(files)} files, expected at most {SHARDS}")
    absent = [name for name in files if not (path.parent / name).is_file()]
    if absent:
        raise DataError(f"{path}: {absent[0]} is not beside it; fetch it too")
    shards = {name: _read(path.parent / name, None, index=False).tensors for name in files}
    missing = [name for name, place in places.items() if name not in shards[place]]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(places)} tensors are not where the index says, first "
            f"of them {missing[0]!r:.200} in {places[missing[0]]}; fetch the files again"
        )
    about = index.get("metadata")
    found = Checkpoint(
        {name: shards[place][name] for name, place in places.items()},
        dict(about) if isinstance(about, dict) else {},
        "index",
        path,
        dropped=tuple(n for shard in shards.values() for n in shard if n not in places),
    )
    return _part(found, select or "", ".")


def _beside(name: Any) -> bool:
    """Say whether this is the name of a file, and leads nowhere else."""
    return isinstance(name, str) and bool(re.fullmatch(r"[\w.-]{1,200}", name)) and name[0] != "."


def _keras(source: Source, select: str | None) -> Checkpoint:
    arrays, attributes = read_hdf5(source)
    tops = {name.partition("/")[0] for name in arrays}
    if select is None and "model_weights" in tops:  # a whole model in the older format
        select = "model_weights"
    found = _part(Checkpoint(arrays, {}, "keras", Path(source.path)), select or "", "/")
    if select is None:
        others = [name for name in arrays if _is_other(name.partition("/")[0])]
        found.tensors = {name: a for name, a in arrays.items() if name not in others}
        found.dropped = tuple(others)
    prefix = f"{select}/" if select else ""
    groups = {
        path.removeprefix(prefix): about
        for path, about in attributes.items()
        if f"{path}/".startswith(prefix)
    }
    top = groups.pop(select or "", {})
    found.metadata = {**top, "groups": groups}
    found.tensors = _in_order(found.tensors, top.get("layer_names"), groups)
    return found


def _in_order(arrays: Arrays, layers: Any, groups: Mapping[str, Any]) -> Arrays:
    """Sort tensors as Keras lists the layers, and each layer its weights."""
    listed = [
        f"{layer}/{weight}"
        for layer in dict.fromkeys(_texts(layers))
        for weight in _texts(groups.get(layer, {}).get("weight_names"))
    ]
    return {name: arrays[name] for name in [*listed, *arrays] if name in arrays}


def _texts(value: Any) -> list[str]:
    """Return a list of texts, which an attribute should be, or nothing."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _part(found: Checkpoint, select: str, separator: str) -> Checkpoint:
    """Take the names that begin with that of a part, and leave it out of them."""
    prefix = f"{select}{separator}" if select else ""
    taken = {n.removeprefix(prefix): a for n, a in found.tensors.items() if n.startswith(prefix)}
    if not taken and select:
        tops = {name.partition(separator)[0] for name in found.tensors}
        raise _no_part(found.path, select, tops)
    dropped = (name for name in found.tensors if not name.startswith(prefix))
    return replace(found, tensors=taken, selected=select, dropped=(*found.dropped, *dropped))


# ---- nested states ------------------------------------------------------------------------------


def _torch(source: Source, select: str | None) -> Checkpoint:
    kind, state = read_torch(source)
    if isinstance(state, StoredTensor):
        state = {"": state}
    if type(state) is not dict:
        raise DataError(f"{source.path}: holds a {type(state).__name__} and no named tensors")
    part = state
    selected = _default(source, state) if select is None else select
    for key in selected.split(".") if selected else ():
        part = part.get(key, {}) if type(part) is dict else {}
    if part == {} and not any(type(value) is dict for value in state.values()):
        raise DataError(
            f"{source.path}: has no part {selected!r:.80}: it holds the tensors themselves; leave "
            "select out"
        )
    found = _walk(source, part)
    stored = {name: leaf for name, leaf in found.items() if isinstance(leaf, StoredTensor)}
    if not stored:
        raise _no_part(source.path, selected, map(str, state))
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


_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[..., Checkpoint]], ...] = (
    (lambda head: head[:2] == b"PK", _torch),
    (lambda head: head[:1] == b"\x80" and LEGACY in head, _torch),
    (lambda head: head[:8] == SIGNATURE, _keras),
    (lambda head: head[8:9] == b"{" and head[4:8] == bytes(4), _safetensors),
    (lambda head: head[:1] == b"{", _index),
    (begins_onnx, _onnx),
)


def _default(source: Source, state: Mapping[Any, Any]) -> str:
    """Return which part of a state is its weights."""
    holders = [key for key, part in state.items() if type(part) is dict and _has_tensors(part)]
    for name in STATES:
        if name in holders:
            return name
    if _has_tensors(state):
        return ""
    possible = [key for key in holders if not _is_other(str(key))]
    if len(possible) != 1:
        raise _no_part(source.path, None, map(str, holders or state))
    return str(possible[0])


def _is_other(name: str) -> bool:
    return bool(OTHERS.search(name.lower()))


def _has_tensors(part: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, StoredTensor) for value in part.values())


def _walk(source: Source, tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree by the paths to them."""
    leaves: dict[str, Any] = {}
    waiting, visits = [("", tree, 0)], 0
    while waiting:
        name, value, depth = waiting.pop()
        if depth > DEPTH or visits > VISITS or len(name) > NAME:
            raise DataError(
                f"{source.path}: its state is nested too deeply, or in itself, at {name[:80]!r}"
            )
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


def _no_part(path: Path | str, select: str | None, parts: Iterable[str]) -> DataError:
    wanted = (
        f"no tensors in {select!r:.80}" if select else "more than one part, or none, has tensors"
    )
    listed = ", ".join(sorted(parts)[:8])
    choice = f"; choose with select= among {listed[:400]}" if listed else ""
    return DataError(f"{path}: {wanted}{choice}")
