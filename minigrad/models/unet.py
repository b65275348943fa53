"""U-Net, Attention U-Net and UNet++ over any encoder that gives a pyramid of feature maps.

Ronneberger et al., "U-Net" (2015); Oktay et al., "Attention U-Net" (2018); Zhou et al., "UNet++"
(2018). Options, defaults and parameter counts are medicai's; layout and names are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

from minigrad import dtypes
from minigrad.errors import OptionError, ShapeError
from minigrad.models.arguments import accepts
from minigrad.models.convnext import ConvNeXt
from minigrad.models.features import ConvNeXtFeatures
from minigrad.models.registry import create_model, register
from minigrad.models.unet_blocks import (
    Activation,
    UNetDecoder,
    UNetPlusPlusDecoder,
    check_block_type,
    check_filters,
    check_normalization,
)
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers.spatial import CONVS
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["AttentionUNet", "UNet", "UNetPlusPlus"]

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
FILTERS = (256, 128, 64, 32, 16)
DEPTHS = (3, 4, 5)


@register(name="unet", type="segmentation", allowed_families=["convnext"])
class UNet(Module):
    """U-Net: an encoder's pyramid of maps, and a decoder that doubles its way up along them.

    Parameters
    ----------
    encoder : str or Module, optional
        Name of a registered encoder, or the encoder itself: a module that returns its maps P1, P2
        …, finest first, and gives their ``channels`` and ``reduction`` in ``feature_info``.
        A ConvNeXt is wrapped; its weights are shared.
    encoder_name : str, optional
        The name, in medicai's form. Give exactly one of the two.
    input_shape : tuple, optional
        medicai's form: sides and channels, such as (96, 96, 96, 4); None for a side of any length.
        It decides `in_channels` and `spatial_dims`.
    in_channels : int, default 3
        Channels of the input.
    spatial_dims : {1, 2, 3}, default 2
        Signals (N, C, L), images (N, C, H, W) or volumes (N, C, D, H, W).
    encoder_depth : {3, 4, 5}, optional
        How many maps are used; the last is the bottleneck. By default all that the encoder has.
    num_classes : int, default 1
        Channels of the result.
    decoder_block_type : {"upsampling", "transpose"}
        Repeat positions and convolve twice, or a transposed convolution and one convolution.
    decoder_filters : sequence of int, default (256, 128, 64, 32, 16)
        Channels of the decoder's stages, coarsest first; the first `encoder_depth` count.
    decoder_normalization : str or None, default "batch"
        batch, layer, group (32 groups, or as many as divide both 32 and the channels), instance,
        unit, none; sync_batch is batch, as one process sees the whole batch.
    decoder_activation : str or None, default "relu"
        elu, gelu, leaky_relu, relu, silu … (see `minigrad.models.unet_blocks.Activation`).
    head_upsample : float, tuple of float or "auto", default 1
        Factor, or one per axis, by which the scores are enlarged (linearly). A ConvNeXt's first map
        has a quarter of the input's side, so the decoder ends at half of it and 2 restores it;
        "auto" finds the factor that restores it.
    classifier_activation : str or None, default "sigmoid"
        Applied to the scores, in float32 at least. Losses from logits need None.
    pad : bool, default False
        Whether inputs whose sides the encoder cannot halve evenly are filled up with zeros at their
        ends, and the result cut accordingly; otherwise they are refused.
    encoder_options : mapping, optional
        More options of an encoder given by name, such as ``{"drop_path_rate": 0.1}``.
    name : str, optional
        Kept as an attribute.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Raises
    ------
    OptionError
        If an option is unknown or out of its range, before anything is built.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> encoder = models.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))
    >>> model = models.UNet(encoder, num_classes=3, decoder_filters=(32, 16, 8, 8),
    ...                     head_upsample=2, classifier_activation=None)
    >>> model(mg.randn(1, 3, 64, 64)).shape
    (1, 3, 64, 64)
    """

    attention: ClassVar[bool] = False

    @accepts(in_chans="in_channels", classes="num_classes")
    def __init__(
        self,
        encoder: str | Module | None = None,
        *,
        encoder_name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        in_channels: int | None = None,
        spatial_dims: int | None = None,
        encoder_depth: int | None = None,
        num_classes: int = 1,
        decoder_block_type: str = "upsampling",
        decoder_filters: Sequence[int] = FILTERS,
        decoder_normalization: str | bool | None = "batch",
        decoder_activation: str | None = "relu",
        head_upsample: float | Sequence[float] | str = 1,
        classifier_activation: str | None = "sigmoid",
        pad: bool = False,
        encoder_options: Mapping[str, Any] | None = None,
        name: str | None = None,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        _check_classes(num_classes)
        depth = _check_depth(encoder_depth)
        channels, dims = _check_input(input_shape, in_channels, spatial_dims)
        self.decoder_block_type = check_block_type(decoder_block_type)
        self.decoder_normalization = check_normalization(decoder_normalization)
        self.decoder_activation = Activation(decoder_activation).name
        self.activation = Activation(classifier_activation)
        self.classifier_activation = self.activation.name
        source = _source(encoder, encoder_name)
        at: dict[str, Any] = _place(source, device, dtype)
        wanted: dict[str, Any] = {"in_channels": channels or 3, "spatial_dims": dims or 2}
        wanted |= encoder_options or {}
        with init.skip_random():  # for its facts: nothing is drawn before all is checked
            plan = _pyramid(source, depth, wanted | at)
        depth = min(len(plan.feature_info), max(DEPTHS)) if depth is None else depth
        _check_agreement(plan, channels, dims)
        self.in_channels, self.spatial_dims = plan.in_channels, plan.spatial_dims
        self.encoder_depth, self.num_classes = depth, num_classes
        self.decoder_filters = check_filters(decoder_filters, depth)
        self.reductions = _check_maps(plan.feature_info, depth)
        self.pad, self.name = pad, name
        self.head_upsample = _factors(head_upsample, self.reductions[0] / 2, self.spatial_dims)
        self.input_shape = None if input_shape is None else tuple(input_shape)
        if self.input_shape is not None:
            self._check_sides(self.input_shape[:-1])
        self.encoder = _pyramid(source, depth, wanted | at) if isinstance(source, str) else plan
        self.decoder = self._decoder(
            [feature.channels for feature in plan.feature_info[:depth]],
            self.decoder_filters,
            block_type=self.decoder_block_type,
            normalization=self.decoder_normalization,
            activation=self.decoder_activation,
            spatial_dims=self.spatial_dims,
            **at,
        )
        self.head = CONVS[self.spatial_dims](self.decoder.out_channels, num_classes, 1, **at)
        bias: Any = self.head.bias
        init.xavier_uniform_(self.head.weight)
        init.zeros_(bias)

    def _decoder(self, widths: list[int], filters: tuple[int, ...], **options: Any) -> Any:
        return UNetDecoder(widths, filters, attention=self.attention, **options)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the result, (None, num_classes, *sides); None where it depends on the input."""
        sides = (None,) * self.spatial_dims if self.input_shape is None else self.input_shape[:-1]
        out = [None if n is None else self._out_side(n, axis) for axis, n in enumerate(sides)]
        return (None, self.num_classes, *out)

    def forward(self, x: Tensor) -> Tensor:
        sides = x.shape[2:]
        if x.ndim == self.spatial_dims + 2:  # the encoder words the refusal of other inputs
            self._check_sides(sides)
            x = self._padded(x)
        maps = self.encoder(x)[: self.encoder_depth]
        y: Tensor = self.head(self.decoder(maps))
        if set(self.head_upsample) != {1.0}:
            mode = LINEAR[self.spatial_dims]
            y = F.interpolate(y, scale_factor=self.head_upsample, mode=mode)
        if y.shape[2:] != (out := tuple(self._out_side(n, i) for i, n in enumerate(sides))):
            y = y[(slice(None), slice(None), *(slice(n) for n in out))]
        if y.dtype.itemsize == 2:
            y = y.astype(dtypes.float32)
        return self.activation(y)  # type: ignore[no-any-return]

    def _check_sides(self, sides: Sequence[int | None]) -> None:
        last = self.reductions[-1]
        if not self.pad and any(n is not None and n % last for n in sides):
            shown = "×".join(map(str, sides))
            near = "×".join(str(n) if n is None else str(math.ceil(n / last) * last) for n in sides)
            raise ShapeError(
                f"the sides must divide by {last}, as the encoder halves them down to P"
                f"{self.encoder_depth}, got {shown}; resize or pad to {near}, or build the model "
                "with pad=True"
            )

    def _padded(self, x: Tensor) -> Tensor:
        """Return `x` with zeros at the ends of the sides that do not divide."""
        last = self.reductions[-1]
        missing = [-n % last for n in x.shape[2:]]
        if not any(missing):
            return x
        return F.pad(x, [n for end in reversed(missing) for n in (0, end)])

    def _out_side(self, side: int, axis: int) -> int:
        """Return the length of the result for an input side of this length."""
        return round(side * 2 / self.reductions[0] * self.head_upsample[axis])


@register(name="attention_unet", type="segmentation", allowed_families=["convnext"])
class AttentionUNet(UNet):
    """Attention U-Net: gates weigh every skip connection by what the decoder knows so far.

    Parameters are those of `UNet`; see `minigrad.models.unet_blocks.AttentionGate`.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> encoder = models.ConvNeXt(1, depths=(1, 1, 1), dims=(8, 16, 24), spatial_dims=3)
    >>> model = models.AttentionUNet(encoder, num_classes=2, decoder_filters=(16, 8, 8))
    >>> model(mg.randn(1, 1, 16, 32, 16)).shape
    (1, 2, 8, 16, 8)
    """

    attention = True


@register(
    name="unet_plus_plus", type="segmentation", allowed_families=["convnext"], aliases=("unet++",)
)
class UNetPlusPlus(UNet):
    """UNet++: nested decoders; every map meets all that were made at its own scale.

    Parameters are those of `UNet`, and:

    Parameters
    ----------
    paper_widths : bool, default False
        Of `decoder_filters` the first belongs to the finest row (medicai); True gives it to the
        coarsest one, so that channels double on the way down as in the paper.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> encoder = models.ConvNeXt(depths=(1, 1, 1), dims=(8, 16, 24))
    >>> model = models.UNetPlusPlus(
    ...     encoder, decoder_filters=(16, 8, 8), paper_widths=True
    ... )
    >>> model(mg.randn(1, 3, 32, 32)).shape
    (1, 1, 16, 16)
    """

    def __init__(
        self, encoder: str | Module | None = None, *, paper_widths: bool = False, **options: Any
    ) -> None:
        self.paper_widths = paper_widths
        super().__init__(encoder, **options)

    def _decoder(self, widths: list[int], filters: tuple[int, ...], **options: Any) -> Any:
        rows = filters[::-1] if self.paper_widths else filters
        return UNetPlusPlusDecoder(widths, rows, **options)


# ---- checks -----------------------------------------------------------------------------------


def _check_classes(num_classes: Any) -> None:
    if type(num_classes) is not int or num_classes < 1:
        raise OptionError(f"num_classes must be a positive integer, got {num_classes!r}")


def _check_depth(depth: int | None) -> int | None:
    if depth is not None and (type(depth) is not int or depth not in DEPTHS):
        raise OptionError(f"encoder_depth must be 3, 4 or 5, got {depth!r}")
    return depth


def _check_input(
    shape: Any, in_channels: int | None, spatial_dims: int | None
) -> tuple[int | None, int | None]:
    """Return channels and number of axes, from medicai's `input_shape` or as given."""
    if spatial_dims is not None and spatial_dims not in CONVS:
        raise OptionError(f"spatial_dims must be 1, 2 or 3, got {spatial_dims!r}")
    if shape is None:
        return in_channels, spatial_dims
    sides = list(shape)
    if not 2 <= len(sides) <= 4 or sides[-1] is None:
        raise OptionError(
            "input_shape must be (*sides, channels) with one to three sides, such as "
            f"(96, 96, 96, 4), got {tuple(sides)}"
        )
    if any(n is not None and (type(n) is not int or n < 1) for n in sides):
        raise OptionError(f"input_shape must hold positive integers or None, got {tuple(sides)}")
    for key, given, read in (
        ("in_channels", in_channels, sides[-1]),
        ("spatial_dims", spatial_dims, len(sides) - 1),
    ):
        if given is not None and given != read:
            raise OptionError(
                f"input_shape={tuple(sides)} has {key} {read}, but {key}={given} is given; "
                "input_shape has the channels last"
            )
    return sides[-1], len(sides) - 1


def _source(encoder: Any, name: str | None) -> str | Module:
    """Return the encoder or its name: the one of the two that is given."""
    if (encoder is None) == (name is None):
        given = "neither" if name is None else "both"
        raise OptionError(
            f"give exactly one of encoder and encoder_name, got {given}; for example "
            "encoder_name='convnext_tiny'"
        )
    source = name if encoder is None else encoder
    if not isinstance(source, str | ConvNeXt) and not hasattr(source, "feature_info"):
        raise OptionError(
            "encoder must be a name, a ConvNeXt, or a module that returns its maps and has "
            f"feature_info, got {type(source).__name__}"
        )
    return source  # type: ignore[return-value]


def _place(source: str | Module, device: str | None, dtype: Any) -> dict[str, Any]:
    """Return where the parameters are made: beside those of an encoder that is given."""
    first = None if isinstance(source, str) else next(source.parameters(), None)
    if first is not None:
        device = str(first.device) if device is None else device
        dtype = first.dtype if dtype is None else dtype
    return {"device": device, "dtype": dtype}


def _pyramid(source: str | Module, depth: int | None, options: Mapping[str, Any]) -> Any:
    """Return the module that gives the maps: built by name, wrapped, or the one that is given."""
    trunk: Any = (
        create_model(source, num_classes=0, **options) if isinstance(source, str) else source
    )
    wrap = isinstance(trunk, ConvNeXt)
    levels = len(trunk.dims if wrap else trunk.feature_info)
    if levels < (depth or min(DEPTHS)):
        shown = source if isinstance(source, str) else type(source).__name__
        raise OptionError(
            f"encoder_depth={depth or min(DEPTHS)} needs the maps P1 to P{depth or min(DEPTHS)}, "
            f"but {shown} has no P{levels + 1}"
            + (f"; pass encoder_depth={levels}" if levels in DEPTHS else "")
        )
    return ConvNeXtFeatures(trunk, range(depth or min(levels, max(DEPTHS)))) if wrap else trunk


def _check_agreement(encoder: Any, channels: int | None, dims: int | None) -> None:
    """Refuse an encoder for other inputs than the ones that are named."""
    for key, wanted in (("in_channels", channels), ("spatial_dims", dims)):
        if wanted is not None and wanted != getattr(encoder, key):
            raise OptionError(
                f"the encoder has {key}={getattr(encoder, key)}, but {key}={wanted} is asked for; "
                "leave it out, or build another encoder"
            )


def _check_maps(maps: Sequence[Any], depth: int) -> list[int]:
    """Return the reductions of the maps; refuse sides that do not halve from map to map."""
    reductions = [feature.reduction for feature in maps[:depth]]
    if any(b != 2 * a for a, b in pairwise(reductions)):
        raise OptionError(
            f"the sides must halve from one map of the encoder to the next, got reductions "
            f"{reductions}; choose maps (out_indices) that do"
        )
    return reductions


def _factors(value: Any, restoring: float, dims: int) -> tuple[float, ...]:
    """Return by how much each axis of the scores is enlarged."""
    if isinstance(value, str) and value == "auto":
        value = restoring
    factors = tuple(value) if isinstance(value, tuple | list) else (value,) * dims
    if len(factors) != dims or any(
        isinstance(f, bool) or not isinstance(f, int | float) or not 0 < f < math.inf
        for f in factors
    ):
        raise OptionError(
            f"head_upsample must be a positive number, {dims} of them, or 'auto', got {value!r}"
        )
    return tuple(map(float, factors))
