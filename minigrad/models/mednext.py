"""MedNeXt: a U-Net of ConvNeXt blocks, for volumes and images.

Roy et al., "MedNeXt" (2023). Options, names of parameters and defaults are the authors'
(https://github.com/MIC-DKFZ/MedNeXt, version 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from minigrad.autograd.recompute import checkpoint
from minigrad.errors import OptionError, ShapeError, unknown
from minigrad.models.arguments import accepts
from minigrad.models.registry import register
from minigrad.models.variants import sized
from minigrad.models.weights.load import takes_pretrained
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.containers import Sequential
from minigrad.nn.layers import GroupNorm
from minigrad.nn.layers.spatial import CONVS, TRANSPOSED_CONVS
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor

__all__ = ["MedNeXt", "mednext_b", "mednext_l", "mednext_m", "mednext_s"]

LEVELS = 4  # resolutions besides the bottleneck
STAGES = 2 * LEVELS + 1
DIMS = {"1d": 1, "2d": 2, "3d": 3}


class MedNeXtBlock(Module):
    """A wide depthwise convolution, a norm of each channel, and an MLP at every position.

    x + conv3(grn(gelu(conv2(norm(conv1(x))))))

    Parameters
    ----------
    in_channels, out_channels : int
        Channels; they are the same, except in a block that changes the resolution.
    exp_r : int
        How many times wider the hidden layer is.
    kernel_size : int
        Of the depthwise convolution, odd.
    do_res : bool
        Whether the input is added.
    spatial_dims : int
        Number of spatial axes.
    grn : bool
        Whether global response normalisation follows the GELU.
    device, dtype : optional
        Where and in which element type the parameters are made.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        exp_r: int,
        kernel_size: int,
        do_res: bool,
        spatial_dims: int,
        grn: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        at: dict[str, Any] = {"device": device, "dtype": dtype}
        hidden = exp_r * in_channels
        self.spatial_dims, self.do_res = spatial_dims, do_res
        self.conv1 = self._depthwise(in_channels, kernel_size, at)
        self.norm = GroupNorm(in_channels, in_channels, **at)
        self.conv2 = CONVS[spatial_dims](in_channels, hidden, 1, **at)
        self.conv3 = CONVS[spatial_dims](hidden, out_channels, 1, **at)
        self.grn_beta: Parameter | None = None
        self.grn_gamma: Parameter | None = None
        if grn:
            shape = (1, hidden, *(1,) * spatial_dims)
            self.grn_beta, self.grn_gamma = init.empty(*shape, **at), init.empty(*shape, **at)
            init.zeros_(self.grn_beta)
            init.zeros_(self.grn_gamma)

    def _depthwise(self, channels: int, kernel_size: int, at: dict[str, Any]) -> Module:
        conv = CONVS[self.spatial_dims]
        return conv(channels, channels, kernel_size, 1, kernel_size // 2, groups=channels, **at)

    def branch(self, x: Tensor) -> Tensor:
        """Return what is added to the input."""
        y = F.gelu(self.conv2(self.norm(self.conv1(x))))
        if self.grn_gamma is not None and self.grn_beta is not None:
            gamma, beta = self.grn_gamma.movedim(1, -1), self.grn_beta.movedim(1, -1)
            y = F.global_response_norm(y.movedim(1, -1), gamma, beta).movedim(-1, 1)
        branch: Tensor = self.conv3(y)
        return branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x) if self.do_res else self.branch(x)


class MedNeXtDownBlock(MedNeXtBlock):
    """A block whose convolution has stride 2; a 1 × 1 convolution of stride 2 is its residual."""

    def __init__(self, in_channels: int, out_channels: int, *args: Any, **options: Any) -> None:
        super().__init__(in_channels, out_channels, *args, **options)
        at = {name: options.get(name) for name in ("device", "dtype")}
        self.res_conv = self._residual(in_channels, out_channels, at) if self.do_res else None

    def _depthwise(self, channels: int, kernel_size: int, at: dict[str, Any]) -> Module:
        conv = CONVS[self.spatial_dims]
        return conv(channels, channels, kernel_size, 2, kernel_size // 2, groups=channels, **at)

    def _residual(self, in_channels: int, out_channels: int, at: dict[str, Any]) -> Module:
        return CONVS[self.spatial_dims](in_channels, out_channels, 1, 2, **at)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        return y if self.res_conv is None else y + self.res_conv(x)


class MedNeXtUpBlock(MedNeXtDownBlock):
    """A block of transposed convolutions of stride 2; a zero before every axis makes it double."""

    def _depthwise(self, channels: int, kernel_size: int, at: dict[str, Any]) -> Module:
        conv = TRANSPOSED_CONVS[self.spatial_dims]
        return conv(channels, channels, kernel_size, 2, kernel_size // 2, groups=channels, **at)

    def _residual(self, in_channels: int, out_channels: int, at: dict[str, Any]) -> Module:
        return TRANSPOSED_CONVS[self.spatial_dims](in_channels, out_channels, 1, 2, **at)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(super().forward(x), (1, 0) * self.spatial_dims)


class OutBlock(Module):
    """The scores of the classes at every position."""

    def __init__(self, channels: int, classes: int, spatial_dims: int, **at: Any) -> None:
        self.conv_out = TRANSPOSED_CONVS[spatial_dims](channels, classes, 1, **at)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv_out(x)
        return scores


class MedNeXt(Module):
    """An encoder and a decoder of four resolutions each, with a bottleneck between.

    Parameters
    ----------
    in_channels : int
        Channels of the input; also ``in_chans``.
    n_channels : int
        Channels at full resolution; they double with each of the four steps down.
    num_classes : int
        Channels of the result; also ``n_classes``.
    exp_r : int or sequence of int, default 4
        How many times wider the hidden layer of a block is: one number, or one for each of the
        nine stages; the block into a stage has that of the stage.
    kernel_size : int, default 7
        Of all depthwise convolutions; `enc_kernel_size` and `dec_kernel_size` override it.
    enc_kernel_size, dec_kernel_size : int, optional
        Of the encoder with the bottleneck, and of the decoder.
    deep_supervision : bool, default False
        Whether the scores of every resolution come out, finest first, in a list.
    do_res : bool, default False
        Whether blocks add their input. All published sizes do.
    do_res_up_down : bool, default False
        Whether the blocks that change the resolution do. All published sizes do.
    checkpoint_blocks : bool, default False
        Whether blocks compute again what backward needs; also ``checkpoint_style``.
    block_counts : sequence of int, default nine times 2
        Blocks of each stage.
    spatial_dims : {1, 2, 3}, default 3
        Signals, images or volumes; also ``dim``, as "2d" or "3d".
    grn : bool, default False
        Whether blocks have global response normalisation. The first block that goes down has none:
        that is how the authors' code builds it.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = MedNeXt(1, 4, 2, exp_r=2, kernel_size=3, dim="2d", deep_supervision=True)
    >>> [scores.shape for scores in model(mg.randn(1, 1, 32, 32))][:2]
    [(1, 2, 32, 32), (1, 2, 16, 16)]
    """

    @accepts(
        in_chans="in_channels",
        n_classes="num_classes",
        dim="spatial_dims",
        checkpoint_style="checkpoint_blocks",
    )
    def __init__(
        self,
        in_channels: int,
        n_channels: int,
        num_classes: int,
        exp_r: int | Sequence[int] = 4,
        kernel_size: int = 7,
        enc_kernel_size: int | None = None,
        dec_kernel_size: int | None = None,
        deep_supervision: bool = False,
        do_res: bool = False,
        do_res_up_down: bool = False,
        checkpoint_blocks: bool | str | None = False,
        block_counts: Sequence[int] = (2,) * STAGES,
        spatial_dims: int | str = 3,
        grn: bool = False,
        *,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        dims = DIMS.get(str(spatial_dims), spatial_dims)
        if dims not in CONVS:
            raise unknown("MedNeXt spatial_dims", spatial_dims, map(str, (*CONVS, *DIMS)))
        ratios = (exp_r,) * STAGES if isinstance(exp_r, int) else tuple(exp_r)
        counts = tuple(block_counts)
        _check(ratios, counts, in_channels, n_channels, num_classes)
        sizes = [size or kernel_size for size in (enc_kernel_size, dec_kernel_size)]
        if any(size % 2 == 0 for size in sizes):
            raise OptionError(f"MedNeXt: kernel sizes must be odd to keep the size, got {sizes}")
        self.in_channels, self.num_classes = in_channels, num_classes
        self.spatial_dims = dims
        self.deep_supervision, self.checkpoint_blocks = deep_supervision, bool(checkpoint_blocks)
        self.reduction = 2**LEVELS
        at: dict[str, Any] = {"device": device, "dtype": dtype}

        def stage(number: int, width: int) -> Sequential:
            size = sizes[number > LEVELS]
            return Sequential(*(
                MedNeXtBlock(width, width, ratios[number], size, do_res, dims, grn, **at)
                for _ in range(counts[number])
            ))  # fmt: skip

        widths = [n_channels * 2**level for level in range(LEVELS + 1)]
        self.stem = CONVS[dims](in_channels, n_channels, 1, **at)
        for level in range(LEVELS):
            setattr(self, f"enc_block_{level}", stage(level, widths[level]))
            down = MedNeXtDownBlock(
                widths[level], widths[level + 1], ratios[level + 1], sizes[0], do_res_up_down,
                dims, grn and level > 0, **at,
            )  # fmt: skip
            setattr(self, f"down_{level}", down)
        self.bottleneck = stage(LEVELS, widths[LEVELS])
        for level in reversed(range(LEVELS)):
            number = STAGES - 1 - level
            up = MedNeXtUpBlock(
                widths[level + 1], widths[level], ratios[number], sizes[1], do_res_up_down,
                dims, grn, **at,
            )  # fmt: skip
            setattr(self, f"up_{level}", up)
            setattr(self, f"dec_block_{level}", stage(number, widths[level]))
        for level in range(LEVELS + 1 if deep_supervision else 1):
            setattr(self, f"out_{level}", OutBlock(widths[level], num_classes, dims, **at))

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        sides = x.shape[2:]
        if x.ndim != self.spatial_dims + 2 or x.shape[1] != self.in_channels:
            raise ShapeError(
                f"the input must be (batch, {self.in_channels} channels and "
                f"{self.spatial_dims} sides), got {x.shape}"
            )
        if any(side % self.reduction for side in sides):
            raise ShapeError(
                f"sides must divide by {self.reduction}, got {'×'.join(map(str, sides))}; "
                "pad or crop the input"
            )
        maps, scores = [], []
        x = self.stem(x)
        for level in range(LEVELS):
            maps.append(self._run(f"enc_block_{level}", x))
            x = self._run(f"down_{level}", maps[-1])
        x = self._run("bottleneck", x)
        for level in reversed(range(LEVELS)):
            if self.deep_supervision:
                scores.append(getattr(self, f"out_{level + 1}")(x))
            x = maps[level] + self._run(f"up_{level}", x)
            x = self._run(f"dec_block_{level}", x)
        scores.append(self.get_submodule("out_0")(x))
        return scores[::-1] if self.deep_supervision else scores[0]

    def _run(self, name: str, x: Tensor) -> Tensor:
        part = getattr(self, name)
        for block in part if isinstance(part, Sequential) else [part]:
            x = checkpoint(block, x) if self.checkpoint_blocks else block(x)
        return x


def _check(ratios: tuple[int, ...], counts: tuple[int, ...], *sizes: int) -> None:
    for name, given in (("exp_r", ratios), ("block_counts", counts)):
        if len(given) != STAGES:
            raise OptionError(
                f"MedNeXt: {name} has one entry for each of {STAGES} stages, got {given}"
            )
    if min(chain(ratios, counts, sizes)) < 1:
        raise OptionError(
            f"MedNeXt: sizes must be positive, got exp_r={ratios}, block_counts={counts} and "
            f"in_channels, n_channels, num_classes = {sizes}"
        )


# ---- the published sizes ----------------------------------------------------------------------


@accepts(in_chans="in_channels", n_classes="num_classes")
def _sized(
    exp_r: int | Sequence[int],
    block_counts: Sequence[int],
    /,
    in_channels: int = 1,
    num_classes: int = 2,
    kernel_size: int = 3,
    **options: Any,
) -> MedNeXt:
    fixed: dict[str, Any] = {"n_channels": 32, "exp_r": exp_r, "block_counts": block_counts}
    residuals = {"do_res": True, "do_res_up_down": True}
    return MedNeXt(
        in_channels=in_channels,
        num_classes=num_classes,
        kernel_size=kernel_size,
        **sized(fixed | residuals, options),
    )


@register(family="mednext")
@takes_pretrained
def mednext_s(**options: Any) -> MedNeXt:
    """MedNeXt-S: 5.6 M parameters (3-D, kernels of 3)."""
    return _sized(2, (2,) * STAGES, **options)


@register(family="mednext")
@takes_pretrained
def mednext_b(**options: Any) -> MedNeXt:
    """MedNeXt-B: 10.5 M parameters."""
    return _sized((2, 3, 4, 4, 4, 4, 4, 3, 2), (2,) * STAGES, **options)


@register(family="mednext")
@takes_pretrained
def mednext_m(**options: Any) -> MedNeXt:
    """MedNeXt-M: 17.6 M parameters."""
    return _sized((2, 3, 4, 4, 4, 4, 4, 3, 2), (3, 4, 4, 4, 4, 4, 4, 4, 3), **options)


@register(family="mednext")
@takes_pretrained
def mednext_l(**options: Any) -> MedNeXt:
    """MedNeXt-L: 61.8 M parameters."""
    return _sized((3, 4, 8, 8, 8, 8, 8, 4, 3), (3, 4, 8, 8, 8, 8, 8, 4, 3), **options)
