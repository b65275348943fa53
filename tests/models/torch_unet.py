"""The three U-Nets over ConvNeXt in plain PyTorch, with minigrad's names of parameters.

`twin(model)` builds the one that corresponds to a model of ours and gives it the same weights.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from minigrad import models

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
UP = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class ChannelNorm(nn.LayerNorm):
    def forward(self, x: Any) -> Any:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class UnitNorm(nn.Module):
    def forward(self, x: Any) -> Any:
        return x / x.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt()


class GRN(nn.Module):
    def __init__(self, dim: int, dims: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, *[1] * dims, dim))
        self.beta = nn.Parameter(torch.zeros(1, *[1] * dims, dim))

    def forward(self, x: Any) -> Any:
        norm = x.norm(p=2, dim=tuple(range(1, x.ndim - 1)), keepdim=True)
        return self.gamma * (x * norm / (norm.mean(-1, keepdim=True) + 1e-6)) + self.beta + x


class Block(nn.Module):
    def __init__(self, dim: int, dims: int, kernel: int, grn: bool, scale: bool) -> None:
        super().__init__()
        self.dwconv = CONV[dims](dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.grn = GRN(4 * dim, dims) if grn else nn.Identity()
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.ones(dim)) if scale else None

    def forward(self, x: Any) -> Any:
        y = self.pwconv1(self.norm(self.dwconv(x).movedim(1, -1)))
        y = self.pwconv2(self.grn(F.gelu(y)))
        if self.gamma is not None:
            y = y * self.gamma
        return x + y.movedim(-1, 1)


class Encoder(nn.Module):
    def __init__(self, model: models.ConvNeXtFeatures) -> None:
        super().__init__()
        d, dims = model.spatial_dims, model.dims
        first = model.stages[0][0]
        kernel, grn = first.dwconv.kernel_size[0], hasattr(first.grn, "gamma")
        patch = model.downsample_layers[0][0].stride[0]
        stem = CONV[d](model.in_channels, dims[0], patch, stride=patch)
        self.downsample_layers = nn.ModuleList(
            [nn.Sequential(stem, ChannelNorm(dims[0], eps=1e-6))]
        )
        for a, b in pairwise(dims):
            halve = nn.Sequential(ChannelNorm(a, eps=1e-6), CONV[d](a, b, 2, stride=2))
            self.downsample_layers.append(halve)
        self.stages = nn.ModuleList(
            nn.Sequential(*[Block(dim, d, kernel, grn, first.gamma is not None) for _ in range(n)])
            for n, dim in zip(model.depths, dims, strict=True)
        )
        self.indices = model.out_indices
        for i in self.indices:
            self.add_module(f"norm{i}", ChannelNorm(dims[i], eps=1e-6))

    def forward(self, x: Any) -> list[Any]:
        maps = []
        for i in range(max(self.indices) + 1):
            x = self.stages[i](self.downsample_layers[i](x))
            maps.append(getattr(self, f"norm{i}")(x))
        return maps


def norm(name: str, channels: int, d: int) -> nn.Module:
    if name in ("batch", "sync_batch"):
        return BATCH[d](channels, eps=1e-3, momentum=0.01)
    if name == "layer":
        return ChannelNorm(channels, eps=1e-3)
    if name == "group":
        return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-3)
    if name == "instance":
        return nn.GroupNorm(channels, channels, eps=1e-5, affine=False)
    return UnitNorm() if name == "unit" else nn.Identity()


class Act(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Any) -> Any:
        if self.name == "linear":
            return x
        return x.softmax(1) if self.name == "softmax" else getattr(F, self.name)(x)


class Double(nn.Module):
    def forward(self, x: Any) -> Any:
        return F.interpolate(x, scale_factor=2, mode="nearest")


def up(channels: int, width: int, kind: str, name: str, act: str, d: int) -> nn.Module:
    if kind == "upsampling":
        return Double()
    return nn.Sequential(UP[d](channels, width, 4, 2, 1), norm(name, width, d), Act(act))


def convs(channels: int, width: int, kind: str, name: str, act: str, d: int) -> nn.Module:
    def one(a: int, b: int) -> nn.Module:
        conv = CONV[d](a, b, 3, padding=1, bias=name == "none")
        return nn.Sequential(conv, norm(name, b, d), Act(act))

    return nn.Sequential(
        *[one(channels, width), one(width, width)][: 1 if kind == "transpose" else 2]
    )


class Gate(nn.Module):
    def __init__(self, skip: int, channels: int, width: int, d: int) -> None:
        super().__init__()
        self.theta = CONV[d](skip, width, 1, stride=2)
        self.phi = CONV[d](channels, width, 1)
        self.psi = CONV[d](width, 1, 1)

    def forward(self, skip: Any, x: Any) -> Any:
        weight = self.psi((self.theta(skip) + self.phi(x)).relu()).sigmoid()
        return skip * F.interpolate(weight, scale_factor=2, mode="nearest")


class Stage(nn.Module):
    def __init__(self, below: int, skip: int, width: int, attention: bool, *how: Any) -> None:
        super().__init__()
        kind, d = how[0], how[-1]
        self.gate = Gate(skip, below, width, d) if attention and skip else None
        self.up = up(below, width, *how)
        self.conv = convs((width if kind == "transpose" else below) + skip, width, *how)

    def forward(self, x: Any, skip: Any) -> Any:
        if skip is None:
            return self.conv(self.up(x))
        if self.gate is not None:
            skip = self.gate(skip, x)
        return self.conv(torch.cat([self.up(x), skip], 1))


class Decoder(nn.Module):
    def __init__(self, widths: list[int], filters: list[int], attention: bool, *how: Any) -> None:
        super().__init__()
        below, *skips = reversed(widths)
        self.blocks = nn.ModuleList()
        for skip, width in zip([*skips, 0], filters, strict=True):
            self.blocks.append(Stage(below, skip, width, attention, *how))
            below = width

    def forward(self, maps: list[Any]) -> Any:
        x, *skips = reversed(maps)
        for block, skip in zip(self.blocks, [*skips, None], strict=True):
            x = block(x, skip)
        return x


class Grid(nn.Module):
    def __init__(self, widths: list[int], filters: list[int], *how: Any) -> None:
        super().__init__()
        self.n, kind = len(widths) - 1, how[0]
        self.up, self.conv = nn.ModuleDict(), nn.ModuleDict()
        for i, j in self.nodes():
            below = widths[i + 1] if j == 1 else filters[i + 1]
            rest = widths[i] + (j - 1) * filters[i]
            self.up[f"{i}_{j}"] = up(below, filters[i], *how)
            risen = filters[i] if kind == "transpose" else below
            self.conv[f"{i}_{j}"] = convs(risen + rest, filters[i], *how)
        self.last = up(filters[0], filters[0], *how)

    def nodes(self) -> list[tuple[int, int]]:
        return [(i, j) for j in range(1, self.n + 1) for i in range(self.n + 1 - j)]

    def forward(self, maps: list[Any]) -> Any:
        x = {(i, 0): f for i, f in enumerate(maps)}
        for i, j in self.nodes():
            inputs = [self.up[f"{i}_{j}"](x[i + 1, j - 1]), *[x[i, k] for k in range(j)]]
            x[i, j] = self.conv[f"{i}_{j}"](torch.cat(inputs, 1))
        return self.last(x[0, self.n])


class TorchUNet(nn.Module):
    def __init__(self, model: models.UNet) -> None:
        super().__init__()
        d = model.spatial_dims
        self.factor, self.d = model.head_upsample, d
        self.encoder = Encoder(model.encoder)
        how = (model.decoder_block_type, model.decoder_normalization, model.decoder_activation, d)
        widths = [f.channels for f in model.encoder.feature_info]
        filters = list(model.decoder_filters)
        if isinstance(model, models.UNetPlusPlus):
            rows = filters[::-1] if model.paper_widths else filters
            self.decoder: nn.Module = Grid(widths, rows, *how)
        else:
            self.decoder = Decoder(widths, filters, model.attention, *how)
        self.head = CONV[d](model.decoder.out_channels, model.num_classes, 1)
        self.activation = Act(model.classifier_activation)

    def forward(self, x: Any) -> Any:
        y = self.head(self.decoder(self.encoder(x)))
        if set(self.factor) != {1.0}:
            y = F.interpolate(y, scale_factor=self.factor, mode=LINEAR[self.d])
        return self.activation(y)


def twin(model: models.UNet) -> TorchUNet:
    """Return the PyTorch model of the same weights, in float64."""
    their = TorchUNet(model).double()
    state = {k: torch.from_numpy(v.numpy().copy()) for k, v in model.state_dict().items()}
    their.load_state_dict(state)
    return their
