"""ConvNeXt and ConvNeXt V2, from one block (see `minigrad.models.block`).

Liu et al., "A ConvNet for the 2020s" (2022); Woo et al., "ConvNeXt V2" (2023). Names of parameters
are the official ones, so the official checkpoints load as they are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from minigrad.errors import OptionError, unknown
from minigrad.models.arguments import accepts
from minigrad.models.block import Block
from minigrad.models.features import FeatureInfo, check_input, pyramid_shapes
from minigrad.models.stem import layout
from minigrad.modes import no_grad
from minigrad.nn import init
from minigrad.nn.containers import ModuleList, Sequential
from minigrad.nn.layers import Conv1d, Conv2d, Conv3d, Dropout, Identity, LayerNorm, Linear
from minigrad.nn.layers.spatial import CONVS
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["Block", "ConvNeXt", "ConvNeXtV2"]

trunc_normal = partial(init.trunc_normal_, std=0.02)


class ConvNeXt(Module):
    """ConvNeXt V1: a stem, stages of blocks with downsampling between, and a linear head.

    Parameters
    ----------
    in_channels : int, default 3
        Channels of the images; also ``in_chans``.
    num_classes : int or None, default 1000
        Outputs of the head; 0 or None returns the pooled, normed features.
    depths : sequence of int, default (3, 3, 9, 3)
        Blocks of each stage; any number of stages.
    dims : sequence of int, default (96, 192, 384, 768)
        Channels of each stage.
    drop_path_rate : float, default 0
        Of the last block, below 1; the others' rise linearly from 0. Also ``drop_path``.
    layer_scale_init_value : float or None, default 1e-6
        First value of the layer scale; 0 or None leaves it out. Also ``layer_scale_init``.
    head_init_scale : float, default 1
        Factor of the head's first weights.
    patch_size : int, default 4
        Kernel and stride of the stem.
    kernel_size : int, default 7
        Of the depthwise convolutions.
    grn : bool, default False
        Whether the blocks have global response normalisation.
    spatial_dims : {1, 2, 3}, default 2
        Signals (N, C, L), images (N, C, H, W) or volumes (N, C, D, H, W).
    stem : {"patch", "auto"}
        "auto" adapts stem and downsamplings to a small `input_size`, so that dims and checkpoints
        stay comparable: see `minigrad.models.stem.layout`.
    input_size : int or sequence of int, optional
        Sides of the input, for ``stem="auto"``.
    eps : float, default 1e-6
        Of every layer norm.
    head_dropout : float, default 0
        Probability to drop each of the head's inputs in training. Also ``drop_rate``.
    block : callable, default Block
        What the stages are made of; it takes the arguments of `Block`.
    initializer : callable, optional
        Fills the first weights of convolutions and linear layers; by default from a normal
        distribution of 0.02, cut off at ±2.
    checkpoint_blocks : bool, default False
        Whether blocks keep for backward little more than their input and compute the rest again:
        less memory for more time.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Attributes
    ----------
    reduction : int
        How many times smaller the last map's sides are than the input's.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> model = models.ConvNeXt(
    ...     num_classes=10, depths=(1, 1, 2, 1), dims=(8, 16, 32, 64)
    ... )
    >>> model(mg.randn(2, 3, 64, 64)).shape
    (2, 10)
    """

    rescaling: Module | None = None  # before the stem, in systems whose models take pixels
    classifier_activation: str | None = None  # after the head, in systems that have one

    @accepts(
        in_chans="in_channels",
        drop_path="drop_path_rate",
        layer_scale_init="layer_scale_init_value",
        ls_init_value="layer_scale_init_value",
        drop_rate="head_dropout",
    )
    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int | None = 1000,
        depths: Sequence[int] = (3, 3, 9, 3),
        dims: Sequence[int] = (96, 192, 384, 768),
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = 1e-6,
        head_init_scale: float = 1.0,
        *,
        patch_size: int = 4,
        kernel_size: int = 7,
        grn: bool = False,
        spatial_dims: int = 2,
        stem: str = "patch",
        input_size: int | Sequence[int] | None = None,
        eps: float = 1e-6,
        head_dropout: float = 0.0,
        block: Callable[..., Module] = Block,
        initializer: Callable[[Tensor], object] = trunc_normal,
        checkpoint_blocks: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        _check(in_channels, num_classes, depths, dims, drop_path_rate, patch_size, spatial_dims)
        self.in_channels, self.num_classes = in_channels, num_classes or 0
        self.depths, self.dims = tuple(depths), tuple(dims)
        self.spatial_dims = spatial_dims
        at: dict[str, Any] = {"device": device, "dtype": dtype}
        conv = CONVS[spatial_dims]
        patches = layout(len(dims), patch_size, stem, input_size)
        self.reduction = math.prod(patch.stride for patch in patches)

        with init.skip_random():  # `initialize` draws once, at the end
            # The stem and every downsampling "patchify": kernel = stride.
            first: dict[str, Any] = {"eps": eps, "data_format": "channels_first", **at}
            patchify = conv(in_channels, dims[0], *patches[0], **at)
            self.downsample_layers = ModuleList([Sequential(patchify, LayerNorm(dims[0], **first))])
            for (before, after), patch in zip(pairwise(dims), patches[1:], strict=True):
                halve = conv(before, after, *patch, **at)
                self.downsample_layers.append(Sequential(LayerNorm(before, **first), halve))

            rates = drop_path_rates(drop_path_rate, sum(depths))
            options = (layer_scale_init_value, grn, kernel_size, eps, spatial_dims)
            self.stages = ModuleList()
            for depth, dim in zip(depths, dims, strict=True):
                blocks = [
                    block(dim, next(rates), *options, recompute=checkpoint_blocks, **at)
                    for _ in range(depth)
                ]
                self.stages.append(Sequential(*blocks))

            self.norm: Module = LayerNorm(dims[-1], eps, **at)
            self.head_dropout = Dropout(head_dropout) if head_dropout else None
            self.head: Module = Linear(dims[-1], num_classes, **at) if num_classes else Identity()
        initialize(self, initializer, head_init_scale)

    @property
    def feature_info(self) -> FeatureInfo:
        """Name, channels and reduction of every stage's map."""
        return FeatureInfo.of(self)

    def pyramid_shapes(self, input_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Return the shapes (channels, *spatial) of P1, P2 … for a sample (C, *spatial)."""
        return pyramid_shapes(self, input_shape)

    def forward_stages(self, x: Tensor) -> Iterator[Tensor]:
        """Yield every stage's map, finest first; a stage runs when its map is asked for."""
        check_input(x.shape, self.in_channels, self.spatial_dims, self.reduction)
        if self.rescaling is not None:
            x = self.rescaling(x)
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
            yield x

    def forward_pyramid(self, x: Tensor) -> dict[str, Tensor]:
        """Return the raw map of every stage by name; `ConvNeXtFeatures` norms them too."""
        return dict(zip(self.feature_info.names(), self.forward_stages(x), strict=True))

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last stage's map, (N, dims[-1], *spatial)."""
        last = deque(self.forward_stages(x), maxlen=1)  # one map at a time is alive, not all
        return last.pop()

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Average a map over its positions, norm, and classify it unless `pre_logits`."""
        x = self.norm(x.mean(tuple(range(2, x.ndim))))
        if pre_logits:
            return x
        if self.head_dropout is not None:
            x = self.head_dropout(x)
        logits: Tensor = self.head(x)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def layer_ids(self, grouping: str = "single") -> dict[str, int]:
        """Return the layer number of each parameter, for layer-wise learning-rate decay.

        Parameters
        ----------
        grouping : {"single", "group"}
            "single" numbers every block: a block at position j of stage i has
            sum(depths[:i]) + j + 1. "group" is the official rule of twelve groups for four-stage
            models: three blocks of the long third stage each, and one for each other stage.

        Returns
        -------
        dict of str to int
            Parameter name to layer; the final norm and head have the largest number.
        """
        if grouping not in ("single", "group"):
            raise unknown("grouping", grouping, ("single", "group"))
        if grouping == "group" and len(self.depths) != 4:
            raise OptionError(
                f"layer_ids: grouping='group' is defined for four stages, the model has "
                f"{len(self.depths)}; use 'single'"
            )
        before = [sum(self.depths[:i]) for i in range(len(self.depths))]

        def number(name: str) -> int:
            kind, *rest = name.split(".")
            if kind not in ("downsample_layers", "stages"):
                return 13 if grouping == "group" else sum(self.depths) + 1
            i, j = int(rest[0]), int(rest[1])
            if grouping == "single":
                return before[i] + (j if kind == "stages" else 0) + 1
            if kind == "downsample_layers":
                return (0, 2, 3, 12)[i]
            return (1, 2, 3 + j // 3, 12)[i]

        return {name: number(name) for name, _ in self.named_parameters()}


class ConvNeXtV2(ConvNeXt):
    """ConvNeXt V2: global response normalisation in every block, and no layer scale.

    Parameters are those of `ConvNeXt`; only the defaults of ``grn`` and ``layer_scale_init_value``
    differ.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> model = models.ConvNeXtV2(1, 10, depths=(2, 2), dims=(16, 32), patch_size=2)
    >>> model(mg.randn(4, 1, 28, 28)).shape
    (4, 10)
    """

    @accepts(
        in_chans="in_channels",
        drop_path="drop_path_rate",
        layer_scale_init="layer_scale_init_value",
        ls_init_value="layer_scale_init_value",
    )
    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int | None = 1000,
        depths: Sequence[int] = (3, 3, 9, 3),
        dims: Sequence[int] = (96, 192, 384, 768),
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = None,
        head_init_scale: float = 1.0,
        *,
        grn: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            in_channels,
            num_classes,
            depths,
            dims,
            drop_path_rate,
            layer_scale_init_value,
            head_init_scale,
            grn=grn,
            **options,
        )


def initialize(
    model: Module,
    initializer: Callable[[Tensor], object] = trunc_normal,
    head_init_scale: float = 1.0,
) -> None:
    """Draw the weights of convolutions and linear layers, set their biases to zero."""
    for module in model.modules():
        if isinstance(module, (Conv1d, Conv2d, Conv3d, Linear)):
            initializer(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
    head = model.get_submodule("head")
    if isinstance(head, Linear) and head_init_scale != 1.0:
        no_grad().run(head.weight.mul_, head_init_scale)


def drop_path_rates(last: float, blocks: int) -> Iterator[float]:
    """Yield the rate of each block: a line from 0 to `last`.

    Examples
    --------
    >>> list(drop_path_rates(0.2, 3))
    [0.0, 0.1, 0.2]
    """
    return (last * i / max(blocks - 1, 1) for i in range(blocks))


def _check(
    in_channels: int,
    num_classes: int | None,
    depths: Sequence[int],
    dims: Sequence[int],
    drop_path_rate: float,
    patch_size: int,
    spatial_dims: int,
) -> None:
    """Refuse what no ConvNeXt can be built from."""
    if len(depths) != len(dims) or not dims:
        raise OptionError(
            f"ConvNeXt: depths and dims have one entry per stage, got {len(depths)} depths "
            f"{tuple(depths)} and {len(dims)} dims {tuple(dims)}"
        )
    if min(dims) < 1 or min(depths) < 0 or in_channels < 1 or patch_size < 1:
        raise OptionError(
            f"ConvNeXt: sizes must be positive, got in_channels={in_channels}, "
            f"depths={tuple(depths)}, dims={tuple(dims)}, patch_size={patch_size}"
        )
    if num_classes is not None and num_classes < 0:
        raise OptionError(f"ConvNeXt: num_classes must be ≥ 0 or None, got {num_classes}")
    if not 0.0 <= drop_path_rate < 1.0:
        raise OptionError(f"ConvNeXt: drop_path_rate must lie in [0, 1), got {drop_path_rate}")
    if spatial_dims not in CONVS:
        raise OptionError(f"ConvNeXt: spatial_dims must be 1, 2 or 3, got {spatial_dims}")
