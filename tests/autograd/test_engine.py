"""The backward pass: order, sharing, freeing, threads, errors."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import Function
from minigrad.errors import DTypeError, GraphError, ShapeError
from tests.clock import HANG


def leaf(*values: float) -> mg.Tensor:
    return mg.tensor(list(values), dtype=mg.float64, requires_grad=True)


def test_a_gradient_has_the_shape_and_dtype_of_its_leaf():
    x = mg.ones(1, 3, requires_grad=True)
    (x * mg.ones(4, 3)).sum().backward()
    assert x.grad.shape == (1, 3)
    assert x.grad.dtype == mg.float32
    assert x.grad.tolist() == [[4.0, 4.0, 4.0]]


def test_double_use_and_diamond():
    x = leaf(2.0, 3.0)
    y = x * x
    (y * y + y).sum().backward()  # x**4 + x**2
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy() ** 3 + 2 * x.detach().numpy())


def test_two_addends_never_share_one_gradient_array():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    ((x + y) + 2 * x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert y.grad.tolist() == [1.0, 1.0]
    assert not np.shares_memory(x.grad.numpy(), y.grad.numpy())
    x.grad.mul_(0)
    assert y.grad.tolist() == [1.0, 1.0]


def test_leaves_of_one_sum_do_not_share_their_gradient():
    x, y = leaf(1.0), leaf(2.0)
    (x + y).backward(mg.ones(1, dtype=mg.float64))
    assert not np.shares_memory(x.grad.numpy(), y.grad.numpy())


def test_the_gradient_given_by_the_caller_is_not_kept():
    x = leaf(1.0, 2.0)
    v = mg.tensor([1.0, 1.0], dtype=mg.float64)
    x.backward(v)
    x.grad.mul_(5)
    assert v.tolist() == [1.0, 1.0]


def test_three_uses_accumulate_without_touching_what_another_node_holds():
    x = leaf(1.0, 2.0)
    a = x * 3.0
    ((a + a) + (a * a) + a.exp()).sum().backward()
    v = x.detach().numpy()
    np.testing.assert_allclose(x.grad.numpy(), 6 + 18 * v + 3 * np.exp(3 * v))


def test_backward_accumulates_over_calls():
    x = leaf(1.0)
    for _ in range(3):
        (x * 2).sum().backward()
    assert x.grad.tolist() == [6.0]


def test_backward_of_several_tensors_at_once():
    x = leaf(1.0, 2.0)
    mg.autograd.backward([x.sum(), (x * x).sum()])
    assert x.grad.tolist() == [3.0, 5.0]


def test_backward_with_inputs_fills_these_alone():
    x, y = leaf(1.0), leaf(2.0)
    inner = x * y
    inner.sum().backward(inputs=[x, inner])
    assert x.grad.tolist() == [2.0]
    assert inner.grad.tolist() == [1.0]
    assert y.grad is None


def test_a_million_nodes_run_backward_and_are_freed():
    x = mg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(1_000_000):
        y = y + 0.0
    y.backward()
    assert x.grad.item() == 1.0
    node = weakref.ref(y._node)
    del y
    assert node() is None


def test_a_deep_graph_that_never_runs_is_freed_without_the_collector():
    gc.disable()
    try:
        x = mg.tensor(1.0, requires_grad=True)
        y = x
        for _ in range(200_000):
            y = y * 1.0
        first = weakref.ref(y._node)
        del y
        assert first() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "make", [lambda x: x.exp(), lambda x: x * x, lambda x: x[0:1], lambda x: x.sum()]
)
def test_a_forward_graph_has_no_reference_cycle(make):
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = make(x)
        alive = weakref.ref(y._node)
        del y
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_thousand_steps_without_the_collector_keep_memory_flat():
    import resource

    model = [mg.randn(64, 64, requires_grad=True) for _ in range(4)]
    x = mg.randn(32, 64)

    def step() -> None:
        y = x
        for w in model:
            y = (y @ w).tanh()
        (y * y).mean().backward()
        with mg.no_grad():
            for w in model:
                w.sub_(w.grad * 0.01)
                w.grad = None

    gc.disable()
    try:
        for _ in range(100):
            step()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(1000):
            step()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    finally:
        gc.enable()
    assert after - before < 1024  # KB


def test_grad_returns_without_touching_grad():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    gx, gy = mg.autograd.grad((x * y).sum(), [x, y])
    assert gx.tolist() == [3.0, 4.0]
    assert gy.tolist() == [1.0, 2.0]
    assert x.grad is None


def test_grad_prunes_what_does_not_lead_to_the_inputs():
    visited = []

    class Spy(Function):
        def forward(self, x):
            return x * 1.0

        def backward(self, g):
            visited.append(self)
            return g

    x, y = leaf(1.0), leaf(2.0)
    out = Spy()(y) + x * 2
    (gx,) = mg.autograd.grad(out, x, mg.ones(1, dtype=mg.float64))
    assert gx.tolist() == [2.0]
    assert not visited


def test_grad_with_respect_to_an_inner_tensor():
    x = leaf(2.0)
    y = x * 3
    (gy,) = mg.autograd.grad((y * y).sum(), y)
    assert gy.tolist() == [12.0]


def test_unused_input():
    x, y = leaf(1.0), leaf(1.0)
    assert mg.autograd.grad(x.sum(), [x, y], allow_unused=True)[1] is None
    with pytest.raises(GraphError, match="do not depend on input 1"):
        mg.autograd.grad(x.sum(), [x, y])


def test_higher_derivatives():
    x = leaf(2.0)
    (first,) = mg.autograd.grad((x**4).sum(), x, create_graph=True)
    (second,) = mg.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = mg.autograd.grad(second.sum(), x)
    assert [first.item(), second.item(), third.item()] == [32.0, 48.0, 48.0]


def test_create_graph_gradients_can_be_part_of_a_loss():
    x = leaf(3.0)
    (g,) = mg.autograd.grad((x * x).sum(), x, create_graph=True)
    (g * g).sum().backward()  # (2x)**2
    assert x.grad.tolist() == [24.0]


def test_a_second_backward_names_the_operation():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GraphError, match=r"^mul: a second backward.*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [2.0]


def test_retain_graph_allows_a_second_backward():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]


def test_backward_needs_a_scalar_and_says_what_to_do():
    x = leaf(1.0, 2.0)
    with pytest.raises(GraphError, match=r"shape \(2,\).*loss\.sum\(\)"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"gradient has shape \(3,\), its tensor \(2,\)"):
        (x * 2).backward(mg.ones(3, dtype=mg.float64))
    with pytest.raises(DTypeError, match="int64"):
        (x * 2).backward(mg.ones(2, dtype=mg.int64))
    with pytest.raises(GraphError, match="does not require grad"):
        mg.ones(()).backward()
    assert x.grad is None


def test_integers_have_no_gradient():
    with pytest.raises(DTypeError, match=r"int64.*x\.float\(\)"):
        mg.tensor([1, 2], requires_grad=True)


def test_a_wrong_gradient_is_refused_and_no_grad_changes():
    class Wrong(Function):
        def forward(self, x):
            return x * 2.0

        def backward(self, g):
            return g[:1]

    x = leaf(1.0, 2.0)
    y = Wrong()(x).sum()
    with pytest.raises(
        GraphError, match=r"wrong: its backward returned a float64 gradient of shape \(1,\)"
    ):
        y.backward()
    assert x.grad is None


def test_two_threads_keep_their_own_grad_mode():
    barrier = threading.Barrier(2)
    seen = {}

    def work(name: str, mode: bool) -> None:
        with mg.set_grad_enabled(mode):
            for _ in range(50):
                barrier.wait(HANG)
                x = leaf(1.0)
                seen.setdefault(name, set()).add((x * 2).requires_grad)

    threads = [threading.Thread(target=work, args=(str(m), m)) for m in (True, False)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(HANG)
    assert seen == {"True": {True}, "False": {False}}
    assert mg.is_grad_enabled()


def test_backward_in_two_threads_at_once():
    results = {}

    def work(k: int) -> None:
        x = leaf(float(k))
        for _ in range(200):
            x.grad = None
            (x * x * x).sum().backward()
        results[k] = x.grad.item()

    threads = [threading.Thread(target=work, args=(k,)) for k in (2, 3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(HANG)
    assert results == {2: 12.0, 3: 27.0}


def test_hooks_see_and_replace_gradients():
    x = leaf(1.0, 2.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert seen == [[1.0, 1.0]]
    assert x.grad.tolist() == [20.0, 20.0]
    handle.remove()
    x.grad = None
    z = x * 2
    z.register_hook(lambda g: mg.ones(3))
    with pytest.raises(GraphError, match=r"hook must return a float64 tensor of shape \(2,\)"):
        z.sum().backward()
    assert x.grad is None


def test_leaf_hooks_run_once_on_the_whole_gradient():
    x = leaf(1.0)
    calls = []
    x.register_hook(lambda g: calls.append(g.tolist()))
    (x * 2 + x * 3).sum().backward()
    assert calls == [[5.0]]


def test_a_leafs_hook_is_called_as_soon_as_all_of_its_gradient_is_there():
    early, late = leaf(1.0), leaf(2.0)
    seen = []
    early.register_hook(lambda g: seen.append(("early", g.item())))
    late.register_hook(lambda g: seen.append(("late", g.item())))
    y = early * 3
    y.register_hook(lambda g: seen.append(("between", g.item())))
    (y * late + late).backward()
    assert seen == [("late", 4.0), ("between", 2.0), ("early", 6.0)]


def test_retain_grad_keeps_the_gradient_of_an_inner_tensor():
    x = leaf(1.0, 2.0)
    y = x * 3
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [6.0, 12.0]


def test_no_grad_as_decorator_and_nested():
    @mg.no_grad()
    def f(x):
        return x * 2

    x = leaf(1.0)
    assert not f(x).requires_grad
    with mg.no_grad():
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_set_grad_enabled_as_statement_and_decorator():
    mg.set_grad_enabled(False)
    try:
        assert not mg.is_grad_enabled()
    finally:
        mg.set_grad_enabled(True)

    @mg.set_grad_enabled(False)
    def f():
        return mg.is_grad_enabled()

    assert mg.is_grad_enabled()
    assert not f()


def test_inference_tensors_cannot_enter_the_graph():
    with mg.inference_mode():
        x = mg.ones(2) * 2
    w = mg.ones(2, requires_grad=True)
    with pytest.raises(GraphError, match=r"inference_mode.*x\.clone\(\)"):
        w * x
    assert (w * x.clone()).requires_grad


@pytest.mark.filterwarnings("ignore:invalid value")
def test_anomaly_mode_names_operation_and_line_of_the_first_nan_forward():
    x = leaf(-1.0)
    with mg.autograd.detect_anomaly(), pytest.raises(GraphError) as caught:
        x.log() * 2
    assert "log: the result has 1 NaN" in str(caught.value)
    assert "test_engine.py" in str(caught.value)
    assert "x.log() * 2" in str(caught.value)


def test_anomaly_mode_names_operation_and_line_of_the_first_nan_backward():
    x = leaf(0.0)
    with mg.autograd.detect_anomaly():
        y = (x.sqrt() * 0.0).sum()  # 0 * (0.5 / 0)
        with pytest.raises(GraphError) as caught, np.errstate(all="ignore"):
            y.backward()
    assert "sqrt: its backward made 1 NaN" in str(caught.value)
    assert "x.sqrt() * 0.0" in str(caught.value)
    assert x.grad is None


def test_saved_tensor_changed_in_place_is_noticed():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = (y * y).sum()
    y.add_(1.0)
    with pytest.raises(GraphError, match=r"mul: a tensor of shape \(2,\).*version 1, expected 0"):
        z.backward()
    assert x.grad is None


def test_saved_output_changed_in_place_is_noticed():
    x = leaf(1.0)
    y = x.exp()
    z = y.sum()
    y.mul_(2.0)
    with pytest.raises(GraphError, match="exp: a tensor"):
        z.backward()


def test_a_change_through_detach_is_noticed():
    x = leaf(1.0)
    y = x * 2
    z = (y * y).sum()
    y.detach().mul_(3)
    with pytest.raises(GraphError, match="changed in place"):
        z.backward()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_function_without_forward_says_so():
    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError, match="Empty defines no forward"):
        Empty()(leaf(1.0))


def test_a_gradient_of_another_float_dtype_is_cast():
    class Wide(mg.autograd.Function):
        def forward(self, x):
            return x * 1.0

        def backward(self, g):
            return (
                mg.ones(*g.shape, dtype=mg.float64) if isinstance(g, mg.Tensor) else g.astype("f8")
            )

    x = mg.ones(2, requires_grad=True)
    (x * 2).backward(mg.ones(2, dtype=mg.float64))
    Wide()(x).sum().backward()
    Wide()(x).sum().backward(create_graph=True)
    assert x.grad.dtype == mg.float32
    assert x.grad.tolist() == [4.0, 4.0]


def test_backward_to_one_input_and_to_none() -> None:
    x, w = mg.ones(2, requires_grad=True), mg.ones(2, requires_grad=True)
    y = (x * w).sum()
    with pytest.raises(GraphError, match="inputs is empty"):
        y.backward(inputs=[])
    y.backward(inputs=x)
    assert x.grad is not None
    assert w.grad is None
