"""What the card can do, and how near each kernel comes to it.

The floor of a kernel is the larger of two times: that in which the card copies the bytes which
must be read and written at least once, and that in which it does the multiply-adds. GRN reads its
input twice, since every output needs a sum over the whole sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from minigrad import backend, dtypes
from minigrad.errors import DataError
from minigrad.kernels import pick

STAGES = ((96, 4), (192, 8), (384, 16), (768, 32))  # channels, reduction of the image
TOLERANCE = {"float32": 2e-5, "bfloat16": 4e-2, "float16": 5e-3}


class Case(NamedTuple):
    """A kernel, its arguments, and what it cannot do without."""

    name: str
    kernel: str
    args: tuple[Any, ...]
    passes: float  # over the activations, read or written
    flops: float = 0.0


def _floats(xp: Any, shape: tuple[int, ...], dtype: Any, seed: int) -> Any:
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return xp.asarray(values.astype(dtype))


def cases(xp: Any, n: int, c: int, side: int, dtype: Any) -> list[Case]:
    """Return the kernels of a ConvNeXt block with c channels on side × side pixels."""
    image = (n, side, side, c)
    x, g = _floats(xp, image, dtype, 0), _floats(xp, image, dtype, 1)
    wide, gwide = [_floats(xp, (n, side * side, 4 * c), dtype, s) for s in (2, 3)]
    w = _floats(xp, (c, 1, 7, 7), dtype, 4)
    v, b = _floats(xp, (c,), dtype, 5), _floats(xp, (c,), dtype, 6)
    gamma, beta = _floats(xp, (4 * c,), dtype, 7), _floats(xp, (4 * c,), dtype, 8)
    first, gfirst = x.transpose(0, 3, 1, 2), g.transpose(0, 3, 1, 2)
    one, pad = (1, 1), ((3, 3), (3, 3))
    flops = 2.0 * 49 * x.size
    return [
        Case("depthwise", "depthwise_conv", (first, w, v, one, pad, one, c), 2, flops),
        Case(
            "depthwise, input gradient", "depthwise_conv_input_grad",
            (gfirst, w, (side, side), one, pad, one, c), 2, flops,
        ),
        Case(
            "depthwise, weight gradient", "depthwise_conv_weight_grad",
            (gfirst, first, (7, 7), one, pad, one, c), 2, flops,
        ),
        Case("layer norm", "layer_norm", (x, v, b, 1e-6), 2),
        Case("layer norm, backward", "layer_norm_vjp", (g, x, v, 1e-6), 3),
        Case("GELU", "gelu", (wide,), 8),
        Case("GELU, backward", "gelu_vjp", (gwide, wide), 12),
        Case("GRN", "grn", (wide, gamma, beta, 1e-6), 12),
        Case("GRN, backward", "grn_vjp", (gwide, wide, gamma, 1e-6), 20),
    ]  # fmt: skip


def fused(xp: Any, n: int, c: int, side: int, dtype: Any) -> list[tuple[str, Any, float]]:
    """Return the kernels between the two products of a block: bias, GELU and GRN in one go."""
    from minigrad.kernels.cuda.hidden import Hidden

    x, g = [_floats(xp, (n, side * side, 4 * c), dtype, s) for s in (0, 1)]
    bias, gamma, beta = [_floats(xp, (4 * c,), dtype, s) for s in (2, 3, 4)]
    plain = Hidden(x, bias, None, None, 1e-6, True)
    whole = Hidden(x, bias, gamma, beta, 1e-6, True)
    squares = whole.squares()
    return [
        ("bias + GELU", lambda: plain.forward(None), 8),
        ("bias + GELU, backward", lambda: plain.backward(g, None, False), 12),
        ("bias + GELU + GRN", lambda: whole.forward(whole.squares()), 12),
        ("bias + GELU + GRN, backward", lambda: whole.backward(g, squares, False), 20),
    ]


# ---- right, then fast -----------------------------------------------------------------------


def correctness() -> dict[str, float]:
    """Compare every kernel with its formula in float64; refuse to go on if one is wrong."""
    xp, found = backend.namespace("cuda"), {}
    for dtype in _types():
        for on_cpu, on_gpu in zip(
            cases(np, 2, 32, 14, dtype), cases(xp, 2, 32, 14, dtype), strict=True
        ):
            with backend.use_kernels("reference"):
                exact = pick(on_cpu.kernel, np.ones(1))(*_wide(on_cpu.args))
            result = pick(on_gpu.kernel, on_gpu.args[0])(*on_gpu.args)
            error = max(_error(a, b) for a, b in zip(_all(result), _all(exact), strict=True))
            found[f"{on_gpu.name}, {dtype.name}"] = error
            if not error <= TOLERANCE[dtype.name]:
                raise DataError(
                    f"{on_gpu.name} in {dtype.name} differs from its formula by {error:.2g} "
                    f"(allowed {TOLERANCE[dtype.name]}); wrong results are not timed"
                )
    return found


def _types() -> list[Any]:
    return [dtypes.float32, dtypes.float16, dtypes.bfloat16()]


def _wide(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in args])


def _all(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _error(a: Any, b: Any) -> float:
    a = backend.to_device(a, "cpu").astype(np.float64)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def milliseconds(work: Callable[[], Any], repeats: int) -> float:
    """Return the median time that the GPU spends on `work`."""
    cuda = backend.namespace("cuda").cuda
    for _ in range(3):
        work()
    pairs = []
    for _ in range(repeats):
        start, end = cuda.Event(), cuda.Event()
        start.record()
        work()
        end.record()
        pairs.append((start, end))
    backend.synchronize("cuda")
    return max(median(cuda.get_elapsed_time(a, b) for a, b in pairs), 1e-6)


def _copy_rate(xp: Any, megabytes: int, repeats: int) -> float:
    source = xp.zeros(megabytes << 18, dtype=np.float32)
    target = xp.empty_like(source)

    def copy() -> None:
        target[...] = source

    return 2.0 * float(source.nbytes) / milliseconds(copy, repeats) / 1e6


def limits(megabytes: int, side: int, repeats: int) -> dict[str, float]:
    """Measure how fast the card copies (GB/s) and multiplies (TFLOP/s)."""
    xp = backend.namespace("cuda")
    found = {"copy_gb_s": _copy_rate(xp, megabytes, repeats)}
    for name, dtype, tf32 in (
        ("float32", np.float32, False), ("tf32", np.float32, True),
        ("float16", np.float16, False), ("bfloat16", dtypes.bfloat16(), False),
    ):  # fmt: skip
        a = _floats(xp, (side, side), dtype, 0)
        with backend.allow_tf32(tf32):
            ms = milliseconds(lambda a=a: a @ a, repeats)
        found[f"{name}_tflop_s"] = 2.0 * side**3 / ms / 1e9
    about = xp.cuda.Device().attributes
    clock = about.get("ClockRate")  # kHz; 128 float32 lanes per multiprocessor since 2016
    if clock:
        found["fma_tflop_s"] = 2.0 * 128 * about["MultiProcessorCount"] * clock * 1e3 / 1e12
    return found


def measure(batch: int, size: int, card: dict[str, float], repeats: int) -> list[dict[str, Any]]:
    """Time every kernel on the activations of the first and the third stage."""
    xp, rows = backend.namespace("cuda"), []
    for c, reduction in (STAGES[0], STAGES[2]):
        side = max(1, math.ceil(size / reduction))
        for dtype in (dtypes.float32, dtypes.bfloat16()):
            pixels = batch * side * side * c * dtype.itemsize
            timed: list[tuple[str, Callable[[], Any], float, float]] = [
                (case.name, lambda case=case: _run(case), case.passes, case.flops)
                for case in cases(xp, batch, c, side, dtype)
            ]
            timed += [(name, work, p, 0.0) for name, work, p in fused(xp, batch, c, side, dtype)]
            for name, work, passes, flops in timed:
                floor = passes * pixels / card["copy_gb_s"] / 1e6
                if "fma_tflop_s" in card:
                    floor = max(floor, flops / card["fma_tflop_s"] / 1e9)
                ms = milliseconds(work, repeats)
                rows.append({
                    "kernel": name, "channels": c, "side": side, "dtype": dtype.name,
                    "ms": ms, "floor_ms": floor, "ratio": ms / floor,
                })  # fmt: skip
            backend.free_memory()
    return rows


def _run(case: Case) -> Any:
    return pick(case.kernel, case.args[0])(*case.args)
