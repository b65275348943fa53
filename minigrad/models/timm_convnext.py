"""The ConvNeXts that only timm has: overlapping stems, other norms, other heads.

Source: https://github.com/huggingface/pytorch-image-models, timm/models/convnext.py.
"""

from __future__ import annotations

from typing import Any

from minigrad.errors import OptionError, unknown
from minigrad.models.convnext import ConvNeXt, initialize, trunc_normal
from minigrad.models.features import ConvNeXtFeatures
from minigrad.models.registry import register
from minigrad.models.variants import sized
from minigrad.models.weights.load import takes_pretrained
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.containers import Sequential
from minigrad.nn.layers import GELU, Identity, LayerNorm, Linear
from minigrad.nn.layers.spatial import CONVS
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["SIZES", "TimmConvNeXt"]

STEMS = ("patch", "overlap", "overlap_tiered", "overlap_act")
NORMS = ("layernorm", "rmsnorm", "simplenorm")


SIZES: dict[str, dict[str, Any]] = {
    "convnext_zepto_rms": {
        "depths": (2, 2, 4, 2), "dims": (32, 64, 128, 256), "norm_layer": "simplenorm"
    },
    "convnext_zepto_rms_ols": {
        "depths": (2, 2, 4, 2), "dims": (32, 64, 128, 256), "norm_layer": "simplenorm",
        "stem_type": "overlap_act",
    },
    "convnext_atto": {"depths": (2, 2, 6, 2), "dims": (40, 80, 160, 320)},
    "convnext_atto_ols": {
        "depths": (2, 2, 6, 2), "dims": (40, 80, 160, 320), "stem_type": "overlap_tiered"
    },
    "convnext_atto_rms": {
        "depths": (2, 2, 6, 2), "dims": (40, 80, 160, 320), "norm_layer": "rmsnorm"
    },
    "convnext_femto": {"depths": (2, 2, 6, 2), "dims": (48, 96, 192, 384)},
    "convnext_femto_ols": {
        "depths": (2, 2, 6, 2), "dims": (48, 96, 192, 384), "stem_type": "overlap_tiered"
    },
    "convnext_pico": {"depths": (2, 2, 6, 2), "dims": (64, 128, 256, 512)},
    "convnext_pico_ols": {
        "depths": (2, 2, 6, 2), "dims": (64, 128, 256, 512), "stem_type": "overlap_tiered"
    },
    "convnext_nano": {"depths": (2, 2, 8, 2), "dims": (80, 160, 320, 640)},
    "convnext_nano_ols": {
        "depths": (2, 2, 8, 2), "dims": (80, 160, 320, 640), "stem_type": "overlap"
    },
    "convnext_tiny_hnf": {
        "depths": (3, 3, 9, 3), "dims": (96, 192, 384, 768), "head_norm_first": True
    },
    "convnext_large_mlp": {
        "depths": (3, 3, 27, 3), "dims": (192, 384, 768, 1536), "head_hidden_size": 1536
    },
    "convnext_xxlarge": {"depths": (3, 4, 30, 3), "dims": (384, 768, 1536, 3072), "eps": 1e-5},
}  # fmt: skip
"""Options by name."""


class ScaleNorm(Module):
    """x · (m(x) + eps)^-½ · weight over the channels, with no mean taken out and no bias.

    m is the mean square for timm's "rmsnorm", the unbiased variance for its "simplenorm".

    Parameters
    ----------
    like : LayerNorm
        Whose place it takes.
    variance : bool
        Whether m is the variance.
    """

    def __init__(self, like: Any, variance: bool) -> None:
        self.weight = like.weight
        self.eps, self.variance = like.eps, variance
        self.axis = 1 if like.data_format == "channels_first" else -1

    def forward(self, x: Tensor) -> Tensor:
        y = x.movedim(self.axis, -1)
        m = y.var(-1, keepdim=True) if self.variance else (y * y).mean(-1, keepdim=True)
        y = y * (m + self.eps).rsqrt() * self.weight
        z: Tensor = y.movedim(-1, self.axis)
        return z


class TimmConvNeXt(ConvNeXt):
    """A `ConvNeXt` with timm's further options, under timm's names for them.

    Parameters
    ----------
    *args, **options
        As `ConvNeXt` takes them.
    stem_type : {"patch", "overlap", "overlap_tiered", "overlap_act"}
        Instead of the patches two convolutions of 3 × 3 and stride 2 follow each other; with half
        the channels between them ("tiered"), or with a GELU ("act").
    norm_layer : {"layernorm", "rmsnorm", "simplenorm"}
        Of all norms, see `ScaleNorm`.
    head_norm_first : bool, default False
        Whether the last map is normed before it is averaged.
    head_hidden_size : int, optional
        Width of a layer with a GELU before the classifier.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = TimmConvNeXt(
    ...     depths=(1, 1), dims=(16, 32), stem_type="overlap", head_hidden_size=8
    ... )
    >>> model(mg.randn(2, 3, 32, 32)).shape, model.feature_info.reduction()
    ((2, 1000), [4, 8])
    """

    def __init__(
        self,
        *args: Any,
        stem_type: str = "patch",
        norm_layer: str = "layernorm",
        head_norm_first: bool = False,
        head_hidden_size: int | None = None,
        head_init_scale: float = 1.0,
        **options: Any,
    ) -> None:
        if stem_type not in STEMS:
            raise unknown("stem_type", stem_type, STEMS)
        if norm_layer not in NORMS:
            raise unknown("norm_layer", norm_layer, NORMS)
        if head_norm_first and head_hidden_size:
            raise OptionError(
                "TimmConvNeXt: head_norm_first and head_hidden_size exclude each other"
            )
        with init.skip_random():  # drawn below
            super().__init__(*args, **options)
            at: dict[str, Any] = {"device": options.get("device"), "dtype": options.get("dtype")}
            if stem_type != "patch":
                self.downsample_layers[0] = self._overlapping(stem_type, at)
            self.norm_pre: Module = Identity()
            if head_norm_first:
                norm: Any = self.norm
                norm.data_format = "channels_first"
                self.norm_pre, self.norm = norm, Identity()
            self.pre_logits: Module | None = None
            if head_hidden_size:
                self.pre_logits = Linear(self.dims[-1], head_hidden_size, **at)
                if self.num_classes:
                    self.head = Linear(head_hidden_size, self.num_classes, **at)
        if norm_layer != "layernorm":
            _replace_norms(self, norm_layer == "simplenorm")
        initialize(self, options.get("initializer", trunc_normal), head_init_scale)

    def _overlapping(self, stem_type: str, at: dict[str, Any]) -> Sequential:
        patchify, norm = self.downsample_layers[0]
        dim = self.dims[0]
        middle = _divisible(dim // 2) if stem_type == "overlap_tiered" else dim
        conv = CONVS[self.spatial_dims]
        first = conv(patchify.in_channels, middle, 3, 2, 1, **at)
        between = [GELU()] if stem_type == "overlap_act" else []
        return Sequential(first, *between, conv(middle, dim, 3, 2, 1, **at), norm)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last map ``(N, dims[-1], *spatial)``, normed if `head_norm_first`."""
        y: Tensor = self.norm_pre(super().forward_features(x))
        return y

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Average a map over its positions, norm, and classify it unless `pre_logits`."""
        x = super().forward_head(x, pre_logits=True)
        if self.pre_logits is not None:
            x = F.gelu(self.pre_logits(x))
        if pre_logits:
            return x
        if self.head_dropout is not None:
            x = self.head_dropout(x)
        logits: Tensor = self.head(x)
        return logits


def _divisible(width: int) -> int:
    """Return the multiple of 8 near a width, at most a tenth below it: timm's rule."""
    near = max(8, (width + 4) // 8 * 8)
    return near + 8 if near < 0.9 * width else near


def _replace_norms(model: Module, variance: bool) -> None:
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, LayerNorm):
                setattr(module, name, ScaleNorm(child, variance))


def _named(name: str) -> None:
    def build(**options: Any) -> TimmConvNeXt:
        return TimmConvNeXt(**sized(SIZES[name], options))

    build.__name__ = build.__qualname__ = name
    register(family="convnext_timm", features=ConvNeXtFeatures)(takes_pretrained(build))


for _name in SIZES:
    _named(_name)
