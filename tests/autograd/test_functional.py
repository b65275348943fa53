"""vjp, jvp, jacobian, hessian, hvp against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import functional as F
from minigrad.errors import GraphError, ShapeError

torch = pytest.importorskip("torch")
TF = torch.autograd.functional

X = np.array([[0.3, -0.7, 1.2], [0.5, 0.1, -0.2]])
Y = np.array([0.4, -1.1, 0.6])


def f(x, y):
    return (x * y).sin(), (x * x).sum(0) + y


def scalar(x, y):
    return (x * x * y).sum() + (y * y * y).sum()


def compare(ours, theirs):
    if isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            compare(a, b)
    else:
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-14)


@pytest.fixture
def points():
    return (mg.tensor(X), mg.tensor(Y)), (torch.tensor(X), torch.tensor(Y))


def test_vjp(points):
    ours, theirs = points
    v = (np.ones((2, 3)) * 0.5, np.arange(3.0))
    compare(
        F.vjp(f, ours, tuple(map(mg.tensor, v))), TF.vjp(f, theirs, tuple(map(torch.tensor, v)))
    )


def test_jvp(points):
    ours, theirs = points
    v = (X + 1.0, Y - 2.0)
    compare(
        F.jvp(f, ours, tuple(map(mg.tensor, v))), TF.jvp(f, theirs, tuple(map(torch.tensor, v)))
    )


def test_jacobian(points):
    ours, theirs = points
    compare(F.jacobian(f, ours), TF.jacobian(f, theirs))


def test_hessian(points):
    ours, theirs = points
    compare(F.hessian(scalar, ours), TF.hessian(scalar, theirs))


def test_hvp(points):
    ours, theirs = points
    v = (X * 0.5, Y + 1.0)
    compare(
        F.hvp(scalar, ours, tuple(map(mg.tensor, v))),
        TF.hvp(scalar, theirs, tuple(map(torch.tensor, v))),
    )


def test_jacobian_of_a_constant_is_zero():
    assert F.jacobian(lambda x: mg.ones(2), mg.ones(3)).tolist() == [[0.0] * 3] * 2


def test_create_graph_keeps_the_results_differentiable():
    x = mg.tensor([2.0], dtype=mg.float64, requires_grad=True)
    hessian = F.hessian(lambda x: (x**4).sum(), x, create_graph=True)
    hessian.sum().backward()
    assert x.grad.tolist() == [48.0]


def test_messages():
    with pytest.raises(GraphError, match="v may be left out only"):
        F.vjp(lambda x: x * 2, mg.ones(3))
    with pytest.raises(ShapeError, match=r"\[\(2,\)\], expected \[\(3,\)\]"):
        F.vjp(lambda x: x * 2, mg.ones(3), mg.ones(2))
    with pytest.raises(GraphError, match="must return a scalar"):
        F.hessian(lambda x: x * 2, mg.ones(3))
