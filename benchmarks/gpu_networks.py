"""Whole networks on a GPU: minigrad, with and without CUDA graphs, and PyTorch in three ways.

Every contestant gets a network of the same shapes, the same batch and the same optimizer (AdamW).
They run one after the other in one process, each from a GPU at rest to a GPU at rest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import nullcontext
from statistics import median
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks.tables import say
from benchmarks.turns import Run, by_turns
from minigrad import backend, models
from minigrad.errors import DataError
from minigrad.nn import functional as F
from minigrad.train import Trainer

CLASSES = 1000
WARM_UP = 3


def torch_version() -> str | None:
    """Return the version of a PyTorch that can use the GPU."""
    try:
        import torch
    except ImportError:
        return None
    return torch.__version__ if torch.cuda.is_available() else None


def correctness() -> dict[str, float]:
    """Compare a step of small networks with the same on the CPU."""
    found = {}
    for kind in (models.ConvNeXt, models.ConvNeXtV2):
        results = []
        for device in ("cpu", "cuda"):
            mg.manual_seed(0)
            model = kind(3, 5, (1, 1, 1, 1), (16, 32, 64, 128), device=device)
            x, y = mg.randn(2, 3, 64, 64, device=device), mg.tensor([1, 4], device=device)
            out = model(x)
            F.cross_entropy(out, y).backward()
            results.append([out, *[p.grad for p in model.parameters()]])
        error = 0.0
        for a, b in zip(*results, strict=True):
            exact, got = [t.detach().cpu().numpy().astype(np.float64) for t in (a, b)]
            error = max(error, float(np.linalg.norm(got - exact) / np.linalg.norm(exact)))
        found[f"{kind.__name__}, forward and backward"] = error
        if not error <= 1e-3:
            raise DataError(f"{kind.__name__} on the GPU differs from the CPU by {error:.2g}")
    return found


# ---- the contestants ------------------------------------------------------------------------


def _minigrad(asked: argparse.Namespace, name: str, precision: str, train: bool) -> Iterator[Any]:
    backend.allow_tf32(precision == "tf32")
    half = None if precision == "tf32" else precision
    model = models.create_model(name, num_classes=CLASSES, device=asked.device)
    x = mg.randn(asked.batch, 3, asked.size, asked.size, device=asked.device)
    x = x.movedim(1, -1).contiguous().movedim(-1, 1)  # channels-last, as a loader gives it
    y = mg.randint(CLASSES, (asked.batch,), device=asked.device)

    def within() -> Any:
        return nullcontext() if half is None else mg.autocast("cuda", half)

    if not train:
        model.eval()

        def infer() -> None:
            with mg.no_grad(), within():
                model(x)

        yield "minigrad", infer
        return
    optimizer = mg.optim.AdamW(model.parameters(), 1e-4)
    scaler = mg.amp.GradScaler("cuda", enabled=precision == "float16")

    def step() -> None:
        optimizer.zero_grad()
        with within():
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    yield "minigrad", step
    trainer = Trainer(model, optimizer, metrics={}, precision=half or "float32", cuda_graph=True)
    yield "minigrad, CUDA graph", lambda: trainer.train_on_batch(x, y)


def _torch(asked: argparse.Namespace, name: str, precision: str, train: bool) -> Iterator[Any]:
    import torch

    from benchmarks.convnext_torch import ConvNeXt

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    ours = models.create_model(name, num_classes=CLASSES)
    half = None if precision == "tf32" else getattr(torch, precision)
    shape = (asked.batch, 3, asked.size, asked.size)
    for way in ("contiguous", "channels_last", "compiled"):
        net = ConvNeXt(ours.depths, ours.dims, "v2" in name, CLASSES).to(asked.device)
        x = torch.randn(shape, device=asked.device)
        y = torch.randint(CLASSES, (asked.batch,), device=asked.device)
        if way != "contiguous":
            net, x = [t.to(memory_format=torch.channels_last) for t in (net, x)]
        net.train(train)
        run = torch.compile(net) if way == "compiled" else net
        yield f"PyTorch, {way}", _torch_work(torch, net, run, x, y, half, train)
        torch.compiler.reset()
        del net, run, x, y
        torch.cuda.empty_cache()


def _torch_work(torch: Any, net: Any, run: Any, x: Any, y: Any, half: Any, train: bool) -> Run:
    def within() -> Any:
        return nullcontext() if half is None else torch.autocast("cuda", half)

    def infer() -> None:
        with torch.inference_mode(), within():
            run(x)

    if not train:
        return infer
    optimizer = torch.optim.AdamW(net.parameters(), 1e-4, fused=True)
    scaler = torch.amp.GradScaler("cuda", enabled=half is torch.float16)

    def step() -> None:
        optimizer.zero_grad()
        with within():
            loss = torch.nn.functional.cross_entropy(run(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


# ---- measuring ------------------------------------------------------------------------------


def seconds(work: Run, wait: Run, repeats: int) -> float:
    """Return the median time of `work`, from a GPU at rest to a GPU at rest."""

    def turn() -> None:
        work()
        wait()

    return median(by_turns({"": turn}, repeats, warm=WARM_UP)[""])


def measure(asked: argparse.Namespace, end: float) -> tuple[list[dict[str, Any]], list[str]]:
    """Return images per second, and what there was no time, memory or PyTorch for."""
    rows, left_out = [], []
    with_torch = torch_version() is not None
    if not with_torch:
        left_out.append("PyTorch: not installed here, or without CUDA")
    for name in asked.models:
        for precision in asked.precisions:
            for train in (True, False):
                groups = [_minigrad] + ([_torch] if with_torch else [])
                what = f"{name}, {precision}, {'training' if train else 'inference'}"
                for group in groups:
                    for who, rate in _race(group, asked, name, precision, train, end):
                        if isinstance(rate, str):
                            left_out.append(f"{what}, {who}: {rate}")
                            continue
                        rows.append({
                            "model": name, "precision": precision,
                            "task": "training" if train else "inference", "who": who,
                            "images_s": rate,
                        })  # fmt: skip
                        say(f"{what}, {who}: {rate:.0f} images/s")
    backend.allow_tf32(False)
    return rows, left_out


def _race(
    group: Any, asked: argparse.Namespace, name: str, precision: str, train: bool, end: float
) -> Iterator[tuple[str, float | str]]:
    """Yield each contestant's rate, or why it has none."""
    wait = _waiter(asked, group is _torch)
    contestants = group(asked, name, precision, train)
    who = "all of PyTorch" if group is _torch else "minigrad"
    try:
        for who, work in contestants:
            if time.monotonic() > end:
                yield who, "no time left; run with more --minutes"
                return
            yield who, asked.batch / seconds(work, wait, asked.repeats)
    except (RuntimeError, MemoryError) as error:  # a card with less memory: the rest goes on
        yield who, f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    finally:
        contestants.close()
        backend.free_memory(asked.device)


def _waiter(asked: argparse.Namespace, for_torch: bool) -> Run:
    if for_torch:
        import torch

        return torch.cuda.synchronize  # type: ignore[no-any-return]
    return lambda: backend.synchronize(asked.device)
