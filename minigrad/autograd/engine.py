"""The walk backward.

Nodes are visited from the newest to the oldest (every node carries a sequence number, a heap keeps
the order), so each one is visited once, after all its gradients have arrived, and without
recursion. In an ordinary pass gradients are plain arrays; under ``create_graph=True`` they are
tensors and the same formulas record themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from heapq import heappop, heappush
from typing import Any

import numpy as np

from minigrad import modes
from minigrad.autograd.anomaly import check_gradients
from minigrad.autograd.arguments import check_grad, input_node, pair
from minigrad.autograd.foreign import checked_gradients
from minigrad.autograd.hooks import call_hooks, hooked
from minigrad.autograd.reach import last_uses, leading_to
from minigrad.autograd.refusals import check_fit
from minigrad.backend import add
from minigrad.errors import GraphError
from minigrad.tensor import Tensor, wrap

__all__ = ["backward", "grad", "run"]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
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
    inputs : Tensor or sequence of Tensor, optional
        Fill the ``grad`` of these alone.

    Raises
    ------
    GraphError
        If a tensor is not a scalar and `grad_tensors` is missing, requires no gradient, or has
        already been differentiated and freed. No ``grad`` has changed then.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> mg.autograd.backward(x * x)
    >>> x.grad
    tensor(6.)
    """
    roots = pair(tensors, grad_tensors, "backward")
    if inputs is not None:
        inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if not inputs:
            raise GraphError("backward: inputs is empty; leave it out to fill all leaves' grad")
    nodes = None if inputs is None else [input_node(t, "backward") for t in inputs]
    gradients = run(roots, nodes, retain_graph, create_graph)
    targets = [node.tensor() for node in gradients] if inputs is None else inputs
    found = [(t, gradients.pop(t._node)) for t in targets if t is not None and t._node in gradients]
    for t, g in found:
        check_grad(t, g)
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
    nodes = [input_node(t, "grad") for t in wanted]
    collected = run(pair(outputs, grad_outputs, "grad"), nodes, retain_graph, create_graph)
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


def run(
    roots: list[tuple[Tensor, Tensor]],
    inputs: list[Any] | None,
    retain_graph: bool | None,
    create_graph: bool,
    hooks: bool = True,
) -> dict[Any, Any]:
    """Return {node: gradient} for the leaves under `roots`, or for the nodes `inputs` if given.

    The gradients share no memory with one another or with the caller's. Without `hooks` those of
    `inputs` are not called: these are parts of gradients, and the pass around this one adds them.

    The walk has a context of its own, in which it sets its modes and NumPy's error handling. That
    is thrown away at the end, so there is nothing that an interrupt could leave changed.
    """
    retain = create_graph if retain_graph is None else retain_graph
    return copy_context().run(walk, roots, inputs, retain, create_graph, hooks)


def walk(
    roots: list[tuple[Tensor, Tensor]],
    inputs: list[Any] | None,
    retain: bool,
    create_graph: bool,
    hooks: bool,
) -> dict[Any, Any]:
    """Carry the gradients of the roots back along the edges: the chain rule, newest node first.

    A node is newer than its inputs: when it is the newest with a gradient, all of it has arrived.
    """
    anomaly = _set_modes(create_graph)
    asked = set(inputs or ())
    starts = [t._node for t, _ in roots]
    useful = None if inputs is None else leading_to(asked, starts)
    last = last_uses(starts) if hooked and hooks else {}
    pending = _seeds(roots, useful, create_graph)
    order = sorted([(-node.seq, node) for node in pending if not node.is_leaf])  # a heap
    ours: set[Any] = set()  # nodes whose pending gradient is an array that nobody else sees
    done: dict[Any, Any] = {}  # inner nodes that were asked for, leaves whose hooks were called
    while order:
        node = heappop(order)[1]
        g = pending.pop(node)
        if node.hooks and (hooks or node not in asked):
            g = call_hooks(node.hooks, g, create_graph)
        parents = node.next
        if useful is not None:
            if node in asked:
                done[node] = g
            parents = [p if p in useful else None for p in parents]
            if not any(parents):
                continue
        gradients = _vjp(node, g, create_graph, anomaly)
        for parent, h in zip(parents, gradients):  # noqa: B905 - of one length, as checked
            if parent is None or h is None:
                continue
            if h.shape != parent.out_shape or h.dtype is not parent.out_dtype:
                check_fit(node, parent, h)
            if parent not in pending:
                pending[parent] = h
                if not parent.is_leaf:
                    heappush(order, (-parent.seq, parent))
                elif node.fresh and h is not g:
                    ours.add(parent)
            elif parent in ours and not create_graph:
                pending[parent] += h
            else:
                pending[parent] = add(pending[parent], h)
                ours.add(parent)
        if not retain:
            node.release()
        if node in last:  # all has arrived at these leaves
            done |= _hooked(last[node], pending, ours, create_graph)
    if hooks:
        done |= _hooked([node for node in pending if node.hooks], pending, ours, create_graph)
    return _finished(pending | done, ours, create_graph)


def _set_modes(create_graph: bool) -> int:
    """Set the modes of the walk; return whether anomaly mode is on."""
    # Gradients that overflow are left to GradScaler and to anomaly mode, not to NumPy's warnings.
    np.seterr(over="ignore", invalid="ignore")
    flags = modes.current().flags & ~modes.GRAD
    modes.replace(flags | modes.GRAD if create_graph else flags, None)
    return flags & modes.ANOMALY


def _seeds(
    roots: list[tuple[Tensor, Tensor]], useful: set[Any] | None, create_graph: bool
) -> dict[Any, Any]:
    """Return the gradients to start from, by node."""
    seeds: dict[Any, Any] = {}
    for t, given in roots:
        node, g = t._node, given if create_graph else given.array
        if useful is None or node in useful:
            seeds[node] = seeds[node] + g if node in seeds else g
    return seeds


def _vjp(node: Any, g: Any, create_graph: bool, anomaly: int) -> tuple[Any, ...]:
    """Return the gradients of the inputs of `node`, from that of its result."""
    gradients = node.backward(g, *node.unpack(create_graph))
    if gradients.__class__ is not tuple:
        gradients = (gradients,)
    if node.foreign:
        gradients = checked_gradients(node, gradients, create_graph)
    if anomaly:
        check_gradients(node, gradients)
    return gradients  # type: ignore[no-any-return]


def _hooked(
    leaves: list[Any], pending: dict[Any, Any], ours: set[Any], create_graph: bool
) -> dict[Any, Any]:
    """Return what the hooks of leaves make of their gradients, which are no longer pending."""
    ours.difference_update(leaves)  # a hook may have kept what it returns
    waiting = {leaf: pending.pop(leaf) for leaf in leaves if leaf in pending}
    return {leaf: call_hooks(leaf.hooks, g, create_graph) for leaf, g in waiting.items()}


def _finished(found: dict[Any, Any], ours: set[Any], create_graph: bool) -> dict[Any, Any]:
    """Return the gradients as tensors, each on memory of its own; no view in another order."""
    for node, g in found.items():
        if not create_graph:
            if node not in ours or not (g.base is None or g.flags.c_contiguous):
                g = g.copy()
            g = wrap(np.asarray(g) if isinstance(g, np.generic) else g)
        found[node] = g
    return found


def _accumulate(t: Tensor, g: Tensor, create_graph: bool) -> None:
    """Add `g` to ``t.grad``: in place, as PyTorch does, unless the sum must be recorded."""
    if t._grad is None:
        t._grad = g.clone() if create_graph else g  # recorded gradients may share their memory
    elif create_graph:
        t._grad = t._grad + g
    else:
        t._grad.array += g.array
        t._grad._version[0] += 1
