"""What a backward pass reaches from its roots: which nodes matter, and the last use of leaves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["below", "last_uses", "leading_to"]


def below(roots: Iterable[Any]) -> set[Any]:
    """Return the nodes that the edges lead to from `roots`, these included."""
    found: set[Any] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            stack.extend(() if node.is_leaf else node.next)
    return found


def leading_to(inputs: set[Any], roots: Iterable[Any]) -> set[Any]:
    """Return the nodes below `roots` from which an input can be reached, inputs included."""
    useful = set(inputs)
    # oldest first: parents are decided already
    for node in sorted([n for n in below(roots) if not n.is_leaf], key=lambda n: n.seq):
        if not useful.isdisjoint(node.next):
            useful.add(node)
    return useful


def last_uses(roots: Iterable[Any]) -> dict[Any, list[Any]]:
    """Return the leaves with hooks, by the last node visited that can send them a gradient."""
    oldest: dict[Any, Any] = {}
    for node in below(roots):
        for leaf in () if node.is_leaf else node.next:
            if leaf is not None and leaf.is_leaf and leaf.hooks:
                if leaf not in oldest or node.seq < oldest[leaf].seq:
                    oldest[leaf] = node
    leaves: dict[Any, list[Any]] = {}
    for leaf, node in oldest.items():
        leaves.setdefault(node, []).append(leaf)
    return leaves
