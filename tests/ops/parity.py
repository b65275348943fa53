"""Compare an operation with PyTorch's: values, dtypes, first and second gradients.

The inputs are drawn by `arrays` of `tests.ops.drawn`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from tests.ops.drawn import Array, arrays, broadcastable, laid_out, layouts, shapes

__all__ = ["agree", "arrays", "broadcastable", "laid_out", "layouts", "same_values", "shapes"]


def _as_list(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _close(ours: Any, theirs: Any, rtol: float, what: str) -> None:
    assert ours.shape == tuple(theirs.shape), what
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch."), what
    expected = theirs.detach().numpy()
    np.testing.assert_allclose(ours.array, expected, rtol=rtol, atol=rtol, err_msg=what)


def same_values(ours: Any, theirs: Any, rtol: float = 1e-10) -> None:
    """Check shapes, dtypes and values of results that need no gradient."""
    ours, theirs = _as_list(ours), _as_list(theirs)
    assert len(ours) == len(theirs)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        _close(a, b, rtol, f"output {i}")


def agree(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    *inputs: Array,
    rtol: float = 1e-8,
    second: bool = True,
) -> None:
    """Check that two functions have equal values, gradients and second gradients at `inputs`."""
    import torch

    x = [mg.Tensor(a.copy(order="K") if a.flags.c_contiguous else a) for a in inputs]
    y = [torch.from_numpy(a.copy()) for a in inputs]
    for tensors in (x, y):
        for t in tensors:
            t.requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, e.g. about degrees of freedom
        theirs_out = _as_list(theirs(*y))
    ours_out = _as_list(ours(*x))
    same_values(ours_out, theirs_out, rtol)

    rng = np.random.default_rng(0)
    pairs = [
        (a, b, rng.standard_normal(a.shape))
        for a, b in zip(ours_out, theirs_out, strict=True)
        if b.requires_grad
    ]
    assert pairs, "nothing to differentiate"
    for a, b, _ in pairs:
        assert a.requires_grad == b.requires_grad
    ga = mg.autograd.grad(
        [a for a, _, _ in pairs],
        x,
        [mg.Tensor(v) for _, _, v in pairs],
        create_graph=True,
        allow_unused=True,
    )
    gb = torch.autograd.grad(
        [b for _, b, _ in pairs],
        y,
        [torch.from_numpy(v) for _, _, v in pairs],
        create_graph=True,
        allow_unused=True,
    )
    for i, (a, b) in enumerate(zip(ga, gb, strict=True)):
        assert (a is None) == (b is None)
        if a is not None:
            _close(a, b, rtol, f"gradient of input {i}")
    _ordinary_pass(ours, inputs, pairs, gb, rtol)
    if second:
        _second(x, y, ga, gb, rng, rtol)


def _ordinary_pass(ours: Any, inputs: Any, pairs: Any, gb: Any, rtol: float) -> None:
    """Check the pass over plain arrays too: the same formulas, another namespace."""
    x = [mg.Tensor(a) for a in inputs]
    for t in x:
        t.requires_grad_()
    out = [o for o in _as_list(ours(*x)) if o.requires_grad]
    mg.autograd.backward(out, [mg.Tensor(v) for _, _, v in pairs])
    for i, (t, b) in enumerate(zip(x, gb, strict=True)):
        assert (t.grad is None) == (b is None)
        if b is not None:
            _close(t.grad, b, rtol, f"gradient of input {i} in the ordinary pass")


def _second(x: Any, y: Any, ga: Any, gb: Any, rng: Any, rtol: float) -> None:
    pairs = [
        (a, b, rng.standard_normal(a.shape))
        for a, b in zip(ga, gb, strict=True)
        if b is not None and b.requires_grad
    ]
    if not pairs:
        return  # the function is linear
    import torch

    theirs = torch.autograd.grad(
        [b for _, b, _ in pairs],
        y,
        [torch.from_numpy(v) for _, _, v in pairs],
        allow_unused=True,
    )
    curved = [(a, v) for a, _, v in pairs if a.requires_grad]  # the others' derivative is 0
    ours: Any = [None] * len(x)
    if curved:
        ours = mg.autograd.grad(
            [a for a, _ in curved], x, [mg.Tensor(v) for _, v in curved], allow_unused=True
        )
    for i, (a, b, t) in enumerate(zip(ours, theirs, x, strict=True)):
        found = np.zeros(t.shape) if a is None else a.array
        expected = np.zeros(t.shape) if b is None else b.numpy(force=True)
        np.testing.assert_allclose(
            found, expected, rtol=rtol, atol=rtol, err_msg=f"second gradient of input {i}"
        )
