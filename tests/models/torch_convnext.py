"""ConvNeXt in plain PyTorch, with minigrad's names of parameters and every option of the block.

`twin(model)` builds the one that corresponds to a model of ours and gives it the same weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from minigrad import models
from minigrad.models.activations import ACTIVATIONS

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NAMES = {function: name for name, function in ACTIVATIONS.items() if name != "swish"}


class ChannelNorm(nn.LayerNorm):
    """Layer norm of axis 1."""

    def forward(self, x: Any) -> Any:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class GRN(nn.Module):
    """The official layer; the divisor may be the sum."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(ours.gamma.shape))
        self.beta = nn.Parameter(torch.zeros(ours.beta.shape))
        self.eps, self.kind = ours.eps, ours.norm

    def forward(self, x: Any) -> Any:
        g = torch.norm(x, p=2, dim=tuple(range(1, x.ndim - 1)), keepdim=True)
        total = g.mean(-1, keepdim=True) if self.kind == "mean" else g.sum(-1, keepdim=True)
        return self.gamma * (x * (g / (total + self.eps))) + self.beta + x


class Block(nn.Module):
    """The official block; GRN may stand last."""

    def __init__(self, ours: models.Block) -> None:
        super().__init__()
        dim, kernel = ours.dwconv.in_channels, ours.dwconv.kernel_size[0]
        conv = CONVS[ours.dwconv.dims]
        self.dwconv = conv(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=ours.norm.eps)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.grn = GRN(ours.grn) if hasattr(ours.grn, "gamma") else nn.Identity()
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.ones(dim)) if ours.gamma is not None else None
        self.last, self.act = ours.grn_last, getattr(F, NAMES.get(ours.act, "gelu"))
        self.tanh = ours.act not in NAMES

    def forward(self, x: Any) -> Any:
        y = self.pwconv1(self.norm(self.dwconv(x).movedim(1, -1)))
        y = F.gelu(y, approximate="tanh") if self.tanh else self.act(y)
        y = self.grn(self.pwconv2(y)) if self.last else self.pwconv2(self.grn(y))
        y = y if self.gamma is None else y * self.gamma
        return x + y.movedim(-1, 1)


class TorchConvNeXt(nn.Module):
    """Stem, stages, pooling, norm and head."""

    def __init__(self, ours: models.ConvNeXt) -> None:
        super().__init__()
        self.pooling, eps = ours.pooling, ours.norm.eps  # type: ignore[attr-defined]
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        for i, (layers, stage) in enumerate(zip(ours.downsample_layers, ours.stages, strict=True)):
            conv = layers[0] if i == 0 else layers[1]
            made = CONVS[conv.dims](
                conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding
            )
            norm = ChannelNorm(conv.out_channels if i == 0 else conv.in_channels, eps=eps)
            self.downsample_layers.append(
                nn.Sequential(*([made, norm] if i == 0 else [norm, made]))
            )
            self.stages.append(nn.Sequential(*[Block(block) for block in stage]))
        self.norm = nn.LayerNorm(ours.dims[-1], eps=eps)
        self.head = nn.Linear(ours.dims[-1], ours.num_classes)

    def forward(self, x: Any) -> Any:
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        axes = tuple(range(2, x.ndim))
        return self.head(self.norm(x.mean(axes) if self.pooling == "avg" else x.amax(axes)))


def twin(model: models.ConvNeXt) -> TorchConvNeXt:
    """Return the same model in PyTorch, in float64."""
    made = TorchConvNeXt(model).double()
    made.load_state_dict({k: torch.tensor(v.numpy()) for k, v in model.state_dict().items()})
    return made
