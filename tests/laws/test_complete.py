"""No operation can be forgotten: every public function is in the table, or here with the reason."""

from __future__ import annotations

import inspect
from typing import Any

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.ops import methods
from tests.laws.table import TABLE

# What the laws do not concern: nothing floating comes out, or nothing floating goes in.
EXEMPT = {
    "truth values": """
        eq ne lt le gt ge equal allclose isclose isfinite isinf isnan any all is_contiguous
        is_floating_point is_tensor is_grad_enabled is_leaf requires_grad
        logical_and logical_not logical_or logical_xor
        bitwise_and bitwise_not bitwise_or bitwise_xor bitwise_and_ bitwise_or_ bitwise_xor_
        __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __rand__ __or__ __ror__ __xor__ __rxor__
        __iand__ __ior__ __ixor__ __invert__""",
    "integers": """
        argmax argmin argsort bincount count_nonzero nonzero one_hot searchsorted unique
        int long short floor_divide_ __floordiv__ __rfloordiv__ __ifloordiv__ __hash__""",
    "the in-place operators, whose methods are in the table": """
        __iadd__ __isub__ __imul__ __itruediv__ __imod__ __ipow__""",
    "made from nothing": """
        arange empty empty_like eye full full_like linspace ones ones_like zeros zeros_like
        tensor as_tensor from_numpy from_dlpack new_zeros new_ones new_empty new_full""",
    "random numbers, tested in tests/test_random.py": """
        bernoulli multinomial normal rand rand_like randint randint_like randn randn_like randperm
        normal_ uniform_ bernoulli_ manual_seed seed initial_seed get_rng_state set_rng_state""",
    "dtypes and modes": """
        promote_types result_type is_floating get_default_dtype set_default_dtype
        set_grad_enabled no_grad enable_grad inference_mode
        autocast get_autocast_dtype is_autocast_enabled
        bool dtype device cuda""",
    "what a tensor is, tested in tests/test_tensor.py and tests/test_interop.py": """
        array data dim element_size grad grad_fn item itemsize nbytes ndim numel numpy shape size
        stride tolist type""",
    "the graph, tested in tests/autograd": """
        backward detach detach_ register_hook requires_grad_ retain_grad""",
    "files, tested in tests/test_saving.py": "load save",
    "a model for inference, tested in tests/test_freezing.py": "freeze",
    "classes": "Tensor Generator",
}


def public_names() -> set[str]:
    """Return the names of our functions, of `Tensor`'s methods and of its operators."""
    names = {name for place in (mg, F) for name in place.__all__ if callable(getattr(place, name))}
    names |= {name for name in dir(mg.Tensor) if not name.startswith("_")}
    return names | set(methods._OPERATORS) | set(methods._INPLACE_OPERATORS)


def exempt_names() -> dict[str, str]:
    return {name: reason for reason, names in EXEMPT.items() for name in names.split()}


def test_every_public_operation_is_in_the_table_or_exempt() -> None:
    known = {row.operation for row in TABLE} | set(exempt_names())
    missing = sorted(public_names() - known)
    assert not missing, f"add rows to tests/laws/table.py for {missing}"


def test_nothing_is_both_and_no_row_is_stale() -> None:
    in_table = {row.operation for row in TABLE}
    assert not in_table & set(exempt_names())
    assert in_table <= public_names()
    assert set(exempt_names()) <= public_names()
    assert len({row.name for row in TABLE}) == len(TABLE)


def test_exempt_functions_of_one_tensor_return_nothing_floating() -> None:
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    names = f"{EXEMPT['truth values']} {EXEMPT['integers']}".split()
    for name in names:
        function: Any = getattr(mg, name, None)
        if not inspect.isfunction(function):
            continue
        try:
            result = function(x)
        except (TypeError, mg.errors.MinigradError):
            continue  # takes more, or integers
        for value in result if isinstance(result, tuple) else [result]:
            floating = isinstance(value, mg.Tensor) and value.is_floating_point()
            assert not floating or name == "unique", name
