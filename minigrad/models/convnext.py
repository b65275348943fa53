"""ConvNeXt and ConvNeXt V2, from one block.

Liu et al., "A ConvNet for the 2020s" (2022); Woo et al., "ConvNeXt V2" (2023). Names of parameters
are the official ones, so the official checkpoints load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from minigrad.autograd.checkpointing import checkpoint
from minigrad.dtypes import float32, float64
from minigrad.errors import OptionError, ShapeError, unknown
from minigrad.kernels import is_compiled
from minigrad.models.registry import accepts
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.containers import ModuleList, Sequential
from minigrad.nn.layers import GRN, Conv1d, Conv2d, Conv3d, DropPath, Identity, LayerNorm, Linear
from minigrad.nn.module import Module, Parameter
from minigrad.ops.dropout import drop_path_factor
from minigrad.ops.mlp import pointwise_mlp
from minigrad.ops.precision import full_precision
from minigrad.tensor import Tensor

__all__ = ["Block", "ConvNeXt", "ConvNeXtV2"]

CONVS = {1: Conv1d, 2: Conv2d, 3: Conv3d}

_PLAIN = {*CONVS.values(), LayerNorm, Linear, GRN, Identity, DropPath}


class Block(Module):
    """The ConvNeXt block: a wide depthwise convolution, then a two-layer MLP at every position.

    x + drop_path(γ · pwconv2(grn(gelu(pwconv1(norm(dwconv(x)))))))

    V1 has the layer scale γ and no GRN, V2 has GRN and no γ.

    Parameters
    ----------
    dim : int
        Channels.
    drop_path : float, default 0
        Probability to drop the branch of a sample in training.
    layer_scale_init_value : float or None, default 1e-6
        First value of γ; 0 or None leaves it out.
    grn : bool, default False
        Whether global response normalisation follows the GELU.
    kernel_size : int, default 7
        Size of the depthwise kernel, odd.
    eps : float, default 1e-6
        Of the layer norm.
    spatial_dims : {1, 2, 3}, default 2
        Signals, images or volumes.
    recompute : bool, default False
        Whether backward computes what lies inside again instead of keeping it.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> Block(16, grn=True)(mg.randn(2, 16, 8, 8)).shape
    (2, 16, 8, 8)
    """

    def __init__(
        self,
        dim: int,
        drop_path: float = 0.0,
        layer_scale_init_value: float | None = 1e-6,
        grn: bool = False,
        kernel_size: int = 7,
        eps: float = 1e-6,
        spatial_dims: int = 2,
        recompute: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        if kernel_size % 2 == 0:
            raise OptionError(f"Block: kernel_size must be odd to keep the size, got {kernel_size}")
        at: dict[str, Any] = {"device": device, "dtype": dtype}
        conv = CONVS[spatial_dims]
        self.dwconv = conv(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, **at)
        self.norm = LayerNorm(dim, eps=eps, **at)
        self.pwconv1 = Linear(dim, 4 * dim, **at)
        self.grn = GRN(4 * dim, spatial_dims=spatial_dims, **at) if grn else Identity()
        self.pwconv2 = Linear(4 * dim, dim, **at)
        self.gamma: Parameter | None = None
        if layer_scale_init_value:
            self.gamma = init.empty(dim, **at)
            init.constant_(self.gamma, layer_scale_init_value)
        self.drop_path = DropPath(drop_path)
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        if self.recompute and not self._can_fuse(x):
            return checkpoint(self._steps, x)
        return self._steps(x)

    def _steps(self, x: Tensor) -> Tensor:
        return self.pointwise(x, self.dwconv(x))

    def pointwise(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Return x + all that follows the convolution, whose output `mixed` is.

        It works position by position; only the norms of GRN look at all of a sample.
        """
        if self._can_fuse(x):
            return self._fused(x, mixed)
        y = mixed.movedim(1, -1)  # (N, C, *spatial) -> (N, *spatial, C): as in memory, so a view
        y = self.norm(y)
        y = self.pwconv1(y)
        y = F.gelu(y)
        y = self.grn(y)
        y = self.pwconv2(y)
        if self.gamma is not None:
            y = y * self.gamma
        y = self.drop_path(y.movedim(-1, 1))
        return x + y

    def _can_fuse(self, x: Tensor) -> bool:
        """Return True where one compiled kernel can do all that follows the convolution.

        It passes the layers by: so only while they are the plain ones, nobody listens to them, and
        none of them has an error to report.
        """
        return (
            full_precision(x)
            and is_compiled("mlp", x.array)
            and x.dtype == self.pwconv1.weight.dtype
            and x.dtype in (float32, float64)
            and x.shape[1:2] == self.pwconv1.weight.shape[1:] == self.pwconv2.weight.shape[:1]
            and all(
                type(m) in _PLAIN and not m._forward_hooks and not m._forward_pre_hooks
                for m in self.children()
            )
        )

    def _fused(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Compute `pointwise` with `pointwise_mlp`, which says its formula in one."""
        norm: Any = self.norm  # none of the weights and biases is missing in a block
        w1: Any = self.pwconv1
        w2: Any = self.pwconv2
        options: dict[str, Any] = {"scale": self.gamma, "recompute": self.recompute}
        if isinstance(self.grn, GRN):
            options["grn_weight"] = self.grn.gamma.reshape(-1)
            options["grn_bias"] = self.grn.beta.reshape(-1)
            options["grn_eps"] = self.grn.eps
        if self.training and self.drop_path.drop_prob:
            options["factor"] = drop_path_factor(x, self.drop_path.drop_prob)
        y = pointwise_mlp(
            mixed.movedim(1, -1), x.movedim(1, -1), norm.weight, norm.bias,
            w1.weight, w1.bias, w2.weight, w2.bias, eps=norm.eps, **options,
        )  # fmt: skip
        return y.movedim(-1, 1)


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
    checkpoint_blocks : bool, default False
        Whether blocks keep for backward little more than their input and compute the rest again:
        less memory for more time.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> model = models.ConvNeXt(num_classes=10, depths=(1, 1, 2, 1), dims=(8, 16, 32, 64))
    >>> model(mg.randn(2, 3, 64, 64)).shape
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
        checkpoint_blocks: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        _check(in_channels, num_classes, depths, dims, drop_path_rate, patch_size, spatial_dims)
        self.in_channels, self.num_classes = in_channels, num_classes or 0
        self.depths, self.dims = tuple(depths), tuple(dims)
        self.spatial_dims = spatial_dims
        self.reduction = patch_size * 2 ** (len(dims) - 1)
        at: dict[str, Any] = {"device": device, "dtype": dtype}
        conv, eps = CONVS[spatial_dims], 1e-6

        with init.skip_random():  # `_init_weights` draws once, at the end
            # The stem and every downsampling "patchify": kernel = stride.
            first: dict[str, Any] = {"eps": eps, "data_format": "channels_first", **at}
            stem = conv(in_channels, dims[0], patch_size, stride=patch_size, **at)
            self.downsample_layers = ModuleList([Sequential(stem, LayerNorm(dims[0], **first))])
            for before, after in pairwise(dims):
                halve = conv(before, after, 2, stride=2, **at)
                self.downsample_layers.append(Sequential(LayerNorm(before, **first), halve))

            rates = iter(drop_path_rates(drop_path_rate, sum(depths)))
            options = (layer_scale_init_value, grn, kernel_size, eps, spatial_dims)
            self.stages = ModuleList()
            for depth, dim in zip(depths, dims, strict=True):
                blocks = [
                    Block(dim, next(rates), *options, recompute=checkpoint_blocks, **at)
                    for _ in range(depth)
                ]
                self.stages.append(Sequential(*blocks))

            self.norm = LayerNorm(dims[-1], eps, **at)
            self.head = Linear(dims[-1], num_classes, **at) if num_classes else Identity()
        self._init_weights(head_init_scale)

    def _init_weights(self, head_init_scale: float) -> None:
        """Official initial values: truncated normal of 0.02 for weights, zero for biases."""
        for module in self.modules():
            if isinstance(module, (Conv1d, Conv2d, Conv3d, Linear)):
                scale = head_init_scale if module is self.head else 1.0
                init.trunc_normal_(module.weight, std=0.02 * scale)
                if module.bias is not None:
                    init.zeros_(module.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last stage's map, (N, dims[-1], *spatial)."""
        if x.ndim != self.spatial_dims + 2 or x.shape[1] != self.in_channels:
            axes = ("length", "height, width", "depth, height, width")[self.spatial_dims - 1]
            raise ShapeError(
                f"the input must be (batch, {self.in_channels} channels, {axes}), got {x.shape}; "
                "pass in_channels=… to the model, or convert the image"
            )
        if min(x.shape[2:]) < self.reduction:
            raise ShapeError(
                f"an input of {'×'.join(map(str, x.shape[2:]))} vanishes: the model reduces each "
                f"side {self.reduction} times; enlarge it, or build a model of smaller patch_size"
            )
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and norm a map, and classify it unless `pre_logits`."""
        x = x.mean(tuple(range(2, x.ndim)))
        x = self.norm(x)
        return x if pre_logits else self.head(x)

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


def drop_path_rates(last: float, blocks: int) -> list[float]:
    """Return the rate of each block: a line from 0 to `last`.

    Examples
    --------
    >>> drop_path_rates(0.2, 3)
    [0.0, 0.1, 0.2]
    """
    return [last * i / max(blocks - 1, 1) for i in range(blocks)]


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
