"""How compiled kernels are run: memory, the pool of threads, forks, a compiler that fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from minigrad.backend import use_kernels
from minigrad.kernels import pick
from minigrad.kernels.cpu import buffers
from minigrad.kernels.cpu.arrays import flat, instead_of

# ---- memory -----------------------------------------------------------------------------------


def test_memory_is_used_again_when_the_last_view_is_gone() -> None:
    buffers.release()
    a = buffers.empty((300, 1000), np.float32)
    place, view = a.ctypes.data, a[10:, ::2].T
    assert place % buffers.ALIGNMENT == 0
    before = buffers.held()
    del a
    assert buffers.held() == before  # the view still needs it
    b = buffers.empty((300, 1000), np.float32)
    assert b.ctypes.data != place
    del view
    assert buffers.held() > before
    c = buffers.empty(299_000, np.float32)  # a size of the same class
    assert c.ctypes.data == place
    assert c.flags.writeable
    del c
    assert buffers.empty(130_000, np.float32).ctypes.data != place  # too large for half its size
    assert buffers.empty(260_000, np.float32).ctypes.data == place
    buffers.release()
    assert buffers.held() == 0


def test_small_and_empty_arrays_do_not_use_the_pool() -> None:
    before = buffers.held()
    for shape in (0, 3, (2, 0), (5, 5)):
        assert buffers.empty(shape, np.float64).shape == (
            shape if isinstance(shape, tuple) else (shape,)
        )
    assert buffers.held() == before


def test_flat_keeps_the_order_in_memory() -> None:
    x = np.moveaxis(np.arange(24.0).reshape(2, 3, 4), -1, 1)
    y = x.copy()
    out, result, *rows = flat(x, y)
    result[:] = rows[0]
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(rows[0], rows[1])
    assert out.strides == x.strides


# ---- threads and processes --------------------------------------------------------------------


def test_several_python_threads_at_once() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((4, 400, 96)).astype("f")
    wrong = []

    def work(x: Any) -> None:
        expected = pick("gelu", x)(x)
        for _ in range(30):
            if not np.array_equal(pick("gelu", x)(x), expected):
                wrong.append(1)

    with use_kernels("fast"):
        workers = [threading.Thread(target=work, args=(x,)) for x in inputs]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert not wrong


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_forked_child_goes_on(layer: str) -> None:
    code = (
        "import os, warnings, numpy as np\n"
        "warnings.simplefilter('ignore')\n"
        "from minigrad.kernels import pick\n"
        "x = np.ones((300, 300), 'f')\n"
        "expected = pick('gelu', x)(x)\n"
        "child = os.fork()\n"
        "ok = np.allclose(pick('gelu', x)(x), expected)\n"
        "if not child:\n"
        "    os._exit(0 if ok else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), ok)\n"
    )
    assert run(code, NUMBA_THREADING_LAYER=layer).split() == ["0", "True"]


def test_simple_pool_with_several_python_threads() -> None:
    code = (
        "import threading, numpy as np\n"
        "from minigrad.kernels import pick\n"
        "x = np.ones((300, 300), 'f')\n"
        "many = lambda: [pick('gelu', x)(x) for _ in range(20)]\n"
        "work = [threading.Thread(target=many) for _ in '123']\n"
        "[w.start() for w in work]\n"
        "[w.join() for w in work]\n"
        "print('done')\n"
    )
    assert run(code, NUMBA_THREADING_LAYER="workqueue").split() == ["done"]


# ---- when compiling fails ---------------------------------------------------------------------


def test_a_kernel_that_does_not_compile_is_replaced_with_one_warning() -> None:
    @numba.njit
    def broken(x: Any) -> Any:
        return x.no_such_method()

    @instead_of(lambda xp, x: xp.sum(x))
    def total(x: Any) -> Any:
        return broken(x)

    with pytest.warns(RuntimeWarning, match="Numba could not make total, NumPy takes over"):
        assert total(np.ones(3)) == 3.0
    assert total(np.ones(3)) == 3.0  # and no warning


def test_without_a_folder_for_the_cache(tmp_path: Path) -> None:
    code = (
        "import warnings, numpy as np\n"
        "from numba.core import caching\n"
        "cache = getattr(caching, 'CacheImpl', None) or caching._CacheImpl\n"
        "cache._locator_classes = []\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    from minigrad.kernels.cpu.softmax import softmax\n"
        "    y = softmax(np.zeros((2, 4)), -1)\n"
        "print(y[0, 0], len(caught), 'NUMBA_CACHE_DIR' in str(caught[0].message))\n"
    )
    assert run(code).split() == ["0.25", "1", "True"]
