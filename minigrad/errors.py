"""The exception types of minigrad and how their messages are built.

An error states the rule, the values that broke it, and the likely fix. Every type also derives
from the built-in exception that Python users would catch for the same mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = [
    "DTypeError",
    "DataError",
    "DeviceError",
    "GraphError",
    "MinigradError",
    "MissingExtra",
    "OptionError",
    "RangeError",
    "ShapeError",
    "StateError",
    "brief",
    "missing_extra",
    "nearest",
    "unknown",
]


class MinigradError(Exception):
    """Base class of every error that minigrad raises on purpose."""


class ShapeError(MinigradError, ValueError):
    """A shape, an axis or a size does not fit."""


class RangeError(ShapeError, IndexError):
    """An index or an axis is out of range."""


class DTypeError(MinigradError, TypeError):
    """An element type does not fit."""


class DeviceError(MinigradError, RuntimeError):
    """A device is missing, or tensors of different devices meet."""


class GraphError(MinigradError, RuntimeError):
    """The autograd graph cannot answer what was asked of it."""


class OptionError(MinigradError, ValueError):
    """An option, a name or a value is not one of those allowed."""


class DataError(MinigradError, ValueError):
    """A file or a data set is missing, truncated or corrupt."""


class StateError(DataError, RuntimeError):
    """A saved state does not fit the object that should load it."""


class MissingExtra(MinigradError, ImportError):
    """A feature needs a package that the core does not install."""


def missing_extra(package: str, extra: str) -> MissingExtra:
    """Build the error for a missing optional package.

    Examples
    --------
    >>> missing_extra("Pillow", "images")
    MissingExtra("Pillow is not installed; run: pip install 'minigrad[images]'")
    """
    return MissingExtra(f"{package} is not installed; run: pip install 'minigrad[{extra}]'")


SHOWN = 16  # names listed at most
LETTERS = 100  # of a value in a message at most


def brief(value: object) -> str:
    """Return what `value` looks like, shortened: a message is read by a person.

    Examples
    --------
    >>> brief("x" * 1000)[-6:]
    'xxxx …'
    """
    text = repr(value)
    return text if len(text) <= LETTERS else f"{text[:LETTERS]} …"


def nearest(name: str, choices: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the choices that `name` may have been meant for, the most likely first.

    Examples
    --------
    >>> nearest("wieght", ["weight", "bias"])
    ['weight']
    """
    from difflib import get_close_matches  # a mistake can wait for it; `import minigrad` need not

    return get_close_matches(name, list(choices), count, cutoff)


def unknown(
    kind: str, name: object, choices: Iterable[str], synonyms: Mapping[str, str] | None = None
) -> OptionError:
    """Build the error for a name that is not among `choices`, with the nearest one suggested.

    `synonyms` maps what others call a choice to the choice.

    Examples
    --------
    >>> unknown("optimizer", "adamm", ["adam", "adamw", "sgd"])
    OptionError("unknown optimizer 'adamm'; did you mean 'adam'? (choose from adam, adamw, sgd)")
    >>> unknown("option", "learning_rate", ["epochs", "lr"], {"learning_rate": "lr"})
    OptionError("unknown option 'learning_rate'; did you mean 'lr'? (choose from epochs, lr)")
    """
    names = sorted(choices)
    known = {choice: choice for choice in names} | dict(synonyms or {})
    asked = str(name).lower()[:LETTERS]
    near = [known[n] for n in nearest(asked, known)]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names)
    if len(names) > SHOWN:
        some = nearest(asked, names, SHOWN // 2, cutoff=0.0)
        listed = f"{', '.join(sorted(some))}, … and {len(names) - len(some)} more"
    offer = f"choose from {listed}" if names else "there is none yet"
    return OptionError(f"unknown {kind} {brief(name)}{hint} ({offer})")
