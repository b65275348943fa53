"""The parts of the U-Nets' decoders: convolution with norm and activation, gate, grid of nodes.

Ronneberger et al., "U-Net" (2015); Oktay et al., "Attention U-Net" (2018); Zhou et al., "UNet++"
(2018). Block structure and names of options are medicai's, so that parameter counts agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.errors import OptionError, unknown
from minigrad.models.activations import ACTIVATIONS
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.containers import ModuleDict, ModuleList, Sequential
from minigrad.nn.layers import Conv1d, Conv2d, Conv3d, GroupNorm, Identity, LayerNorm
from minigrad.nn.layers.spatial import BATCH_NORMS, CONVS, TRANSPOSED_CONVS
from minigrad.nn.module import Module
from minigrad.ops.neural.conv_doubled import conv_doubled
from minigrad.ops.shape import cat
from minigrad.tensor import Tensor

__all__ = [
    "Activation",
    "AttentionGate",
    "ConvNormAct",
    "DecoderBlock",
    "UNetDecoder",
    "UNetPlusPlusDecoder",
    "UnitNorm",
]

BLOCK_TYPES = ("upsampling", "transpose")
NORMS = ("batch", "group", "instance", "layer", "none", "sync_batch", "unit")


class Activation(Module):
    """A pointwise function by name; softmax runs over the channels, axis 1.

    Parameters
    ----------
    name : str or None
        elu, gelu, leaky_relu, linear, relu, relu6, sigmoid, silu (also swish), softmax, softplus
        or tanh; None is linear.

    Examples
    --------
    >>> import minigrad as mg
    >>> Activation("softmax")(mg.zeros(1, 2, 3))[0, :, 0]
    tensor([0.5, 0.5])
    """

    def __init__(self, name: str | None) -> None:
        name = "linear" if name is None else name
        if not isinstance(name, str) or name.lower() not in ACTIVATIONS:
            raise unknown("activation", name, ACTIVATIONS)
        self.name = name.lower()

    def forward(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.name](x)

    def extra_repr(self) -> str:
        return repr(self.name)


class UnitNorm(Module):
    """Scale every position's vector of channels to length 1: x / √max(Σx², 1e-12).

    Examples
    --------
    >>> import minigrad as mg
    >>> UnitNorm()(mg.tensor([[[3.0], [4.0]]]))
    tensor([[[0.6],
             [0.8]]])
    """

    def forward(self, x: Tensor) -> Tensor:
        return x * ((x * x).sum(1, keepdim=True).clamp(min=1e-12)).rsqrt()


def norm_layer(name: str | None, channels: int, spatial_dims: int, **at: Any) -> Module:
    """Return the norm of a decoder block, with the constants of medicai (Keras)."""
    if name in ("batch", "sync_batch"):  # one process: its batch is the whole batch
        # Keras writes the weight of the old statistics, 0.99; PyTorch that of the new ones.
        return BATCH_NORMS[spatial_dims](channels, eps=1e-3, momentum=0.01, **at)
    if name == "layer":
        return LayerNorm(channels, eps=1e-3, data_format="channels_first", **at)
    if name == "group":
        return GroupNorm(math.gcd(32, channels), channels, eps=1e-3, **at)
    if name == "instance":
        return GroupNorm(channels, channels, eps=1e-5, affine=False)
    return UnitNorm() if name == "unit" else Identity()


def check_normalization(name: Any) -> str:
    """Return the name of a norm in lower case; False and None are "none"."""
    if name is None or name is False:
        return "none"
    if not isinstance(name, str) or name.lower() not in NORMS:
        raise unknown("decoder_normalization", name, NORMS)
    return name.lower()


class _DoublingConv:
    """Mixed into a convolution of size 3: the first map is of half the sides, and is doubled."""

    weight: Any
    bias: Any

    def forward(self, x: Tensor, *skips: Tensor) -> Tensor:
        """Return the convolution of all maps joined; neither is `x` doubled for it, nor joined."""
        y = conv_doubled(x, self.weight[:, : x.shape[1]])
        if skips:
            conv = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
            y = y + conv(cat(skips, 1), self.weight[:, x.shape[1] :], padding=1)
        return y if self.bias is None else y + self.bias.reshape(-1, *[1] * (x.ndim - 2))


class DoublingConv1d(_DoublingConv, Conv1d):
    """For signals."""


class DoublingConv2d(_DoublingConv, Conv2d):
    """For images."""


class DoublingConv3d(_DoublingConv, Conv3d):
    """For volumes."""


DOUBLING_CONVS = {1: DoublingConv1d, 2: DoublingConv2d, 3: DoublingConv3d}


class Chain(Sequential):
    """Modules one after the other, of which the first may take several maps."""

    def forward(self, *maps: Tensor) -> Any:
        first, *others = self
        y = first(*maps)
        for module in others:
            y = module(y)
        return y


class Joining(Sequential):
    """Modules one after the other, behind maps that are joined."""

    def forward(self, *maps: Tensor) -> Any:
        return super().forward(cat(maps, 1))


class ConvNormAct(Chain):
    """Convolution of size 3 that keeps the sides, norm, activation.

    The convolution has a bias only where no norm follows.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    normalization : str or None, default "batch"
        batch, layer, group, instance, unit, sync_batch or none.
    activation : str or None, default "relu"
        As for `Activation`.
    spatial_dims : {1, 2, 3}, default 2
        Signals, images or volumes.
    doubles : bool, default False
        Whether it takes a map of half the sides, whose positions are repeated, then maps that are
        joined to it.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> unit = ConvNormAct(8, 4, normalization="instance", spatial_dims=3)
    >>> unit(mg.randn(1, 8, 4, 6, 8)).shape
    (1, 4, 4, 6, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        normalization: str | None = "batch",
        activation: str | None = "relu",
        spatial_dims: int = 2,
        doubles: bool = False,
        **at: Any,
    ) -> None:
        norm = check_normalization(normalization)
        conv = (DOUBLING_CONVS if doubles else CONVS)[spatial_dims](
            in_channels, out_channels, 3, padding=1, bias=norm == "none", **at
        )
        super().__init__(
            he_(conv), norm_layer(norm, out_channels, spatial_dims, **at), Activation(activation)
        )


def he_(conv: Any) -> Any:
    """Draw a convolution's weights as the U-Net paper does, N(0, 2 / fan-in); zero its bias."""
    init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        init.zeros_(conv.bias)
    return conv


class Double(Module):
    """Double every side by repeating each position."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0)


def upsampling(channels: int, filters: int, block_type: str, options: Sequence[Any]) -> Module:
    """Return a transposed convolution to `filters` that doubles the sides.

    In a block that repeats positions the convolution behind does this.
    """
    norm, activation, dims, at = options
    if block_type == "upsampling":
        return Identity()
    conv = he_(TRANSPOSED_CONVS[dims](channels, filters, 4, stride=2, padding=1, **at))
    return Sequential(conv, norm_layer(norm, filters, dims, **at), Activation(activation))


def convolutions(channels: int, filters: int, block_type: str, options: Sequence[Any]) -> Module:
    """Return two convolutions of maps, or one after a transposed convolution."""
    norm, activation, dims, at = options
    if block_type == "transpose":
        return Joining(ConvNormAct(channels, filters, norm, activation, dims, **at))
    first = ConvNormAct(channels, filters, norm, activation, dims, doubles=True, **at)
    return Chain(first, ConvNormAct(filters, filters, norm, activation, dims, **at))


class AttentionGate(Module):
    """Weigh the positions of a skip connection by what the decoder knows so far.

    skip · up(sigmoid(ψ(relu(θ(skip) + φ(x))))): θ, φ and ψ are convolutions of size 1, θ of stride
    2, and up repeats every position twice (Oktay et al., 2018).

    Parameters
    ----------
    skip_channels, channels : int
        Channels of the skip connection and of the decoder's map, which has half its sides.
    filters : int
        Channels of θ and φ.
    spatial_dims : {1, 2, 3}, default 2
        Signals, images or volumes.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> AttentionGate(8, 16, 4)(mg.randn(1, 8, 6, 6), mg.randn(1, 16, 3, 3)).shape
    (1, 8, 6, 6)
    """

    def __init__(
        self, skip_channels: int, channels: int, filters: int, spatial_dims: int = 2, **at: Any
    ) -> None:
        conv = CONVS[spatial_dims]
        self.theta = he_(conv(skip_channels, filters, 1, stride=2, **at))
        self.phi = he_(conv(channels, filters, 1, **at))
        self.psi = he_(conv(filters, 1, 1, **at))
        self.up = Double()

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        weight: Tensor = F.sigmoid(self.psi(F.relu(self.theta(skip) + self.phi(x))))
        return skip * self.up(weight)  # type: ignore[no-any-return]


class DecoderBlock(Module):
    """One stage of a U-Net's way up: double the sides, join the skip connection, convolve.

    "upsampling" repeats positions and convolves twice; "transpose" has a transposed convolution of
    size 4 with norm and activation, and convolves once.

    Parameters
    ----------
    channels : int
        Channels of the map from below.
    skip_channels : int
        Channels of the skip connection; 0 where there is none.
    filters : int
        Channels of the result.
    block_type : {"upsampling", "transpose"}
        How the sides are doubled.
    attention : bool, default False
        Whether an `AttentionGate` weighs the skip connection.
    normalization, activation, spatial_dims, device, dtype
        As for `ConvNormAct`.

    Examples
    --------
    >>> import minigrad as mg
    >>> block = DecoderBlock(16, 8, 4, attention=True)
    >>> block(mg.randn(2, 16, 3, 3), mg.randn(2, 8, 6, 6)).shape
    (2, 4, 6, 6)
    """

    def __init__(
        self,
        channels: int,
        skip_channels: int,
        filters: int,
        block_type: str = "upsampling",
        attention: bool = False,
        normalization: str | None = "batch",
        activation: str | None = "relu",
        spatial_dims: int = 2,
        **at: Any,
    ) -> None:
        options = (check_normalization(normalization), activation, spatial_dims, at)
        check_block_type(block_type)
        self.gate: AttentionGate | None = None
        if attention and skip_channels:
            self.gate = AttentionGate(skip_channels, channels, filters, spatial_dims, **at)
        self.up = upsampling(channels, filters, block_type, options)
        risen = filters if block_type == "transpose" else channels
        self.conv = convolutions(risen + skip_channels, filters, block_type, options)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is not None and self.gate is not None:
            skip = self.gate(skip, x)
        skips = () if skip is None else (skip,)
        return self.conv(self.up(x), *skips)  # type: ignore[no-any-return]


def check_block_type(block_type: Any) -> str:
    """Return the name in lower case."""
    if not isinstance(block_type, str) or block_type.lower() not in BLOCK_TYPES:
        raise unknown("decoder_block_type", block_type, BLOCK_TYPES)
    return block_type.lower()


class UNetDecoder(Module):
    """The way up of a U-Net: one `DecoderBlock` per filter, the last without a skip connection.

    Parameters
    ----------
    channels : sequence of int
        Channels of the encoder's maps P1, P2 …, finest first.
    filters : sequence of int
        Channels of the blocks, coarsest first; as many as maps.
    **options
        Of `DecoderBlock`.
    """

    def __init__(self, channels: Sequence[int], filters: Sequence[int], **options: Any) -> None:
        below, *skips = reversed(channels)
        self.blocks = ModuleList()
        for skip, width in zip([*skips, 0], filters, strict=True):
            self.blocks.append(DecoderBlock(below, skip, width, **options))
            below = width
        self.out_channels = below

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        x, *skips = reversed(maps)
        for block, skip in zip(self.blocks, [*skips, None], strict=True):
            x = block(x, skip)
        return x


class UNetPlusPlusDecoder(Module):
    """The grid of UNet++: at every scale as many nodes as fit, each fed by all before it.

    X[i, j] = conv(cat[up(X[i+1, j−1]), X[i, 0], …, X[i, j−1]]). X[i, 0] are the encoder's maps;
    row 0 is the finest. The last node of the finest row is doubled once more (Zhou et al., 2018).

    Parameters
    ----------
    channels : sequence of int
        Channels of the encoder's maps P1, P2 …, finest first.
    filters : sequence of int
        Channels of the nodes of each row, finest row first; one more than there are rows.
    block_type, normalization, activation, spatial_dims, device, dtype
        As for `DecoderBlock`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        filters: Sequence[int],
        block_type: str = "upsampling",
        normalization: str | None = "batch",
        activation: str | None = "relu",
        spatial_dims: int = 2,
        **at: Any,
    ) -> None:
        options = (check_normalization(normalization), activation, spatial_dims, at)
        check_block_type(block_type)
        self.depth = len(channels) - 1
        self.up, self.conv = ModuleDict(), ModuleDict()
        for i, j in self._nodes():
            below = channels[i + 1] if j == 1 else filters[i + 1]
            risen = filters[i] if block_type == "transpose" else below
            width = risen + channels[i] + (j - 1) * filters[i]
            self.up[f"{i}_{j}"] = upsampling(below, filters[i], block_type, options)
            self.conv[f"{i}_{j}"] = convolutions(width, filters[i], block_type, options)
        doubles = block_type == "upsampling"
        self.last = Double() if doubles else upsampling(filters[0], filters[0], block_type, options)
        self.out_channels = filters[0]

    def _nodes(self) -> list[tuple[int, int]]:
        """Return (i, j) of every node that is not the encoder's, column by column."""
        return [(i, j) for j in range(1, self.depth + 1) for i in range(self.depth + 1 - j)]

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        rows = [[x] for x in maps]
        for i, j in self._nodes():
            risen = self.up[f"{i}_{j}"](rows[i + 1][j - 1])
            rows[i].append(self.conv[f"{i}_{j}"](risen, *rows[i]))
        return self.last(rows[0][-1])  # type: ignore[no-any-return]


def check_filters(filters: Any, depth: int) -> tuple[int, ...]:
    """Return the first `depth` filters; refuse too few, and what is not a length."""
    try:
        values = tuple(filters)
    except TypeError:
        values = (filters,)
    if len(values) < depth or any(type(n) is not int or n < 1 for n in values):
        raise OptionError(
            f"decoder_filters must be at least encoder_depth={depth} positive integers, coarsest "
            f"first, got {filters!r}"
        )
    return values[:depth]
