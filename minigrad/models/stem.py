"""Kernel, stride and padding of the stem and the downsamplings, for large and for small inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minigrad.errors import OptionError, unknown

__all__ = ["Patch", "layout"]

STEMS = ("patch", "auto")


class Patch(NamedTuple):
    """One convolution that makes the map smaller."""

    kernel_size: int
    stride: int
    padding: int


def layout(
    stages: int,
    patch_size: int = 4,
    stem: str = "patch",
    input_size: int | Sequence[int] | None = None,
) -> list[Patch]:
    """Return the stem's and every downsampling's convolution.

    Parameters
    ----------
    stages : int
        Number of stages.
    patch_size : int, default 4
        Kernel and stride of the stem, with ``stem="patch"``.
    stem : {"patch", "auto"}
        "patch" is official. "auto" keeps small inputs from vanishing: the stem is a 3×3 of stride 1
        where the smallest side is below 64, a 4×4 of stride 2 below 128, the official one from
        there on; and a downsampling after which less than 2 would be left becomes a 1×1.
    input_size : int or sequence of int, optional
        Sides of the input, which "auto" needs.

    Examples
    --------
    >>> layout(3, stem="auto", input_size=8)
    [Patch(kernel_size=3, stride=1, padding=1), Patch(kernel_size=2, stride=2, padding=0), \
Patch(kernel_size=2, stride=2, padding=0)]
    >>> layout(2, stem="auto", input_size=(64, 300))[0]
    Patch(kernel_size=4, stride=2, padding=1)
    """
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    halve = Patch(2, 2, 0)
    if stem == "patch":
        return [Patch(patch_size, patch_size, 0)] + [halve] * (stages - 1)
    if patch_size != 4:
        raise OptionError(
            f"stem='auto' chooses the patch size itself, so patch_size={patch_size} cannot hold; "
            "leave one of the two out"
        )
    sides = (input_size,) if isinstance(input_size, int) else tuple(input_size or ())
    if not sides or any(type(side) is not int or side < 1 for side in sides):
        raise OptionError(
            "stem='auto' chooses by the smallest side of the input: pass input_size=32 or "
            f"input_size=(height, width), got {input_size!r}"
        )
    side = min(sides)
    first = Patch(3, 1, 1) if side < 64 else Patch(4, 2, 1) if side < 128 else Patch(4, 4, 0)
    side //= first.stride
    patches = [first]
    for _ in range(stages - 1):
        patches.append(halve if side // 2 >= 2 else Patch(1, 1, 0))
        side //= patches[-1].stride
    return patches
