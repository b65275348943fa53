"""How compiled kernels are run: memory, the pool of threads, forks, a compiler that fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.np.ufunc import parallel as numba_pool

import minigrad
from minigrad import kernels
from minigrad.backend import kernels_in_use, use_kernels
from minigrad.kernels import pick
from minigrad.kernels.cpu import buffers
from minigrad.kernels.cpu.arrays import flat, takes

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


def test_large_memory_is_whole_and_writable_wherever_it_comes_from() -> None:
    buffers.release()
    for size in (buffers.HUGE, 3 * buffers.HUGE // 2 + 12):
        a = buffers.empty(size, np.uint8)
        a[...] = 7
        assert a.sum() == 7 * size
        assert a.ctypes.data % buffers.ALIGNMENT == 0
    with pytest.raises(MemoryError):
        buffers.empty(1 << 55, np.uint8)
    assert buffers.held() < 1 << 55


def test_memory_without_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int) -> Any:
        raise OSError("no such pages")

    monkeypatch.setattr(buffers, "_in_huge_pages", refuse)
    buffers.release()
    a = buffers.empty(buffers.HUGE, np.uint8)
    a[...] = 7
    assert a.sum() == 7 * buffers.HUGE
    del a
    buffers.release()


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


def run(code: str, folder: Path = Path(__file__).parents[3], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
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


def test_no_call_takes_the_lock_of_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C inside of `numba.get_num_threads` may leave it taken, and other threads wait."""

    class Taken:
        def __enter__(self) -> None:
            pytest.fail("another thread would wait here")

        def __exit__(self, *error: object) -> None:
            pass

    x, w = np.ones((1, 8, 8, 8), np.float32), np.ones((8, 8, 3, 3), np.float32)
    steps = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    expected = pick("conv", x)(x, w, None, *steps)
    monkeypatch.setattr(numba_pool, "_backend_init_process_lock", Taken())
    np.testing.assert_array_equal(pick("conv", x)(x, w, None, *steps), expected)


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


def test_a_process_with_one_core() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    code = (
        "import os, sys, numpy as np\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from minigrad.kernels import is_compiled, pick\n"
        "x = np.linspace(-3, 3, 90_000, dtype='f').reshape(300, 300)\n"
        "assert is_compiled('gelu', x)\n"
        "print(pick('gelu', x)(x).sum(dtype='d').hex())\n"
    )
    several = run(code.replace("{min(os.sched_getaffinity(0))}", "os.sched_getaffinity(0)"))
    assert run(code) == several
    assert run(code, NUMBA_NUM_THREADS="2") == several


# ---- compiling --------------------------------------------------------------------------------


def test_a_kernel_that_does_not_compile_is_replaced_with_one_warning() -> None:
    @numba.njit
    def broken(x: Any) -> Any:
        return x.no_such_method()

    @takes()
    def compiled(x: Any) -> Any:
        return broken(x)

    total = kernels._either(compiled, np.sum)

    with use_kernels("fast"):
        with pytest.warns(
            RuntimeWarning, match="(?s)Numba could not make compiled.*; the formula takes"
        ):
            assert total(np.ones(3)) == 3.0
        assert kernels_in_use() == "reference"
        assert total(np.ones(3)) == 3.0  # and no warning
    assert kernels_in_use() == "fast"


def test_without_a_folder_for_the_cache_numpy_takes_over_with_one_warning(tmp_path: Path) -> None:
    package = tmp_path / "minigrad"
    shutil.copytree(
        Path(minigrad.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "kernels" / "cpu" / "__pycache__").write_text("no folder, and not to be one")
    code = (
        "import warnings, numpy as np\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import minigrad as mg, minigrad.models as models\n"
        "    model = models.ConvNeXt(num_classes=3, depths=(1, 1), dims=(8, 16))\n"
        "    y = model(mg.ones(1, 3, 32, 32)).sum()\n"
        "    y.backward()\n"
        "assert 'NUMBA_CACHE_DIR' in str(caught[0].message), caught[0]\n"
        "print(mg.__file__, len(caught), mg.backend.kernels_in_use())\n"
    )
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "NUMBA_CACHE_DIR": "/dev/null/x"}
    found = run(code, tmp_path, **nowhere).split()
    assert found == [str(package / "__init__.py"), "1", "reference"]


def test_the_first_compilation_shows_its_progress_on_a_terminal_only(tmp_path: Path) -> None:
    import pty

    code = (
        "import numpy as np\n"
        "from minigrad.kernels import pick\n"
        "x = np.ones((1, 8, 3))\n"
        "pick('pool_gather', x)(x, np.zeros((1, 8, 1), np.int64))\n"
    )
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[3]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "terminal")}
    ours, theirs = pty.openpty()
    subprocess.run(command, stderr=theirs, cwd=root, env=environment, check=True)
    os.close(theirs)
    assert b"minigrad: compiling gather (once)" in os.read(ours, 10_000)
    os.close(ours)
    ours, theirs = pty.openpty()
    subprocess.run(command, stderr=theirs, cwd=root, env=environment, check=True)
    os.write(theirs, b"nothing")
    assert os.read(ours, 10_000) == b"nothing"  # it is compiled already
    os.close(ours)
    os.close(theirs)
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path / "file")) == ""
