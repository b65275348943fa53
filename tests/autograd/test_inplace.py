"""In-place methods and views follow PyTorch: same values, same gradients, same refusals."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, GraphError, ShapeError

torch = pytest.importorskip("torch")


def chain(lib, x, w):
    y = x * 1
    y.mul_(w)
    y += x
    y.exp_()
    return (y * w).sum()


def through_view(lib, x, w):
    y = x * 2
    v = y[1]
    v.mul_(w[0])
    return (y * y).sum() + (v * w[0]).sum()


def base_after_view(lib, x, w):
    y = x * 2
    v = y[0]
    y.mul_(w)
    return (v * v).sum()


def transposed_view(lib, x, w):
    y = x * 2
    v = y.transpose(0, 1)
    v[1].add_(w[:, 0])
    return (y * y * w).sum()


def assignment(lib, x, w):
    y = x * 1
    y[0] = w[1]
    y[:, 1] += w[:, 0] * x[:, 1]
    return (y * y).sum()


def into_a_plain_buffer(lib, x, w):
    out = lib.zeros(2, 2, dtype=lib.float64)
    for i in range(2):
        out[i] = x[i] * w[i]
    out[1] = out[0].clone() * out[1].clone()
    return (out * out).sum()


def mask_assignment(lib, x, w):
    y = x * 1
    y[y > 0.5] = w.sum()
    return (y * y).sum()


def chained_views(lib, x, w):
    y = x * 1
    v = y.reshape(4)
    u = v[1:3]
    u.mul_(w.reshape(4)[:2])
    return (v * v).sum() + (u * 3).sum() + (y * w).sum()


def zeroing(lib, x, w):
    y = x * w
    y[0].zero_()
    return (y * x).sum()


CASES = [
    chain, through_view, base_after_view, transposed_view, assignment, into_a_plain_buffer,
    mask_assignment, chained_views, zeroing,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)
def test_values_and_gradients_equal_pytorch(case):
    x0 = np.array([[0.3, -0.7], [1.1, 0.9]])
    w0 = np.array([[1.5, 0.5], [-0.4, 2.0]])
    x, w = (mg.tensor(a, requires_grad=True) for a in (x0, w0))
    tx, tw = (torch.tensor(a, requires_grad=True) for a in (x0, w0))
    ours, theirs = case(mg, x, w), case(torch, tx, tw)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    ours.backward()
    theirs.backward()
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(w.grad.numpy(), tw.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)
def test_second_derivatives_through_in_place_changes(case):
    x = mg.tensor([[0.3, -0.7], [1.1, 0.9]], dtype=mg.float64, requires_grad=True)
    w = mg.tensor([[1.5, 0.5], [-0.4, 2.0]], dtype=mg.float64, requires_grad=True)
    assert mg.autograd.gradgradcheck(lambda x, w: case(mg, x, w), (x, w))


def test_leaf_that_requires_grad_is_refused_and_unchanged():
    x = mg.ones(2, requires_grad=True)
    for change in (lambda: x.mul_(2), lambda: x[0].zero_(), lambda: x.__setitem__(0, 5.0)):
        with pytest.raises(GraphError, match="no_grad"):
            change()
    assert x.tolist() == [1.0, 1.0]
    with mg.no_grad():
        x.mul_(2)
    assert x.tolist() == [2.0, 2.0]


def test_in_place_results_must_fit():
    x = mg.ones(2)
    with pytest.raises(ShapeError, match=r"add_: the result has shape \(3, 2\)"):
        x.add_(mg.ones(3, 2))
    n = mg.tensor([1, 2])
    with pytest.raises(DTypeError, match=r"float32.*int64"):
        n.add_(0.5)
    assert x.tolist() == [1.0, 1.0]
    assert n.tolist() == [1, 2]


def test_in_place_on_views_changes_the_base_and_its_version():
    x = mg.zeros(3)
    v = x[1:]
    v.add_(1)
    assert x.tolist() == [0.0, 1.0, 1.0]
    assert x._version[0] == 1
    x.copy_(mg.tensor([5, 6, 7]))
    assert v.tolist() == [6.0, 7.0]


def test_in_place_keeps_the_dtype():
    x = mg.ones(2, dtype=mg.float16)
    x += mg.ones(2)
    assert x.dtype == mg.float16
    assert x.tolist() == [2.0, 2.0]


def kept_after_a_change(lib, x):
    y = x * 1
    y.retain_grad()
    y.retain_grad()
    y.mul_(3)
    (y * y).sum().backward()
    return [y.grad]


def kept_of_base_and_view(lib, x):
    base = x * 1
    base.retain_grad()
    view = base[:1]
    view.retain_grad()
    view.mul_(3)
    ((base * base).sum() + (view * view).sum()).backward()
    return [base.grad, view.grad]


def kept_of_a_view_whose_base_changes(lib, x):
    base = x * 1
    view = base[1:]
    view.retain_grad()
    base.mul_(3)
    (view * view).sum().backward()
    return [view.grad]


def heard_after_a_change(lib, x):
    """A hook listens to the value for which it was registered: here, the one that is gone."""
    seen = []
    base = x * 1
    view = base[:1]
    view.register_hook(seen.append)
    base.mul_(3)
    (view * view).sum().backward()
    return seen


@pytest.mark.parametrize(
    "case",
    [
        kept_after_a_change,
        kept_of_base_and_view,
        kept_of_a_view_whose_base_changes,
        heard_after_a_change,
    ],
)
def test_gradients_kept_of_changed_tensors_are_those_of_torch(case):
    ours, theirs = (
        case(lib, lib.tensor([1.0, 2.0, 5.0], requires_grad=True)) for lib in (mg, torch)
    )
    assert len(ours) == len(theirs)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy())
