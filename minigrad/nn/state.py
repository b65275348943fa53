"""Loading values by name: what fits is copied, what does not is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from minigrad.backend import CPU
from minigrad.dtypes import is_floating
from minigrad.errors import OptionError, StateError, nearest
from minigrad.files import resident
from minigrad.kernels.memory import bring
from minigrad.loading import Entries, array_for, number_array
from minigrad.modes import no_grad
from minigrad.showing import table
from minigrad.tensor import Tensor, wrap

__all__ = ["LoadReport", "prepare"]

Shape = tuple[int, ...]
SHOWN = 6  # names listed for each kind of mismatch
PIECE = 1 << 23  # bytes that are copied at once


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class LoadReport(_Keys):
    """What `Module.load_state_dict` did; it unpacks to the missing and the unexpected keys.

    Attributes
    ----------
    missing_keys : list of str
        Names of the module for which there was no value.
    unexpected_keys : list of str
        Names of values that the module does not have.
    loaded : tuple of str
        Names whose values were copied.
    mismatched : dict of str to (tuple of int, tuple of int)
        Names whose shapes differ: the value's, and the module's.

    Examples
    --------
    >>> import minigrad as mg
    >>> layer = mg.nn.Linear(2, 3)
    >>> report = layer.load_state_dict({"bias": mg.zeros(3)}, strict=False)
    >>> report.loaded, report.missing, report.complete
    (('bias',), ('weight',), False)
    """

    loaded: tuple[str, ...]
    mismatched: dict[str, tuple[Shape, Shape]]

    def __new__(
        cls,
        missing_keys: Iterable[str],
        unexpected_keys: Iterable[str],
        loaded: Iterable[str] = (),
        mismatched: Mapping[str, tuple[Shape, Shape]] | None = None,
    ) -> LoadReport:
        self = super().__new__(cls, list(missing_keys), list(unexpected_keys))
        self.loaded, self.mismatched = tuple(loaded), dict(mismatched or {})
        return self

    @property
    def missing(self) -> tuple[str, ...]:
        """`missing_keys`, as a tuple."""
        return tuple(self.missing_keys)

    @property
    def unexpected(self) -> tuple[str, ...]:
        """`unexpected_keys`, as a tuple."""
        return tuple(self.unexpected_keys)

    @property
    def complete(self) -> bool:
        """True if every name and every shape matched."""
        return not (self.missing_keys or self.unexpected_keys or self.mismatched)

    def problems(self) -> list[str]:
        """Return one line for each kind of mismatch that occurred."""
        shapes = [f"{name} has {a}, expected {b}" for name, (a, b) in self.mismatched.items()]
        kinds = {
            "missing": _listed(self.missing_keys),
            "unexpected": _listed(self.unexpected_keys, self._with_hint),
            "mismatched": _listed(shapes),
        }
        return [f"{kind}: {names}" for kind, names in kinds.items() if names]

    def _with_hint(self, name: object) -> str:
        near = nearest(str(name), self.missing_keys, cutoff=0.7)
        return f"{name} (did you mean {near[0]}?)" if near else str(name)

    def __repr__(self) -> str:
        return "\n  ".join([f"LoadReport: {self._counts()}", *self.problems()])

    def _counts(self) -> str:
        return ", ".join([
            f"{len(self.loaded)} loaded",
            f"{len(self.missing_keys)} missing",
            f"{len(self.unexpected_keys)} unexpected",
            f"{len(self.mismatched)} mismatched",
        ])  # fmt: skip

    def _repr_html_(self) -> str:
        """Return the table that notebooks show."""
        return table((line.split(": ", 1) for line in self.problems()), (), self._counts(), words=2)


def prepare(
    owner: str, own: Mapping[str, Tensor], values: Any, strict: bool, ignore_mismatched_sizes: bool
) -> tuple[LoadReport, Callable[[], None]]:
    """Compare and convert; return what will be loaded, and the function that copies it."""
    given = Entries(owner, values)
    arrays = {name: number_array(owner, name, given[name]) for name in values if name in own}
    mismatched = {
        name: (array.shape, own[name].shape)
        for name, array in arrays.items()
        if array.shape != own[name].shape
    }
    report = LoadReport(
        (name for name in own if name not in arrays),
        (name for name in values if name not in own),
        (name for name in own if name in arrays and name not in mismatched),
        mismatched,
    )
    keys = report.missing_keys or report.unexpected_keys
    if (mismatched and not ignore_mismatched_sizes) or (keys and strict):
        raise _misfit(owner, "the values do not fit", report)
    if own and not report.loaded:
        raise _misfit(owner, "no value fits", report)
    kept = {}
    for name in report.loaded:
        target, array = own[name], arrays[name]
        if not getattr(target.array.flags, "writeable", True):
            raise OptionError(
                f"{owner}.load_state_dict: {name} lies in memory that cannot be written, such as a "
                "read-only map; give the module a copy: nn.Parameter(tensor.clone())"
            )
        if target.device == CPU and is_floating(target.dtype) and array.dtype.kind != "c":
            kept[name] = array  # to round it cannot fail, so that waits: not all are held twice
        else:
            kept[name] = array_for(owner, name, array, target.dtype, target.device)

    @no_grad()
    def copy() -> None:
        for name, array in kept.items():
            target = own[name]
            for rows in _pieces(array):
                bring(target.array[rows])
                with resident(array[rows]):  # a mapped file and its copy are never both in memory
                    part = array_for(owner, name, array[rows], target.dtype, target.device)
                    target[rows] = wrap(part)

    return report, copy


def _pieces(array: Any) -> Iterator[Any]:
    """Yield indices that take a large array in pieces, by its first axis."""
    if array.nbytes <= PIECE:
        yield ...
        return
    rows = max(1, PIECE * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        yield slice(start, start + rows)


def _misfit(owner: str, what: str, report: LoadReport) -> StateError:
    head = f"{owner}.load_state_dict: {what}; nothing changed"
    return StateError("\n  ".join([head, *report.problems()]))


def _listed(names: Iterable[Any], show: Any = str) -> str:
    names = list(names)
    more = f", … and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(show(name) for name in names[:SHOWN]) + more
