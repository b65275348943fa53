"""Weights and inputs of the golden files, computed from their names.

Element i of a tensor is the top ten bits of splitmix64(fnv1a(name) + (i + 1)·golden ratio): the
same numbers everywhere, and exact in float16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)


def _fnv1a(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def unit(name: str, shape: tuple[int, ...]) -> Array:
    """Return multiples of 2⁻⁹ in [-1, 1)."""
    with np.errstate(over="ignore"):
        z = (
            np.uint64(_fnv1a(name))
            + np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * GOLDEN_RATIO
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(54)).astype(np.float64) / 512.0 - 1.0).reshape(shape)


def image(name: str, shape: tuple[int, ...]) -> Array:
    """Return an input in [-2, 2)."""
    return unit(f"input:{name}", shape) * 2.0


def weight(name: str, shape: tuple[int, ...]) -> Array:
    """Return the parameter of a canonical name, of a size that keeps activations near 1."""
    u = unit(name, shape)
    leaf = name.rpartition(".")[2]
    if "grn" in name:
        return u * (0.5 if leaf == "gamma" else 0.25)
    if leaf == "gamma":
        return 0.5 + 0.25 * u
    if leaf == "bias":
        return u * 0.125
    if len(shape) == 1:  # the weight of a norm
        return 1.0 + 0.5 * u
    return u * 2.0 ** round(math.log2(math.sqrt(3.0 / math.prod(shape[1:]))))


def weights(state: Mapping[str, Any]) -> dict[str, Array]:
    """Return procedural values for every name and shape of a state_dict."""
    return {name: weight(name, tensor.shape) for name, tensor in state.items()}
