"""GELU from a table in registers: its accuracy, its ends, and rows that fill no register."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from minigrad.kernels.cpu.gelu_table import gelu_row, has_tables  # noqa: E402

pytestmark = pytest.mark.skipif(
    not has_tables(), reason="the processor looks nothing up in registers"
)


@numba.njit
def row(y: Any, y0: int, x: Any, x0: int, bias: Any, width: int) -> None:
    gelu_row((y, y0), (x, x0), (bias, 0), width)


def gelu(x: Any) -> Any:
    y = np.empty_like(x)
    row(y, 0, x, 0, np.zeros_like(x), x.size)
    return y


def exact(x: Any) -> Any:
    return np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x.astype(float)])


@pytest.mark.parametrize(("low", "high", "ulp"), [(-1, 20, 3), (-4, -1, 8)])
def test_accuracy(low: float, high: float, ulp: float) -> None:
    x = np.linspace(low, high, 100_001).astype(np.float32)
    x = x[(x > low) & (x < high)]
    want = exact(x)
    assert (abs(gelu(x) - want) <= ulp * np.spacing(abs(want).astype(np.float32))).all()


def test_far_away_it_is_as_small_as_it_must_be() -> None:
    x = np.linspace(-20, -4, 10_001).astype(np.float32)
    assert abs(gelu(x) - exact(x)).max() < 1e-9
    assert (gelu(x) <= 0).all()


def test_where_polynomials_meet_nothing_jumps() -> None:
    edges = (np.arange(31) + 0.5) / 4
    near = np.concatenate([np.nextafter(np.float32(e), np.float32([-9, 9])) for e in edges])
    for x in (near.astype(np.float32), -near.astype(np.float32)):
        np.testing.assert_allclose(gelu(x), exact(x), rtol=0, atol=4e-7)


def test_ends() -> None:
    x = np.float32([np.nan, np.inf, -np.inf, 0, 1e38, -1e38])
    np.testing.assert_array_equal(gelu(x), np.float32([np.nan, np.inf, np.nan, 0, 1e38, 0]))


@pytest.mark.parametrize("width", [0, 1, 7, 15, 16, 17, 31, 48])
def test_only_the_row_is_written(width: int) -> None:
    rng = np.random.default_rng(width)
    x, bias = (rng.standard_normal(n).astype(np.float32) for n in (width + 5, width + 5))
    y = np.full(width + 9, 7, np.float32)
    row(y, 3, x, 2, bias, width)
    np.testing.assert_allclose(
        y[3 : 3 + width], exact(x[2 : 2 + width] + bias[:width]), rtol=2e-6, atol=1e-7
    )
    assert (y[:3] == 7).all()
    assert (y[3 + width :] == 7).all()
    again = x.copy()
    row(again, 2, again, 2, bias, width)
    np.testing.assert_array_equal(again[2 : 2 + width], y[3 : 3 + width])


def test_a_target_without_such_registers_does_without(tmp_path: Any) -> None:
    code = (
        "import numpy as np; import minigrad as mg\n"
        "block = mg.models.create_model('convnextv2_atto', num_classes=3).eval()\n"
        "with mg.no_grad(): y = block(mg.ones(1, 3, 64, 64))\n"
        "from minigrad.kernels.cpu.gelu_table import has_tables\n"
        "print(has_tables(), np.isfinite(y.numpy()).all())"
    )
    here = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=here, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "False True\n"), done.stderr
