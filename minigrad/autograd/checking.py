"""Is a gradient the gradient: gradcheck and gradgradcheck.

The Jacobian that backward gives is compared with central differences,
``(f(x + h) - f(x - h)) / 2h``, entry by entry or, in the fast mode, along random directions: for
random u and v, ``u . (J v)`` from differences must equal ``(u J) . v`` from backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.autograd.engine import grad
from minigrad.backend import to_device
from minigrad.errors import DTypeError, GraphError
from minigrad.modes import enable_grad, no_grad
from minigrad.tensor import Tensor, wrap

__all__ = ["gradcheck", "gradgradcheck"]

Outputs = Tensor | Sequence[Tensor]


def gradcheck(
    function: Callable[..., Outputs],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    fast_mode: bool = False,
    raise_exception: bool = True,
    seed: int = 0,
) -> bool:
    """Compare the gradients of `function` with central differences.

    Parameters
    ----------
    function : callable
        Takes `inputs`, returns a tensor or several; must give the same result every time.
    inputs : Tensor or sequence
        Those that require grad are checked; they should be float64.
    eps : float, default 1e-6
        Half the width of the difference.
    atol, rtol : float
        ``|numerical - analytical| <= atol + rtol * |numerical|`` must hold.
    fast_mode : bool, default False
        Check along random directions instead of every entry: much faster, all but certain to
        find an error.
    raise_exception : bool, default True
        Raise on a mismatch instead of returning False.
    seed : int, default 0
        Seed of the directions.

    Returns
    -------
    bool
        True if every gradient agrees.

    Raises
    ------
    GraphError
        On a mismatch: names input, output, entry and both numbers.
    DTypeError
        If a checked input is not float64: differences are too coarse in lower precision.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.randn(3, dtype=mg.float64, requires_grad=True)
    >>> mg.autograd.gradcheck(lambda x: x.sin() * x, x)
    True
    """
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise GraphError("gradcheck: no input requires grad; pass tensors with requires_grad=True")
    for i in checked:
        if args[i].dtype != dtypes.float64:
            raise DTypeError(
                f"gradcheck: input {i} is {args[i].dtype}; differences need float64: x.double()"
            )
    # Every evaluation works on fresh leaves: the caller's tensors and their graph stay untouched.
    values = [_host(x).astype(x.dtype, order="C") if isinstance(x, Tensor) else x for x in args]

    def call(arrays: list[Any]) -> list[Tensor]:
        leaves = [
            wrap(to_device(np.asarray(a), args[i].device)) if isinstance(args[i], Tensor) else a
            for i, a in enumerate(arrays)
        ]
        for i in checked:
            leaves[i].requires_grad_()
        call.leaves = [leaves[i] for i in checked]  # type: ignore[attr-defined]
        out = function(*leaves)
        return [out] if isinstance(out, Tensor) else list(out)

    def numbers(arrays: list[Any]) -> list[Any]:
        # gradcheck of a gradient differentiates inside `function`, so recording stays on
        return [_host(o).astype(np.float64) for o in call(arrays) if o.is_floating_point()]

    check = _check_directions if fast_mode else _check_entries
    problem = check(call, numbers, values, checked, eps, atol, rtol, np.random.default_rng(seed))
    if problem and raise_exception:
        raise GraphError(f"gradcheck: {problem}")
    return problem is None


def gradgradcheck(
    function: Callable[..., Outputs],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Sequence[Tensor] | None = None,
    **options: Any,
) -> bool:
    """Compare the second derivatives of `function` with differences of its gradients.

    Parameters
    ----------
    function, inputs
        As in `gradcheck`.
    grad_outputs : sequence of Tensor, optional
        The vectors that the first derivative is multiplied with; random by default.
    **options
        Those of `gradcheck`.

    Returns
    -------
    bool

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.randn(3, dtype=mg.float64, requires_grad=True)
    >>> mg.autograd.gradgradcheck(lambda x: x**3, x)
    True
    """
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None:
        out = no_grad().run(function, *args)
        rng = np.random.default_rng(options.get("seed", 0) + 1)
        outs = [out] if isinstance(out, Tensor) else list(out)
        grad_outputs = [
            wrap(to_device(np.asarray(rng.standard_normal(o.shape)), o.device))
            for o in _floating(outs)
        ]
    seeds = [wrap(g.array.copy()).requires_grad_() for g in grad_outputs]
    count = len(args)

    def gradients(*values: Any) -> list[Tensor]:
        leaves, given = values[:count], values[count:]
        with enable_grad():
            out = function(*leaves)
            outs = [out] if isinstance(out, Tensor) else list(out)
            pairs = [(o, g) for o, g in zip(_floating(outs), given, strict=True) if o.requires_grad]
            wanted = [x for x in leaves if isinstance(x, Tensor) and x.requires_grad]
            found = grad(
                [o for o, _ in pairs], wanted, [g for _, g in pairs],
                create_graph=True, allow_unused=True,
            )  # fmt: skip
        return [g if g is not None else x * 0.0 for g, x in zip(found, wanted, strict=True)]

    return gradcheck(gradients, [*args, *seeds], **options)


def _host(x: Tensor) -> Any:
    return to_device(x.array, "cpu")


def _floating(outs: list[Tensor]) -> list[Tensor]:
    return [o for o in outs if o.is_floating_point()]


def _analytical(call: Any, values: list[Any], vectors: Any) -> list[Any]:
    """Return the vector-Jacobian products of one call, zeros where an input is unused."""
    outs = _floating(call(values))
    leaves = call.leaves
    pairs = [(o, v) for o, v in zip(outs, vectors(outs), strict=True) if o.requires_grad]
    if not pairs:
        return [np.zeros(leaf.shape) for leaf in leaves]
    vs = [wrap(to_device(v, o.device)) for o, v in pairs]
    found = grad([o for o, _ in pairs], leaves, vs, allow_unused=True)
    return [
        np.zeros(x.shape) if g is None else _host(g).astype(np.float64)
        for g, x in zip(found, leaves, strict=True)
    ]


def _check_entries(
    call: Any, numbers: Any, values: list[Any], checked: list[int], eps: float, atol: float,
    rtol: float, rng: np.random.Generator,
) -> str | None:  # fmt: skip
    outs = _floating(call(values))
    numerical = []  # [input][output] -> Jacobian (output entries, input entries)
    for i in checked:
        columns: list[list[Any]] = [[] for _ in outs]
        for entry in np.ndindex(values[i].shape):
            high, low = values[i].copy(), values[i].copy()
            high[entry] += eps
            low[entry] -= eps
            above = numbers([*values[:i], high, *values[i + 1 :]])
            below = numbers([*values[:i], low, *values[i + 1 :]])
            for k, (a, b) in enumerate(zip(above, below, strict=True)):
                columns[k].append(((a - b) / (2 * eps)).ravel())
        numerical.append(columns)
    for k, out in enumerate(outs):
        for row, entry in enumerate(np.ndindex(out.shape)):

            def one_hot(current: list[Tensor], k: int = k, entry: Any = entry) -> list[Any]:
                vectors = [np.zeros(o.shape, o.dtype) for o in current]
                vectors[k][entry] = 1.0
                return vectors

            rows = _analytical(call, values, one_hot)
            for n, i in enumerate(checked):
                exact = rows[n].ravel()
                for column, difference in enumerate(numerical[n][k]):
                    expected = difference[row]
                    if not abs(expected - exact[column]) <= atol + rtol * abs(expected):
                        where = tuple(int(j) for j in np.unravel_index(column, values[i].shape))
                        return (
                            f"the derivative of output {k} at {entry} with respect to input {i} "
                            f"at {where} is {expected:.8g} by differences but {exact[column]:.8g} "
                            "by backward"
                        )
    return None


def _check_directions(
    call: Any, numbers: Any, values: list[Any], checked: list[int], eps: float, atol: float,
    rtol: float, rng: np.random.Generator,
) -> str | None:  # fmt: skip
    outs = _floating(call(values))
    us = [_unit(rng, o.shape) for o in outs]
    exact = _analytical(call, values, lambda current: us)
    for n, i in enumerate(checked):
        v = _unit(rng, values[i].shape)
        above = numbers([*values[:i], values[i] + eps * v, *values[i + 1 :]])
        below = numbers([*values[:i], values[i] - eps * v, *values[i + 1 :]])
        expected = sum(
            float((u * (a - b)).sum() / (2 * eps)) for u, a, b in zip(us, above, below, strict=True)
        )
        got = float((exact[n] * v).sum())
        if not abs(expected - got) <= atol + rtol * abs(expected):
            return (
                f"along a random direction of input {i} the derivative is {expected:.8g} by "
                f"differences but {got:.8g} by backward; run again with fast_mode=False to see "
                "which entry"
            )
    return None


def _unit(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Return a random direction whose entries are of the order of 1."""
    return np.asarray(rng.standard_normal(shape))
