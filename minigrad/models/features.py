"""Feature maps of every stage of a ConvNeXt, P1 to P4, and their sizes without a forward."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from minigrad.errors import OptionError, ShapeError
from minigrad.nn.containers import ModuleList
from minigrad.nn.layers import LayerNorm
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["ConvNeXtFeatures", "Feature", "FeatureInfo"]

AXES = {1: "length", 2: "height, width", 3: "depth, height, width"}


class Trunk(Protocol):
    """What a model must have for its stages' maps to be taken: a ConvNeXt's attributes."""

    in_channels: int
    spatial_dims: int
    depths: tuple[int, ...]
    dims: tuple[int, ...]
    reduction: int
    downsample_layers: ModuleList
    stages: ModuleList
    rescaling: Module | None


class Feature(NamedTuple):
    """One map of the pyramid.

    Examples
    --------
    >>> import minigrad.models as models
    >>> models.ConvNeXt(depths=(1,), dims=(8,)).feature_info[0]
    Feature(name='P1', channels=8, reduction=4, module='stages.0')
    """

    name: str  # "P1" is the finest
    channels: int
    reduction: int  # how many times smaller each side is than the input's
    module: str  # path of the stage that makes it


class FeatureInfo(tuple[Feature, ...]):
    """What is known of every map, finest first; the methods are timm's.

    Examples
    --------
    >>> import minigrad.models as models
    >>> model = models.ConvNeXt(depths=(1, 1), dims=(8, 16))
    >>> info = FeatureInfo.of(model)
    >>> info.names(), info.channels(), info.reduction()
    (['P1', 'P2'], [8, 16], [4, 8])
    >>> info[1]
    Feature(name='P2', channels=16, reduction=8, module='stages.1')
    """

    __slots__ = ()

    @classmethod
    def of(cls, model: Trunk) -> FeatureInfo:
        """Read it off a model's stages."""
        found, reduction = [], 1
        for i, layers in enumerate(model.downsample_layers):
            convs = _convs(layers)
            reduction *= math.prod(conv.stride[0] for conv in convs)
            found.append(Feature(f"P{i + 1}", convs[-1].out_channels, reduction, f"stages.{i}"))
        return cls(found)

    def names(self) -> list[str]:
        return [f.name for f in self]

    def channels(self) -> list[int]:
        return [f.channels for f in self]

    def reduction(self) -> list[int]:
        return [f.reduction for f in self]

    def module_name(self) -> list[str]:
        return [f.module for f in self]


def pyramid_shapes(model: Trunk, input_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every map for one sample of `input_shape`, without a forward.

    Parameters
    ----------
    model : ConvNeXt or ConvNeXtFeatures
        Its convolutions decide.
    input_shape : sequence of int
        (C, *spatial) of one sample.

    Returns
    -------
    dict of str to tuple of int
        (channels, *spatial) by name.

    Raises
    ------
    ShapeError
        If the model would refuse such an input.

    Examples
    --------
    >>> import minigrad.models as models
    >>> pyramid_shapes(models.ConvNeXt(depths=(1, 1), dims=(8, 16)), (3, 64, 32))
    {'P1': (8, 16, 8), 'P2': (16, 8, 4)}
    """
    shape = tuple(input_shape)
    check_input((1, *shape), model.in_channels, model.spatial_dims, model.reduction)
    sides, shapes = shape[1:], {}
    for i, layers in enumerate(model.downsample_layers):
        for conv in _convs(layers):
            sides = tuple(
                (side + 2 * p - k) // s + 1
                for side, k, s, p in zip(
                    sides, conv.kernel_size, conv.stride, conv.padding, strict=True
                )
            )
        shapes[f"P{i + 1}"] = (conv.out_channels, *sides)
    return shapes


class ConvNeXtFeatures(Module):
    """A ConvNeXt without head that returns the map of every stage, finest first.

    Parameters
    ----------
    model : ConvNeXt
        Its stem and stages are shared, not copied; its last norm and head are left out.
    out_indices : sequence of int, optional
        Which stages' maps come out, 0 the finest; all by default. The stages after the last
        one stay in the model but are not run.
    norm : bool, default True
        Whether each map passes a layer norm of its own (``norm0`` …, eps 1e-6), as in the official
        detection and segmentation code; otherwise the maps are raw.

    Attributes
    ----------
    feature_info : FeatureInfo
        Name, channels and reduction of every map that comes out.

    Notes
    -----
    Names of parameters are those of the official backbones: ``downsample_layers``, ``stages``,
    ``norm0`` to ``norm3``.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> encoder = ConvNeXtFeatures(models.ConvNeXt(depths=(1, 1), dims=(8, 16)))
    >>> [tuple(f.shape) for f in encoder(mg.randn(2, 3, 32, 32))]
    [(2, 8, 8, 8), (2, 16, 4, 4)]
    >>> encoder.feature_info.channels(), encoder.pyramid_shapes((3, 64, 64))
    ([8, 16], {'P1': (8, 16, 16), 'P2': (16, 8, 8)})
    """

    def __init__(
        self, model: Trunk, out_indices: Sequence[int] | None = None, norm: bool = True
    ) -> None:
        if not isinstance(getattr(model, "downsample_layers", None), ModuleList):
            raise OptionError(
                f"ConvNeXtFeatures: {type(model).__name__} has no stages to take maps from; "
                "give it a ConvNeXt"
            )
        self.in_channels, self.spatial_dims = model.in_channels, model.spatial_dims
        self.dims, self.depths, self.reduction = model.dims, model.depths, model.reduction
        self.downsample_layers, self.stages = model.downsample_layers, model.stages
        self.rescaling = model.rescaling
        every = FeatureInfo.of(model)
        self.out_indices = _indices(out_indices, len(every))
        self.feature_info = FeatureInfo(every[i] for i in self.out_indices)
        self.norm = norm
        if norm:
            weight = _convs(self.downsample_layers[0])[0].weight
            for i in self.out_indices:
                layer = LayerNorm(
                    self.dims[i],
                    eps=1e-6,
                    data_format="channels_first",
                    device=str(weight.device),
                    dtype=weight.dtype,
                )
                setattr(self, f"norm{i}", layer)

    def forward(self, x: Tensor) -> list[Tensor]:
        check_input(x.shape, self.in_channels, self.spatial_dims, self.reduction)
        if self.rescaling is not None:
            x = self.rescaling(x)
        maps = []
        for i in range(max(self.out_indices) + 1):
            x = self.stages[i](self.downsample_layers[i](x))
            if i in self.out_indices:
                maps.append(getattr(self, f"norm{i}")(x) if self.norm else x)
        return maps

    def forward_pyramid(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps by name: ``{"P1": …, "P2": …}``."""
        return dict(zip(self.feature_info.names(), self(x), strict=True))

    def pyramid_shapes(self, input_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Return the shapes (channels, *spatial) by name for a sample (C, *spatial)."""
        shapes = pyramid_shapes(self, input_shape)
        return {name: shapes[name] for name in self.feature_info.names()}


def check_input(
    shape: tuple[int, ...], in_channels: int, spatial_dims: int, reduction: int
) -> None:
    """Refuse a batch that does not fit the model, or would vanish in it."""
    if len(shape) != spatial_dims + 2 or shape[1] != in_channels:
        raise ShapeError(
            f"the input must be (batch, {in_channels} channels, {AXES[spatial_dims]}), "
            f"got {shape}; pass in_channels=… to the model, or convert the image"
        )
    if min(shape[2:]) < reduction:
        raise ShapeError(
            f"an input of {'×'.join(map(str, shape[2:]))} vanishes: the model reduces each "
            f"side {reduction} times; enlarge it, or build a model of smaller patch_size"
        )


def _convs(layers: Any) -> list[Any]:
    """Return the convolutions of a stem or a downsampling."""
    return [layer for layer in layers if hasattr(layer, "stride")]


def _indices(wanted: Iterable[int] | None, stages: int) -> tuple[int, ...]:
    """Return which stages' maps come out, ascending."""
    if wanted is None:
        return tuple(range(stages))
    indices = list(wanted)
    if not indices or any(type(i) is not int or not -stages <= i < stages for i in indices):
        raise OptionError(
            f"out_indices must name stages 0 to {stages - 1} (P1 to P{stages}), got {indices}"
        )
    return tuple(sorted({i % stages for i in indices}))
