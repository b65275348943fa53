"""Recomputed parts give the gradients of stored ones."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import checkpoint
from minigrad.errors import GraphError


def setup():
    mg.manual_seed(0)
    w = mg.randn(4, 4, dtype=mg.float64, requires_grad=True)
    x = mg.randn(3, 4, dtype=mg.float64, requires_grad=True)
    return w, x


def part(x, w):
    return ((x @ w).tanh() @ w).sin() * x


@pytest.mark.parametrize("captured", [False, True])
def test_gradients_of_inputs_and_of_captured_parameters(captured):
    w, x = setup()
    part(x, w).sum().backward()
    expected = x.grad.numpy().copy(), w.grad.numpy().copy()
    w, x = setup()
    out = checkpoint(lambda x: part(x, w), x) if captured else checkpoint(part, x, w)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), expected[0])
    np.testing.assert_array_equal(w.grad.numpy(), expected[1])


def test_only_captured_tensors_require_grad_and_they_may_be_inner_ones():
    w, _ = setup()
    x = mg.ones(3, 4, dtype=mg.float64)
    inner = w * 2
    (inner.sum() + checkpoint(lambda x: part(x, inner), x).sum()).backward()
    got = w.grad.numpy().copy()
    w.grad = None
    inner = w * 2
    (inner.sum() + part(x, inner).sum()).backward()
    np.testing.assert_allclose(got, w.grad.numpy(), rtol=1e-14)


def test_second_derivatives():
    w, x = setup()
    assert mg.autograd.gradcheck(lambda x, w: checkpoint(part, x, w), (x, w), fast_mode=True)
    assert mg.autograd.gradgradcheck(lambda x, w: checkpoint(part, x, w), (x, w), fast_mode=True)


def test_dropout_masks_are_replayed():
    _, x = setup()
    mg.manual_seed(5)
    out = checkpoint(lambda x: mg.dropout(x, 0.5, True), x)
    out.sum().backward()
    dropped = out.detach().numpy() == 0
    assert dropped.any()
    np.testing.assert_array_equal(x.grad.numpy() == 0, dropped)
    after = mg.rand(1).item()
    mg.manual_seed(5)
    mg.dropout(x.detach(), 0.5, True)
    assert mg.rand(1).item() == after  # backward left the stream where it was


def test_keeps_only_the_inputs():
    w, x = setup()
    node = checkpoint(part, x, w)._node
    assert [v.shape for v in node.saved] == [(3, 4), (4, 4)]
    assert all(parent.is_leaf for parent in node.next)


def test_without_recording_it_is_a_plain_call():
    w, x = setup()
    with mg.no_grad():
        assert not checkpoint(part, x, w).requires_grad
    with pytest.raises(GraphError, match="must return one Tensor, not tuple"):
        checkpoint(lambda x: (x, x), x)


def test_keyword_arguments():
    """They reach the function, and tensors among them receive gradients."""
    x, scale, w = (mg.tensor(v, requires_grad=True) for v in (2.0, 3.0, 5.0))
    calls = []

    def f(x, *, scale, power=1, name=None):
        calls.append(name)
        return (x * scale) ** power * w

    y = mg.autograd.checkpoint(f, x, scale=scale, power=2, name="f", use_reentrant=False)
    y.backward()
    assert (y.item(), x.grad.item(), scale.grad.item(), w.grad.item()) == (180, 180, 120, 36)
    assert calls == ["f", "f"]
    with mg.no_grad():
        assert mg.autograd.checkpoint(f, x, scale=scale).item() == 30
    with pytest.raises(TypeError, match="scael"):
        mg.autograd.checkpoint(f, x, scael=scale)


@pytest.mark.parametrize("leaf", [True, False])
def test_hooks_see_whole_gradients_once(leaf):
    """Of what the function reaches by itself, a leaf or an inner tensor, too."""
    seen = []

    def gradient(call):
        w, x = (mg.tensor(v, requires_grad=True) for v in (3.0, 2.0))
        inner = w if leaf else w * 1
        inner.register_hook(lambda g: seen.append(g.item()) or 2 * g)
        (call(lambda x: inner * x * x, x) + inner).backward()
        return w.grad.item(), x.grad.item()

    assert gradient(checkpoint) == gradient(lambda f, x: f(x)) == (10, 12)
    assert seen == [5, 5]
