"""Laws that every differentiable operation obeys, derived from the table of `tests.laws.table`."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import minigrad as mg
from minigrad.backend import get_xp, is_array, is_writeable
from minigrad.errors import GraphError
from tests.laws.cases import Call, calls
from tests.laws.table import TABLE, Row

few = settings(
    max_examples=20, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def law(*, smooth: bool = False, integers: bool = False, exact: bool = False,
        theirs: bool = False) -> Callable[[Any], Any]:  # fmt: skip
    """Run a law ``check(row, call)`` on every row that it concerns."""

    def decorate(check: Any) -> Any:
        concerned = [
            r for r in TABLE
            if (r.smooth or not smooth) and (r.integers or not integers)
            and (r.exact or not exact) and (r.theirs is not None or not theirs)
        ]  # fmt: skip

        @pytest.mark.parametrize("row", concerned, ids=lambda r: r.name)
        def test(row: Row) -> None:
            @few
            @given(calls(row.build))
            def run(drawn: Call) -> None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's: log of 0 …
                    check(row, drawn)

            run()

        test.__doc__ = check.__doc__
        return test

    return decorate


# ---- tools ----------------------------------------------------------------------------------


def is_floating(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def convert(drawn: Call, array: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Return the arguments with `array` applied to the arrays among them."""

    def one(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return array(value)
        return tuple([one(v) for v in value]) if type(value) is tuple else value

    return tuple([one(a) for a in drawn.args])


def leaf(value: Any, dtype: Any = np.float64) -> Any:
    """Return an array as our tensor; a floating one requires a gradient."""
    if not is_floating(value):
        return mg.Tensor(value)
    return mg.Tensor(value.astype(dtype, copy=False), requires_grad=True)


def outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def leaves_of(args: Sequence[Any]) -> list[Any]:
    flat = [v for a in args for v in (a if type(a) is tuple else [a])]
    return [a for a in flat if isinstance(a, mg.Tensor) and a.requires_grad]


def run(row: Row, drawn: Call, dtype: Any = np.float64, order: str = "K") -> tuple[Any, Any]:
    """Call our operation; return its input tensors that require a gradient, and its outputs."""
    args = convert(drawn, lambda v: leaf(np.array(v, order="C") if order == "C" else v, dtype))
    return leaves_of(args), outputs(row.ours(*args, **drawn.options))


def cotangents(outs: Sequence[Any]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [mg.Tensor(rng.standard_normal(o.shape).astype(o.dtype)) for o in outs]


def gradients(leaves: Sequence[Any], outs: Sequence[Any], **options: Any) -> list[Any]:
    recorded = [o for o in outs if o.requires_grad]
    if not recorded or not leaves:
        return []
    return list(
        mg.autograd.grad(recorded, leaves, cotangents(recorded), allow_unused=True, **options)
    )


def close(a: Any, b: Any, rtol: float, what: str) -> None:
    np.testing.assert_allclose(
        np.asarray(a, np.float64), np.asarray(b, np.float64), rtol, rtol, err_msg=what
    )


# ---- PyTorch --------------------------------------------------------------------------------


def theirs(row: Row) -> Callable[..., Any]:
    torch = pytest.importorskip("torch")
    if callable(row.theirs):
        function = row.theirs
        return lambda *args, **options: function(torch, *args, **options)
    name = str(row.theirs).removeprefix("Tensor.")
    places = (torch.nn.functional, torch, torch.Tensor)
    places = (torch.Tensor,) if str(row.theirs).startswith("Tensor.") else places
    return next(getattr(p, name) for p in places if hasattr(p, name))  # type: ignore[no-any-return]


def torch_run(row: Row, drawn: Call, dtype: str | None) -> tuple[Any, Any]:
    torch = pytest.importorskip("torch")

    def array(value: Any) -> Any:
        t = torch.from_numpy(np.array(value))
        if is_floating(value) and dtype is not None:
            return t.to(getattr(torch, dtype)).requires_grad_()
        return t

    args = convert(drawn, array)
    flat = [v for a in args for v in (a if type(a) is tuple else [a])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own remarks
        result = theirs(row)(*args, **drawn.options)
    return [a for a in flat if torch.is_tensor(a) and a.requires_grad], outputs(result)


@law(theirs=True)
def test_values_dtypes_and_gradients_are_pytorchs(row: Row, drawn: Call) -> None:
    """Results and gradients agree in float64 and float32: shape, dtype and every number."""
    torch = pytest.importorskip("torch")
    for dtype, rtol in (("float64", 1e-9), ("float32", 2e-4)):
        leaves, outs = run(row, drawn, dtype)
        their_leaves, their_outs = torch_run(row, drawn, dtype)
        assert len(outs) == len(their_outs)
        for i, (a, b) in enumerate(zip(outs, their_outs, strict=True)):
            assert type(a.array) is np.ndarray
            assert (a.shape, f"torch.{a.dtype}") == (tuple(b.shape), str(b.dtype)), f"output {i}"
            close(a.array, b.detach().to(torch.float64), rtol, f"output {i} in {dtype}")
        recorded = [b for b in their_outs if b.requires_grad]
        assert bool(recorded) == any(o.requires_grad for o in outs) or not row.smooth
        if not recorded or not any(o.requires_grad for o in outs):
            continue
        grads = torch.autograd.grad(
            recorded, their_leaves,
            [torch.from_numpy(np.array(c.array.astype(np.float64))).to(b.dtype) for c, b in
             zip(cotangents([o for o in outs if o.requires_grad]), recorded, strict=True)],
            allow_unused=True,
        )  # fmt: skip
        for i, (a, b) in enumerate(zip(gradients(leaves, outs), grads, strict=True)):
            if a is None or b is None:  # no dependence, or one with gradient zero
                assert a is None or not a.array.any()
                assert b is None or not b.any()
                continue
            assert (a.shape, f"torch.{a.dtype}") == (tuple(b.shape), str(b.dtype)), f"gradient {i}"
            close(a.array, b.to(torch.float64), rtol, f"gradient {i} in {dtype}")


INTEGERS = ["int64", "int32", "uint8", "bool"]


@law(theirs=True, integers=True)
def test_integers_become_what_pytorch_makes_of_them(row: Row, drawn: Call) -> None:
    """On integers and booleans values and dtype agree, wherever PyTorch has an answer."""
    for dtype in INTEGERS:
        whole = Call(
            convert(drawn, lambda v, dtype=dtype: np.asarray(np.abs(v * 3)).astype(dtype)),
            drawn.options,
        )
        if any(type(a) in (int, float) and a < 0 for a in whole.args) and dtype == "uint8":
            continue  # PyTorch wraps around; we refuse
        try:
            _, expected = torch_run(row, whole, None)
        except (RuntimeError, NotImplementedError, TypeError, IndexError):
            continue
        _, outs = run(row, whole)
        for a, b in zip(outs, expected, strict=True):
            assert (a.shape, f"torch.{a.dtype}") == (tuple(b.shape), str(b.dtype)), dtype
            close(a.array, b.double(), 1e-5, dtype)


# ---- derivatives ----------------------------------------------------------------------------


def _checked(check: Any, row: Row, drawn: Call) -> None:
    args = convert(drawn, leaf)
    if any(type(a) is tuple and leaves_of([a]) for a in args) or not leaves_of(args):
        return
    assert check(lambda *a: row.ours(*a, **drawn.options), args, fast_mode=True)


@law(smooth=True)
def test_gradients_are_derivatives(row: Row, drawn: Call) -> None:
    """The gradient agrees with differences along a random direction."""
    _checked(mg.autograd.gradcheck, row, drawn)


@law(smooth=True)
def test_gradients_of_gradients_are_derivatives(row: Row, drawn: Call) -> None:
    """The gradient of the gradient agrees with differences of the gradient."""
    _checked(mg.autograd.gradgradcheck, row, drawn)


@law()
def test_both_passes_give_one_gradient(row: Row, drawn: Call) -> None:
    """Backward over plain arrays and over tensors (create_graph) computes the same numbers."""
    leaves, outs = run(row, drawn)
    plain = gradients(leaves, outs, retain_graph=True)
    recorded = gradients(leaves, outs, create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            close(a.array, b.array, 1e-12, "gradient")


# ---- memory ---------------------------------------------------------------------------------


@law()
def test_layout_does_not_matter(row: Row, drawn: Call) -> None:
    """Transposed, strided and reversed memory gives what contiguous memory gives."""
    leaves, outs = run(row, drawn)
    leaves_c, outs_c = run(row, drawn, order="C")
    for a, b in zip(outs, outs_c, strict=True):
        close(a.array, b.array, 1e-12, "output")
    for a, b in zip(gradients(leaves, outs), gradients(leaves_c, outs_c), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            close(a.array, b.array, 1e-12, "gradient")


@law()
def test_a_gradient_fits_its_input_and_nothing_else_changes(row: Row, drawn: Call) -> None:
    """Gradients have the input's shape and dtype and memory of their own; inputs stay as they are.

    A result on the memory of an input shares its version, so that a later change is noticed.
    """
    for dtype in (np.float32, np.float64):
        leaves, outs = run(row, drawn, dtype)
        before = [x.array.copy() for x in leaves]
        results = [o.array.copy() for o in outs]
        recorded = [o for o in outs if o.requires_grad]
        given = cotangents(recorded)
        vectors = [g.array.copy() for g in given]
        mg.autograd.backward(recorded, given, retain_graph=True)
        for x, old in zip(leaves, before, strict=True):
            np.testing.assert_array_equal(x.array, old)
        for o, old in zip(outs, results, strict=True):
            np.testing.assert_array_equal(o.array, old)
            for x in leaves:
                if np.may_share_memory(o.array, x.array) and o.array.size:
                    assert o._version is x._version
        for g, old in zip(given, vectors, strict=True):
            np.testing.assert_array_equal(g.array, old)
        owned = [x.grad for x in leaves if x.grad is not None]
        for x in leaves:
            if x.grad is not None:
                assert (x.grad.shape, x.grad.dtype) == (x.shape, x.dtype)
                assert x.grad.array.flags.writeable or not x.grad.array.size
        everything = [*owned, *leaves, *outs, *given]
        for i, g in enumerate(owned):
            for other in everything[:i] + everything[i + 1 :]:
                assert not np.may_share_memory(g.array, other.array) or not g.array.size


def claimed(node: Any) -> Any:
    """Wrap the backward of a node so that it holds the node to its `fresh`."""
    backward = node.backward
    kept = arrays_in((node.arrays, vars(node)))

    def watched(g: Any, *saved: Any) -> Any:
        result = backward(g, *saved)
        made = result if isinstance(result, tuple) else (result,)
        assert len(made) == len(node.next), node
        arrays = [h for h in made if is_array(h) and h.size and h is not g]
        for i, h in enumerate(arrays):
            assert is_writeable(h), node
            for other in (g, *kept, *arrays[:i]):
                if type(other) is type(h):
                    assert not get_xp(h).may_share_memory(h, other), node
        return result

    return watched


@law()
def test_gradients_said_to_be_fresh_are_seen_by_nobody_else(row: Row, drawn: Call) -> None:
    """What an operation returns is g itself or on new memory, unless it says otherwise.

    Its second derivative consists of operations for which this holds too.
    """

    def check(outs: Any) -> None:
        for node in graph(outs):
            if node.fresh:
                node.backward = claimed(node)
        mg.autograd.backward(outs, cotangents(outs))

    leaves, outs = run(row, drawn)
    recorded = [o for o in outs if o.requires_grad]
    if not recorded:
        return
    given = [g.requires_grad_() for g in cotangents(recorded)]
    found = mg.autograd.grad(recorded, leaves, given, create_graph=True, allow_unused=True)
    first = [f for f in found if f is not None and f.requires_grad]
    if first:
        check(first)
    _, outs = run(row, drawn)
    check([o for o in outs if o.requires_grad])


@law()
def test_a_forward_graph_dies_by_reference_counting(row: Row, drawn: Call) -> None:
    """Dropping the result frees its node, and what the node saved, without the collector."""
    gc.disable()
    try:
        leaves, outs = run(row, drawn)
        nodes = [weakref.ref(o._node) for o in outs if o.grad_fn is not None]
        tensors = [weakref.ref(o) for o in outs if not any(o is x for x in leaves)]
        del outs
        assert not [n() for n in nodes if n() is not None]
        assert not [t() for t in tensors if t() is not None]
    finally:
        gc.enable()


def graph(outs: Sequence[Any]) -> list[Any]:
    """Return the operations behind `outs`."""
    found: dict[Any, None] = {}
    stack = [o.grad_fn for o in outs]
    while stack:
        node = stack.pop()
        if node is not None and not node.is_leaf and node not in found:
            found[node] = None
            stack.extend(node.next)
    return list(found)


def arrays_in(value: Any) -> list[Any]:
    """Return the arrays that `value` holds, itself included."""
    if isinstance(value, mg.Tensor):
        return [value.array]
    if is_array(value):
        return [value]
    if isinstance(value, dict):
        value = [v for k, v in value.items() if k != "tables"]  # one for all windows alike
    return [a for v in value for a in arrays_in(v)] if isinstance(value, (list, tuple)) else []


@law()
def test_backward_frees_what_it_needed_and_refuses_a_second_time(row: Row, drawn: Call) -> None:
    """An operation that kept an array drops it after backward, and cannot run backward again.

    With retain_graph it can, and the gradients are the same.
    """
    leaves, outs = run(row, drawn)
    recorded = [o for o in outs if o.grad_fn is not None]
    if not recorded:
        return
    first = gradients(leaves, recorded, retain_graph=True)
    again = gradients(leaves, recorded, retain_graph=True)
    for a, b in zip(first, again, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a.array, b.array)
    nodes = graph(recorded)
    kept = [a for n in nodes for a in arrays_in((n.arrays, vars(n)))]
    keeping = [n for n in nodes if arrays_in((n.arrays, vars(n)))]
    given = cotangents(recorded)
    mg.autograd.backward(recorded, given)
    for node in nodes:
        assert not arrays_in((node.arrays, vars(node))), node
        with pytest.raises(GraphError, match=f"{node.name}: this .* object is a node"):
            node(*leaves[:1] * len(node.next))
    if keeping:
        with pytest.raises(GraphError, match="second backward"):
            mg.autograd.backward(recorded, given)
    own = {id(v.array) for v in (*leaves, *outs, *given)}
    dead = [weakref.ref(a) for a in kept if id(a) not in own]
    del kept, keeping, first, again, recorded, outs, leaves
    arguments = {id(a) for a in arrays_in((drawn.args, drawn.options))}
    assert not [r().shape for r in dead if r() is not None and id(r()) not in arguments]  # type: ignore[union-attr]


# ---- half precision -------------------------------------------------------------------------


def _half(row: Row, drawn: Call, dtype: Any, rtol: float) -> None:
    rounded = Call(
        convert(drawn, lambda v: v.astype(dtype).astype(np.float64) if is_floating(v) else v),
        drawn.options,
    )
    leaves, outs = run(row, rounded, dtype)
    exact_leaves, exact_outs = run(row, rounded)
    for a, b in zip(outs, exact_outs, strict=True):
        if b.is_floating_point() and "dtype" not in drawn.options:
            assert a.dtype in (dtype, b.dtype)
        scale = max(1.0, float(np.abs(b.array).max(initial=0.0)))
        close(a.array.astype(np.float64) / scale, b.array / scale, rtol, f"output in {dtype}")
    for a, b in zip(gradients(leaves, outs), gradients(exact_leaves, exact_outs), strict=True):
        if a is not None:
            assert a.dtype == dtype
            scale = max(1.0, float(np.abs(b.array).max(initial=0.0)))
            close(a.array.astype(np.float64) / scale, b.array / scale, rtol, f"gradient in {dtype}")


@law(exact=True, smooth=True)
def test_float16_stays_float16_and_close(row: Row, drawn: Call) -> None:
    """In float16 results and gradients stay float16 and agree with float64 to its precision."""
    _half(row, drawn, np.dtype(np.float16), 1e-2)


@law(exact=True, smooth=True)
def test_bfloat16_stays_bfloat16_and_close(row: Row, drawn: Call) -> None:
    """In bfloat16 results and gradients stay bfloat16 and agree with float64 to its precision."""
    pytest.importorskip("ml_dtypes")
    _half(row, drawn, mg.bfloat16, 8e-2)
