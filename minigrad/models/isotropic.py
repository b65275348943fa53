"""Isotropic ConvNeXt: one resolution from the stem to the head, as a Vision Transformer has it.

Liu et al., "A ConvNet for the 2020s" (2022), section 3.3.
"""

from __future__ import annotations

from typing import Any

from minigrad.errors import OptionError
from minigrad.models.arguments import accepts
from minigrad.models.block import Block
from minigrad.models.convnext import drop_path_rates, initialize
from minigrad.models.features import check_input
from minigrad.models.registry import register
from minigrad.models.weights.load import takes_pretrained
from minigrad.nn import init
from minigrad.nn.containers import ModuleList
from minigrad.nn.layers import Identity, LayerNorm, Linear
from minigrad.nn.layers.spatial import CONVS
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = [
    "ConvNeXtIsotropic",
    "convnext_isotropic_base",
    "convnext_isotropic_large",
    "convnext_isotropic_small",
]


class ConvNeXtIsotropic(Module):
    """A stem of large patches, blocks of one width, and a linear head.

    Parameters
    ----------
    in_channels : int, default 3
        Channels of the images; also ``in_chans``.
    num_classes : int or None, default 1000
        Outputs of the head; 0 or None returns the pooled, normed features.
    depth : int, default 18
        Number of blocks.
    dim : int, default 384
        Channels.
    drop_path_rate : float, default 0
        Of the last block, below 1; the others' rise linearly from 0. Also ``drop_path``.
    layer_scale_init_value : float or None, default 0
        First value of the layer scale; 0 or None leaves it out.
    head_init_scale : float, default 1
        Factor of the head's first weights.
    patch_size : int, default 16
        Kernel and stride of the stem.
    kernel_size : int, default 7
        Of the depthwise convolutions.
    grn : bool, default False
        Whether the blocks have global response normalisation.
    spatial_dims : {1, 2, 3}, default 2
        Signals, images or volumes.
    checkpoint_blocks : bool, default False
        Whether blocks compute again what backward needs instead of keeping it.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Notes
    -----
    Names of parameters are the official ones: ``stem``, ``blocks``, ``norm``, ``head``.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = ConvNeXtIsotropic(num_classes=10, depth=2, dim=8, patch_size=4)
    >>> model(mg.randn(2, 3, 32, 32)).shape
    (2, 10)
    """

    @accepts(
        in_chans="in_channels",
        drop_path="drop_path_rate",
        layer_scale_init="layer_scale_init_value",
    )
    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int | None = 1000,
        depth: int = 18,
        dim: int = 384,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = 0.0,
        head_init_scale: float = 1.0,
        *,
        patch_size: int = 16,
        kernel_size: int = 7,
        grn: bool = False,
        spatial_dims: int = 2,
        checkpoint_blocks: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        if min(in_channels, depth, dim, patch_size) < 1:
            raise OptionError(
                f"ConvNeXtIsotropic: sizes must be positive, got in_channels={in_channels}, "
                f"depth={depth}, dim={dim}, patch_size={patch_size}"
            )
        if num_classes is not None and num_classes < 0:
            raise OptionError(f"ConvNeXtIsotropic: num_classes must be ≥ 0, got {num_classes}")
        if not 0.0 <= drop_path_rate < 1.0:
            raise OptionError(f"drop_path_rate must lie in [0, 1), got {drop_path_rate}")
        if spatial_dims not in CONVS:
            raise OptionError(f"spatial_dims must be 1, 2 or 3, got {spatial_dims}")
        self.in_channels, self.num_classes = in_channels, num_classes or 0
        self.spatial_dims = spatial_dims
        self.depth, self.dim, self.reduction = depth, dim, patch_size
        at: dict[str, Any] = {"device": device, "dtype": dtype}
        with init.skip_random():
            self.stem = CONVS[spatial_dims](in_channels, dim, patch_size, patch_size, **at)
            options = (layer_scale_init_value, grn, kernel_size, 1e-6, spatial_dims)
            self.blocks = ModuleList(
                Block(dim, rate, *options, recompute=checkpoint_blocks, **at)
                for rate in drop_path_rates(drop_path_rate, depth)
            )
            self.norm: Module = LayerNorm(dim, 1e-6, **at)
            self.head: Module = Linear(dim, num_classes, **at) if num_classes else Identity()
        initialize(self, head_init_scale=head_init_scale)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last block's map, (N, dim, *spatial)."""
        check_input(x.shape, self.in_channels, self.spatial_dims, self.reduction)
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and norm a map, and classify it unless `pre_logits`."""
        x = self.norm(x.mean(tuple(range(2, x.ndim))))
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


@register(family="convnext_isotropic")
@takes_pretrained
def convnext_isotropic_small(**options: Any) -> ConvNeXtIsotropic:
    """ConvNeXt-S (isotropic): 22.3 M parameters, 4.3 G multiply-adds, 78.7 % top-1."""
    return ConvNeXtIsotropic(depth=18, dim=384, **options)


@register(family="convnext_isotropic")
@takes_pretrained
def convnext_isotropic_base(**options: Any) -> ConvNeXtIsotropic:
    """ConvNeXt-B (isotropic): 87.1 M parameters, 16.9 G multiply-adds, 82.0 % top-1."""
    return ConvNeXtIsotropic(depth=18, dim=768, **options)


@register(family="convnext_isotropic")
@takes_pretrained
def convnext_isotropic_large(
    layer_scale_init_value: float | None = 1e-6, **options: Any
) -> ConvNeXtIsotropic:
    """ConvNeXt-L (isotropic): 305.9 M parameters, 59.7 G multiply-adds, 82.6 % top-1.

    The only one with a layer scale, as it was trained; 0 or None leaves it out.
    """
    return ConvNeXtIsotropic(
        depth=36, dim=1024, layer_scale_init_value=layer_scale_init_value, **options
    )
