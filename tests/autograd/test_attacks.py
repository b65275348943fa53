"""Attempts to get a silently wrong answer: aliases, views, hooks, in-place changes, dead inputs."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.node import Function
from minigrad.errors import DTypeError, GraphError, ShapeError

torch = pytest.importorskip("torch")

# ---- programs that must do the same in both libraries ----------------------------------------


def view_of_a_view(lib: Any) -> Any:
    x = lib.arange(6.0).reshape(2, 3).requires_grad_()
    y = x * 1
    y[0][1:].mul_(10)
    (y * y).sum().backward()
    return y, x.grad


def overlapping_views(lib: Any) -> Any:
    x = lib.ones(4, requires_grad=True)
    y = x * 1
    a, b = y[:2], y[1:3]
    a.mul_(3)
    b.mul_(5)
    (y * lib.arange(4.0)).sum().backward()
    return y, a, b, x.grad


def base_changed_under_an_expanded_view(lib: Any) -> Any:
    x = lib.ones(3, requires_grad=True)
    y = x * 1
    v = y.view(3, 1).expand(3, 2)
    y.mul_(2)
    v.sum().backward()
    return v, x.grad


def view_of_a_plain_base_changed_by_a_parameter(lib: Any) -> Any:
    base = lib.zeros(3)
    outer = base[1:]
    inner = outer[:1]
    w = lib.ones(3, requires_grad=True)
    base.add_(w)
    (inner * 7).sum().backward()
    return inner, w.grad


def recurrence_in_one_buffer(lib: Any) -> Any:
    w = lib.tensor(2.0, requires_grad=True)
    h = lib.zeros(4)
    h[0] = w
    for i in range(1, 4):
        h[i] = h[i - 1] * 0.5 + w
    h.sum().backward()
    return h, w.grad


def product_with_a_constant_keeps_nothing_of_the_variable(lib: Any) -> Any:
    x = lib.ones(3, requires_grad=True)
    y = x * 2
    z = y * lib.tensor([1.0, 2.0, 3.0]) + y / 4 - 3 * y
    y.zero_()
    z.sum().backward()
    return z, x.grad


def repeated_index(lib: Any) -> Any:
    x = lib.arange(3.0).requires_grad_()
    y = x * 1
    y[lib.tensor([0, 0, 2])] += lib.tensor([5.0, 6.0, 1.0])
    y[y > 6] *= 2
    y.sum().backward()
    return y, x.grad


def adding_to_itself(lib: Any) -> Any:
    x = lib.ones(3, requires_grad=True)
    y = x * 2
    y.add_(y)
    y.sum().backward()
    return (x.grad,)


def hook_before_a_change(lib: Any) -> Any:
    x = lib.arange(4.0).requires_grad_()
    y = x * 1
    seen = []
    y.register_hook(lambda g: seen.append(g * 1))
    y.mul_(2)
    y.sum().backward()
    return *seen, x.grad


def change_of_a_recorded_gradient(lib: Any) -> Any:
    x = lib.ones(2, requires_grad=True)
    (g,) = lib.autograd.grad((x**3).sum(), x, create_graph=True)
    g.mul_(2)
    g.sum().backward()
    return g, x.grad


def gradient_penalty_through_grad(lib: Any) -> Any:
    x = lib.ones(2, requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    g, x.grad = x.grad, None
    (g * g).sum().backward()
    return g, x.grad


def change_of_one_of_two_equal_gradients(lib: Any) -> Any:
    a, b = lib.ones(2, requires_grad=True), lib.ones(2, requires_grad=True)
    given = lib.ones(2)
    (a + b).backward(given, create_graph=True)
    with lib.no_grad():
        a.grad.mul_(5)
    return a.grad, b.grad, given


def change_of_a_gradient_that_was_broadcast(lib: Any) -> Any:
    a = lib.ones(2, requires_grad=True)
    a.sum().backward(create_graph=True)
    with lib.no_grad():
        a.grad.mul_(5)
    return (a.grad,)


def no_ops_share_and_copies_do_not(lib: Any) -> Any:
    x = lib.arange(6.0)
    for i, alias in enumerate(
        [x.flatten(), x.contiguous(), x.float(), x.squeeze(), x[...], x[None]]
    ):
        alias[..., i] = 10.0 + i
    x.clone().zero_()
    x.reshape(2, 3).t().reshape(6).zero_()
    return (x,)


def inplace_under_no_grad_is_seen_by_the_base(lib: Any) -> Any:
    x = lib.ones(2, requires_grad=True)
    y = x * 1
    v = y[0:1]
    with lib.no_grad():
        v.mul_(3)
    y.sum().backward()
    return y, x.grad


PROGRAMS = [
    view_of_a_view, overlapping_views, base_changed_under_an_expanded_view,
    view_of_a_plain_base_changed_by_a_parameter, recurrence_in_one_buffer,
    product_with_a_constant_keeps_nothing_of_the_variable, repeated_index, adding_to_itself,
    hook_before_a_change, change_of_a_recorded_gradient, gradient_penalty_through_grad,
    change_of_one_of_two_equal_gradients, change_of_a_gradient_that_was_broadcast,
    no_ops_share_and_copies_do_not, inplace_under_no_grad_is_seen_by_the_base,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using backward")  # PyTorch's, about create_graph
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_the_program_does_what_it_does_in_pytorch(program: Any) -> None:
    for ours, theirs in zip(program(mg), program(torch), strict=True):
        np.testing.assert_allclose(ours.tolist(), theirs.tolist(), rtol=1e-6)


# ---- what both refuse -------------------------------------------------------------------------


@pytest.mark.parametrize("change", [lambda y: y[0].add_(1), lambda y: y.detach().add_(1),
                                    lambda y: y.data.add_(1), lambda y: y.T.add_(1)])  # fmt: skip
@pytest.mark.parametrize("op", [lambda y: y.exp(), lambda y: y * y, lambda y: y.sigmoid()])
def test_a_saved_value_changed_through_any_alias_is_noticed(op: Any, change: Any) -> None:
    y = mg.ones(2, 2, requires_grad=True) * 1
    z = op(y)
    change(z if op(mg.ones(1)).item() != 1 else y)
    with pytest.raises(GraphError, match="changed in place"):
        z.sum().backward()


def test_a_view_of_a_detached_alias_keeps_its_own_history() -> None:
    w = mg.tensor(3.0, requires_grad=True)
    x = mg.ones(2, requires_grad=True) * 1
    view, alias = x[0], x.detach()
    alias.add_(w)
    assert view.grad_fn is not None
    assert view.grad_fn.name == "slice"
    assert alias.grad_fn is not None


# ---- hooks --------------------------------------------------------------------------------------


def test_a_hook_that_changes_its_gradient_changes_no_other() -> None:
    a, b = mg.ones(2, requires_grad=True), mg.ones(2, requires_grad=True)
    given = mg.ones(2)

    def times_five(g: Any) -> None:
        g.mul_(5)

    a.register_hook(times_five)
    (a + b).backward(given)
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.tolist(), b.grad.tolist(), given.tolist()) == (
        [5.0, 5.0],
        [1.0, 1.0],
        [1.0, 1.0],
    )


def test_a_gradient_kept_by_a_hook_does_not_change_later() -> None:
    x = mg.ones(2, requires_grad=True)
    kept = []
    y = x * 2
    y.register_hook(kept.append)
    (y + y * 3).sum().backward()
    x.grad.zero_()  # type: ignore[union-attr]
    assert kept[0].tolist() == [4.0, 4.0]


def test_a_leafs_gradient_kept_by_a_hook_does_not_change_later() -> None:
    x, kept = mg.ones(2, requires_grad=True), []
    x.register_hook(kept.append)
    (x * 2).sum().backward()
    x.grad.zero_()  # type: ignore[union-attr]
    assert kept[0].tolist() == [2.0, 2.0]


def test_a_saved_value_that_comes_back_as_a_gradient_is_copied() -> None:
    class Product(Function):
        saves = (0, 1)

        def forward(self, x: Any, y: Any) -> Any:
            return (x * y).sum()

        def backward(self, g: Any, x: Any, y: Any) -> Any:
            return y, x

    x, y = mg.ones(2, requires_grad=True), mg.full((2,), 3.0).requires_grad_()
    Product()(x, y).backward()
    x.grad.zero_()  # type: ignore[union-attr]
    assert y.tolist() == [3.0, 3.0]


def test_a_leaf_of_another_shape_after_a_broadcast_is_refused() -> None:
    for shape in ((2,), (2, 3, 4)):
        x = mg.ones(3, requires_grad=True)
        y = x + mg.ones(2, 3, requires_grad=True)
        x.data = mg.ones(shape)
        with pytest.raises(ShapeError, match=r"gradient of shape \(2, 3\) .* broadcast from"):
            y.sum().backward()


def test_a_gradient_assigned_in_another_shape_is_refused() -> None:
    x = mg.ones(3, requires_grad=True)
    with pytest.raises(ShapeError, match=r"grad.*\(3,\).*\(2, 3\)"):
        x.grad = mg.ones(2, 3)
    with pytest.raises(GraphError, match=r"float64"):  # PyTorch's is a RuntimeError too
        x.grad = mg.ones(3, dtype=mg.float64)
    for wrong in (3, [1.0, 1.0, 1.0], np.ones(3, np.float32)):
        with pytest.raises(DTypeError, match="takes a Tensor or None"):
            x.grad = wrong  # type: ignore[assignment]
    with pytest.raises(GraphError, match="own gradient"):
        x.grad = x
    assert x.grad is None
    x.grad = mg.ones(3)
    del x.grad
    assert x.grad is None


def test_a_gradient_that_no_longer_fits_is_refused() -> None:
    x = mg.ones(3, requires_grad=True)
    x.grad = mg.ones(3)
    for data, error, match in (
        (mg.ones(2, 3), ShapeError, r"grad .*\(3,\).*\(2, 3\)"),
        (mg.ones(3, dtype=mg.float64), DTypeError, "float32.*float64"),
    ):
        x.data = data
        with pytest.raises(error, match=match):
            x.sum().backward()


# ---- inference mode -----------------------------------------------------------------------------


def test_tensors_of_inference_mode_can_change_inside_it() -> None:
    with mg.inference_mode():
        y = mg.ones(3) * 2
        y += 1
        y[0] = 7.0
        y[1:].mul_(2)
        assert y.tolist() == [7.0, 6.0, 6.0]
    with pytest.raises(GraphError, match="inference_mode"):
        y.add_(1)
    assert (y.clone().add_(1) * mg.ones(3, requires_grad=True)).requires_grad


# ---- what is kept alive -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op",
    [
        lambda x, w: x * 2.0, lambda x, w: 2.0 * x, lambda x, w: x / 2.0, lambda x, w: x * w,
        lambda x, w: x / w, lambda x, w: x + w, lambda x, w: x @ w, lambda x, w: -x,
        lambda x, w: mg.nn.functional.linear(x, w),
        lambda x, w: mg.nn.functional.conv2d(x[None, None], w[None, None]),
    ],
)  # fmt: skip
def test_an_operation_with_a_constant_does_not_keep_the_variable_alive(op: Any) -> None:
    w = mg.ones(3, 3)
    op(mg.ones(3, 3), w)  # compiles, and Numba's frames keep what they saw until a collection
    gc.disable()
    try:
        x = mg.ones(3, 3, requires_grad=True) * 1.0
        alive = weakref.ref(x)
        y = op(x, w)
        del x
        assert alive() is None
        y.sum().backward()
    finally:
        gc.enable()


# ---- operations that a user writes ---------------------------------------------------------------


class Times(mg.autograd.Function):
    saves = (0,)

    def forward(self, x: Any) -> Any:
        return x * x

    def backward(self, g: Any, x: Any) -> Any:
        return g * 2.0 * x


def test_one_function_object_cannot_be_two_nodes() -> None:
    op = Times()
    y = op(mg.tensor(2.0, requires_grad=True))
    with pytest.raises(GraphError, match=r"times: .*node of a graph already; .*Times\(…\)\(x\)"):
        op(mg.tensor(3.0, requires_grad=True))
    y.backward()


@pytest.mark.parametrize("result", [None, [1.0], (mg.ones(2), mg.ones(2)), mg.ones(2)])
@pytest.mark.parametrize("recorded", [False, True])
def test_forward_must_return_an_array(result: Any, recorded: bool) -> None:
    class Wrong(mg.autograd.Function):
        def forward(self, x: Any) -> Any:
            return result

    with pytest.raises(GraphError, match=r"wrong: forward .* must return one array, not "):
        Wrong()(mg.ones(2, requires_grad=recorded))


@pytest.mark.parametrize("part", [lambda x: x, lambda x: x[::2], lambda x: x.reshape(2, 2)])
def test_a_forward_that_hands_back_its_input_shares_no_memory(part: Any) -> None:
    class Same(mg.autograd.Function):
        def forward(self, x: Any) -> Any:
            return part(x)

    x = mg.ones(4)
    Same()(x).add_(1)
    assert x.tolist() == [1.0] * 4


def test_a_backward_that_fails_leaves_mode_and_gradients_alone() -> None:
    class Broken(Times):
        def backward(self, g: Any, x: Any) -> Any:
            raise RuntimeError("broken")

    x, y = mg.ones(2, requires_grad=True), mg.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="broken"):
        (Broken()(x) + y).sum().backward()
    assert mg.is_grad_enabled()
    assert x.grad is None
    assert y.grad is None


def test_a_backward_of_the_wrong_shape_or_count_is_refused() -> None:
    class Shape(Times):
        def backward(self, g: Any, x: Any) -> Any:
            return g.sum()

    class Count(Times):
        def backward(self, g: Any, x: Any) -> Any:
            return g, g

    x = mg.ones(2, requires_grad=True)
    with pytest.raises(GraphError, match=r"shape: .*gradient of shape \(\) for .*\(2,\)"):
        Shape()(x).sum().backward()
    with pytest.raises(GraphError, match=r"count: .*returned 2 gradients for 1 inputs"):
        Count()(x).sum().backward()
    assert x.grad is None


def test_a_gradient_gets_memory_of_its_own_unless_nobody_else_sees_it() -> None:
    class Parts(Function):
        """Gradients that are the halves of one array."""

        def forward(self, x: Any, y: Any) -> Any:
            return x + y

        def backward(self, g: Any) -> Any:
            both = np.concatenate([g, g])
            return both[: len(g)], both[len(g) :]

    class Kept(Times):
        """A gradient that views an array which somebody keeps."""

        keep = True

        def backward(self, g: Any, x: Any) -> Any:
            own = np.empty(len(g) + 1)[1:] if not self.keep else kept[1:]
            own[:] = g
            return own

    class New(Kept):
        """A gradient that views an array which nobody keeps, as it says."""

        keep = False
        fresh = True

    kept = np.zeros(9)
    x, y = (mg.ones(8, dtype=mg.float64, requires_grad=True) for _ in range(2))
    Parts()(x, y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    x.grad += 1.0
    assert y.grad.tolist() == [1.0] * 8

    for keep, op in ((True, Kept()), (False, New())):
        x.grad = None
        op(x).sum().backward()
        assert np.shares_memory(x.grad.array, kept) is False
        assert (x.grad.array.base is None) is keep  # copied only where it must be
