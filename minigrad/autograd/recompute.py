"""Recomputation: run a part of the model again in backward instead of keeping what it saved."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from minigrad import random
from minigrad.autograd.engine import run
from minigrad.autograd.node import Function, next_seq, record
from minigrad.autograd.versions import versions_of
from minigrad.casting import using
from minigrad.errors import GraphError
from minigrad.modes import current, enable_grad, is_grad_enabled
from minigrad.tensor import Tensor, wrap

__all__ = ["checkpoint"]


class Recompute(Function):
    """A whole function as one node, which keeps only the inputs.

    It runs under the autocast of the first time, and never with casts made outside, for the second
    run could not find those again.
    """

    name = "checkpoint"

    def __init__(self, function: Callable[..., Tensor], args: tuple[Any, ...]) -> None:
        self.function, self.args = function, args
        self.random_state = random.get_rng_state()
        casting = current().autocast
        self.casting = casting and casting.again()

    def run(self, tensors: list[Tensor]) -> Tensor:
        """Call the function with `tensors` in place of its tensor arguments."""
        given = iter(tensors)
        args = [next(given) if isinstance(a, Tensor) else a for a in self.args]
        out = using(self.casting and self.casting.again()).run(self.function, *args)
        if not isinstance(out, Tensor):
            raise GraphError(
                f"checkpoint: the function must return one Tensor, not {type(out).__name__}"
            )
        return out

    def again(self, tensors: list[Tensor]) -> Tensor:
        """Run recorded, in a context of its own: with the same dropout masks as the first time."""
        random.replay(self.random_state)
        out: Tensor = enable_grad().run(self.run, tensors)
        return out

    def backward(self, g: Any, *inputs: Any) -> Any:
        differentiable = isinstance(g, Tensor)
        leaves = list(inputs)
        if not differentiable:
            leaves = [wrap(x).requires_grad_(n) for x, n in zip(inputs, self.needs, strict=False)]
        out = copy_context().run(self.again, leaves)
        nodes = [x._node for x in leaves] + list(self.next[len(leaves) :])
        root = g if differentiable else wrap(g)
        wanted = [n for n in nodes if n is not None]
        found = run([(out, root)], wanted, None, differentiable, hooks=False)
        gradients = [None if n is None else found.get(n) for n in nodes]
        if differentiable:
            return tuple(gradients)
        return tuple(None if t is None else t.array for t in gradients)


def checkpoint(
    function: Callable[..., Tensor], *args: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Tensor:
    """Call ``function(*args, **kwargs)``, keep only its inputs, and run it again during backward.

    What lies between is not stored: memory is traded for one more forward pass of this part.
    Parameters and other tensors that the function reaches by itself receive their gradients too.

    Parameters
    ----------
    function : callable
        Returns one tensor. It must do the same when run again; random numbers from minigrad's
        default generator are replayed.
    *args, **kwargs
        Its arguments; tensors among them receive their gradients.
    use_reentrant : optional
        Ignored; PyTorch's programs name it. This is the kind for which it is False.

    Returns
    -------
    Tensor
        What the function returns.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor(3.0, requires_grad=True)
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> mg.autograd.checkpoint(lambda x: (w * x).sin(), x).backward()
    >>> round(x.grad.item(), 4), round(w.grad.item(), 4)
    (2.8805, 1.9203)
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    if kwargs:
        named, count = function, len(args)
        args, names = (*args, *kwargs.values()), tuple(kwargs)

        def function(*given: Any) -> Tensor:
            return named(*given[:count], **dict(zip(names, given[count:], strict=True)))

    node = Recompute(function, args)
    tensors = [a for a in args if isinstance(a, Tensor)]
    start = next_seq()
    leaves = [wrap(t.array, t._version).requires_grad_(t.requires_grad) for t in tensors]
    out = node.run(leaves)
    if not out.requires_grad:
        return out
    outside = _reached(out._node, start, [leaf._node for leaf in leaves])
    parents = (*[t._node for t in tensors], *outside)
    result = wrap(out.array)
    record(node, result, parents, tensors, [t.array for t in tensors], versions_of(tensors))
    return result


def _reached(root: Any, start: int, own: list[Any]) -> list[Any]:
    """Return the nodes older than `start`, leaves included, that the function reached by itself."""
    found, seen, stack = [], {id(n) for n in own}, [root]
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if node.is_leaf or node.seq < start:
            found.append(node)
        else:
            stack.extend(node.next)
    return found
