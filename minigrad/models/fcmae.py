"""FCMAE: the masked autoencoder that ConvNeXt V2 is pre-trained with, without labels.

An image is cut into patches as large as one cell of the encoder's last map. Most of them are
removed, the encoder sees the others, and a small decoder has to fill in the pixels. The official
code computes this with sparse convolutions; here the visible patches are simply the batch. Stem,
downsampling and MLP never look beyond a patch, so they work on patches as they are; only for the
depthwise convolution the patches are laid out in their places, with zeros in between. That is the
same function, and the hidden part of the image costs nothing in the MLPs.

Source: Woo et al., "ConvNeXt V2", arXiv:2301.00808, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from minigrad import random
from minigrad.backend import get_xp
from minigrad.errors import OptionError, ShapeError, unknown
from minigrad.models.block import Block
from minigrad.models.convnext import ConvNeXt
from minigrad.nn import init
from minigrad.nn.containers import Sequential
from minigrad.nn.layers import GRN, Conv1d, Conv2d, Conv3d, Linear
from minigrad.nn.layers.dropout import Dropout, DropPath
from minigrad.nn.layers.spatial import CONVS
from minigrad.nn.module import Module
from minigrad.ops.create import ones, zeros
from minigrad.ops.index import argsort, index_put, scatter
from minigrad.tensor import Tensor

__all__ = ["FCMAE", "MaskedEncoder", "patch_grid", "patchify", "random_mask", "unpatchify"]

STATISTICS = ("batch", "sample")


# ---- masks and patches ------------------------------------------------------------------------


def random_mask(
    samples: int,
    patches: int,
    ratio: float = 0.6,
    *,
    generator: random.Generator | None = None,
    device: str = "cpu",
) -> Tensor:
    """Draw which patches are removed: the same number in every sample.

    Parameters
    ----------
    samples, patches : int
        Shape of the mask.
    ratio : float, default 0.6
        Share of the patches that are removed; ``int(patches * (1 - ratio))`` are kept.
    generator : random.Generator, optional
        Source of randomness; by default the global one.
    device : str, default "cpu"
        Where the mask is made.

    Returns
    -------
    Tensor, (samples, patches)
        float32; 1 where a patch is removed.

    Raises
    ------
    OptionError
        If nothing would be removed, or nothing kept.

    Examples
    --------
    >>> random_mask(2, 49).sum(1)
    tensor([30., 30.])
    """
    if not 0.0 < ratio < 1.0:
        raise OptionError(f"random_mask: mask_ratio must lie between 0 and 1, got {ratio}")
    kept = int(patches * (1.0 - ratio) + 1e-9)  # 10 · (1 - 0.9) is just below 1
    if not 0 < kept < patches:
        raise OptionError(
            f"random_mask: mask_ratio {ratio} keeps {kept} of {patches} patches; some must be "
            "kept and some removed: change mask_ratio, or enlarge the images"
        )
    order = argsort(random.rand(samples, patches, generator=generator, device=device), dim=1)
    mask = ones(samples, patches, device=device)
    return scatter(mask, 1, order[:, :kept], 0.0)


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into rows of pixels.

    Parameters
    ----------
    images : Tensor, (N, C, *spatial)
        Sides that `patch` divides.
    patch : int
        Side of a patch.

    Returns
    -------
    Tensor, (N, L, patch ** d * C)
        The patches in reading order; in each the channels of a pixel stand together.

    Raises
    ------
    ShapeError
        If a side does not divide.

    Examples
    --------
    >>> import minigrad as mg
    >>> patchify(mg.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 1]
    tensor([2., 3., 6., 7.])
    """
    grid = patch_grid(images.shape[2:], patch)
    cells = _split(images, grid)
    return cells.reshape(len(images), prod(grid), patch ** len(grid) * images.shape[1])


def unpatchify(rows: Tensor, patch: int, channels: int, grid: Sequence[int]) -> Tensor:
    """Put rows of pixels together again: the inverse of `patchify`.

    Parameters
    ----------
    rows : Tensor, (N, L, patch ** d * C)
        What `patchify` returned.
    patch, channels : int
        Side of a patch, and C.
    grid : sequence of int
        Patches along every axis; their product is L.

    Returns
    -------
    Tensor, (N, C, *spatial)

    Raises
    ------
    ShapeError
        If the rows do not fill the grid.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.randn(2, 3, 8, 12)
    >>> bool((unpatchify(patchify(x, 4), 4, 3, (2, 3)) == x).all())
    True
    """
    grid, n = tuple(grid), len(rows)
    expected = (n, prod(grid), patch ** len(grid) * channels)
    if rows.shape != expected:
        raise ShapeError(
            f"unpatchify: a grid of {grid} patches with side {patch} and {channels} channels has "
            f"rows of shape {expected}, got {rows.shape}"
        )
    return _join(rows.reshape(n, *grid, *(patch,) * len(grid), channels))


def _split(x: Tensor, grid: tuple[int, ...]) -> Tensor:
    """View (N, C, *spatial) as (N, *grid, *patch, C)."""
    d = len(grid)
    sides = [s for n, g in zip(x.shape[2:], grid, strict=True) for s in (g, n // g)]
    x = x.reshape(*x.shape[:2], *sides)
    return x.permute(0, *range(2, 2 + 2 * d, 2), *range(3, 3 + 2 * d, 2), 1)


def _join(cells: Tensor) -> Tensor:
    """Return (N, *grid, *patch, C) as (N, C, *spatial): the inverse of `_split`."""
    d = (cells.ndim - 2) // 2
    grid, patch = cells.shape[1 : 1 + d], cells.shape[1 + d : 1 + 2 * d]
    order = [axis for i in range(d) for axis in (1 + i, 1 + d + i)]
    x = cells.permute(0, *order, cells.ndim - 1)
    sides = [g * p for g, p in zip(grid, patch, strict=True)]
    return x.reshape(len(cells), *sides, cells.shape[-1]).movedim(-1, 1)


def patch_grid(sides: Sequence[int], patch: int) -> tuple[int, ...]:
    """Return how many patches lie along every side; refuse sides that do not divide.

    Examples
    --------
    >>> patch_grid((224, 192), 32)
    (7, 6)
    """
    if not sides or patch < 1 or any(n % patch or not n for n in sides):
        raise ShapeError(
            f"images of {'×'.join(map(str, sides))} do not divide into patches of side {patch}; "
            "resize or crop them to a multiple"
        )
    return tuple(n // patch for n in sides)


@dataclass(frozen=True)
class Visible:
    """Where the visible patches lie: one index array per axis of (N, *grid), in reading order."""

    samples: int
    grid: tuple[int, ...]
    index: tuple[Any, ...]

    @classmethod
    def of(cls, mask: Tensor, grid: tuple[int, ...]) -> Visible:
        """Find them in a mask (N, L)."""
        seen = mask.array.reshape(len(mask), *grid) == 0
        return cls(len(mask), grid, tuple(get_xp(seen).nonzero(seen)))

    def take(self, x: Tensor) -> Tensor:
        """Cut (N, C, *spatial) into patches and return the visible ones, (V, C, *patch)."""
        return _split(x, self.grid)[self.index].movedim(-1, 1)

    def put(self, patches: Tensor) -> Tensor:
        """Lay patches (V, C, *patch) in their places in (N, C, *spatial), zeros elsewhere."""
        channels, *patch = patches.shape[1:]
        sides = [g * p for g, p in zip(self.grid, patch, strict=True)]
        ground = zeros(self.samples, *sides, channels, dtype=patches.dtype, device=patches.device)
        cells = _split(ground.movedim(-1, 1), self.grid)
        return _join(index_put(cells, self.index, patches.movedim(1, -1)))


# ---- the network ------------------------------------------------------------------------------


class MaskedEncoder(Module):
    """Stem and stages of a ConvNeXt V2, on the visible patches only.

    It holds the very layers of `model`: training one trains the other.

    Parameters
    ----------
    model : ConvNeXt
        Whose layers are used; its final norm and head are not.
    grn_statistic : {"batch", "sample"}
        Over which visible positions GRN takes its norms.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.models.ConvNeXtV2(1, 10, depths=(1,), dims=(8,), patch_size=2)
    >>> encoder = MaskedEncoder(model)
    >>> len(encoder.stages)
    1
    """

    def __init__(self, model: ConvNeXt, grn_statistic: str = "batch") -> None:
        if grn_statistic not in STATISTICS:
            raise unknown("grn_statistic", grn_statistic, STATISTICS)
        _check_encoder(model)
        self.downsample_layers, self.stages = model.downsample_layers, model.stages
        self.grn_statistic = grn_statistic

    def forward(self, images: Tensor, visible: Visible) -> Tensor:
        """Return the last map (N, dims[-1], *grid), zero where a patch is removed."""
        x = visible.take(images)
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = downsample(x)
            for block in stage.children():
                x = self._block(block, x, visible)
        return visible.put(x)

    def _block(self, block: Any, x: Tensor, visible: Visible) -> Tensor:
        mixed = visible.take(block.dwconv(visible.put(x)))
        shape = x.movedim(1, -1).shape
        rows = 1 if self.grn_statistic == "batch" else visible.samples

        def regroup(t: Tensor) -> Tensor:  # what GRN takes for a sample
            return t.movedim(1, -1).reshape(rows, -1, shape[-1]).movedim(-1, 1)

        y: Tensor = block.pointwise(regroup(x), regroup(mixed))
        return y.movedim(1, -1).reshape(shape).movedim(-1, 1)


class FCMAE(Module):
    """Fully convolutional masked autoencoder.

    Parameters
    ----------
    encoder : ConvNeXtV2
        What is pre-trained: its own layers, so it is ready for fine-tuning afterwards. Its drop
        path must be 0. Patches are as large as its ``reduction``: 32 × 32 pixels at full size.
    decoder_depth : int, default 1
        Blocks of the decoder.
    decoder_embed_dim : int, default 512
        Channels of the decoder.
    mask_ratio : float, default 0.6
        Share of the patches that are removed.
    norm_pix_loss : bool, default True
        Whether the target is each patch with its own mean and variance taken out.
    grn_statistic : {"batch", "sample"}, default "batch"
        Whether the encoder's GRN takes its norms over the visible positions of the whole batch,
        as the official PyTorch code, or of each sample, as the paper and fine-tuning.
    device, dtype : optional
        Where and in which element type the decoder's parameters are made.

    Notes
    -----
    Names in `state_dict` are the official ones with dense layers: ``encoder.stages.0.0.…``,
    ``mask_token``, ``proj``, ``decoder.0.…``, ``pred``. Weights start from a truncated normal of
    0.02 (the official code's 1.0 for convolutions is a slip).

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> model = models.ConvNeXtV2(1, 10, depths=(1, 1), dims=(8, 16), patch_size=2)
    >>> autoencoder = models.FCMAE(model, decoder_embed_dim=16)
    >>> loss, pred, mask = autoencoder(mg.randn(4, 1, 28, 28))
    >>> loss.shape, pred.shape, mask.shape
    ((), (4, 16, 7, 7), (4, 49))
    """

    def __init__(
        self,
        encoder: ConvNeXt,
        decoder_depth: int = 1,
        decoder_embed_dim: int = 512,
        mask_ratio: float = 0.6,
        norm_pix_loss: bool = True,
        grn_statistic: str = "batch",
        *,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        if not 0.0 < mask_ratio < 1.0:
            raise OptionError(f"FCMAE: mask_ratio must lie between 0 and 1, got {mask_ratio}")
        if decoder_depth < 0 or decoder_embed_dim < 1:
            raise OptionError(
                f"FCMAE: the decoder needs 0 or more blocks of 1 or more channels, got "
                f"decoder_depth={decoder_depth}, decoder_embed_dim={decoder_embed_dim}"
            )
        self.encoder = MaskedEncoder(encoder, grn_statistic)
        if norm_pix_loss and encoder.reduction**encoder.spatial_dims * encoder.in_channels < 2:
            raise OptionError(
                "FCMAE: norm_pix_loss divides by the deviation of a patch's pixels, but a patch of "
                "this encoder is one pixel of one channel; set norm_pix_loss=False, or take more "
                "stages or a larger patch_size"
            )
        self.in_channels, self.patch_size = encoder.in_channels, encoder.reduction
        self.spatial_dims = d = encoder.spatial_dims
        self.mask_ratio, self.norm_pix_loss = mask_ratio, norm_pix_loss
        at: dict[str, Any] = {"device": device, "dtype": dtype}
        conv, pixels = CONVS[d], self.patch_size**d * self.in_channels
        with init.skip_random():  # drawn below
            self.proj = conv(encoder.dims[-1], decoder_embed_dim, 1, **at)
            self.mask_token = init.empty(1, decoder_embed_dim, *(1,) * d, **at)
            blocks = [
                Block(decoder_embed_dim, 0.0, None, True, spatial_dims=d, **at)
                for _ in range(decoder_depth)
            ]
            self.decoder = Sequential(*blocks)
            self.pred = conv(decoder_embed_dim, pixels, 1, **at)
        init.normal_(self.mask_token, std=0.02)
        for part in (self.proj, self.decoder, self.pred):
            for module in part.modules():
                if isinstance(module, (Conv1d, Conv2d, Conv3d, Linear)):
                    init.trunc_normal_(module.weight, std=0.02)
                    if module.bias is not None:
                        init.zeros_(module.bias)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss, the prediction (N, pixels of a patch, *grid) and the mask (N, L).

        Parameters
        ----------
        images : Tensor, (N, C, *spatial)
            Sides that ``patch_size`` divides.
        mask : Tensor, (N, L), optional
            1 where a patch is removed; drawn by `random_mask` if not given.
        """
        if mask is None:
            grid = self._grid(images)
            mask = random_mask(len(images), prod(grid), self.mask_ratio, device=str(images.device))
        pred = self.forward_decoder(self.forward_encoder(images, mask), mask)
        return self.forward_loss(images, pred, mask), pred, mask

    def forward_encoder(self, images: Tensor, mask: Tensor) -> Tensor:
        """Return the encoder's map (N, dims[-1], *grid): zero where `mask` is 1."""
        grid = self._grid(images)
        if mask.shape != (len(images), prod(grid)):
            raise ShapeError(
                f"FCMAE: images of shape {images.shape} need a mask of shape "
                f"{(len(images), prod(grid))}, one number per patch, got {mask.shape}"
            )
        hidden = mask.array != 0
        counts = set((~hidden).sum(1).tolist())
        if 0 in counts or not hidden.any():
            raise OptionError(
                "FCMAE: a mask must leave a visible patch in every sample (0), and remove one (1)"
            )
        if self.encoder.grn_statistic == "sample" and len(counts) > 1:
            raise OptionError(
                "FCMAE: grn_statistic='sample' needs as many visible patches in every sample, got "
                f"{min(counts)} to {max(counts)}"
            )
        features: Tensor = self.encoder(images, Visible.of(mask, grid))
        return features

    def forward_decoder(self, features: Tensor, mask: Tensor) -> Tensor:
        """Predict the pixels (N, pixels of a patch, *grid) from the encoder's map."""
        y: Tensor = self.proj(features)
        removed = mask.reshape(len(mask), 1, *y.shape[2:]).to(y.dtype)
        y = y * (1.0 - removed) + self.mask_token * removed
        pred: Tensor = self.pred(self.decoder(y))
        return pred

    def forward_loss(self, images: Tensor, pred: Tensor, mask: Tensor) -> Tensor:
        """Return the mean squared error of the removed patches."""
        target, _, _ = self._target(images)
        error = (self._as_patches(pred) - target).square().mean(-1)
        removed = mask.to(error.dtype)
        return (error * removed).sum() / removed.sum()

    def reconstruct(self, images: Tensor, pred: Tensor, mask: Tensor) -> Tensor:
        """Return the images with the removed patches as predicted.

        With ``norm_pix_loss`` a patch is predicted up to its brightness and contrast; these are
        taken from the image.
        """
        _, mean, std = self._target(images)
        rows = self._as_patches(pred) * std + mean
        removed = mask.to(rows.dtype)[:, :, None]
        rows = rows * removed + patchify(images, self.patch_size) * (1.0 - removed)
        return unpatchify(rows, self.patch_size, self.in_channels, self._grid(images))

    def _target(self, images: Tensor) -> tuple[Tensor, Any, Any]:
        """Return what is predicted, and the mean and deviation that were taken out."""
        rows = patchify(images, self.patch_size)
        if not self.norm_pix_loss:
            return rows, 0.0, 1.0
        mean = rows.mean(-1, keepdim=True)
        std = (rows.var(-1, keepdim=True) + 1e-6).sqrt()  # unbiased, as the official code
        return (rows - mean) / std, mean, std

    def _as_patches(self, pred: Tensor) -> Tensor:
        """Return a prediction (N, P, *grid) as rows (N, L, P)."""
        return pred.flatten(2).movedim(1, -1)

    def _grid(self, images: Tensor) -> tuple[int, ...]:
        d = self.spatial_dims
        if images.ndim != d + 2 or images.shape[1] != self.in_channels:
            raise ShapeError(
                f"FCMAE: the input must be (batch, {self.in_channels} channels, {d} sides), got "
                f"{images.shape}"
            )
        return patch_grid(images.shape[2:], self.patch_size)


def _check_encoder(model: ConvNeXt) -> None:
    """Refuse what cannot be computed patch by patch, or is not a ConvNeXt V2."""
    if not isinstance(model, ConvNeXt):
        raise OptionError(f"FCMAE: the encoder must be a ConvNeXtV2, got {type(model).__name__}")
    blocks: list[Any] = [block for stage in model.stages for block in stage.children()]
    if not all(isinstance(getattr(block, "grn", None), GRN) for block in blocks):
        raise OptionError(
            "FCMAE: the encoder has blocks without GRN, as ConvNeXt V1; pre-train a ConvNeXtV2, "
            "or build the model with grn=True"
        )
    if any(_drops(layer) for block in blocks for layer in block.modules()):
        raise OptionError(
            "FCMAE: the encoder has drop path or dropout, which pre-training does without; build "
            "it with drop_path_rate=0 and load its weights into the model that you fine-tune"
        )
    if model.rescaling is not None:
        raise OptionError(
            "FCMAE: include_rescaling=True is for finished models; normalise the images yourself, "
            "so that the loss sees them as the encoder does"
        )
    for layer in model.downsample_layers.modules():
        if isinstance(layer, (Conv1d, Conv2d, Conv3d)):
            if layer.kernel_size != layer.stride or any(layer.padding):
                raise OptionError(
                    f"FCMAE: {layer!r} looks beyond a patch; stem and downsampling must have "
                    "stride = kernel size and no padding"
                )


def _drops(layer: Module) -> bool:
    """Return True if the layer drops anything in training."""
    return isinstance(layer, Dropout) or (isinstance(layer, DropPath) and layer.drop_prob > 0)
