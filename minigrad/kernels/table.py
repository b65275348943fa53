"""Which kernels there are, where they are written, and how NumPy carries a formula out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from minigrad.kernels.arrays.matmul import in_parts
from minigrad.kernels.arrays.mlp import in_tiles, widened
from minigrad.kernels.arrays.running import elements, rows

__all__ = ["FILES", "FILE_OF", "IN_FLOAT32", "LISTS", "QUIET", "SPECIAL", "WAYS", "written"]

Kernel = Callable[..., Any]

FILES = {
    "formulas": {
        "batch_norm": "batch_norm batch_norm_vjp",
        "cross_entropy": "cross_entropy cross_entropy_vjp",
        "drop_path": "scale_by_mask",
        "gelu": "erf gelu gelu_vjp gelu_tanh gelu_tanh_vjp",
        "grn": "grn grn_vjp",
        "group_norm": "group_norm group_norm_vjp",
        "layer_norm": "layer_norm layer_norm_vjp",
        "mlp": "mlp mlp_vjp",
        "relu": "relu relu_vjp",
        "softmax": "softmax softmax_vjp log_softmax log_softmax_vjp",
    },
    "arrays": {
        "adam": "adam adam_flat",
        "cast": "cast",
        "conv": "conv conv_input_grad conv_weight_grad",
        "depthwise_conv": "depthwise_conv depthwise_conv_input_grad depthwise_conv_weight_grad",
        "ema": "ema",
        "matmul": "matmul",
        "pool": "max_pool pool_gather pool_scatter",
        "reduce": "sum sum_columns sum_squares",
        "separable": "separable",
        "sgd": "sgd",
    },
}
"""Room to file to the kernels in it. A compiled version stands in a file of the same name."""

SPECIAL = {
    "adam": "adam_flat",
    "conv": "depthwise_conv",
    "conv_input_grad": "depthwise_conv_input_grad",
    "conv_weight_grad": "depthwise_conv_weight_grad",
}
"""Kernel to another that takes some of its arguments, and is asked first."""

LISTS = {"adam_many": ("adam", 4), "ema_many": ("ema", 2), "sgd_many": ("sgd", 3)}
"""Kernel over lists to the one for every array, and how many of its arguments become lists."""

WAYS: dict[str, Callable[[Kernel], Kernel]] = {
    "cross_entropy": rows(arrays=2, axes=1),
    "cross_entropy_vjp": rows(arrays=3, axes=1),
    "erf": elements,
    "gelu": elements,
    "gelu_vjp": elements,
    "gelu_tanh": elements,
    "gelu_tanh_vjp": elements,
    "grn": rows(arrays=1, axes=2),
    "grn_vjp": rows(arrays=2, axes=2),
    "group_norm": rows(arrays=1, axes=2),
    "group_norm_vjp": rows(arrays=2, axes=2),
    "layer_norm": rows(arrays=1, axes=1),
    "layer_norm_vjp": rows(arrays=2, axes=1),
    "matmul": in_parts,
    "mlp": in_tiles,
    "mlp_vjp": widened,
}
"""How NumPy takes large arrays through a kernel, in pieces and by threads; others go in one go."""

IN_FLOAT32 = {
    *(WAYS.keys() - {"mlp", "mlp_vjp"}),
    *"batch_norm batch_norm_vjp softmax softmax_vjp log_softmax log_softmax_vjp".split(),
    "scale_by_mask",
    *"conv conv_input_grad conv_weight_grad separable sum_columns".split(),
    *FILES["arrays"]["depthwise_conv"].split(),
}
"""Kernels that compute two-byte floats in float32, and round the results once."""

QUIET = {"cross_entropy", "cross_entropy_vjp"}
"""Kernels in which infinite numbers come and go: a row that does not count may have them."""

FILE_OF = {
    name: (room, file)
    for room, files in FILES.items()
    for file, names in files.items()
    for name in names.split()
} | {name: ("arrays", one) for name, (one, _) in LISTS.items()}


def written(name: str) -> Kernel:
    """Return kernel `name` as it is written, ``name(xp, …)``."""
    room, file = FILE_OF[name]
    module = importlib.import_module(f"minigrad.kernels.{room}.{file}")
    return getattr(module, name)  # type: ignore[no-any-return]
