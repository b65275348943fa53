"""In which precision `autocast` runs an operation: the rules, and how they are applied.

Each operation's declaration names its rule, PyTorch's for CUDA, which holds on every device. Half
precision is for what is bound by the speed of products; float32 for what sums many numbers, or
leaves the range of float16 (65504 at most): norms, softmax, powers, exponentials, losses. All
others take what they get: one operand in its own precision, several in the widest among them.

An operation that has a rule says so itself, in one line::

    if state.autocast is not None:
        x, weight, bias = obey("linear", x, weight, bias)

Gradients need no rule. The casts are recorded operations, so every gradient is computed in the
precision of its result and cast back to that of its operand.
"""

from __future__ import annotations

from typing import Any

from minigrad import dtypes
from minigrad.autograd.node import Cast
from minigrad.backend import device_of
from minigrad.modes import GRAD, current
from minigrad.tensor import Tensor

__all__ = ["FLOAT32", "HALF", "RULES", "WIDEST", "half_of", "obey"]

HALF, FLOAT32, WIDEST = "half", "float32", "widest"

RULES: dict[str, str] = {}
"""Operation to precision; filled by the declarations."""


def obey(name: str, *operands: Any) -> tuple[Any, ...]:
    """Return the operands of operation `name` in the precision that its rule asks for.

    Only floating tensors are cast, and float64 stays, as in PyTorch. For a device without autocast
    nothing changes.
    """
    casting = current().autocast
    first = next((x for x in operands if isinstance(x, Tensor)), None)
    if casting is None or first is None:
        return operands
    half = casting.dtypes.get(device_of(first.array).type)
    if half is None:
        return operands
    rule = RULES[name]
    if rule == HALF:
        return tuple([_to(x, half, casting.cache) for x in operands])
    narrow = rule == WIDEST and not any(_counts(x) and x.dtype.itemsize == 4 for x in operands)
    return operands if narrow else tuple([_to(x, dtypes.float32, None) for x in operands])


def half_of(x: Any) -> dtypes.DType | None:
    """Return the half precision of `autocast` for the device of tensor `x`, or None outside."""
    casting = current().autocast
    return None if casting is None else casting.dtypes.get(device_of(x.array).type)


def _counts(x: Any) -> bool:
    return isinstance(x, Tensor) and dtypes.is_floating(x.dtype) and x.dtype != dtypes.float64


def _to(x: Any, dtype: dtypes.DType, cache: dict[Any, Any] | None) -> Any:
    """Return `x` as `dtype`; a parameter from the cache, while it is unchanged.

    A cast of memory that somebody holds as an array is not kept: its changes are not counted.
    """
    if not _counts(x) or x.dtype == dtype:
        return x
    if cache is None or x._is_lent or not (x.is_leaf and x.requires_grad):
        return Cast(dtype)(x)
    # Recorded and unrecorded casts differ: the latter would cut the parameter off.
    key = (id(x), dtype, current().flags & GRAD)
    kept = cache.get(key)
    if kept is None or kept[1] is not x.array or kept[2] != x._version[0]:
        kept = cache[key] = (x, x.array, x._version[0], Cast(dtype)(x))
    return kept[3]
