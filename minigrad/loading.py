"""Loading a saved state: all of it is checked and converted first, and only then applied.

A class with a state has ``prepare_load(state)``. It reads what it needs with the checks below,
raises where an entry is missing or wrong, and returns a function without arguments that
applies everything. Nothing in that function can fail: a state is loaded whole or not at all, and
several parts are loaded together by preparing each of them first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.backend import quiet, to_device
from minigrad.errors import DTypeError, OptionError, StateError, brief

__all__ = [
    "Entries",
    "array_for",
    "check_kinds",
    "check_numbers",
    "check_switches",
    "history_of",
    "integer",
    "load_together",
    "number",
    "number_array",
    "several",
]

Commit = Callable[[], None]


class Entries:
    """The entries of a saved state, each read with a check.

    Parameters
    ----------
    owner : str
        Who loads, for the messages.
    state : mapping
        What was saved.
    required : iterable of str
        Entries that must be there.

    Raises
    ------
    StateError
        If `state` is not a mapping or an entry is missing; the methods, if an entry is wrong.

    Examples
    --------
    >>> entries = Entries("StepLR", {"last_epoch": "3"}, ["last_epoch"])
    >>> entries.count("last_epoch")
    Traceback (most recent call last):
        ...
    minigrad.errors.StateError: StepLR.load_state_dict: last_epoch must be an integer ≥ 0, got '3'
    """

    def __init__(self, owner: str, state: Any, required: Iterable[str] = ()) -> None:
        self.owner, self._state = owner, state
        if not isinstance(state, Mapping):
            raise StateError(
                f"{owner}.load_state_dict: a state is a dict, not {type(state).__name__}; pass "
                "what state_dict() returned"
            )
        missing = [name for name in required if name not in state]
        if missing:
            raise StateError(
                f"{owner}.load_state_dict: {', '.join(missing)} missing; pass the whole of what "
                f"state_dict() returned, of the same kind of {owner}"
            )

    def __getitem__(self, name: str) -> Any:
        return self._state[name]

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return all pairs of name and value."""
        return self._state.items()  # type: ignore[no-any-return]

    def refuse(self, name: str, wanted: str) -> StateError:
        """Build the error for an entry that is not `wanted`."""
        found = brief(self[name])
        return StateError(f"{self.owner}.load_state_dict: {name} must be {wanted}, got {found}")

    def count(self, name: str, least: int = 0) -> int:
        """Return an integer that is at least `least`."""
        value = integer(self[name])
        if value is None or value < least:
            raise self.refuse(name, f"an integer ≥ {least}")
        return value

    def number(self, name: str) -> float:
        """Return a number."""
        value = number(self[name])
        if value is None:
            raise self.refuse(name, "a number")
        return value

    def numbers(self, name: str, length: int | None = None) -> list[float]:
        """Return a list of numbers, of a given length."""
        given = self[name]
        values = [number(v) for v in given] if isinstance(given, (list, tuple)) else [None]
        if any(v is None for v in values) or length not in (None, len(values)):
            raise self.refuse(name, f"a list of {'' if length is None else f'{length} '}numbers")
        return values  # type: ignore[return-value]

    def named_numbers(self, name: str) -> dict[str, float]:
        """Return a dict of numbers by name."""
        found = _named_numbers(self[name])
        if found is None:
            raise self.refuse(name, "a dict of numbers by name")
        return found

    def rows(self, name: str) -> list[dict[str, float]]:
        """Return a list of dicts of numbers by name."""
        given = self[name]
        rows = (
            [_named_numbers(row) for row in given] if isinstance(given, (list, tuple)) else [None]
        )
        if None in rows:
            raise self.refuse(name, "a list of dicts of numbers by name")
        return rows  # type: ignore[return-value]


def _named_numbers(given: Any) -> dict[str, float] | None:
    if not isinstance(given, Mapping):
        return None
    values = {key: number(value) for key, value in given.items()}
    fits = all(type(key) is str and value is not None for key, value in values.items())
    return values if fits else None  # type: ignore[return-value]


def number(value: Any) -> float | None:
    """Return the Python number in a number, or in a 0-d array or tensor; None for anything else."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        float(value)
    except OverflowError:  # an int beyond all floats
        return None
    return value


def check_kinds(owner: str, kind: Any, mend: str = "", /, **given: Any) -> None:
    """Refuse what is not of a kind, by its name: `kind` is a class, or several as in ``A | B``.

    Examples
    --------
    >>> check_kinds("find", str | None, name="digits")
    >>> check_kinds("find", str | None, name=3)
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: find: name must be of type str or None, got 3
    """
    for name, value in given.items():
        if not isinstance(value, kind):
            hint = f"; {mend}" if mend else ""
            raise OptionError(
                f"{owner}: {name} must be of type {_named(kind)}, got {brief(value)}{hint}"
            )


def several(owner: str, name: str, value: Any, kind: Any) -> tuple[Any, ...]:
    """Return a sequence of things of a kind as a tuple; one alone is a sequence of one.

    Examples
    --------
    >>> several("Freeze", "parts", "stem", str)
    ('stem',)
    >>> several("Freeze", "parts", ["stem", 3], str)
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: Freeze: parts must be a sequence of str, got ['stem', 3]
    """
    if isinstance(value, kind):
        return (value,)
    try:
        members = tuple(value)
    except (TypeError, ValueError):  # no sequence, or an array without axes
        members = (None,)
    if not all(isinstance(member, kind) for member in members):
        raise OptionError(
            f"{owner}: {name} must be a sequence of {_named(kind)}, got {brief(value)}"
        )
    return members


def history_of(owner: str, history: Any) -> list[dict[str, float]]:
    """Return the history of a run, a row of numbers by name for each epoch, or refuse it.

    Examples
    --------
    >>> history_of("curves_svg", [{"epoch": 1, "val_loss": "low"}])
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: curves_svg: each row of a history is a mapping of names to ...
    """
    rows = [_named_numbers(row) for row in several(owner, "history", history, Mapping)]
    if None in rows:
        raise OptionError(
            f"{owner}: each row of a history is a mapping of names to numbers, got {brief(history)}"
        )
    return rows  # type: ignore[return-value]


def _named(kind: Any) -> str:
    names = (part.__name__ for part in getattr(kind, "__args__", (kind,)))
    return " or ".join("None" if name == "NoneType" else name for name in names)


def check_numbers(owner: str, **options: Any) -> None:
    """Refuse options that are not numbers, by their names."""
    for name, value in options.items():
        if number(value) is None:
            raise OptionError(f"{owner}: {name} must be a number, got {brief(value)}")


def check_switches(owner: str, **options: Any) -> None:
    """Refuse options that are neither True nor False (nor 1 or 0), by their names."""
    for name, value in options.items():
        if not isinstance(value, int | np.bool_) or value not in (0, 1):
            raise OptionError(f"{owner}: {name} must be True or False, got {brief(value)}")


def integer(value: Any) -> int | None:
    """Return `number` where it is whole and fits 64 bits, else None: a count may come as 3.0."""
    found = number(value)
    whole = found is not None and abs(found) < 2**63 and found == int(found)
    return int(found) if whole else None  # type: ignore[arg-type]


def number_array(owner: str, name: str, value: Any) -> Any:
    """Return the array in `value`.

    Raises
    ------
    DTypeError
        If it holds no numbers.
    """
    array = getattr(value, "array", value)
    if not hasattr(array, "__cuda_array_interface__"):
        try:
            array = np.asarray(array)
        except Exception:  # whatever a stranger's __array__ raises
            array = np.asarray(None)
    if array.dtype.kind not in "biufc" and not dtypes.is_floating(array.dtype):
        raise DTypeError(
            f"{owner}.load_state_dict: the value of {name!r} is no array of numbers but "
            f"{type(value).__name__}; pass the state_dict itself, not what contains it"
        )
    return array


def array_for(owner: str, name: str, array: Any, dtype: Any, device: Any) -> Any:
    """Return `array` as it will be kept: of this dtype, on this device.

    Floats are rounded; an integer or a boolean must come out as the very number that went in.

    Raises
    ------
    DTypeError
        If it holds complex numbers.
    StateError
        If a number cannot be kept.
    """
    if array.dtype.kind == "c":
        raise DTypeError(
            f"{owner}.load_state_dict: the value of {name!r} holds complex numbers, which {dtype} "
            "cannot; pass their real part"
        )
    kept = quiet(array.astype, dtype, copy=False)
    if not dtypes.is_floating(dtype) and not (kept == array).all():
        raise StateError(
            f"{owner}.load_state_dict: the value of {name!r} holds numbers that {dtype} cannot "
            "keep, such as fractions or NaN"
        )
    return to_device(kept, device)


def load_together(parts: Iterable[tuple[Any, Any]]) -> None:
    """Load each (part, state): all of them, or, where one is refused, none.

    A part whose class overrides ``load_state_dict`` knows best what that is: it is called once
    everything else is prepared, and before anything else has changed.
    """
    own: list[tuple[Any, Any]] = []
    foreign: list[tuple[Any, Any]] = []
    for part, state in parts:
        (own if _prepares(type(part)) else foreign).append((part, state))
    commits = [part.prepare_load(state) for part, state in own]
    for part, state in foreign:
        part.load_state_dict(state)
    for commit in commits:
        commit()


def _prepares(kind: type) -> bool:
    """Return whether ``load_state_dict`` does what ``prepare_load`` says, not overridden since."""
    for base in kind.__mro__:
        if "prepare_load" in vars(base):
            return True
        if "load_state_dict" in vars(base):
            return False
    return False
