"""Derivatives of functions: vjp, jvp, jacobian, hessian, and products with the Hessian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad.autograd.engine import grad
from minigrad.backend import get_xp
from minigrad.errors import GraphError, ShapeError
from minigrad.modes import enable_grad
from minigrad.tensor import Tensor, wrap

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vjp"]

Inputs = Tensor | Sequence[Tensor]


def _leaves(inputs: Inputs, create_graph: bool) -> list[Tensor]:
    """Return the inputs as tensors to differentiate with respect to."""
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if create_graph:  # stay in the caller's graph
        return [x if x.requires_grad else x.detach().requires_grad_() for x in given]
    return [x.detach().requires_grad_() for x in given]


def _call(function: Callable[..., Any], leaves: list[Tensor]) -> tuple[list[Tensor], bool]:
    out = function(*leaves)
    single = isinstance(out, Tensor)
    return ([out] if single else list(out)), single


def _vectors(v: Any, like: list[Tensor], name: str) -> list[Tensor]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise GraphError(
                f"{name}: v may be left out only for one output with a single element; pass a "
                f"tensor of the shape {like[0].shape}"
            )
        return [_filled(like[0], 1.0)]
    vectors = [v] if isinstance(v, Tensor) else list(v)
    shapes, wanted = [x.shape for x in vectors], [x.shape for x in like]
    if shapes != wanted:
        raise ShapeError(f"{name}: v has the shapes {shapes}, expected {wanted}")
    return vectors


def _filled(like: Tensor, value: float) -> Tensor:
    return wrap(get_xp(like.array).full_like(like.array, value))


def _pack(values: Sequence[Any], single: bool) -> Any:
    return values[0] if single else tuple(values)


def _grads(
    outs: list[Tensor],
    leaves: list[Tensor],
    vectors: list[Tensor],
    create_graph: bool,
    retain: bool,
) -> list[Tensor]:
    pairs = [(o, v) for o, v in zip(outs, vectors, strict=True) if o.requires_grad]
    if not pairs:
        return [_filled(x, 0.0) for x in leaves]
    found = grad(
        [o for o, _ in pairs], leaves, [v for _, v in pairs],
        retain_graph=retain, create_graph=create_graph, allow_unused=True,
    )  # fmt: skip
    return [_filled(x, 0.0) if g is None else g for g, x in zip(found, leaves, strict=True)]


def vjp(
    function: Callable[..., Any], inputs: Inputs, v: Any = None, create_graph: bool = False
) -> tuple[Any, Any]:
    """Return ``(function(inputs), v J)``: reverse mode, one backward pass.

    Parameters
    ----------
    function : callable
        Takes the inputs, returns a tensor or several.
    inputs : Tensor or sequence of Tensor
        Where to differentiate.
    v : Tensor or sequence of Tensor, optional
        Of the shape of the outputs; may be left out for a scalar.
    create_graph : bool, default False
        Record, for higher derivatives.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0])
    >>> mg.autograd.functional.vjp(lambda x: x * x, x, mg.tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        outs, single = _call(function, leaves)
        vectors = _vectors(v, outs, "vjp")
        products = _grads(outs, leaves, vectors, create_graph, create_graph)
    results = outs if create_graph else [o.detach() for o in outs]
    return _pack(results, single), _pack(products, isinstance(inputs, Tensor))


def jvp(
    function: Callable[..., Any], inputs: Inputs, v: Any = None, create_graph: bool = False
) -> tuple[Any, Any]:
    """Return ``(function(inputs), J v)``.

    Computed by the double-backward trick: with w a dummy vector, ``u = w J`` is linear in w, and
    the vjp of ``w -> u`` with `v` is ``J v``. Parameters as in `vjp`, with `v` of the shape of the
    inputs.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0])
    >>> mg.autograd.functional.jvp(lambda x: x.sum() * x, x, mg.tensor([1.0, 0.0]))[1]
    tensor([4., 2.])
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        vectors = _vectors(v, leaves, "jvp")
        outs, single = _call(function, leaves)
        dummies = [_filled(o, 0.0).requires_grad_() for o in outs]
        rows = _grads(outs, leaves, dummies, True, True)
        columns = _grads(rows, dummies, vectors, create_graph, create_graph)
    results = outs if create_graph else [o.detach() for o in outs]
    return _pack(results, single), _pack(columns, single)


def jacobian(function: Callable[..., Any], inputs: Inputs, create_graph: bool = False) -> Any:
    """Return the Jacobian: every output entry differentiated with respect to every input entry.

    Returns
    -------
    Tensor, or nested tuple [output][input] of Tensor
        Each of shape ``output.shape + input.shape``.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.autograd.functional.jacobian(lambda x: x * x, mg.tensor([1.0, 3.0]))
    tensor([[2., 0.],
            [0., 6.]])
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        outs, single = _call(function, leaves)
        blocks = []
        for out in outs:
            rows: list[list[Tensor]] = [[] for _ in leaves]
            for i in range(out.numel()):
                v = _filled(out, 0.0)
                v.array.reshape(-1)[i] = 1.0
                for row, g in zip(
                    rows, _grads([out], leaves, [v], create_graph, True), strict=True
                ):
                    row.append(g)
            blocks.append([_stack_rows(r, out, x) for r, x in zip(rows, leaves, strict=True)])
    packed = [_pack(block, isinstance(inputs, Tensor)) for block in blocks]
    return _pack(packed, single)


def _stack_rows(rows: list[Tensor], out: Tensor, x: Tensor) -> Tensor:
    """Stack gradient rows to shape ``out.shape + x.shape``."""
    if not rows:
        return wrap(get_xp(x.array).zeros(out.shape + x.shape, x.dtype))
    stacked = rows[0].unsqueeze(0) if len(rows) == 1 else _stack(rows)
    return stacked.reshape(out.shape + x.shape)


def _stack(rows: list[Tensor]) -> Tensor:
    xp: Any = get_xp(rows[0])
    return xp.stack(rows)  # type: ignore[no-any-return]


def hessian(function: Callable[..., Tensor], inputs: Inputs, create_graph: bool = False) -> Any:
    """Return the Hessian of a scalar function: the Jacobian of its gradient.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.autograd.functional.hessian(lambda x: (x**3).sum(), mg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def gradient(*xs: Tensor) -> Any:
        out = function(*xs)
        if out.numel() != 1:
            raise GraphError(
                f"hessian: the function must return a scalar, not shape {out.shape}; "
                "reduce it with .sum() or .mean()"
            )
        leaves = list(xs)
        return _pack(
            _grads([out], leaves, [_filled(out, 1.0)], True, True), isinstance(inputs, Tensor)
        )

    return jacobian(gradient, inputs, create_graph)


def hvp(
    function: Callable[..., Tensor], inputs: Inputs, v: Any, create_graph: bool = False
) -> tuple[Tensor, Any]:
    """Return ``(function(inputs), H v)`` without building the Hessian.

    Examples
    --------
    >>> import minigrad as mg
    >>> x, v = mg.tensor([1.0, 2.0]), mg.tensor([1.0, 1.0])
    >>> mg.autograd.functional.hvp(lambda x: (x**3).sum(), x, v)[1]
    tensor([ 6., 12.])
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        vectors = _vectors(v, leaves, "hvp")
        out = function(*leaves)
        first = _grads([out], leaves, [_filled(out, 1.0)], True, True)
        second = _grads(first, leaves, vectors, create_graph, create_graph)
    value = out if create_graph else out.detach()
    return value, _pack(second, isinstance(inputs, Tensor))
