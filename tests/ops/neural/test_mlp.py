"""The pointwise half of the block in one operation equals its steps, compiled or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend
from minigrad.errors import DTypeError, ShapeError
from minigrad.models.convnext import Block
from minigrad.nn import functional as F
from minigrad.ops.neural.mlp import pointwise_mlp

KERNELS = ["reference"] + (["fast"] if backend.kernels_in_use() == "fast" else [])


@pytest.fixture(params=KERNELS)
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    with backend.use_kernels(request.param):
        yield request.param


def inputs(scale: bool, grn: bool, factor: bool, dtype: Any = mg.float64) -> list[Any]:
    mg.manual_seed(1)
    n, size, c, h = 2, (3, 4), 5, 20
    shapes: list[Any] = [
        (n, *size, c), (n, *size, c), (c,), (c,), (h, c), (h,), (c, h), (c,),
        (c,) if scale else None, (h,) if grn else None, (h,) if grn else None,
    ]  # fmt: skip
    tensors: list[Any] = [
        None if s is None else mg.randn(*s, dtype=dtype, requires_grad=True) for s in shapes
    ]
    return [*tensors, mg.tensor([0.0, 2.0], dtype=dtype) if factor else None]


def fused(*args: Any) -> mg.Tensor:
    return pointwise_mlp(*args[:-1], factor=args[-1])


def step_by_step(
    x: Any, skip: Any, norm_weight: Any, norm_bias: Any, w1: Any, b1: Any, w2: Any, b2: Any,
    scale: Any, grn_weight: Any, grn_bias: Any, factor: Any,
) -> mg.Tensor:  # fmt: skip
    y = F.gelu(F.linear(F.layer_norm(x, x.shape[-1:], norm_weight, norm_bias, 1e-6), w1, b1))
    if grn_weight is not None:
        y = F.global_response_norm(y, grn_weight, grn_bias, 1e-6)
    y = F.linear(y, w2, b2)
    if scale is not None:
        y = y * scale
    if factor is not None:
        y = y * factor.reshape(-1, 1, 1, 1)
    return skip + y


CASES = [(s, g, f) for s in (False, True) for g in (False, True) for f in (False, True)]


@pytest.mark.parametrize(("scale", "grn", "factor"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(mg.float64, 1e-12), (mg.float32, 1e-5)])
def test_values_and_gradients_equal_the_steps(
    kernels: str, scale: bool, grn: bool, factor: bool, dtype: Any, tolerance: float
) -> None:
    results = []
    for function in (fused, step_by_step):
        args = inputs(scale, grn, factor, dtype)
        y = function(*args)
        (y * y.detach()).sum().backward()
        leaves = [a for a in args[:-1] if a is not None]
        results.append([y.detach().numpy(), *(a.grad.numpy() for a in leaves)])
    for ours, expected in zip(*results, strict=True):
        assert ours.dtype == expected.dtype
        np.testing.assert_allclose(ours, expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(("scale", "grn", "factor"), [(True, False, True), (False, True, False)])
def test_gradcheck_to_second_order(kernels: str, scale: bool, grn: bool, factor: bool) -> None:
    args = inputs(scale, grn, factor)
    assert mg.autograd.gradcheck(fused, args, fast_mode=True)
    assert mg.autograd.gradgradcheck(fused, args, fast_mode=True)


@pytest.mark.parametrize("grn", [False, True])
def test_the_block_is_the_same_with_and_without_it(kernels: str, grn: bool) -> None:
    block = Block(6, drop_path=0.5, layer_scale_init_value=None if grn else 0.5, grn=grn).double()
    x = mg.randn(4, 6, 9, 7, dtype=mg.float64)
    listening = block.norm.register_forward_hook(lambda *_: None)
    mg.manual_seed(2)
    expected = block(x).detach()
    listening.remove()
    mg.manual_seed(2)
    np.testing.assert_allclose(block(x).detach(), expected, rtol=1e-12, atol=1e-12)


def test_hooks_of_the_layers_are_called(kernels: str) -> None:
    block = Block(4)
    seen = []
    block.pwconv1.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    block(mg.randn(1, 4, 3, 3))
    assert seen == [(1, 3, 3, 16)]


def test_shapes_that_do_not_fit() -> None:
    args = inputs(False, False, False)
    with pytest.raises(ShapeError, match=r"x is \(2, 3, 4, 5\) but skip is \(2, 3, 4, 1\)"):
        fused(args[0], args[1][..., :1], *args[2:])
    with pytest.raises(ShapeError, match=r"w1 must be \(H, 5\) and w2 \(5, H\)"):
        fused(*args[:4], args[6], *args[5:])


@pytest.mark.parametrize("length", [0, 1, 3, 21, 4000])
@pytest.mark.parametrize("place", [2, 3, 5, 7, 8, 9, 10, 11])
def test_every_parameter_must_fit(place: int, length: int, kernels: str) -> None:
    args = inputs(True, True, True)
    args[place] = mg.ones(length, dtype=mg.float64)
    with pytest.raises(ShapeError, match=rf"must be \((2|5|20),\), got \({length},\)"):
        fused(*args)


def test_every_operand_has_one_type(kernels: str) -> None:
    for place in (0, *range(2, 11)):  # skip and factor are cast
        args = inputs(True, True, True)
        args[place] = args[place].detach().float()
        with pytest.raises(DTypeError, match=r"operands are .*float32"):
            fused(*args)
