"""How this process multiplies bfloat16: the first of three ways that it has and a kernel knows."""

from __future__ import annotations

from minigrad.kernels.cpu import pairs, tiles

__all__ = ["rung"]


def rung() -> str:
    """Say which ways there are here, and why not the others.

    Examples
    --------
    >>> rung().partition(" (")[0].rpartition(", else ")[2]
    'widening'
    """
    ways = {"amx": tiles.why_none(), "avx512_bf16": pairs.why_none()}
    here = [name for name, why in ways.items() if why is None]
    reasons = "; ".join(why for why in ways.values() if why is not None)
    return ", else ".join([*here, "widening"]) + f" ({reasons})" * bool(reasons)
