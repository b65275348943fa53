"""The backward pass.

Nodes are visited from the newest to the oldest (every node carries a sequence number, a heap keeps
the order), so each one is visited once, after all its gradients have arrived, and without
recursion. In an ordinary pass gradients are plain arrays; under ``create_graph=True`` they are
tensors and the same formulas record themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextvars import copy_context
from heapq import heappop, heappush
from typing import Any

import numpy as np

from minigrad import backend, dtypes, modes
from minigrad.autograd.node import Cast, Function, count_nan, user_line
from minigrad.errors import DTypeError, GraphError, ShapeError
from minigrad.tensor import Tensor, wrap

__all__ = ["backward", "grad"]

_ndarray = np.ndarray


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of `tensors` to the ``grad`` of every leaf they depend on.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        What to differentiate.
    grad_tensors : Tensor or sequence of Tensor, optional
        The vector of the vector-Jacobian product, of the shape of each tensor; may be left out
        for scalars, where it is 1.
    retain_graph : bool, optional
        Keep the saved values, so that backward can run again. Default: `create_graph`.
    create_graph : bool, default False
        Record the backward pass too, for higher derivatives.
    inputs : sequence of Tensor, optional
        Fill the ``grad`` of these alone.

    Raises
    ------
    GraphError
        If a tensor is no scalar and `grad_tensors` is missing, requires no gradient, or has
        already been differentiated and freed. No ``grad`` has changed then.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> mg.autograd.backward(x * x)
    >>> x.grad
    tensor(6.)
    """
    roots = _pair(tensors, grad_tensors, "backward")
    nodes = None if inputs is None else [_input_node(t, "backward") for t in inputs]
    gradients = run(roots, nodes, retain_graph, create_graph)
    targets = [node.tensor() for node in gradients] if inputs is None else inputs
    found = []
    for t in targets:
        if t is not None and t._node in gradients:
            found.append((t, gradients.pop(t._node)))
            _check_grad(*found[-1])
    for t, g in found:
        _accumulate(t, g, create_graph)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of `outputs` with respect to `inputs`; no ``grad`` is touched.

    Only the part of the graph between the two is visited.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        Differentiate these, with respect to those (leaves or inner tensors).
    grad_outputs, retain_graph, create_graph
        As in `backward`.
    allow_unused : bool, default False
        Return None for an input that the outputs do not depend on, instead of raising.

    Returns
    -------
    tuple of Tensor
        One gradient per input.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> (first,) = mg.autograd.grad(x**3, x, create_graph=True)
    >>> (second,) = mg.autograd.grad(first, x)
    >>> first.item(), second.item()
    (12.0, 12.0)
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    nodes = [_input_node(t, "grad") for t in wanted]
    collected = run(_pair(outputs, grad_outputs, "grad"), nodes, retain_graph, create_graph)
    results: list[Tensor | None] = []
    for i, node in enumerate(nodes):
        if node in collected:
            results.append(collected[node])
        elif allow_unused:
            results.append(None)
        else:
            raise GraphError(
                f"grad: the outputs do not depend on input {i} (shape {wanted[i].shape}); "
                "pass allow_unused=True to get None for it"
            )
    return tuple(results)


def _input_node(t: Tensor, where: str) -> Any:
    if not isinstance(t, Tensor) or not t.requires_grad:
        raise GraphError(
            f"{where}: an input does not require grad; call x.requires_grad_() before using it"
        )
    return t._node


def _pair(
    tensors: Tensor | Sequence[Tensor], grads: Tensor | Sequence[Tensor | None] | None, where: str
) -> list[tuple[Tensor, Tensor]]:
    """Check the outputs and match each with its incoming gradient."""
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    given = [grads] if isinstance(grads, Tensor) else list(grads or [None] * len(tensors))
    if len(given) != len(tensors):
        raise GraphError(f"{where}: {len(tensors)} outputs but {len(given)} gradients for them")
    pairs = []
    for t, g in zip(tensors, given, strict=True):
        if not t.requires_grad:
            raise GraphError(
                f"{where}: the tensor of shape {t.shape} does not require grad and has no graph; "
                "was it computed under no_grad, from detached or from integer tensors?"
            )
        if g is None:
            if t.array.size != 1:
                raise GraphError(
                    f"{where}: the tensor has shape {t.shape}, and only a scalar has a gradient "
                    "without one given; reduce it first (loss.sum() or loss.mean()), pass a "
                    "gradient of its shape, or use autograd.functional.jacobian"
                )
            g = wrap(backend.get_xp(t.array).ones_like(t.array))
        elif g.shape != t.shape:
            raise ShapeError(f"{where}: the gradient has shape {g.shape}, its tensor {t.shape}")
        elif g.dtype != t.dtype:
            if not dtypes.is_floating(g.dtype):
                raise DTypeError(f"{where}: the gradient is {g.dtype}, its tensor {t.dtype}")
            g = Cast(t.dtype)(g)
        pairs.append((t, g))
    return pairs


def run(
    roots: list[tuple[Tensor, Tensor]],
    inputs: list[Any] | None,
    retain_graph: bool | None,
    create_graph: bool,
) -> dict[Any, Any]:
    """Visit the graph; return {node: gradient} for its leaves, or for `inputs` if given.

    The gradients returned share no memory with one another or with the caller's.

    The walk has a context of its own, in which it sets its modes and NumPy's error handling. That
    is thrown away in the end, so there is nothing that an interrupt could leave changed.
    """
    return copy_context().run(_walk, roots, inputs, retain_graph, create_graph)


def _walk(
    roots: list[tuple[Tensor, Tensor]],
    inputs: list[Any] | None,
    retain_graph: bool | None,
    create_graph: bool,
) -> dict[Any, Any]:
    # Gradients that overflow are left to GradScaler and to anomaly mode, not to NumPy's warnings.
    np.seterr(over="ignore", invalid="ignore")
    flags = modes.current().flags & ~modes.GRAD
    modes.replace(flags | modes.GRAD if create_graph else flags, None)
    anomaly = flags & modes.ANOMALY
    retain = create_graph if retain_graph is None else retain_graph
    pending: dict[Any, Any] = {}
    buffers: set[Any] = set()  # nodes whose pending gradient is an array made here
    order: list[tuple[int, Function]] = []
    inner: dict[Any, Any] = {}
    useful = None if inputs is None else _leading_to(inputs, [t._node for t, _ in roots])
    asked = frozenset(inputs or ())

    for t, start in roots:
        node = t._node
        if useful is None or node in useful:
            g = start if create_graph else start.array
            if node in pending:
                pending[node] = pending[node] + g
            else:
                pending[node] = g
                if not node.is_leaf:
                    heappush(order, (-node.seq, node))
    while order:
        node = heappop(order)[1]
        g = pending.pop(node)
        if node.hooks:
            g = _call_hooks(node.hooks, g, create_graph)
        parents = node.next
        if useful is not None:
            if node in asked:
                inner[node] = g
            parents = tuple([p if p in useful else None for p in parents])
            if not any(parents):
                continue
        grads = node.backward(g, *node.unpack(create_graph))
        if grads.__class__ is not tuple:
            grads = (grads,)
        if len(grads) != len(parents):
            raise GraphError(
                f"{node.name}: its backward returned {len(grads)} gradients for "
                f"{len(parents)} inputs; return None for an input that gets none"
            )
        if anomaly:
            _check_nan(node, grads)
        for parent, h in zip(parents, grads):  # noqa: B905 - checked, and on the hot path
            if parent is None or h is None:
                continue
            if h.shape != parent.out_shape or (
                h.dtype is not parent.out_dtype and h.dtype != parent.out_dtype
            ):
                h = _fitted(node, parent, h)
            total = pending.get(parent)
            if total is None:
                pending[parent] = h
                if not parent.is_leaf:
                    heappush(order, (-parent.seq, parent))
            elif parent in buffers:
                total += h
            else:
                pending[parent] = (
                    total + h if total.__class__ is _ndarray else backend.add(total, h)
                )
                if not create_graph and h.ndim:
                    buffers.add(parent)
        if not retain and (node.arrays or not node.bare):
            node.release()
    for node in pending:
        if node.hooks:
            pending[node] = _call_hooks(node.hooks, pending[node], create_graph)
    pending.update(inner)
    if inputs is not None:
        pending = {node: g for node, g in pending.items() if node in asked}
    if not create_graph:
        seen = {id(g.array) for _, g in roots}
        for node, g in pending.items():
            if g.__class__ is Tensor:  # from a hook
                g = g.array
                seen.add(id(g))
            if id(g) in seen or not _has_own_memory(g):
                g = g.copy()
            seen.add(id(g))
            pending[node] = wrap(np.asarray(g) if isinstance(g, np.generic) else g)
    return pending


def _has_own_memory(g: Any) -> bool:
    """Return True if nothing else looks at the memory of `g`, which it fills.

    A view may have memory of its own too: an array of the buffer pool is one, or a reshaped sum.
    """
    base = getattr(g, "base", None)
    if base is None:
        return True
    flags = g.flags
    return bool(
        isinstance(base, np.ndarray)
        and base.nbytes // 2 <= g.nbytes <= base.nbytes
        and flags.c_contiguous
        and flags.writeable
        and sys.getrefcount(g.base) == 3  # by g, by the name above and as argument
    )


def _leading_to(inputs: list[Any], roots: list[Any]) -> set[Any]:
    """Return the nodes below `roots` from which an input can be reached, inputs included."""
    wanted = set(inputs)
    useful = set(wanted)
    seen: set[Any] = set()
    stack = [root for root in roots if root is not None]
    found: list[Any] = []
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if not node.is_leaf:
            found.append(node)
            stack.extend([p for p in node.next if p is not None])
    for node in sorted(found, key=lambda n: n.seq):  # oldest first: parents are decided already
        if node not in useful and any(p in useful for p in node.next if p is not None):
            useful.add(node)
    return useful


def _check_grad(t: Tensor, g: Tensor) -> None:
    """Refuse to add `g` to a ``grad`` that somebody set to something else."""
    old = t.grad
    if old is None:
        return
    if old.shape != g.shape:
        raise ShapeError(
            f"backward: x.grad has shape {old.shape}, but x has {g.shape}; set x.grad to None first"
        )
    if old.dtype != g.dtype:
        raise DTypeError(
            f"backward: x.grad is {old.dtype}, but x is {g.dtype}; set x.grad to None first"
        )


def _accumulate(t: Tensor, g: Tensor, create_graph: bool) -> None:
    """Add `g` to ``t.grad``: in place, as PyTorch does, unless the sum must be recorded."""
    if t.grad is None:
        t.grad = g.clone() if create_graph else g  # recorded gradients may share their memory
    elif create_graph:
        t.grad = t.grad + g
    else:
        t.grad.array += g.array
        t.grad._version[0] += 1


def _call_hooks(hooks: list[Any], g: Any, create_graph: bool) -> Any:
    shape, dtype = g.shape, g.dtype
    # a copy: the hook may change it or keep it, and g may be another node's gradient too
    value = g.clone() if isinstance(g, Tensor) else wrap(backend.get_xp(g).array(g, copy=True))
    # What keeps the gradient sees what all others made of it, whenever it came.
    for hook in sorted(hooks, key=lambda hook: hasattr(hook, "keeps_grad_of")):
        result = hook(value)
        if result is None:
            continue
        if not isinstance(result, Tensor) or result.shape != shape or result.dtype != dtype:
            got = (
                f"{result.dtype} {result.shape}"
                if isinstance(result, Tensor)
                else type(result).__name__
            )
            raise GraphError(
                f"a gradient hook must return a {dtype} tensor of shape {shape} or None, not {got}"
            )
        value = result
    return value if create_graph else value.array


def _fitted(node: Function, parent: Any, h: Any) -> Any:
    """Cast the gradient that a user's operation returned in another float dtype, or refuse it."""
    if node.foreign and h.shape == parent.out_shape and dtypes.is_floating(h.dtype):
        return Cast(parent.out_dtype)(h)
    raise _misfit(node, parent, h)


def _misfit(node: Function, parent: Any, h: Any) -> GraphError:
    return GraphError(
        f"{node.name}: its backward returned a {h.dtype} gradient of shape {h.shape} for an input "
        f"that is {parent.out_dtype} of shape {parent.out_shape}; a gradient has the shape and "
        "dtype of its input (see sum_to for broadcast inputs)"
    )


def _check_nan(node: Function, grads: tuple[Any, ...]) -> None:
    for i, h in enumerate(grads):
        if h is None:
            continue
        bad = count_nan(h.array if isinstance(h, Tensor) else h)
        if bad:
            raise GraphError(
                f"{node.name}: its backward made {bad} NaN in the gradient of input {i}; the "
                f"operation was called at {user_line(node)}"
            )
