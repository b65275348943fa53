"""Hooks: functions of the user that see a gradient when it is known, and may replace it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakSet

from minigrad import backend
from minigrad.errors import GraphError
from minigrad.tensor import Tensor, wrap

__all__ = ["HookHandle", "call_hooks", "hooked", "register_hook"]

hooked: WeakSet[Any] = WeakSet()  # leaves with hooks: only then a pass looks for their last uses


def register_hook(tensor: Tensor, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
    """Call ``hook(grad)`` when the gradient of `tensor` is known.

    That is as soon as all of it has arrived, while the backward pass still runs, for a leaf too. A
    hook that returns a tensor replaces the gradient.

    Returns
    -------
    HookHandle
        Its method ``remove`` takes the hook away.

    Raises
    ------
    GraphError
        If the tensor does not require a gradient.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_hook(lambda grad: grad * 10)
    >>> x.sum().backward()
    >>> x.grad
    tensor([10., 10.])
    """
    if not tensor.requires_grad:
        raise GraphError(
            "register_hook: the tensor does not require grad; call x.requires_grad_() first"
        )
    node = tensor._node
    if node.hooks is None:
        node.hooks = []
    own = hook if hasattr(hook, "keeps_grad_of") else partial(hook)  # one may be there twice
    node.hooks.append(own)
    if node.is_leaf:
        hooked.add(node)
    return HookHandle(node.hooks, own, node)


class HookHandle:
    """Removes a hook when called, by ``remove()``, or at the end of a ``with`` block."""

    def __init__(self, hooks: list[Any], hook: Any, node: Any = None) -> None:
        self._hooks, self._hook, self._node = hooks, hook, node

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        hooks, self._hooks = self._hooks, []
        for i, hook in enumerate(hooks):
            if hook is self._hook:
                del hooks[i]
                break
        if self._node is not None and not self._node.hooks:
            hooked.discard(self._node)

    __call__ = remove

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def call_hooks(hooks: list[Any], g: Any, create_graph: bool) -> Any:
    """Return what the hooks of a node make of its gradient `g`."""
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
