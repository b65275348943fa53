"""What the real CuPy has, from `cupy_names.json`."""

from __future__ import annotations

import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any

RECORD: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "cupy_names.json").read_text(encoding="utf-8")
)
VERSION: str = RECORD["version"]
NAMES = {space: frozenset(names) for space, names in RECORD["names"].items()}
UFUNCS = frozenset(RECORD["ufuncs"])
UFUNC = "*args, out=..., dtype=..., casting=..."  # what `cupy.ufunc.__call__` knows


@cache
def signature(path: str) -> inspect.Signature | None:
    """Return the parameters of ``cupy.<path>``; None where CuPy does not say."""
    text = UFUNC if path in UFUNCS else RECORD["signatures"].get(path)
    return None if text is None else inspect.signature(eval(f"lambda {text}: None"))


def check_call(path: str, *args: Any, **kwargs: Any) -> None:
    """Raise TypeError, as CuPy would, if ``cupy.<path>`` does not take these arguments."""
    known = signature(path)
    if known is not None:
        try:
            known.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"cupy.{path}{known}: {error}") from None
