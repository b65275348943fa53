"""Attention of queries to keys."""

from __future__ import annotations

import math
from typing import Any

from minigrad import dtypes
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.modes import state
from minigrad.ops.arguments import check_floating, check_tensor
from minigrad.ops.create import ones
from minigrad.ops.declare import operation
from minigrad.ops.elementwise import where
from minigrad.ops.linalg import matmul
from minigrad.ops.neural.activation import softmax
from minigrad.ops.neural.dropout import dropout
from minigrad.ops.precision import HALF, obey
from minigrad.ops.shape import tril
from minigrad.tensor import Tensor


@operation("functional", autocast=HALF)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Return ``softmax(query @ keyᵀ * scale + mask) @ value``.

    Parameters
    ----------
    query : Tensor, (..., L, E)
        What asks.
    key : Tensor, (..., S, E)
        What is compared with it.
    value : Tensor, (..., S, V)
        What is averaged, by the weights of the comparison.
    attn_mask : Tensor, (..., L, S), optional
        Booleans: True where a key takes part. Or numbers that are added to the scores.
    dropout_p : float, default 0
        Probability that a weight is dropped; always, so pass 0 in evaluation.
    is_causal : bool, default False
        Whether query i sees keys 0 to i alone; without `attn_mask`.
    scale : float, optional
        By default ``1 / sqrt(E)``.

    Returns
    -------
    Tensor, (..., L, V)
        Zeros for a query that may see no key.

    Raises
    ------
    ShapeError
        If the lengths do not match.
    OptionError
        If a mask is given and the causal one asked for too.

    Notes
    -----
    Source: Vaswani et al., arXiv:1706.03762.

    Examples
    --------
    >>> import minigrad as mg
    >>> q = mg.zeros(1, 2, 4)
    >>> v = mg.tensor([[[1.0], [3.0]]])
    >>> mg.nn.functional.scaled_dot_product_attention(q, q, v, is_causal=True)
    tensor([[[1.],
             [2.]]])
    """
    name = "scaled_dot_product_attention"
    q, k, v = (check_tensor(name, t) for t in (query, key, value))
    if state.autocast is not None:
        q, k, v = obey(name, q, k, v)
    check_floating(name, q)
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"{name}: query (..., L, E), key (..., S, E) and value (..., S, V) must share E and S, "
            f"got {q.shape}, {k.shape} and {v.shape}"
        )
    scores = matmul(q, k.transpose(-2, -1)) * (
        1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    )
    mask: Any = None if attn_mask is None else check_tensor(name, attn_mask)
    if is_causal:
        if mask is not None:
            raise OptionError(f"{name}: give attn_mask or is_causal=True, not both")
        mask = tril(ones(*scores.shape[-2:], dtype=dtypes.bool_, device=str(scores.device)))
    if mask is None:
        weights = softmax(scores, -1)
    elif mask.dtype == dtypes.bool_ or mask.is_floating_point():
        boolean = mask.dtype == dtypes.bool_
        scores = where(mask, scores, -math.inf) if boolean else scores + mask.to(scores.dtype)
        seen = (scores != -math.inf).any(-1, keepdim=True)
        weights = where(seen, softmax(where(seen, scores, 0.0), -1), 0.0)  # not NaN if nothing is
    else:
        raise DTypeError(f"{name}: attn_mask is boolean or floating, not {mask.dtype}")
    return matmul(dropout(weights, dropout_p) if dropout_p else weights, v)
