"""minigrad: a small tensor and autograd framework, and the ConvNeXt family that runs on it.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from __future__ import annotations

import math as _math
from inspect import ismodule as _is_module
from typing import Any as _Any

from minigrad import autograd, errors, ops, random
from minigrad.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minigrad.backend import Device as device
from minigrad.casting import autocast, get_autocast_dtype, is_autocast_enabled
from minigrad.construct import as_tensor, from_dlpack, from_numpy, tensor
from minigrad.dtypes import (
    bool_,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    is_floating,
    promote_types,
    result_type,
    set_default_dtype,
    uint8,
)
from minigrad.ops.declare import NAMES as _NAMES
from minigrad.random import (
    Generator,
    bernoulli,
    get_rng_state,
    initial_seed,
    manual_seed,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from minigrad.tensor import Tensor

__version__ = "0.1.0"

bool = bool_
half, float, double = float16, float32, float64
int, long, short = int32, int64, int16
inf, nan, pi, e = _math.inf, _math.nan, _math.pi, _math.e
channels_last, channels_last_3d = "channels_last", "channels_last_3d"
contiguous_format, preserve_format = "contiguous_format", "preserve_format"

_WHOLE = {"freeze": "freezing", "load": "saving", "save": "saving"}  # they import whole packages
_ROOMS = {"autograd", "errors", "ops", "random"}
# Imported on first use.
_PACKAGES = {
    "amp", "cli", "data", "distributed", "io", "models", "nn", "onnx", "optim", "runs", "train",
    "viz",
}  # fmt: skip

globals().update(_NAMES["minigrad"])
__all__ = sorted(
    {n for n, v in globals().items() if n[0] != "_" and n != "annotations" and not _is_module(v)}
    | _ROOMS
    | _PACKAGES
    | set(_WHOLE)
)


def __getattr__(name: str) -> _Any:
    """Import a sub-package on first use; bfloat16 exists where ml_dtypes is installed."""
    if name in _PACKAGES or name in _WHOLE:
        import importlib

        module = importlib.import_module(f"minigrad.{_WHOLE.get(name, name)}")
        return getattr(module, name) if name in _WHOLE else module
    if name == "bfloat16":
        from minigrad.dtypes import bfloat16

        return bfloat16()
    raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
