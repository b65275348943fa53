"""How much work a ConvNeXt is: the multiply-adds of its matrix products.

Stem, downsampling, the two linear layers of each block and the head are matrix products; the
depthwise convolutions are not, and are 1 to 2 % of all multiply-adds.
"""

from __future__ import annotations

from collections.abc import Sequence


def product_macs(
    depths: Sequence[int],
    dims: Sequence[int],
    size: int,
    in_channels: int = 3,
    num_classes: int = 1000,
    patch_size: int = 4,
) -> tuple[int, int]:
    """Return the multiply-adds for one image: of all matrix products, and of the stem alone.

    Examples
    --------
    >>> product_macs((3, 3, 9, 3), (96, 192, 384, 768), 224)
    (4350425088, 14450688)
    """
    side = size // patch_size
    stem = side**2 * patch_size**2 * in_channels * dims[0]
    total, before = stem, 0
    for depth, dim in zip(depths, dims, strict=True):
        if before:
            side //= 2
            total += side**2 * 4 * before * dim
        total += depth * side**2 * 8 * dim * dim
        before = dim
    return total + before * num_classes, stem


def product_flops(task: str, depths: Sequence[int], dims: Sequence[int], size: int) -> int:
    """Return the floating-point operations in the matrix products of a task, for one image.

    A training step has three products for each of inference: the output, the gradient of the
    input (except the stem's, which nobody asks for) and the gradient of the weight. What
    recomputation does again is not counted: it is no progress.
    """
    total, stem = product_macs(depths, dims, size)
    return 2 * (total if task == "inference" else 3 * total - stem)
