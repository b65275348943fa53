"""Reading back an ONNX file that `export` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError
from minigrad.files import opened
from minigrad.io.onnx_file import read_onnx, read_weights
from minigrad.onnx.graph import ir

__all__ = ["load_weights", "read"]


def load_weights(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the parameters and buffers in an exported file by the names they have in the model.

    What no output of the graph needs is not in the file, such as heads for training alone.
    `minigrad.load` and `minigrad.models.load_pretrained` take such a file too.

    Raises
    ------
    DataError
        If the file is damaged, or `export` did not write it.
    MissingExtra
        If onnx is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> path = pathlib.Path(tempfile.mkdtemp(), "layer.onnx")
    >>> mg.onnx.export(mg.nn.Linear(3, 2), path, mg.ones(1, 3))
    >>> other = mg.nn.Linear(3, 2)
    >>> other.load_state_dict(mg.onnx.load_weights(path))
    LoadReport: 2 loaded, 0 missing, 0 unexpected, 0 mismatched
    """
    with opened(path, mapped=True) as source:
        return {name: np.array(array) for name, array in read_weights(source).items()}


def read(path: str | Path) -> Any:
    """Return the model in a file of ours."""
    with opened(path) as source:
        message = read_onnx(source)
    try:
        model = ir.from_proto(message)
    except Exception as error:  # onnx-ir's errors have no common ancestor
        raise DataError(f"{path}: no graph of ONNX ({str(error)[:200]})") from None
    ir.external_data.set_base_dir(model.graph, Path(path).parent)
    return model
