"""The policy of models that are compiled from now on: float32, or half precision in products."""

from __future__ import annotations

from minigrad.errors import unknown

__all__ = ["global_policy", "set_global_policy"]

POLICIES = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}
_policy = ["float32"]


def set_global_policy(name: str) -> None:
    """Choose the precision in which models compute that are compiled from now on.

    Weights, losses and GRN's statistics stay float32; in float16 the loss is scaled automatically.

    Parameters
    ----------
    name : {"float32", "mixed_float16", "mixed_bfloat16"}
        Keras's names.

    Examples
    --------
    >>> set_global_policy("mixed_float16")
    >>> global_policy()
    'mixed_float16'
    >>> set_global_policy("float32")
    """
    if name not in POLICIES:
        raise unknown("mixed precision policy", name, POLICIES)
    _policy[0] = name


def global_policy() -> str:
    """Return the name of the policy.

    Examples
    --------
    >>> global_policy()
    'float32'
    """
    return _policy[0]
