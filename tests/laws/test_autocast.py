"""Laws of autocast: it runs every operation, on operands of two precisions at once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import minigrad as mg
from minigrad.errors import DTypeError
from tests.laws.cases import Call, calls
from tests.laws.table import TABLE, Row
from tests.laws.test_laws import convert, is_floating, leaf, outputs

one = settings(
    max_examples=1, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

# These want operands of one dtype in PyTorch too, inside autocast as outside.
STRICT = {"index_add", "index_copy", "scatter_"}


@pytest.mark.parametrize("row", TABLE, ids=lambda r: r.name)
def test_two_precisions_meet_and_gradients_go_back_to_them(row: Row) -> None:
    @one
    @given(calls(row.build))
    def run(drawn: Call) -> None:
        seen = 0

        def mixed(a: Any) -> Any:
            nonlocal seen
            seen += is_floating(a)
            return leaf(a, (np.float16, np.float32)[seen % 2])

        args = convert(drawn, mixed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            try:
                with mg.autocast("cpu", mg.float16):
                    results = outputs(row.ours(*args, **drawn.options))
            except DTypeError:
                assert row.operation in STRICT
                return
            for result in results:
                if isinstance(result, mg.Tensor) and result.requires_grad:
                    result.backward(mg.ones_like(result.detach()))
        for a in args:
            if isinstance(a, mg.Tensor) and a.grad is not None:
                assert a.grad.dtype == a.dtype

    run()
