"""Tensors from Python data, from arrays, and from what other libraries hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backend, dtypes
from minigrad.convert import as_array, from_python
from minigrad.errors import DTypeError
from minigrad.tensor import Tensor

__all__ = ["as_numpy", "as_tensor", "from_dlpack", "from_numpy", "tensor"]


def tensor(
    data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Copy `data` into a new leaf tensor.

    Parameters
    ----------
    data : number, nested sequence, array or Tensor
        The values.
    dtype : dtype or str, optional
        Element type. Default: that of an array; for Python data the default dtype (float32) for
        floats, int64 for integers, bool for truth values.
    device : str, optional
        ``"cpu"`` (default) or ``"cuda[:i]"``.
    requires_grad : bool, default False
        Record operations on the tensor.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If the nested sequences are ragged.
    DTypeError
        If the values are not numbers.

    Examples
    --------
    >>> tensor([[1, 2], [3, 4]]).dtype, tensor(0.5).dtype
    (dtype('int64'), dtype('float32'))
    """
    wanted = None if dtype is None else dtypes.to_dtype(dtype)
    if isinstance(data, Tensor):
        data = data.array
    elif hasattr(data, "dtype"):
        data = as_array(data)
    else:
        data, natural = from_python(data)
        wanted = natural if wanted is None else wanted
        if data.size and wanted.kind in "iu":  # what is too large for a float becomes infinite
            dtypes.check_fits("tensor()", data.min(), wanted)
            dtypes.check_fits("tensor()", data.max(), wanted)
    wanted = wanted or dtypes.to_dtype(data.dtype)
    if device is None and not isinstance(data, np.ndarray):
        array = data.astype(wanted)  # a CuPy array stays where it is
    else:
        array = backend.to_device(np.array(data, wanted), device)
    return Tensor(array, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """Turn `data` into a tensor, sharing memory where dtype and device already fit.

    Examples
    --------
    >>> import minigrad as mg
    >>> a = np.zeros(2)
    >>> mg.as_tensor(a).array is a
    True
    """
    if not isinstance(data, Tensor):
        if not hasattr(data, "dtype") or isinstance(data, np.generic):
            return tensor(data, dtype, device)
        data = Tensor(data)
    assert isinstance(data, Tensor)
    wanted = data.dtype if dtype is None else dtypes.to_dtype(dtype)
    place = data.device if device is None else backend.Device(device)
    if wanted == data.dtype and place == data.device:
        return data
    return data.to(place, wanted)


def as_numpy(values: Any) -> np.ndarray[Any, Any]:
    """Return the values of a tensor of any device, or of what NumPy takes, as a NumPy array.

    Examples
    --------
    >>> import minigrad as mg
    >>> as_numpy(mg.ones(2, requires_grad=True))
    array([1., 1.], dtype=float32)
    """
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """Wrap a NumPy array; both share memory.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.zeros(2, np.float32)
    >>> x = from_numpy(a)
    >>> a[0] = 7
    >>> x
    tensor([7., 0.])
    """
    if not isinstance(array, np.ndarray):
        raise DTypeError(
            f"from_numpy takes a numpy.ndarray, not {type(array).__name__}; use mg.tensor(…)"
        )
    return _borrowed(array)


def from_dlpack(source: Any) -> Tensor:
    """Wrap any object with ``__dlpack__`` (a torch or CuPy tensor, an array) without a copy.

    NumPy 2.0 makes such memory read-only; from 2.1 on it can be changed in place.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.from_dlpack(np.ones(2))
    tensor([1., 1.], dtype=float64)
    """
    if not hasattr(source, "__dlpack_device__"):
        raise DTypeError(
            f"from_dlpack: {type(source).__name__} has no __dlpack__; use mg.tensor(…)"
        )
    kind = source.__dlpack_device__()[0]
    if kind == 2:  # kDLCUDA
        number = source.__dlpack_device__()[1]
        with backend.guard(f"cuda:{number}"):
            return _borrowed(backend.namespace(f"cuda:{number}").from_dlpack(source))
    return _borrowed(np.from_dlpack(source))


def _borrowed(array: Any) -> Tensor:
    result = Tensor(array)
    result._lent()
    return result
