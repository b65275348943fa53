"""The weights in an ONNX file that minigrad wrote; the packages of the extra ``onnx`` parse it.

Parameters and buffers are the graph's initializers, under their names in the model; constants of
the graph have names with a slash. Large ones may lie in a second file beside the first.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from minigrad.dtypes import to_dtype
from minigrad.errors import DataError, missing_extra
from minigrad.files import Source, opened
from minigrad.io.safetensors import Arrays

__all__ = ["PRODUCER", "begins_onnx", "read_onnx", "read_weights"]

PRODUCER = "minigrad"


def begins_onnx(head: bytes) -> bool:
    """Say whether a file begins as ONNX's do: with the version of the format, then the producer."""
    return head[:1] == b"\x08" and head[2:3] == b"\x12"


def read_onnx(source: Source) -> Any:
    """Return the message in a file of ours, an ``onnx.ModelProto``.

    Raises
    ------
    DataError
        If the file is damaged, or another program wrote it.
    MissingExtra
        If onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise missing_extra("onnx", "onnx") from None
    try:
        model = onnx.ModelProto.FromString(source.read(source.limit))
    except Exception as error:  # protobuf's errors have no ancestor that onnx exports
        raise DataError(f"{source.path}: no ONNX file ({str(error)[:200]})") from None
    if model.producer_name != PRODUCER:
        raise DataError(
            f"{source.path}: written by {model.producer_name[:80] or 'an unknown program'}; only "
            "the files of minigrad name their weights as the model does"
        )
    return model


def read_weights(source: Source) -> Arrays:
    """Return parameters and buffers by name.

    Raises
    ------
    DataError
        As `read_onnx`, and if a weight is not whole.
    """
    arrays: Arrays = {}
    for tensor in read_onnx(source).graph.initializer:
        if not isinstance(tensor.name, str):  # protobuf's way to say that it is no UTF-8
            raise DataError(f"{source.path}: a weight's name is no text: {tensor.name[:80]!r}")
        if "/" in tensor.name:
            continue
        if tensor.name in arrays:
            raise DataError(f"{source.path}: two weights have the name {tensor.name!r:.200}")
        try:
            arrays[tensor.name] = _array(tensor, Path(source.path))
        except DataError:
            raise
        except Exception as error:  # whatever onnx says of numbers that are not there
            raise DataError(
                f"{source.path}: {tensor.name!r:.200} is not whole ({str(error)[:200]})"
            ) from None
    return arrays


def _array(tensor: Any, path: Path) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    dtype = to_dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    place = {entry.key: entry.value for entry in tensor.external_data}
    name = place["location"]
    if name != f"{path.name}.data":  # as `minigrad.onnx.export` calls it; a path leads elsewhere
        raise DataError(f"{path}: its weights are in {name!r:.200}, expected {path.name}.data")
    offset, length = int(place["offset"]), math.prod(tensor.dims) * dtype.itemsize
    if offset < 0 or int(place["length"]) != length:
        raise DataError(
            f"{path}: {tensor.name!r:.200} has {place['length']:.40} bytes from byte {offset}, "
            f"expected {length}"
        )
    with opened(path.with_name(name), mapped=True) as beside:
        beside.seek(offset)
        return beside.array(dtype, tensor.dims)
