"""What the Keras-like systems share: from names and channels-last shapes to a `Model`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minigrad import io
from minigrad.compat.convnext import ConvNeXt
from minigrad.compat.keras.model import Model
from minigrad.errors import OptionError
from minigrad.models.features import check_input
from minigrad.models.stem import layout
from minigrad.nn.state import LoadReport

__all__ = ["classifier", "load_pretrained", "read_weights", "spatial"]

STEM = ("patch_size", "stem", "input_size")


def spatial(
    input_shape: Sequence[int | None], stages: int = 0, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return in_channels and spatial_dims for a channels-last shape without the batch.

    With the number of stages, sides that would vanish in them are refused: before any weight is
    drawn.

    Examples
    --------
    >>> spatial((96, 96, 96, 4))
    {'in_channels': 4, 'spatial_dims': 3}
    """
    shape = tuple(input_shape)
    if not 2 <= len(shape) <= 4 or shape[-1] is None:
        raise OptionError(
            "input_shape is one sample, channels last: (length, channels), (height, width, "
            f"channels) or (depth, height, width, channels), got {shape}"
        )
    if stages:
        stem = {key: (options or {})[key] for key in STEM if key in (options or {})}
        reduction = math.prod(patch.stride for patch in layout(stages, **stem))
        sides = (reduction if side is None else side for side in shape[:-1])
        check_input((1, shape[-1], *sides), shape[-1], len(shape) - 1, reduction)
    return {"in_channels": shape[-1], "spatial_dims": len(shape) - 1}


def classifier(
    net: ConvNeXt,
    input_shape: Sequence[int | None],
    name: str,
    config: tuple[str, str, dict[str, Any]] | None,
) -> Model:
    """Put a ConvNeXt behind Keras's methods; its shapes are checked before any forward."""
    *sides, channels = input_shape
    shape: tuple[int | None, ...] = (net.num_classes or net.dims[-1],)
    if None not in sides:
        last = [*net.pyramid_shapes((channels or 0, *(s or 0 for s in sides))).values()][-1]
        shape = shape if net.include_top else (*last[1:], last[0])
    elif not net.include_top:
        shape = (*(None for _ in sides), net.dims[-1])
    return Model(net, input_shape, shape, name, config)


def read_weights(path: Any) -> dict[str, Any]:
    """Read the weights of a model, saved as a whole or bare.

    Raises
    ------
    DataError
        If the file is missing or damaged.
    """
    return {name.removeprefix("net."): value for name, value in io.load_weights(path).items()}


def load_pretrained(model: Model, values: Mapping[str, Any], path: Any) -> LoadReport:
    """Load what fits: `values` may be of another model, whose head differs.

    Returns
    -------
    LoadReport
        What was loaded, and what was not; it is printed if anything was left out.

    Raises
    ------
    DataError
        If nothing fits.
    """
    report = model.net.load_state_dict(values, strict=False, ignore_mismatched_sizes=True)
    if not report.complete:
        print(f"{path}: {report}")
    return report
