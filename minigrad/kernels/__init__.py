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
from functools import partial
from importlib.util import find_spec
from typing import Any

from minigrad.backend import get_xp, kernel_cache, kernels_in_use, use_kernels
from minigrad.kernels.arrays.lists import one_by_one
from minigrad.kernels.memory import keep_freed_memory

__all__ = ["fall_back", "is_compiled", "pick"]

# kernel file -> the kernels in it
_FILES = {
    "adam": "adam adam_flat adam_many",
    "batch_norm": "batch_norm batch_norm_vjp",
    "conv": "conv conv_input_grad conv_weight_grad",
    "cross_entropy": "cross_entropy cross_entropy_vjp",
    "depthwise_conv": "depthwise_conv depthwise_conv_input_grad depthwise_conv_weight_grad",
    "drop_path": "scale_by_mask",
    "ema": "ema ema_many",
    "gelu": "erf gelu gelu_vjp gelu_tanh gelu_tanh_vjp",
    "grn": "grn grn_vjp",
    "group_norm": "group_norm group_norm_vjp",
    "layer_norm": "layer_norm layer_norm_vjp",
    "matmul": "matmul",
    "mlp": "mlp mlp_vjp",
    "pool": "max_pool pool_gather pool_scatter",
    "reduce": "sum_columns sum_squares",
    "separable": "separable",
    "sgd": "sgd sgd_many",
    "softmax": "softmax softmax_vjp log_softmax log_softmax_vjp",
}
# Kernels that take some of the arguments of another, and are asked first.
_SPECIAL = {
    "adam": "adam_flat",
    "conv": "depthwise_conv",
    "conv_input_grad": "depthwise_conv_input_grad",
    "conv_weight_grad": "depthwise_conv_weight_grad",
}
# Kernels over lists: which kernel for every array, and how many of its arguments become lists.
_LISTS = {"adam_many": ("adam", 4), "ema_many": ("ema", 2), "sgd_many": ("sgd", 3)}
_FORMULAS = set(
    "batch_norm cross_entropy drop_path gelu grn group_norm layer_norm mlp softmax".split()
)
_file_of = {name: file for file, names in _FILES.items() for name in names.split()}

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
    names = [name, _SPECIAL[name]] if name in _SPECIAL else [name]
    versions = [_plain(n, xp) for n in names]
    versions += [version for n in names if (version := _compiled(n, xp))]
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
    """Return the version that takes everything: the formula in namespace `xp`."""
    if name in _LISTS:
        one, lists = _LISTS[name]
        return one_by_one(_find(one, xp), lists, one)
    file = _file_of[name]
    room = "formulas" if file in _FORMULAS else "arrays"
    module = importlib.import_module(f"{__name__}.{room}.{file}")
    formula = getattr(module, name)
    return functools.update_wrapper(partial(formula, xp), formula)


def _compiled(name: str, xp: Any) -> Callable[..., Any] | None:
    """Return the compiled version, or None where there is none to be used."""
    return getattr(_compiled_file(_file_of[name], xp.__name__), name, None)


def _compiled_file(file: str, namespace: str) -> Any:
    """Return the module with the compiled versions, or None where there is none to be used."""
    folder = _COMPILED.get(namespace)
    if folder is None:
        return None
    if folder == "cpu" and kernels_in_use() == "reference":
        keep_freed_memory()
        return None
    if not find_spec(f"{__name__}.{folder}") or not find_spec(f"{__name__}.{folder}.{file}"):
        return None
    try:
        return importlib.import_module(f"{__name__}.{folder}.{file}")
    except Exception as error:  # whatever a compiler may say: the formula can do the work
        fall_back(f"the compiled kernels of {file} cannot be used ({error})", folder)
        return None


def fall_back(reason: str, folder: str = "cpu") -> None:
    """Warn, and on the CPU go on with NumPy for good: what stopped one kernel stops others too."""
    if folder == "cpu":
        if kernels_in_use() == "reference":  # somebody was here before
            return
        use_kernels("reference")
    warnings.warn(f"minigrad: {reason}; the formula takes over", RuntimeWarning, stacklevel=2)


def is_compiled(name: str, x: Any) -> bool:
    """Return True if `pick` gives a compiled version of kernel `name` for arrays like `x`."""
    return _compiled(name, get_xp(x)) is not None
