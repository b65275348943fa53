"""Programs written for PyTorch, run with both libraries as ``torch``: the same must come out."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import MinigradError

# What a wrong program may raise here: our own errors, and those that Python itself raises.
PLAIN = (AttributeError, KeyError, IndexError, NotImplementedError)


def check(program: str) -> None:
    """Run `program` with both libraries; compare what it leaves in ``out``, or that it raises."""
    torch = pytest.importorskip("torch")
    try:
        theirs = run(program, torch, torch.optim.lr_scheduler)
    except Exception:
        with pytest.raises((MinigradError, *PLAIN)):
            run(program, mg, mg.optim)
        return
    ours = run(program, mg, mg.optim)
    assert alike(ours, theirs), f"\nminigrad: {ours}\nPyTorch:  {theirs}"


def run(program: str, library: Any, sched: Any) -> Any:
    names = {
        "torch": library, "nn": library.nn, "F": library.nn.functional, "optim": library.optim,
        "sched": sched, "amp": library.amp, "np": np,
    }  # fmt: skip
    library.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if library is not mg else "error")
        exec(program, names)
    return plain(names["out"])


def plain(value: Any) -> Any:
    """Return tensors as (shape, dtype, numbers), dtypes as names, all else as it is."""
    if hasattr(value, "detach"):
        numbers = value.detach().double().numpy().tolist()
        return tuple(value.shape), plain(value.dtype), numbers
    if type(value).__name__ == "dtype" or isinstance(value, np.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def alike(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-6) or (a != a and b != b)
    return bool(a == b)
