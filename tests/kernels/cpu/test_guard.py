"""No compiled kernel reads or writes beyond its arrays, over the cases of the property tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from minigrad.kernels.table import FILE_OF
from tests.kernels import guard

ROOT = Path(__file__).parents[3]
CASES = [
    "tests/kernels/cpu/test_formulas.py",
    "tests/kernels/cpu/test_bfloat16.py",
    "tests/kernels/test_optimizers.py",
]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="about mprotect of Linux")


def compiled() -> set[str]:
    """Return the names of all kernels that have a compiled version."""
    return {
        name
        for name, (_, file) in FILE_OF.items()
        if (ROOT / "minigrad" / "kernels" / "cpu" / f"{file}.py").exists()
        and hasattr(import_module(f"minigrad.kernels.cpu.{file}"), name)
    }


@pytest.mark.parametrize("side", ["end", "begin"])
def test_every_kernel_stays_inside_its_arrays(side: str, tmp_path: Path) -> None:
    log = tmp_path / "calls.txt"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n0",
            "-q",
            "-m",
            "not slow",
            "-p",
            "tests.kernels.guard",
            *CASES,
        ],
        cwd=ROOT,
        env={**os.environ, "MINIGRAD_GUARD": side, "MINIGRAD_GUARD_LOG": str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = log.read_text().splitlines() if log.exists() else []
    assert done.returncode >= 0, f"signal {-done.returncode} in {calls[-1]}"
    assert done.returncode == 0, f"last call: {calls[-1:]}\n{done.stdout[-5000:]}{done.stderr}"
    counts = Counter(call.partition(" ")[0] for call in calls)
    assert set(counts) == compiled(), "a kernel without a case, or a case without a kernel"
    assert min(counts.values()) >= 4, counts
    print(f"\n{len(counts)} kernels, {counts.total()} cases, arrays at the {side} of a page:")
    print("\n".join(f"  {name:28}{count:5}" for name, count in sorted(counts.items())))


@pytest.mark.parametrize("side", ["end", "begin"])
def test_the_page_is_really_there(side: str) -> None:
    code = (
        "import sys, numpy as np\n"
        "from tests.kernels import guard\n"
        "x = guard.move(sys.argv[1], np.ones((3, 5), 'f').T)\n"
        "assert (x == 1).all() and x.strides == (4, 20)\n"
        "step = {'end': 15, 'begin': -1}[sys.argv[1]]\n"
        "import ctypes\n"
        "at = ctypes.cast(x.ctypes.data + 4 * step, ctypes.POINTER(ctypes.c_float))\n"
        "print('inside', flush=True)\n"
        "print(at[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, side], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -11
    assert done.stdout == "inside\n"


@pytest.mark.parametrize("side", ["end", "begin"])
def test_arrays_keep_layout_and_values(side: str) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for a in (
        x,
        x.T,
        x[:, ::-1],
        x[..., ::2],
        x[:0],
        np.broadcast_to(x[:1], (5, 3, 4)),
        x[0, 0, 0],
    ):
        moved = guard.move(side, np.asarray(a))
        np.testing.assert_array_equal(moved, a)
        assert moved.strides == np.asarray(a).strides
