"""Loading values by name: what fits is copied, what does not is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.errors import DataError, DTypeError
from minigrad.modes import no_grad
from minigrad.tensor import Tensor

__all__ = ["LoadReport", "load"]

Shape = tuple[int, ...]
SHOWN = 6  # names listed for each kind of mismatch


@dataclass(frozen=True, repr=False)
class LoadReport:
    """What `Module.load_state_dict` did.

    Attributes
    ----------
    loaded : tuple of str
        Names whose values were copied.
    missing : tuple of str
        Names of the module for which no value came.
    unexpected : tuple of str
        Names of values that the module does not have.
    mismatched : dict of str to (tuple of int, tuple of int)
        Names whose shapes differ: the value's, and the module's.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: dict[str, tuple[Shape, Shape]]

    @property
    def complete(self) -> bool:
        """True if every name and every shape matched."""
        return not (self.missing or self.unexpected or self.mismatched)

    def problems(self) -> list[str]:
        """Return one line for each kind of mismatch that occurred."""
        shapes = [f"{name} has {a}, expected {b}" for name, (a, b) in self.mismatched.items()]
        kinds = {
            "missing": _listed(self.missing),
            "unexpected": _listed(self.unexpected, self._with_hint),
            "mismatched": _listed(shapes),
        }
        return [f"{kind}: {names}" for kind, names in kinds.items() if names]

    def _with_hint(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.missing, n=1, cutoff=0.7)
        return f"{name} (did you mean {near[0]}?)" if near else name

    def __repr__(self) -> str:
        kinds = ("loaded", "missing", "unexpected", "mismatched")
        counts = ", ".join(f"{len(getattr(self, kind))} {kind}" for kind in kinds)
        return "\n  ".join([f"LoadReport: {counts}", *self.problems()])


def load(
    owner: str, own: Mapping[str, Tensor], values: Mapping[str, Any], strict: bool
) -> LoadReport:
    """Copy `values` into the tensors of `own` that have the same name and shape.

    Everything is compared first: when this raises, nothing has been changed.
    """
    arrays = {name: _array(owner, name, values[name]) for name in values if name in own}
    mismatched = {
        name: (array.shape, own[name].shape)
        for name, array in arrays.items()
        if array.shape != own[name].shape
    }
    report = LoadReport(
        loaded=tuple(name for name in own if name in arrays and name not in mismatched),
        missing=tuple(name for name in own if name not in arrays),
        unexpected=tuple(name for name in values if name not in own),
        mismatched=mismatched,
    )
    if strict and not report.complete:
        raise DataError(_message(owner, "the values do not fit", report))
    if own and not report.loaded:
        raise DataError(_message(owner, "no value fits", report))
    with no_grad():
        for name in report.loaded:
            own[name].copy_(Tensor(arrays[name]).to(own[name].device))
    return report


def _array(owner: str, name: str, value: Any) -> Any:
    array = value.array if isinstance(value, Tensor) else value
    if not hasattr(array, "__cuda_array_interface__"):
        array = np.asarray(array)
    if array.dtype.kind in "OSUMm":
        raise DTypeError(
            f"{owner}.load_state_dict: the value of {name!r} is no array of numbers but "
            f"{type(value).__name__}; pass the state_dict itself, not what contains it"
        )
    return array


def _message(owner: str, what: str, report: LoadReport) -> str:
    head = f"{owner}.load_state_dict: {what}; nothing changed"
    return "\n  ".join([head, *report.problems()])


def _listed(names: Iterable[str], show: Any = str) -> str:
    names = list(names)
    more = f", … and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(show(name) for name in names[:SHOWN]) + more
