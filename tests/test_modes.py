"""The modes: who sees them, and that nothing leaves a trace."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import modes, nn
from minigrad.data import ArrayDataset, DataLoader
from minigrad.errors import GraphError
from minigrad.train import Trainer
from tests.clock import HANG


class Stop(BaseException):
    """What an interrupt raises."""


def seen() -> tuple[Any, ...]:
    """Return all that a mode can change."""
    now = modes.current()
    return now.flags, now.autocast, now.block, now.outer, tuple(np.geterr().items())


FRESH = seen()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    assert seen() == FRESH
    yield
    assert seen() == FRESH


# ---- an exception at any moment -------------------------------------------------------------
#
# Python runs signal handlers where a function begins and after a call of something compiled. A
# profile function is told of just these points, and can raise at each of them in turn.
#
# One point cannot be made safe: where `__exit__` begins, no line of it has run, and the `with`
# statement calls it once. So nothing in the package that a user may interrupt for long relies on
# it: only a sweep over a `with` statement of the user's own leaves this point out.


def interrupt_everywhere(
    work: Callable[[], Any], check: Callable[[], object], leave_out: str = ""
) -> int:
    """Run `work` until nothing interrupts it, stopping one point later each time."""
    stop_at = 0
    while True:
        stop_at += 1
        point = 0

        def profile(frame: Any, event: str, arg: Any) -> None:
            nonlocal point
            if event in ("call", "c_return") and frame.f_code.co_name != leave_out:
                point += 1
                if point == stop_at:  # noqa: B023
                    raise Stop

        with contextlib.suppress(Stop):
            try:
                sys.setprofile(profile)
                work()
            finally:
                sys.setprofile(None)
        check()
        if point < stop_at:  # not interrupted; an object's end may have swallowed others
            return stop_at


def _graph(x: mg.Tensor) -> mg.Tensor:
    y = x
    for _ in range(4):
        y = y * 1.01 + x
    return (y * y).sum()


def _backward() -> Callable[[], Any]:
    x = mg.ones(4, requires_grad=True)
    y = _graph(x)
    return lambda: y.backward(retain_graph=True)


def _grad() -> Callable[[], Any]:
    x = mg.ones(4, requires_grad=True)
    y = _graph(x)
    return lambda: mg.autograd.grad(y, x, create_graph=True)


def _checkpoint() -> Callable[[], Any]:
    x = mg.ones(4, requires_grad=True)
    with mg.autocast("cpu", dtype=mg.float16):
        y = mg.autograd.checkpoint(lambda t: mg.dropout(t * x, 0.5).sum(), x)
    return lambda: y.backward(retain_graph=True)


def _decorated() -> Callable[[], Any]:
    @mg.autocast("cpu", dtype=mg.float16)
    @mg.inference_mode
    @mg.enable_grad()
    @mg.no_grad
    def double(x: mg.Tensor) -> mg.Tensor:
        return x @ x

    return lambda: double(mg.ones(2, 2, requires_grad=True))


def _generator() -> Callable[[], Any]:
    @mg.no_grad
    def doubles(x: mg.Tensor) -> Iterator[mg.Tensor]:
        for _ in range(2):
            yield x * 2

    return lambda: list(doubles(mg.ones(2, requires_grad=True)))


def _with() -> Callable[[], Any]:
    x = mg.ones(2, 2, requires_grad=True)

    def work() -> None:
        with mg.no_grad(), mg.autocast("cpu", dtype=mg.float16), mg.inference_mode():
            x @ x

    return work


def _in_place() -> Callable[[], Any]:
    x = mg.ones(3)
    return lambda: (x.clamp_(0.0, 1.0), x.half())


def _batch_norm() -> Callable[[], Any]:
    layer = nn.BatchNorm1d(3)
    return lambda: layer(mg.ones(2, 3))


def _load_state() -> Callable[[], Any]:
    layer = nn.Linear(2, 2)
    state = {"weight": np.full((2, 2), 1e300), "bias": np.zeros(2)}
    return lambda: layer.load_state_dict(state)


def _trainer() -> Trainer:
    return Trainer(nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), "sgd", precision="float16")


def _training_step() -> Callable[[], Any]:
    trainer, x, t = _trainer(), mg.ones(2, 2), mg.tensor([0, 1])
    return lambda: trainer.train_on_batch(x, t)


def _prediction() -> Callable[[], Any]:
    trainer = _trainer()
    loader = DataLoader(ArrayDataset(np.ones((2, 2, 1), np.float32), np.arange(2)), batch_size=2)
    return lambda: trainer.predict(loader)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "make",
    [_backward, _grad, _checkpoint, _decorated, _generator, _with, _in_place, _batch_norm,
     _load_state, _training_step, _prediction],
    ids=lambda f: f.__name__[1:],
)  # fmt: skip
def test_an_interrupt_at_any_point_leaves_no_trace(make: Callable[[], Callable[[], Any]]) -> None:
    def check() -> None:
        assert seen() == FRESH

    leave_out = "__exit__" if make is _with else ""
    work = make()
    work()  # what is imported and compiled at the first call is not ours to mend
    assert interrupt_everywhere(work, check, leave_out) > 10


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_after_an_interrupt_a_gradient_is_that_of_before_or_after() -> None:
    x, w = mg.ones(3, requires_grad=True), mg.ones(3, requires_grad=True)
    y = (_graph(x) * w).sum()
    gx, gw = (g.numpy() for g in mg.autograd.grad(y, (x, w), retain_graph=True))
    x.grad, w.grad = mg.zeros(3), mg.zeros(3)
    before = [np.zeros(3), np.zeros(3)]

    def check() -> None:
        for leaf, g, old in ((x, gx, before[0]), (w, gw, before[1])):
            new = leaf.grad.numpy()
            assert (new == old).all() or (new == (old + g).astype(np.float32)).all()
        before[:] = [x.grad.numpy().copy(), w.grad.numpy().copy()]

    interrupt_everywhere(lambda: y.backward(retain_graph=True), check)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_signals_in_backward_leave_no_trace() -> None:
    def handler(*_: object) -> None:
        raise Stop

    backward, random = _backward(), np.random.default_rng(0)
    old = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(2000):
            with contextlib.suppress(Stop):
                try:
                    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 6e-4))
                    backward()
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            assert seen() == FRESH
    finally:
        signal.signal(signal.SIGALRM, old)


def test_hooks_and_backwards_that_raise_leave_no_trace() -> None:
    class Broken(mg.autograd.Function):
        def forward(self, x: Any) -> Any:
            return x * 1.0

        def backward(self, g: Any) -> Any:
            raise Stop

    x = mg.ones(2, requires_grad=True)

    def hook(g: mg.Tensor) -> None:
        mg.set_grad_enabled(True)
        np.seterr(all="raise")
        raise Stop

    y = x * 2
    y.register_hook(hook)
    for loss in (y.sum(), Broken()(x).sum()):
        with mg.enable_grad(), pytest.raises(Stop):
            loss.backward()
        assert seen() == FRESH
        assert x.grad is None


# ---- one object in several places -----------------------------------------------------------


def test_one_object_nested_in_itself() -> None:
    off = mg.no_grad()
    with off:
        with off, mg.enable_grad(), off:
            assert not mg.is_grad_enabled()
        assert not mg.is_grad_enabled()


def test_one_object_shared_by_threads() -> None:
    off, entered, failures = mg.no_grad(), threading.Barrier(2, timeout=HANG), []

    def work(first: bool) -> None:
        with contextlib.nullcontext() if first else mg.autocast("cpu", dtype=mg.float16):
            for _ in range(50):
                with off:
                    entered.wait()
                    if mg.is_grad_enabled():
                        failures.append("on inside")
                    if first:
                        entered.wait()
                if not first:
                    entered.wait()
                if not mg.is_grad_enabled() or mg.is_autocast_enabled("cpu") is first:
                    failures.append("other modes outside")

    threads = [threading.Thread(target=work, args=(n == 0,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_asyncio_tasks_have_modes_of_their_own() -> None:
    async def task(off: bool) -> bool:
        with mg.no_grad() if off else contextlib.nullcontext():
            for _ in range(3):
                await asyncio.sleep(0)
                if mg.is_grad_enabled() is off:
                    return False
        return mg.is_grad_enabled()

    async def main() -> list[bool]:
        return await asyncio.gather(*(task(n % 2 == 0) for n in range(6)))

    assert all(asyncio.run(main()))


def test_a_block_ends_what_was_left_open_in_it() -> None:
    with mg.no_grad():
        mg.autocast("cpu", dtype=mg.float16).__enter__()
        mg.enable_grad().__enter__()
        assert mg.is_grad_enabled()


def test_blocks_that_end_in_another_order() -> None:
    a, b = mg.no_grad(), mg.inference_mode()
    a.__enter__()
    b.__enter__()
    a.__exit__(None, None, None)
    b.__exit__(None, None, None)
    assert mg.is_grad_enabled()


def test_an_exit_stack_and_a_block_without_end() -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(mg.no_grad())
        assert not mg.is_grad_enabled()

    def notebook() -> bool:
        mg.no_grad().__enter__()  # as some notebooks do it
        return mg.is_grad_enabled()

    import contextvars

    assert not contextvars.copy_context().run(notebook)


def test_set_grad_enabled_as_function_block_and_decorator() -> None:
    with mg.enable_grad():
        mg.set_grad_enabled(False)
        assert not mg.is_grad_enabled()
        mg.set_grad_enabled(True)
        with mg.set_grad_enabled(False):
            assert not mg.is_grad_enabled()
        assert mg.is_grad_enabled()
        mg.set_grad_enabled(False)
    assert mg.is_grad_enabled()

    @mg.set_grad_enabled(False)
    def inside() -> bool:
        return mg.is_grad_enabled()

    assert mg.is_grad_enabled()
    assert not inside()
    assert mg.is_grad_enabled()


# ---- decorators -----------------------------------------------------------------------------

SWITCHES = {
    "no_grad": (mg.no_grad, mg.is_grad_enabled),
    "no_grad()": (mg.no_grad(), mg.is_grad_enabled),
    "inference_mode": (mg.inference_mode, lambda: not modes.is_inference_mode_enabled()),
    "inference_mode()": (mg.inference_mode(), lambda: not modes.is_inference_mode_enabled()),
    "autocast": (
        mg.autocast("cpu", dtype=mg.float16),
        lambda: not mg.is_autocast_enabled("cpu"),
    ),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_decorators_hold_in_the_function_alone(name: str) -> None:
    switch, outside = SWITCHES[name]

    @switch
    def function(n: int) -> list[bool]:
        """Say something."""
        return [outside()] + (function(n - 1) if n else [])

    class Owner:
        @switch
        def method(self) -> bool:
            return outside()

    assert function(2) == [False] * 3
    assert not Owner().method()
    assert function.__name__ == "function"
    assert function.__doc__ == "Say something."
    assert outside()


@pytest.mark.parametrize("name", SWITCHES)
def test_generators_run_in_the_mode_and_their_callers_do_not(name: str) -> None:
    switch, outside = SWITCHES[name]
    said: list[Any] = []

    @switch
    def count(n: int) -> Any:
        try:
            for i in range(n):
                said.append((outside(), (yield i)))
        except KeyError as error:
            yield ("caught", outside(), error.args)
        finally:
            said.append(("end", outside()))
        return "done"

    g = count(3)
    assert next(g) == 0
    assert outside()
    assert g.send("a") == 1
    assert outside()
    assert g.throw(KeyError("b")) == ("caught", False, ("b",))
    assert outside()
    with pytest.raises(StopIteration) as end:
        next(g)
    assert end.value.value == "done"
    assert said == [(False, "a"), ("end", False)]

    said.clear()
    g = count(3)
    next(g)
    g.close()
    assert said == [("end", False)]
    assert outside()
    assert list(count(2)) == [0, 1]


def test_what_cannot_be_decorated_is_refused() -> None:
    async def later() -> None: ...

    async def many() -> Any:
        yield 1

    class Layer: ...

    for thing in (later, many, Layer):
        for switch in (mg.no_grad(), mg.no_grad, mg.inference_mode, mg.autocast("cpu", "float16")):
            with pytest.raises(GraphError, match="decorate"):
                switch(thing)
    with pytest.raises(GraphError, match="decorates functions"):
        mg.no_grad()(3)
    with pytest.raises(GraphError, match=r"@set_grad_enabled\(False\)"):
        mg.set_grad_enabled(later)
