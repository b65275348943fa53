"""Tasks on threads: the same results, whoever runs them, and BLAS as it was afterwards."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minigrad.backend import use_kernels
from minigrad.kernels import pick, threads
from minigrad.kernels.arrays import mlp as tiles
from minigrad.kernels.arrays import running
from minigrad.kernels.formulas import mlp
from minigrad.kernels.namespaces import CuPy, NumPy
from minigrad.kernels.threads import openblas, run_tasks
from tests.clock import HANG

rng = np.random.default_rng(0)

needs_openblas = pytest.mark.skipif(openblas() is None, reason="NumPy without OpenBLAS")


@pytest.fixture
def blas() -> Iterator[Any]:
    """Yield the function that sets the number of BLAS threads."""
    controls = openblas()
    assert controls is not None
    get, set_ = controls
    before = get()
    yield set_
    set_(before)


def count() -> int:
    controls = openblas()
    assert controls is not None
    return controls[0]()


def test_results_are_in_order() -> None:
    assert run_tasks(lambda i: i * i, range(50)) == [i * i for i in range(50)]
    assert run_tasks(len, []) == []


@needs_openblas
def test_tasks_run_on_several_threads_with_one_of_blas_each(blas: Any) -> None:
    blas(2)
    both = threading.Barrier(2, timeout=HANG)  # passed only if two tasks run at once

    def task(_: int) -> tuple[int, int]:
        both.wait()
        return threading.get_ident(), count()

    results = run_tasks(task, range(2))
    assert len({name for name, _ in results}) == 2
    assert [inside for _, inside in results] == [1, 1]
    assert count() == 2


@needs_openblas
def test_one_blas_thread_means_one_thread(blas: Any) -> None:
    blas(1)
    assert set(run_tasks(lambda _: threading.get_ident(), range(8))) == {threading.get_ident()}


@needs_openblas
def test_tasks_may_share_tasks_and_errors_come_through(blas: Any) -> None:
    blas(2)
    nested = run_tasks(lambda i: run_tasks(lambda j: 10 * i + j, range(3)), range(4))
    assert nested == [[10 * i + j for j in range(3)] for i in range(4)]
    with pytest.raises(ZeroDivisionError):
        run_tasks(lambda i: 1 // i, range(8))
    assert count() == 2
    assert run_tasks(str, range(3)) == ["0", "1", "2"]


@needs_openblas
def test_helpers_know_which_warnings_to_raise(blas: Any) -> None:
    blas(2)
    both = threading.Barrier(2, timeout=HANG)

    def task(_: int) -> Any:
        both.wait()
        return np.divide(1.0, np.zeros(3))

    with np.errstate(divide="ignore"):
        run_tasks(task, range(2))
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        run_tasks(task, range(2))


@needs_openblas
def test_several_callers_at_once(blas: Any) -> None:
    blas(2)
    x = rng.standard_normal((300, 2000)).astype("f")
    expected = pick_reference("gelu")(x)
    wrong = []

    def work() -> None:
        for _ in range(10):
            if not np.array_equal(pick_reference("gelu")(x), expected):
                wrong.append(1)

    callers = [threading.Thread(target=work) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong
    assert count() == 2


@needs_openblas
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(blas: Any) -> None:
    blas(2)
    run_tasks(lambda _: time.sleep(0.01), range(2))  # the pool has a thread
    child = os.fork()
    if not child:
        ok = run_tasks(lambda i: i + 1, range(9)) == list(range(1, 10))
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_other_libraries_get_a_plain_loop() -> None:
    import minigrad as mg

    assert set(CuPy(mg.ops).run_tasks(lambda _: threading.get_ident(), range(8))) == {
        threading.get_ident()
    }


def test_without_openblas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "openblas", lambda: None)
    assert run_tasks(str, range(3)) == ["0", "1", "2"]


# ---- kernels ----------------------------------------------------------------------------------


def pick_reference(name: str) -> Any:
    with use_kernels("reference"):
        return pick(name, np.ones(1))


def calls() -> dict[str, tuple[Any, ...]]:
    """Return arguments that are enough for several tasks."""
    size = 3 * running.BLOCK // 96 // 4 * 4
    rows, w = rng.standard_normal((size, 96)), rng.standard_normal(96)
    x = np.moveaxis(rng.standard_normal((8, 28, 28, 96)), -1, 1)
    filters, dense = rng.standard_normal((96, 1, 7, 7)), rng.standard_normal((40, 96, 2, 2))
    seven = ((1, 1), ((3, 3), (3, 3)), (1, 1), 96)
    two = ((2, 2), ((0, 0), (0, 0)), (1, 1), 1)
    g = np.moveaxis(rng.standard_normal((8, 14, 14, 40)), -1, 1)
    return {
        "gelu": (rows,),
        "gelu_vjp": (rows, rows),
        "layer_norm": (rows, w, w, 1e-6),
        "layer_norm_vjp": (rows, rows, w, 1e-6),
        "grn_vjp": (*rows.reshape(1, 4, -1, 96).repeat(2, 0), w, 1e-6),
        "matmul": (rows, rng.standard_normal((96, 300))),
        "depthwise_conv": (x, filters, w, *seven),
        "depthwise_conv_weight_grad": (x, x, (7, 7), *seven),
        "conv": (x, dense, None, *two),
        "conv_input_grad": (g, dense, (28, 28), *two),
        "conv_weight_grad": (g, x, (2, 2), *two),
    }


@needs_openblas
def test_results_do_not_depend_on_the_number_of_threads(blas: Any) -> None:
    for name, args in calls().items():
        args = tuple(a.astype("f") if isinstance(a, np.ndarray) else a for a in args)
        found = []
        for number in (1, 2, 3):
            blas(number)
            result = pick_reference(name)(*args)
            found.append(result if isinstance(result, tuple) else (result,))
        for more in found[1:]:
            for a, b in zip(found[0], more, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=name)


# ---- the pointwise half of the block in tiles -------------------------------------------------


@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.parametrize("factor", [False, True])
@pytest.mark.parametrize("shape", [(2, 21, 19, 24), (9, 5, 24), (1, 24), (1, 40, 40, 24)], ids=str)
def test_tiles_equal_the_formula(
    shape: tuple[int, ...], factor: bool, grn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "TILE", 96 * 64)
    monkeypatch.setattr(tiles, "ROWS", 16)
    x, skip = rng.standard_normal((2, *shape))
    c, h = 24, 96
    p = mlp.Weights(
        *rng.standard_normal((2, c)), rng.standard_normal((h, c)), rng.standard_normal(h),
        rng.standard_normal((c, h)), *rng.standard_normal((2, c)),
        *(rng.standard_normal((2, h)) if grn else ()),
    )  # fmt: skip
    f = np.linspace(0.0, 2.0, shape[0]) if factor else None
    expected = mlp.mlp(NumPy(np), x, skip, p, f, 1e-6, 1e-6)[0]
    y, kept = NumPy(np).mlp(x, skip, p, f)
    assert kept is None
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)
    turned = NumPy(np).mlp(np.asfortranarray(x), np.asfortranarray(skip), p, f)[0]
    np.testing.assert_allclose(turned, expected, rtol=1e-10, atol=1e-10)


def test_a_block_without_gradients_equals_its_layers() -> None:
    import minigrad as mg
    from minigrad.models.block import Block

    mg.manual_seed(0)
    for options in ({"layer_scale_init_value": 0.5}, {"grn": True}):
        block = Block(16, **options).to("float64")  # type: ignore[arg-type]
        x = mg.randn(2, 16, 30, 30, dtype=mg.float64)
        with use_kernels("reference"):
            recorded = block(x)
            with mg.no_grad():
                np.testing.assert_allclose(block(x).numpy(), recorded.detach().numpy(), rtol=1e-10)
