"""Single kernels beside PyTorch's, in one process, by turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.results import Section
from benchmarks.tables import say
from benchmarks.turns import Others, Run, by_turns, clock_of, middle

BATCH = 8
STAGES = ((56, 96), (28, 192), (14, 384), (7, 768))  # side and channels in ConvNeXt-T at 224
PAUSE = 0.02  # seconds in which threads that wait, spinning, give up


class Case(NamedTuple):
    """A kernel: how many floating-point operations it is (0: not counted), ours and theirs."""

    name: str
    flops: float
    ours: Run
    theirs: Run


def products(m: int, k: int, n: int) -> Iterator[Case]:
    import torch

    from minigrad.kernels import pick

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    ours = pick("matmul", x)
    yield Case(
        f"matrix product {m} × {k} × {n}", 2.0 * m * k * n, lambda: ours(x, y), lambda: tx @ ty
    )


def depthwise(side: int, channels: int) -> Iterator[Case]:
    """Yield the depthwise convolution and its two gradients."""
    import torch

    from minigrad.kernels import pick

    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, side, side, channels), np.float32).transpose(0, 3, 1, 2)
    g, w = np.ones_like(x), rng.standard_normal((channels, 1, 7, 7), np.float32)
    tx, tg, tw = map(torch.from_numpy, (x, g, w))
    steps = ((1, 1), ((3, 3), (3, 3)), (1, 1), channels)
    forward, input_grad, weight_grad = (
        pick("depthwise_conv" + what, x) for what in ("", "_input_grad", "_weight_grad")
    )

    def backward(*mask: bool) -> Any:
        rest = (None, (1, 1), (3, 3), (1, 1), False, (0, 0), channels, mask)
        return torch.ops.aten.convolution_backward(tg, tx, tw, *rest)

    name, work = f"depthwise 7 × 7 on {side} × {side} × {channels}", 98.0 * x.size
    yield Case(
        name, work, lambda: forward(x, w, None, *steps),
        lambda: torch.nn.functional.conv2d(tx, tw, padding=3, groups=channels),
    )  # fmt: skip
    yield Case(
        name + ", gradient of the input", work,
        lambda: input_grad(g, w, (side, side), *steps), lambda: backward(True, False, False),
    )  # fmt: skip
    yield Case(
        name + ", gradient of the weight", work,
        lambda: weight_grad(g, x, (7, 7), *steps), lambda: backward(False, True, False),
    )  # fmt: skip


def both_ways(
    name: str, flops: float, ours: Callable[..., Any], theirs: Callable[..., Any], *shape: int
) -> Iterator[Case]:
    """Yield a function of one tensor: forward, and forward with backward."""
    import torch

    import minigrad as mg

    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    if len(shape) == 4:
        x = x.transpose(0, 3, 1, 2)  # channels last in memory
    mx, tx = mg.tensor(x), torch.from_numpy(x)
    with mg.no_grad():
        g = np.ones_like(ours(mx).numpy())
    mg_ones, torch_ones = mg.tensor(g), torch.from_numpy(g)

    def our_forward() -> Any:
        with mg.no_grad():
            return ours(mx)

    def their_forward() -> Any:
        with torch.no_grad():
            return theirs(tx)

    our_leaf = mg.tensor(x, requires_grad=True)
    their_leaf = tx.clone().requires_grad_()

    def our_both() -> None:
        our_leaf.grad = None
        ours(our_leaf).backward(mg_ones)

    def their_both() -> None:
        their_leaf.grad = None
        theirs(their_leaf).backward(torch_ones)

    yield Case(name, flops, our_forward, their_forward)
    yield Case(name + ", with backward", 3 * flops, our_both, their_both)


def elementwise(side: int, channels: int) -> Iterator[Case]:
    """Yield layer norm and GELU on the sizes of a stage."""
    import torch.nn.functional as theirs

    import minigrad as mg

    ours = mg.nn.functional
    rows = BATCH * side * side
    where = f" on {rows} × "
    yield from both_ways(
        f"layer norm{where}{channels}", 0, lambda x: ours.layer_norm(x, (channels,)),
        lambda x: theirs.layer_norm(x, (channels,)), rows, channels,
    )  # fmt: skip
    yield from both_ways(
        f"GELU{where}{4 * channels}", 0, ours.gelu, theirs.gelu, rows, 4 * channels
    )


def block(side: int, channels: int) -> Iterator[Case]:
    """Yield a whole ConvNeXt block."""
    from benchmarks.convnext_torch import Block
    from minigrad.models.convnext import Block as OurBlock

    ours, theirs = OurBlock(channels), Block(channels, grn=False)
    work = BATCH * side * side * 2.0 * (8 * channels * channels + 49 * channels)
    name = f"block on {side} × {side} × {channels}"
    yield from both_ways(name, work, ours, theirs, BATCH, side, side, channels)


def downsampling(side: int, channels: int) -> Iterator[Case]:
    """Yield the 2 × 2 convolution of stride 2."""
    import torch

    import minigrad as mg

    out = 2 * channels
    ours = mg.nn.Conv2d(channels, out, 2, stride=2)
    theirs = torch.nn.Conv2d(channels, out, 2, stride=2)
    work = BATCH * (side // 2) ** 2 * 2.0 * 4 * channels * out
    name = f"2 × 2 convolution on {side} × {side} × {channels}"
    yield from both_ways(name, work, ours, theirs, BATCH, side, side, channels)


def cases() -> Iterator[Case]:
    for sizes in ((1024, 1024, 1024), (6272, 192, 768), (1568, 1536, 384)):
        yield from products(*sizes)
    for stage in STAGES:
        yield from depthwise(*stage)
    yield from elementwise(*STAGES[0])
    for stage in STAGES[:3]:
        yield from downsampling(*stage)
    for stage in STAGES:
        yield from block(*stage)


def measure(threads: int, rounds: int) -> Section:
    """Return a row per kernel, and what other programs took."""
    import numba
    import torch

    numba.set_num_threads(threads)
    torch.set_num_threads(threads)
    rows, watch = [], Others()
    for name, flops, *runs in cases():
        say(name)
        with watch:
            taken = by_turns(
                dict(enumerate(runs)), rounds, pause=PAUSE, again=True, clock=clock_of(threads)
            )
        ours, theirs = (1e3 * statistics.median(seconds) for seconds in taken.values())
        between = middle([t / o for o, t in zip(*taken.values(), strict=True)])
        rows.append(
            {"kernel": name, "flops": flops, "ms": ours, "torch_ms": theirs, "ratio": between}
        )
    return {"others": watch.share(), "rows": rows}
