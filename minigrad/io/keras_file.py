"""Writing weights as Keras reads them: an HDF5 file, made by h5py (extra ``keras``)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError, OptionError, brief, missing_extra
from minigrad.io.atomic import atomic_write

__all__ = ["save_keras"]

OWN = "layers/"  # how the paths of Keras 3's own files begin; the older ones list their layers


def save_keras(arrays: Mapping[str, NDArray[Any]], path: str | Path) -> None:
    """Write named arrays to an HDF5 file, as Keras 3 or the older Keras does, atomically.

    Parameters
    ----------
    arrays : mapping of str to numpy.ndarray
        By paths in the file, as `minigrad.models.export_state_dict` names them for "keras" and
        "keras_h5"; of the older kind in the order of the layers, by which Keras takes them.
    path : path
        The file. Keras wants ``….weights.h5`` for its own kind, ``….h5`` for the older one.

    Raises
    ------
    OptionError
        If `arrays` is no mapping.
    DataError
        If the file cannot be written, or a name is no path.
    MissingExtra
        If h5py is not installed.
    """
    if not isinstance(arrays, Mapping):
        raise OptionError(f"save_keras: arrays is a dict of paths and arrays, not {brief(arrays)}")
    try:
        import h5py
    except ImportError:
        raise missing_extra("h5py", "keras") from None
    content = io.BytesIO()
    try:
        with h5py.File(content, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=np.ascontiguousarray(array), track_times=False)
            if not all(name.startswith(OWN) for name in arrays):
                _list_layers(file, arrays)
    except (ValueError, TypeError, OSError) as error:
        raise DataError(f"{path}: HDF5 cannot hold these arrays ({str(error)[:200]})") from None
    with atomic_write(path) as out:
        out.write(content.getbuffer())


def _list_layers(file: Any, names: Mapping[str, Any]) -> None:
    """Write which layers there are, and which weights each has, in their order."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layer, _, weight = name.partition("/")
        layers.setdefault(layer, []).append(weight)
    file.attrs["layer_names"] = list(layers)
    for layer, weights in layers.items():
        file[layer].attrs["weight_names"] = weights
