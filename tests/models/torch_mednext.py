"""MedNeXt in PyTorch, as its authors build it: the reference that ours is compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

CONVS = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d),
         3: (nn.Conv3d, nn.ConvTranspose3d)}  # fmt: skip


class Block(nn.Module):
    def __init__(self, cin: int, cout: int, r: int, k: int, res: bool, d: int, grn: bool,
                 kind: str = "same") -> None:  # fmt: skip
        super().__init__()
        conv, transposed = CONVS[d]
        self.kind, self.res, self.d, self.grn = kind, res, d, grn
        mix = transposed if kind == "up" else conv
        stride = 1 if kind == "same" else 2
        self.conv1 = mix(cin, cin, k, stride, padding=k // 2, groups=cin)
        self.norm = nn.GroupNorm(cin, cin)
        self.conv2 = conv(cin, r * cin, 1)
        self.conv3 = conv(r * cin, cout, 1)
        if grn:
            shape = (1, r * cin) + (1,) * d
            self.grn_beta = nn.Parameter(torch.zeros(shape))
            self.grn_gamma = nn.Parameter(torch.zeros(shape))
        if res and kind != "same":
            self.res_conv = mix(cin, cout, 1, 2)

    def forward(self, x: Any) -> Any:
        y = nn.functional.gelu(self.conv2(self.norm(self.conv1(x))))
        if self.grn:
            gx = torch.norm(y, p=2, dim=tuple(range(-self.d, 0)), keepdim=True)
            nx = gx / (gx.mean(dim=1, keepdim=True) + 1e-6)
            y = self.grn_gamma * (y * nx) + self.grn_beta + y
        y = self.conv3(y)
        if self.kind == "same":
            return x + y if self.res else y
        if self.kind == "down":
            return y + self.res_conv(x) if self.res else y
        pad = (1, 0) * self.d
        y = nn.functional.pad(y, pad)
        return y + nn.functional.pad(self.res_conv(x), pad) if self.res else y


class Out(nn.Module):
    def __init__(self, cin: int, classes: int, d: int) -> None:
        super().__init__()
        self.conv_out = CONVS[d][1](cin, classes, 1)

    def forward(self, x: Any) -> Any:
        return self.conv_out(x)


class MedNeXt(nn.Module):
    def __init__(self, cin: int, n: int, classes: int, exp_r: Any, k: int, deep: bool, res: bool,
                 res_up_down: bool, counts: Any, d: int, grn: bool) -> None:  # fmt: skip
        super().__init__()
        r = [exp_r] * 9 if isinstance(exp_r, int) else exp_r
        self.deep = deep
        self.stem = CONVS[d][0](cin, n, 1)

        def stage(i: int, w: int) -> Any:
            return nn.Sequential(*[Block(w, w, r[i], k, res, d, grn) for _ in range(counts[i])])

        for i in range(4):
            w = n * 2**i
            setattr(self, f"enc_block_{i}", stage(i, w))
            down = Block(w, 2 * w, r[i + 1], k, res_up_down, d, grn and i > 0, "down")
            setattr(self, f"down_{i}", down)
        self.bottleneck = stage(4, 16 * n)
        for i in (3, 2, 1, 0):
            w = n * 2**i
            up = Block(2 * w, w, r[8 - i], k, res_up_down, d, grn, "up")
            setattr(self, f"up_{i}", up)
            setattr(self, f"dec_block_{i}", stage(8 - i, w))
        for i in range(5 if deep else 1):
            setattr(self, f"out_{i}", Out(n * 2**i, classes, d))
        self.dummy_tensor = nn.Parameter(torch.ones(1))

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        skips = []
        for i in range(4):
            skips.append(getattr(self, f"enc_block_{i}")(x))
            x = getattr(self, f"down_{i}")(skips[-1])
        x = self.bottleneck(x)
        outs = [self.out_4(x)] if self.deep else []
        for i in (3, 2, 1, 0):
            x = getattr(self, f"dec_block_{i}")(skips[i] + getattr(self, f"up_{i}")(x))
            if i == 0 or self.deep:
                outs.append(getattr(self, f"out_{i}")(x))
        return outs[::-1] if self.deep else outs[0]
