"""Reading back an ONNX file that `export` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError
from minigrad.onnx.exporting import PRODUCER
from minigrad.onnx.graph import ir

__all__ = ["load_weights", "read"]


def load_weights(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the parameters and buffers in an exported file by the names they have in the model.

    What no output of the graph needs is not in the file, such as heads for training alone.

    Raises
    ------
    DataError
        If the file is damaged, or `export` did not write it.
    MissingExtra
        If onnx-ir is not installed.

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
    weights = read(path).graph.initializers.values()
    return {v.name: np.array(v.const_value.numpy()) for v in weights if "/" not in v.name}


def read(path: str | Path) -> Any:
    """Return the model in a file of ours."""
    try:
        model = ir.load(path)
    except Exception as error:  # protobuf's and onnx-ir's errors have no common ancestor
        raise DataError(f"{path}: no ONNX file ({str(error)[:200]})") from None
    if model.producer_name != PRODUCER:
        raise DataError(
            f"{path}: written by {model.producer_name or 'an unknown program'}; only the files of "
            "minigrad name their weights as the model does"
        )
    return model
