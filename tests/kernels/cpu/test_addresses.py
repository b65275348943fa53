"""The same numbers give the same result wherever the arrays lie.

A loop that adds up and writes is compiled twice, for arrays that overlap and for others, and then
the order of its sums hangs on addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigrad.kernels import pick

pytest.importorskip("numba")

CALLS: dict[str, Callable[..., Any]] = {
    "layer_norm_vjp": lambda g, x, w: pick("layer_norm_vjp", x)(g, x, w, 1e-6),
    "softmax_vjp": lambda g, x, w: pick("softmax_vjp", x)(g, x, -1),
    "log_softmax_vjp": lambda g, x, w: pick("log_softmax_vjp", x)(g, x, -1),
    "grn_vjp": lambda g, x, w: pick("grn_vjp", x)(g[:, None], x[:, None], w, 1e-6),
    "batch_norm_vjp": lambda g, x, w: pick("batch_norm_vjp", x)(g, x, w, 1e-6),
}


@pytest.mark.parametrize("channels", [2, 3, 4, 5, 7, 16])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", CALLS)
def test_results_do_not_depend_on_addresses(name: str, rows: int, channels: int) -> None:
    rng = np.random.default_rng(channels)
    for _ in range(10):
        g, x = rng.normal(size=(2, rows, channels)).astype("f4")
        w = rng.normal(size=channels).astype("f4")
        results, kept = set(), []
        for i in range(40):
            arrays = g.copy(), x.copy(), w.copy()
            kept.append((np.empty(int(rng.integers(1, 200)), "u1"), arrays[i % 3]))
            result = CALLS[name](*arrays)
            results.add(b"".join(np.asarray(a).tobytes() for a in result))
        assert len(results) == 1
