"""Every differentiable operation on the device gives what it gives on the CPU."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import minigrad as mg
from tests.emulated.conftest import SLACK
from tests.laws.cases import Call, calls
from tests.laws.table import TABLE, Row
from tests.laws.test_laws import claimed, convert, graph, is_floating, leaves_of, outputs

few = settings(
    max_examples=5, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
LEAVE = {"to", "cpu", "__rmatmul__"}  # rows that go to the CPU, or begin with a NumPy array
ROWS = [row for row in TABLE if row.name not in LEAVE]
TOLERANCE = {np.float64: SLACK * 1e-9, np.float32: SLACK * 3e-5}


def run(row: Row, drawn: Call, dtype: Any, device: str) -> tuple[list[Any], list[Any]]:
    """Return the outputs and the gradients, as NumPy arrays."""

    def leaf(value: Any) -> Any:
        floating = is_floating(value)
        array = value.astype(dtype) if floating else value
        return mg.tensor(array, device=device, requires_grad=floating)

    args = convert(drawn, leaf)
    leaves, outs = leaves_of(args), outputs(row.ours(*args, **drawn.options))
    assert {o.device.type for o in outs} <= {device}
    recorded = [o for o in outs if o.requires_grad]
    rng = np.random.default_rng(0)
    given = [
        mg.tensor(rng.standard_normal(o.shape).astype(o.dtype), device=device) for o in recorded
    ]
    grads = (
        mg.autograd.grad(recorded, leaves, given, allow_unused=True) if recorded and leaves else []
    )
    assert {g.device.type for g in grads if g is not None} <= {device}
    return [o.detach().cpu().numpy() for o in outs], [
        None if g is None else g.cpu().numpy() for g in grads
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_forward_and_gradient_are_those_of_the_cpu(row: Row, cupy: Any) -> None:
    @few
    @given(calls(row.build))
    def compare(drawn: Call) -> None:
        for dtype, tolerance in TOLERANCE.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                expected = run(row, drawn, dtype, "cpu")
                found = run(row, drawn, dtype, "cuda")
            for a, b in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
                assert (a is None) == (b is None)
                if a is not None:
                    assert (a.shape, a.dtype) == (b.shape, b.dtype)
                    scale = max(1.0, np.nanmax(np.abs(b), initial=0.0, where=np.isfinite(b)))
                    np.testing.assert_allclose(a, b, tolerance, tolerance * scale)

    compare()


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_gradients_said_to_be_fresh_are_seen_by_nobody_else(row: Row, cupy: Any) -> None:
    @few
    @given(calls(row.build))
    def check(drawn: Call) -> None:
        args = convert(drawn, lambda v: mg.tensor(v, device="cuda", requires_grad=is_floating(v)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            outs = [o for o in outputs(row.ours(*args, **drawn.options)) if o.requires_grad]
            for node in graph(outs):
                if node.fresh:
                    node.backward = claimed(node)
            mg.autograd.backward(outs, [mg.ones_like(o) for o in outs])

    check()


@pytest.mark.parametrize("row", [r for r in ROWS if r.smooth], ids=lambda r: r.name)
def test_gradients_of_gradients_are_those_of_the_cpu(row: Row, cupy: Any) -> None:
    @settings(few, max_examples=3)
    @given(calls(row.build))
    def compare(drawn: Call) -> None:
        found, expected = [second(row, drawn, device) for device in ("cuda", "cpu")]
        for a, b in zip(found, expected, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(a, b, 1e-8, 1e-8 * max(1.0, np.abs(b).max(initial=0.0)))

    compare()


def second(row: Row, drawn: Call, device: str) -> list[Any]:
    """Return the gradients of the sum of all gradients, each weighted."""
    args = convert(
        drawn,
        lambda v: mg.tensor(
            v.astype(np.float64) if is_floating(v) else v,
            device=device,
            requires_grad=is_floating(v),
        ),
    )
    leaves = leaves_of(args)
    outs = [o for o in outputs(row.ours(*args, **drawn.options)) if o.requires_grad]
    if not outs or not leaves:
        return []
    first = mg.autograd.grad(
        outs, leaves, [weights(o) for o in outs], allow_unused=True, create_graph=True
    )
    again = [g for g in first if g is not None and g.requires_grad]
    if not again:
        return []
    grads = mg.autograd.grad(again, leaves, [weights(g) for g in again], allow_unused=True)
    return [None if g is None else g.cpu().numpy() for g in grads]


def weights(x: Any) -> Any:
    values = np.random.default_rng(x.numel()).standard_normal(x.shape)
    return mg.tensor(values.astype(x.dtype), device=x.device)
