from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError
from minigrad.ops.linalg import linear
from tests.ops.parity import agree, arrays, broadcastable, same_values, shapes

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn.functional")
lengths = st.integers(0, 4)


# ---- matrix products ------------------------------------------------------------------------


@given(data=st.data(), n=lengths, k=lengths, m=lengths)
def test_matmul(data: Any, n: int, k: int, m: int) -> None:
    lead = data.draw(shapes(max_dims=2))
    a = data.draw(st.sampled_from([(k,), (n, k), (*broadcastable(data.draw, lead), n, k)]))
    b = data.draw(st.sampled_from([(k,), (k, m), (*lead, k, m)]))
    x, y = data.draw(arrays(shape=a)), data.draw(arrays(shape=b))
    agree(mg.matmul, torch.matmul, x, y)
    agree(lambda s, t: s @ t, lambda s, t: s @ t, x, y)


@given(data=st.data(), b=lengths, n=lengths, k=lengths, m=lengths)
def test_products_of_fixed_rank(data: Any, b: int, n: int, k: int, m: int) -> None:
    draw = lambda *shape: data.draw(arrays(shape=shape))  # noqa: E731
    agree(mg.mm, torch.mm, draw(n, k), draw(k, m))
    agree(mg.bmm, torch.bmm, draw(b, n, k), draw(b, k, m))
    agree(mg.mv, torch.mv, draw(n, k), draw(k))
    agree(mg.dot, torch.dot, draw(k), draw(k))
    agree(mg.outer, torch.outer, draw(n), draw(m))
    agree(mg.trace, torch.trace, draw(n, m))
    bias = draw(*data.draw(st.sampled_from([(m,), (1, m), (n, 1)])))
    for alpha, beta in [(1, 1), (0.5, -2.0)]:
        agree(
            lambda *t, a=alpha, b=beta: mg.addmm(*t, alpha=a, beta=b),
            lambda *t, a=alpha, b=beta: torch.addmm(*t, alpha=a, beta=b),
            bias,
            draw(n, k),
            draw(k, m),
        )


@given(data=st.data(), k=lengths)
def test_inner(data: Any, k: int) -> None:
    x = data.draw(arrays(shape=(*data.draw(shapes(max_dims=2)), k)))
    y = data.draw(arrays(shape=(*data.draw(shapes(max_dims=2)), k)))
    agree(mg.inner, torch.inner, x, y)
    agree(mg.inner, torch.inner, x, np.array(2.0))


@given(data=st.data(), k=lengths, m=lengths)
def test_linear(data: Any, k: int, m: int) -> None:
    x = data.draw(arrays(shape=(*data.draw(shapes(max_dims=3)), k)))
    w, b = data.draw(arrays(shape=(m, k))), data.draw(arrays(shape=(m,)))
    agree(linear, nn.linear, x, w, b)
    agree(linear, nn.linear, x, w)


def test_linear_with_one_output_given_as_a_vector() -> None:
    x, w = np.ones((2, 3)), np.arange(3.0)
    agree(linear, nn.linear, x, w)


def test_linear_reads_channels_last_images_in_place() -> None:
    """(N, C, H, W) kept as (N, H, W, C): the permuted view goes into the GEMM without a copy."""
    image = mg.randn(2, 4, 5, 3).permute(0, 3, 1, 2)
    rows = image.permute(0, 2, 3, 1)
    assert rows.is_contiguous()
    out = linear(rows, mg.randn(7, 3))
    assert out.is_contiguous()
    assert out.shape == (2, 4, 5, 7)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_matmul_dtypes(dtype: str) -> None:
    x, y = np.arange(6).reshape(2, 3).astype(dtype), np.arange(12).reshape(3, 4).astype(dtype)
    same_values(mg.matmul(mg.Tensor(x), mg.Tensor(y)), torch.from_numpy(x) @ torch.from_numpy(y))
    same_values(
        mg.einsum("ij,jk->ik", mg.Tensor(x), mg.Tensor(y)),
        torch.einsum("ij,jk->ik", torch.from_numpy(x), torch.from_numpy(y)),
    )


def test_half_precision_gradients() -> None:
    x = mg.Tensor(np.full((2, 3), 2, np.float16), True)
    w = mg.Tensor(np.full((4, 3), 3, np.float16), True)
    linear(x, w, mg.Tensor(np.ones(4, np.float16))).sum().backward()
    assert x.grad.dtype == mg.float16
    assert x.grad.tolist() == [[12.0] * 3] * 2
    assert w.grad.tolist() == [[4.0] * 3] * 4


# ---- tensordot and einsum -------------------------------------------------------------------


@given(data=st.data())
def test_tensordot(data: Any) -> None:
    x = data.draw(arrays(max_dims=3))
    axes = data.draw(st.permutations(range(x.ndim)))
    of_x = axes[: data.draw(st.integers(0, x.ndim))]
    free = data.draw(shapes(max_dims=2))
    y = data.draw(arrays(shape=tuple(x.shape[i] for i in of_x) + free))
    of_y = list(range(len(of_x)))
    agree(
        lambda s, t: mg.tensordot(s, t, (of_x, of_y)),
        lambda s, t: torch.tensordot(s, t, (of_x, of_y)),
        x,
        y,
    )
    n = len(of_x)
    last = data.draw(arrays(shape=x.shape[x.ndim - n :] + free))
    agree(lambda s, t: mg.tensordot(s, t, n), lambda s, t: torch.tensordot(s, t, n), x, last)


@st.composite
def equations(draw: Any) -> Any:
    """Draw an equation over a few letters, with operands whose lengths fit (or are 1)."""
    length = {c: draw(st.integers(1, 3)) for c in "abcd"}
    terms = draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    operands = []
    for term in terms:
        used = {c: 1 if draw(st.integers(0, 4)) == 0 else length[c] for c in term}
        operands.append(draw(arrays(shape=tuple(used[c] for c in term))))
    letters = sorted(set("".join(terms)))
    if draw(st.booleans()):
        return ",".join(terms), operands
    output = draw(st.permutations(letters))[: draw(st.integers(0, len(letters)))]
    return f"{','.join(terms)}->{''.join(output)}", operands


@given(case=equations())
def test_einsum(case: Any) -> None:
    equation, operands = case
    agree(lambda *t: mg.einsum(equation, *t), lambda *t: torch.einsum(equation, *t), *operands)


@pytest.mark.parametrize(
    ("equation", "operands"),
    [
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]),
        ("...ij,...jk", [(2, 3, 4), (4, 2)]),
        ("i...,i...->...", [(3, 2, 1), (3, 4)]),
        ("...,...->...", [(2, 3), (3,)]),
        ("i...->i", [(3, 2, 2)]),
        ("b...c->bc...", [(2, 4, 5, 3)]),
        ("...ii->...i", [(2, 3, 3)]),
        ("iij,j->i", [(3, 3, 2), (2,)]),
        ("nchw,kc->nkhw", [(2, 3, 2, 2), (4, 3)]),
        (" i j , j k -> i k ", [(2, 3), (3, 2)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
        ("ij->", [(2, 3)]),
        ("ij->ji", [(2, 3)]),
        (",i->i", [(), (3,)]),
    ],
)
def test_einsum_with_dots(equation: str, operands: Any) -> None:
    rng = np.random.default_rng(0)
    xs = [rng.standard_normal(shape) for shape in operands]
    agree(lambda *t: mg.einsum(equation, *t), lambda *t: torch.einsum(equation, *t), *xs)


def test_einsum_of_one_operand_is_a_copy() -> None:
    x = mg.ones(2, 3)
    assert not np.shares_memory(mg.einsum("ij->ji", x).array, x.array)


# ---- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: linear(mg.zeros(2, 5), mg.zeros(3, 4)),
            ShapeError,
            "linear: input has 5 features (shape (2, 5)) but weight (3, 4) expects 4; the last "
            "axis must hold them: flatten(1) the input, or build the layer with in_features=5",
        ),
        (
            lambda: linear(mg.zeros(2, 4), mg.zeros(3, 4), mg.zeros(4)),
            ShapeError,
            "linear: bias has shape (4,) but weight (3, 4) makes 3 features; the bias must be (3,)",
        ),
        (
            lambda: linear(mg.zeros(2, 4), mg.zeros(3, 4, dtype="float64")),
            DTypeError,
            "linear: the operands are float32 and float64; convert one of them: x.to(y.dtype)",
        ),
        (
            lambda: linear(mg.arange(4), mg.zeros(3, 4)),
            DTypeError,
            "linear: the operands are int64 and float32; convert one of them: x.to(y.dtype)",
        ),
        (
            lambda: mg.zeros(2, 3) @ mg.zeros(4, 5),
            ShapeError,
            "matmul: shapes (2, 3) and (4, 5) do not multiply; the last length of the first, 3, "
            "must be the second last of the second, 4",
        ),
        (
            lambda: mg.zeros(3, 2, 3) @ mg.zeros(2, 3, 5),
            ShapeError,
            "matmul: shapes (3,) and (2,) do not broadcast; aligned from the right, two lengths "
            "must be equal or one of them 1",
        ),
        (
            lambda: mg.zeros(2, 3) @ 2.0,
            ShapeError,
            "matmul: both operands need at least 1 axis, got (2, 3) and (); use x * y",
        ),
        (
            lambda: mg.mm(mg.zeros(2, 3, 4), mg.zeros(4, 5)),
            ShapeError,
            "mm: needs 2-d and 2-d tensors, got shapes (2, 3, 4) and (4, 5); matmul takes any",
        ),
        (
            lambda: mg.bmm(mg.zeros(2, 3, 4), mg.zeros(3, 4, 5)),
            ShapeError,
            "bmm: the batches differ, (2, 3, 4) and (3, 4, 5); matmul broadcasts",
        ),
        (
            lambda: mg.einsum("ij,jk->ik", mg.zeros(2, 3), mg.zeros(4, 5)),
            ShapeError,
            "einsum: 'ij,jk->ik' gives 'j' the lengths 3 and 4 (operands of shape [(2, 3), "
            "(4, 5)])",
        ),
        (
            lambda: mg.einsum("ij,jk->ik", mg.zeros(2, 3)),
            ShapeError,
            "einsum: 'ij,jk->ik' names 2 operands, 1 were given",
        ),
        (
            lambda: mg.einsum("ijk->i", mg.zeros(2, 3)),
            ShapeError,
            "einsum: 'ijk' in 'ijk->i' does not describe shape (2, 3)",
        ),
        (
            lambda: mg.einsum("ij->iz", mg.zeros(2, 3)),
            ShapeError,
            "einsum: every letter of the output 'iz' must be in 'ij', and only once",
        ),
        (
            lambda: mg.tensordot(mg.zeros(2, 3), mg.zeros(4, 5), 1),
            ShapeError,
            "tensordot: axes (1,) of (2, 3) and (0,) of (4, 5) have different lengths",
        ),
    ],
)
def test_messages(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
