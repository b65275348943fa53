"""minigrad: a small tensor and autograd framework, and the ConvNeXt family that runs on it.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minigrad import autograd, errors, ops, random
from minigrad.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minigrad.backend import Device as device
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
from minigrad.ops.activation import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    silu,
    softmax,
    softplus,
)
from minigrad.ops.compare import (
    allclose,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    ceil,
    eq,
    equal,
    floor,
    frac,
    ge,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
    round,
    sign,
    trunc,
)
from minigrad.ops.create import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from minigrad.ops.dropout import drop_path, dropout
from minigrad.ops.elementwise import (
    abs,
    acos,
    add,
    addcdiv,
    addcmul,
    asin,
    atan,
    atan2,
    clamp,
    cos,
    cosh,
    div,
    erf,
    exp,
    exp2,
    expm1,
    floor_divide,
    lerp,
    log,
    log1p,
    log2,
    log10,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    reciprocal,
    remainder,
    rsqrt,
    sigmoid,
    sin,
    sinh,
    sqrt,
    square,
    sub,
    tan,
    tanh,
    where,
)
from minigrad.ops.index import (
    argsort,
    gather,
    index_select,
    masked_fill,
    masked_select,
    nonzero,
    scatter,
    scatter_add,
    sort,
    take_along_dim,
    topk,
    unique,
)
from minigrad.ops.linalg import (
    addmm,
    bmm,
    dot,
    einsum,
    inner,
    matmul,
    mm,
    mv,
    outer,
    tensordot,
    trace,
)
from minigrad.ops.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    count_nonzero,
    cumprod,
    cumsum,
    logsumexp,
    max,
    mean,
    median,
    min,
    norm,
    prod,
    std,
    std_mean,
    sum,
    var,
    var_mean,
)
from minigrad.ops.shape import (
    broadcast_tensors,
    broadcast_to,
    cat,
    chunk,
    clone,
    concat,
    concatenate,
    diagonal,
    flatten,
    flip,
    hstack,
    meshgrid,
    moveaxis,
    movedim,
    narrow,
    permute,
    ravel,
    repeat_interleave,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    swapaxes,
    swapdims,
    t,
    tile,
    transpose,
    tril,
    triu,
    unbind,
    unflatten,
    unsqueeze,
    vstack,
)
from minigrad.random import (
    Generator,
    bernoulli,
    get_rng_state,
    manual_seed,
    normal,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    set_rng_state,
)
from minigrad.tensor import Tensor, as_tensor, from_dlpack, from_numpy, tensor

if TYPE_CHECKING:
    from minigrad import cli as cli
    from minigrad import data as data
    from minigrad import io as io
    from minigrad import models as models
    from minigrad import nn as nn
    from minigrad import optim as optim
    from minigrad import train as train
    from minigrad import viz as viz

__version__ = "0.1.0"

bool = bool_
half, float, double = float16, float32, float64
int, long, short = int32, int64, int16
absolute, clip, multiply, divide, subtract = abs, clamp, mul, div, sub

_PACKAGES = frozenset({"cli", "data", "io", "models", "nn", "optim", "train", "viz"})


def __getattr__(name: str) -> Any:
    """Import a sub-package on first use; bfloat16 exists where ml_dtypes is installed."""
    if name in _PACKAGES:
        import importlib

        return importlib.import_module(f"minigrad.{name}")
    if name == "bfloat16":
        from minigrad.dtypes import bfloat16

        return bfloat16()
    raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
