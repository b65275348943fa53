"""Plain arrays in, plain arrays out: the arithmetic under the operations.

Every kernel is there as ``name(xp, …)`` over NumPy's names: `formulas` has the mathematics, which
serves tensors too, `arrays` how NumPy and CuPy carry out the rest. A compiled version of the same
name may stand in a sibling folder (`cpu`: Numba, `cuda`: CUDA), in a file of the same name and with
the same arguments without ``xp``; it must agree with the first. `pick` is the one place where a
version is chosen.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from minigrad.backend import get_xp, kernel_cache, kernels_in_use, use_kernels
from minigrad.kernels.arrays.lists import one_by_one
from minigrad.kernels.memory import keep_freed_memory
from minigrad.kernels.namespaces import namespace
from minigrad.kernels.table import FILE_OF, LISTS, SPECIAL

__all__ = ["fall_back", "is_compiled", "pick"]

# namespace -> folder of its compiled kernels. Tensors have none: they always take the formula,
# which can be differentiated.
_COMPILED = {"numpy": "cpu", "cupy": "cuda"}


def pick(name: str, x: Any) -> Callable[..., Any]:
    """Return the best version of kernel `name` for arrays like `x`.

    Parameters
    ----------
    name : str
        A kernel, for example ``"layer_norm"`` or ``"layer_norm_vjp"``.
    x : numpy.ndarray, cupy.ndarray or Tensor
        Tells by its type where the kernel will run. For a Tensor the formula is
        returned over `minigrad.ops`, so its result can be differentiated again.

    Returns
    -------
    callable
        The kernel, to be called without ``xp``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 3.0]])
    >>> pick("layer_norm", x)(x, None, None, 0.0)
    array([[-1.,  1.]])
    """
    try:
        return kernel_cache[name, x.__class__]  # type: ignore[no-any-return]
    except KeyError:
        kernel = kernel_cache[name, x.__class__] = _find(name, get_xp(x))
        return kernel


def _find(name: str, xp: Any) -> Callable[..., Any]:
    """Return the versions of a kernel as one: the first that takes the arguments does the work."""
    names = [name, SPECIAL[name]] if name in SPECIAL else [name]
    versions = [_plain(n, xp) for n in names]
    for kernel in filter(None, [_compiled(n, xp) for n in names]):
        versions += [*getattr(kernel, "others", ()), kernel]
    return functools.reduce(lambda other, kernel: _either(kernel, other), versions)


def _either(kernel: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    """Return `kernel` for the arguments that it takes, and `other` for the rest.

    What it takes it declares as ``kernel.takes``; what it sees only on its way it refuses by
    returning NotImplemented, as operators do, before it has changed anything.
    """
    takes = getattr(kernel, "takes", None)
    failures = getattr(kernel, "failures", ())

    @functools.wraps(kernel)
    def run(*args: Any, **options: Any) -> Any:
        if takes is None or takes(*args, **options):
            try:
                result = kernel(*args, **options)
            except failures as error:
                fall_back(f"Numba could not make {kernel.__name__} ({error})")
            else:
                if result is not NotImplemented:
                    return result
        return other(*args, **options)

    return run


def _plain(name: str, xp: Any) -> Callable[..., Any]:
    """Return the version that takes everything: what is written over NumPy's names."""
    if name in LISTS:
        one, lists = LISTS[name]
        return one_by_one(_find(one, xp), lists, one)
    return namespace(xp).kernel(name)


def _compiled(name: str, xp: Any) -> Callable[..., Any] | None:
    """Return the compiled version, or None where there is none to be used."""
    return getattr(_compiled_file(FILE_OF[name][1], xp.__name__), name, None)


def _compiled_file(file: str, namespace: str) -> Any:
    """Return the module with the compiled versions, or None where there is none to be used."""
    folder = _COMPILED.get(namespace)
    if folder == "cpu":
        keep_freed_memory()
    if folder is None or (folder == "cpu" and kernels_in_use() == "reference"):
        return None
    if not find_spec(f"{__name__}.{folder}") or not find_spec(f"{__name__}.{folder}.{file}"):
        return None
    try:
        return importlib.import_module(f"{__name__}.{folder}.{file}")
    except Exception as error:  # whatever a compiler may say: the formula can do the work
        fall_back(f"the compiled kernels of {file} cannot be used ({error})", folder)
        return None


def fall_back(reason: str, folder: str = "cpu") -> None:
    """Warn, and on the CPU go on in NumPy for good: what stopped one kernel stops others too."""
    if folder == "cpu":
        if kernels_in_use() == "reference":  # somebody was here before
            return
        use_kernels("reference")
    warnings.warn(f"minigrad: {reason}; the formula takes over", RuntimeWarning, stacklevel=2)


def is_compiled(name: str, x: Any) -> bool:
    """Return True if `pick` gives a compiled version of kernel `name` for arrays like `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from minigrad.backend import use_kernels
    >>> with use_kernels("reference"):
    ...     is_compiled("gelu", np.zeros(1))
    False
    """
    return _compiled(name, get_xp(x)) is not None
