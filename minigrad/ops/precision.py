"""Which operation `autocast` runs in which precision: the one table, and how it is applied.

The table is PyTorch's for CUDA, and holds on every device. Half precision is for what is bound by
the speed of products; float32 for what sums many numbers, or leaves the range of float16 (65504 at
most): norms, softmax, powers, exponentials, losses. All others take what they get: one operand in
its own precision, several in the widest among them.

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
from minigrad.modes import GRAD, state
from minigrad.tensor import Tensor

__all__ = ["FLOAT32", "HALF", "RULES", "WIDEST", "full_precision", "obey"]

HALF, FLOAT32, WIDEST = "half", "float32", "widest"

RULES: dict[str, str] = {
    name: rule
    for rule, names in {
        HALF: (
            "addmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d einsum "
            "linear matmul"
        ),
        FLOAT32: (
            # functions
            "acos asin cosh cumprod cumsum exp expm1 log log10 log1p log2 norm pow prod reciprocal "
            "rsqrt sinh softplus sum tan "
            # softmax and losses
            "binary_cross_entropy binary_cross_entropy_with_logits cross_entropy dice_loss "
            "huber_loss kl_div l1_loss log_softmax mse_loss nll_loss smooth_l1_loss softmax "
            # norms; the result of batch norm and instance norm is in the precision of the input
            "batch_norm global_response_norm group_norm instance_norm layer_norm pointwise_mlp"
        ),
        WIDEST: "dot index_put scatter_add tensordot",
    }.items()
    for name in names.split()
}
"""Operation to precision."""


def obey(name: str, *operands: Any) -> tuple[Any, ...]:
    """Return the operands of operation `name` in the precision that its rule asks for.

    Only floating tensors are cast, and float64 stays, as in PyTorch. For a device without autocast
    nothing changes.
    """
    casting = state.autocast
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


def full_precision(x: Any) -> bool:
    """Return True unless `autocast` is on for the device of tensor `x`."""
    casting = state.autocast
    return casting is None or device_of(x.array).type not in casting.dtypes


def _counts(x: Any) -> bool:
    return isinstance(x, Tensor) and dtypes.is_floating(x.dtype) and x.dtype != dtypes.float64


def _to(x: Any, dtype: dtypes.DType, cache: dict[Any, Any] | None) -> Any:
    """Return `x` as `dtype`; a parameter from the cache, while it is unchanged."""
    if not _counts(x) or x.dtype == dtype:
        return x
    if cache is None or not (x.is_leaf and x.requires_grad):
        return Cast(dtype)(x)
    # Recorded and unrecorded casts differ: the latter would cut the parameter off.
    key = (id(x), dtype, state.flags & GRAD)
    kept = cache.get(key)
    if kept is None or kept[1] is not x.array or kept[2] != x._version[0]:
        kept = cache[key] = (x, x.array, x._version[0], Cast(dtype)(x))
    return kept[3]
