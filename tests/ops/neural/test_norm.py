from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.ops.neural import norm
from tests.ops.parity import agree, laid_out, layouts

torch = pytest.importorskip("torch")

F = torch.nn.functional


@st.composite
def images(draw: Any, min_n: int = 0, min_positions: int = 1) -> Any:
    """Draw (N, C, *spatial) in any layout, and a weight and a bias of shape (C,)."""
    groups, per_group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size = draw(st.lists(st.integers(min_positions, 4), min_size=1, max_size=3))
    n = draw(st.integers(min_n, 3))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    channels = groups * per_group
    x = laid_out(rng.standard_normal((n, channels, *size)), draw(layouts))
    return x, rng.standard_normal(channels), rng.standard_normal(channels), groups


@given(
    st.lists(st.integers(0, 3), max_size=2),
    st.lists(st.integers(1, 5), min_size=1, max_size=2),
    layouts,
    st.sampled_from([1e-6, 1e-2]),
)
def test_layer_norm(lead: list[int], shape: list[int], layout: str, eps: float) -> None:
    rng = np.random.default_rng(0)
    x = laid_out(rng.standard_normal((*lead, *shape)), layout)
    w, b = rng.standard_normal(shape), rng.standard_normal(shape)
    agree(
        lambda x, w, b: norm.layer_norm(x, shape, w, b, eps),
        lambda x, w, b: F.layer_norm(x, shape, w, b, eps),
        x,
        w,
        b,
        rtol=1e-6 if 1 in shape else 1e-9,  # a row of one number: 0 / eps
    )
    agree(lambda x: norm.layer_norm(x, shape), lambda x: F.layer_norm(x, shape), x, rtol=1e-6)


@given(images())
def test_group_norm(image: Any) -> None:
    x, w, b, groups = image
    assume(x.size != x.shape[1])  # which PyTorch refuses
    agree(
        lambda x, w, b: norm.group_norm(x, groups, w, b, 1e-3),
        lambda x, w, b: F.group_norm(x, groups, w, b, 1e-3),
        x,
        w,
        b,
        rtol=1e-8,
    )


@given(images(min_n=1, min_positions=2))
def test_instance_norm(image: Any) -> None:
    x, w, b, _ = image
    agree(
        lambda x, w, b: norm.instance_norm(x, None, None, w, b, eps=1e-3),
        lambda x, w, b: F.instance_norm(x, None, None, w, b, eps=1e-3),
        x,
        w,
        b,
        rtol=1e-8,
    )


@given(images(min_n=2), st.booleans())
def test_batch_norm(image: Any, training: bool) -> None:
    x, w, b, _ = image
    rng = np.random.default_rng(1)
    mean, var = rng.standard_normal(w.shape), rng.random(w.shape)
    ours = [mg.tensor(a) for a in (mean, var)]
    theirs = [torch.tensor(a) for a in (mean, var)]
    agree(
        lambda x, w, b: norm.batch_norm(x, *ours, w, b, training, 0.3, 1e-3),
        lambda x, w, b: F.batch_norm(x, *theirs, w, b, training, 0.3, 1e-3),
        x,
        w,
        b,
        rtol=1e-8,
        second=training,
    )


def test_running_statistics_move_as_in_pytorch() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 3, 5, 2))
    for name in ("batch_norm", "instance_norm"):
        ours, theirs = [mg.zeros(3), mg.ones(3)], [torch.zeros(3), torch.ones(3)]
        for _ in range(3):
            getattr(norm, name)(mg.tensor(x, "float32"), *ours, None, None, True, 0.2)
            getattr(F, name)(torch.tensor(x).float(), *theirs, None, None, True, 0.2)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)
        y = getattr(norm, name)(mg.tensor(x, "float32"), *ours, None, None, False)
        z = getattr(F, name)(torch.tensor(x).float(), *theirs, None, None, False)
        np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-5, atol=1e-5)


def _torch_grn(x: Any, gamma: Any, beta: Any, eps: float = 1e-6) -> Any:
    """The official lines of ConvNeXt V2, for (N, ..., C)."""
    gx = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim - 1)), keepdim=True)
    nx = gx / (gx.mean(dim=-1, keepdim=True) + eps)
    return gamma * (x * nx) + beta + x


@given(images())
def test_global_response_norm(image: Any) -> None:
    x, gamma, beta, _ = image
    last = np.moveaxis(x, 1, -1)
    agree(norm.global_response_norm, _torch_grn, last, gamma, beta, rtol=1e-8)
    agree(
        lambda x, *p: norm.global_response_norm(x, *p, channel_dim=1),
        lambda x, *p: _torch_grn(x.movedim(1, -1), *p).movedim(-1, 1),
        x,
        gamma,
        beta,
        rtol=1e-8,
    )


def test_grn_with_a_dead_channel_is_finite_to_second_order() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 4))
    x[..., 1] = 0.0
    x[0] = 0.0
    x = mg.tensor(x, requires_grad=True)
    y = norm.global_response_norm(x, mg.ones(4).double(), mg.zeros(4).double())
    (g,) = mg.autograd.grad((y * y).sum(), x, create_graph=True)
    (h,) = mg.autograd.grad((g * g).sum(), x)
    for t in (y, g, h):
        assert np.isfinite(t.detach().numpy()).all()


def test_grn_takes_the_parameter_shape_of_official_checkpoints() -> None:
    x, p = mg.randn(2, 4, 4, 8), mg.randn(8)
    flat = norm.global_response_norm(x, p, p)
    official = norm.global_response_norm(x, p.reshape(1, 1, 1, 8), p.reshape(1, 1, 1, 8))
    np.testing.assert_array_equal(flat.numpy(), official.numpy())


# More rows than one cache block holds: partial sums, and statistics in float32.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float16", 5e-3)])
@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "batch_norm", "grn"])
def test_large_images_in_single_and_half_precision(name: str, dtype: str, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((6, 24, 30, 31)) * 3 + 5).astype(dtype)
    w, b = (rng.standard_normal(24).astype(dtype) for _ in range(2))
    g = rng.standard_normal(x.shape).astype(dtype)
    ours = {
        "layer_norm": lambda x, w, b: norm.layer_norm(x.permute(0, 2, 3, 1), 24, w, b, 1e-6),
        "group_norm": lambda x, w, b: norm.group_norm(x, 4, w, b),
        "batch_norm": lambda x, w, b: norm.batch_norm(x, None, None, w, b, True),
        "grn": lambda x, w, b: norm.global_response_norm(x.permute(0, 2, 3, 1), w, b),
    }[name]
    theirs = {
        "layer_norm": lambda x, w, b: F.layer_norm(x.permute(0, 2, 3, 1), (24,), w, b, 1e-6),
        "group_norm": lambda x, w, b: F.group_norm(x, 4, w, b),
        "batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        "grn": lambda x, w, b: _torch_grn(x.permute(0, 2, 3, 1), w, b),
    }[name]
    p = [mg.Tensor(a, requires_grad=True) for a in (x, w, b)]
    q = [torch.from_numpy(a.astype("float64")).requires_grad_() for a in (x, w, b)]
    y, z = ours(*p), theirs(*q)
    g = g.reshape(y.shape)
    y.backward(mg.Tensor(g))
    z.backward(torch.from_numpy(g.astype("float64")))
    for a, e in [(y, z), *((s.grad, t.grad) for s, t in zip(p, q, strict=True))]:
        expected = e.detach().numpy()
        assert a.dtype == dtype
        np.testing.assert_allclose(
            a.detach().numpy(), expected, atol=tolerance * np.abs(expected).max()
        )


def test_running_statistics_are_changed_after_all_checks() -> None:
    mean, var = mg.zeros(3), mg.ones(3)
    with pytest.raises(ShapeError):
        norm.batch_norm(mg.ones(4, 3), mean, var, mg.ones(2), training=True)
    assert mean.tolist() == [0.0] * 3
    assert var.tolist() == [1.0] * 3


x23 = mg.ones(2, 3)
WRONG: list[Any] = [
    (lambda: norm.layer_norm(x23, 2), ShapeError, r"must end in normalized_shape \(2,\)"),
    (lambda: norm.layer_norm(x23, 3, mg.ones(2)), ShapeError, r"weight must have shape \(3,\)"),
    (lambda: norm.layer_norm(x23, 3, mg.ones(3).double()), DTypeError, "float64"),
    (lambda: norm.layer_norm(x23.long(), 3), DTypeError, "float"),
    (lambda: norm.layer_norm(x23, 3, eps=-1.0), OptionError, "eps"),
    (lambda: norm.group_norm(x23, 2), OptionError, "3 channels do not split"),
    (lambda: norm.group_norm(mg.ones(3), 1), ShapeError, r"\(N, C, \.\.\.\)"),
    (lambda: norm.batch_norm(x23, None, None), OptionError, "running_mean and running_var"),
    (lambda: norm.batch_norm(mg.ones(1, 3), None, None, training=True), ShapeError, "larger batch"),
    (lambda: norm.batch_norm(x23, mg.ones(2), mg.ones(2)), ShapeError, "running_mean"),
    (lambda: norm.instance_norm(mg.ones(2, 3, 1)), ShapeError, "more than one position"),
    (lambda: norm.global_response_norm(x23, mg.ones(2), mg.ones(3)), ShapeError, "gamma"),
    (lambda: norm.global_response_norm(x23, x23[0], x23[0], channel_dim=5), OptionError, "-1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


FAR = {
    "layer_norm": (lambda f, x: f.layer_norm(x, (x.shape[-1],)), (3, 7)),
    "group_norm": (lambda f, x: f.group_norm(x, 1), (3, 4, 5)),
    "instance_norm": (lambda f, x: f.instance_norm(x), (2, 3, 6)),
    "batch_norm": (lambda f, x: f.batch_norm(x, None, None, training=True), (6, 3)),
}


@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("size", [1e18, 2e19, 1e20, 1e25, 1e30, 1e37])
def test_numbers_that_float32_cannot_square_are_normalised(
    name: str, kernels: str, size: float
) -> None:
    """Values and gradients are what PyTorch gets in double precision; in float32 it gets NaN."""
    if kernels == "fast":
        pytest.importorskip("numba")
    function, shape = FAR[name]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x.reshape(-1)[::4] *= np.float32(size)
    g = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    theirs = torch.tensor(x.astype(np.float64), requires_grad=True)
    expected = function(torch.nn.functional, theirs)
    expected.backward(torch.tensor(g.astype(np.float64)))
    with mg.backend.use_kernels(kernels):
        ours = mg.tensor(x, requires_grad=True)
        y = function(mg.nn.functional, ours)
        y.backward(mg.tensor(g))
        again = mg.tensor(x, requires_grad=True)
        second = mg.autograd.grad(
            function(mg.nn.functional, again), again, mg.tensor(g), create_graph=True
        )[0]
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-6)
    scale = np.abs(theirs.grad.numpy()).max()
    for grad in (ours.grad, second):
        assert grad is not None
        difference = grad.detach().numpy() - theirs.grad.numpy()
        assert np.abs(difference).max() <= 1e-4 * scale
