"""One line beside its function says what else an operation is; all lists of names follow from it.

::

    @operation("minigrad Tensor", inplace=True, numpy="arccos", autocast=FLOAT32)
    def acos(x): ...

declares ``mg.acos``, ``Tensor.acos``, ``Tensor.acos_``, ``minigrad.ops.arccos`` and the precision
of `acos` under autocast. Nothing is listed a second time: `minigrad`, `minigrad.nn.functional`, the
Tensor namespace `minigrad.ops`, the methods of `Tensor` and the stub files read `NAMES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from minigrad.errors import OptionError, unknown
from minigrad.ops.precision import RULES

__all__ = ["NAMES", "operation"]

F = TypeVar("F", bound=Callable[..., Any])

NAMES: dict[str, dict[str, Callable[..., Any]]] = {
    home: {} for home in ("minigrad", "functional", "Tensor", "inplace", "numpy")
}
"""Home to the functions in it, by name; those of ``inplace`` by the name of their method."""


def operation(
    homes: str = "minigrad Tensor",
    *,
    inplace: bool = False,
    numpy: str | None = None,
    autocast: str | None = None,
    also: str = "",
) -> Callable[[F], F]:
    """Declare the function below as an operation.

    Parameters
    ----------
    homes : str, default "minigrad Tensor"
        Where the function is found under its own name, words of ``"minigrad"`` (``mg.name``),
        ``"functional"`` (``nn.functional.name``), ``"Tensor"`` (the method ``x.name``) and
        ``"numpy"`` (the namespace of formulas, where it has NumPy's name already).
    inplace : bool, default False
        There is a method ``x.name_`` that changes `x`.
    numpy : str, optional
        Its name in the namespace of formulas, where NumPy has another.
    autocast : {"half", "float32", "widest"}, optional
        Its rule in a region of mixed precision, see `minigrad.ops.precision`.
    also : str, optional
        Other names, wherever it has its own.

    Raises
    ------
    OptionError
        If a home is unknown, or has an operation of that name.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.acos is mg.Tensor.acos is mg.ops.arccos is NAMES["minigrad"]["acos"]
    True
    """

    def declare(function: F) -> F:
        name = function.__name__
        places = [(home, n) for home in homes.split() for n in (name, *also.split())]
        places += [("inplace", f"{name}_")] if inplace else []
        places += [("numpy", numpy)] if numpy else []
        for home, alias in places:
            if home not in NAMES:
                raise unknown("home of an operation", home, NAMES)
            if alias in NAMES[home]:
                owner = NAMES[home][alias].__module__
                raise OptionError(f"operation: {home} has {alias} already, from {owner}")
        for home, alias in places:
            NAMES[home][alias] = function
        if autocast is not None:
            RULES[name] = autocast
        return function

    return declare
