"""How each framework runs inference, a training step, a product: as it comes, and tuned.

Tuned is what its users do who want it fast: minigrad frozen, PyTorch in channels-last memory with
the fused AdamW, `torch.compile` with frozen weights and its search among kernels, onnxruntime and
OpenVINO with their settings for one picture after the other. A function here returns the call that
is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from benchmarks.networks import (
    Options,
    images_and_labels,
    onnx_file,
    our_model,
    their_model,
    weights,
)
from benchmarks.turns import Run

PRODUCT = 1024  # rows and columns of the matrix product that measures the limit
PRODUCTS = 4  # how many of them are one turn
BFLOAT16 = "bfloat16"


# ---- minigrad ---------------------------------------------------------------------------------


def minigrad_inference(
    options: Options, kernels: str = "fast", precision: str = "float32", frozen: bool = False
) -> Run:
    import minigrad as mg

    mg.backend.use_kernels(kernels)
    model, x = our_model(options).eval(), mg.tensor(images_and_labels(options)[0])
    if precision == BFLOAT16:
        model, x = model.bfloat16(), x.bfloat16()
    forward = mg.freeze(model) if frozen else model

    def run() -> Any:
        with mg.no_grad():
            return forward(x).float().numpy()

    return run


def minigrad_training(
    options: Options, kernels: str = "fast", precision: str = "float32", recompute: bool = False
) -> Run:
    import minigrad as mg

    mg.backend.use_kernels(kernels)
    model = our_model(options, recompute)
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-5)
    x, y = map(mg.tensor, images_and_labels(options))
    within = partial(mg.autocast, "cpu", BFLOAT16) if precision == BFLOAT16 else nullcontext

    def run() -> Any:
        optimizer.zero_grad()
        with within():
            loss = mg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


# ---- PyTorch ----------------------------------------------------------------------------------


def _channels_last(*values: Any) -> Any:
    import torch

    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return (value.to(memory_format=formats[values[-1].ndim]) for value in values)


def _autocast(precision: str) -> AbstractContextManager[Any]:
    import torch

    return torch.autocast("cpu", torch.bfloat16, enabled=precision == BFLOAT16)


def torch_inference(
    options: Options, tuned: bool = False, compiled: bool = False, precision: str = "float32",
    whole: bool = False,
) -> Run:  # fmt: skip
    """Return PyTorch's inference; in bfloat16 by autocast, or the `whole` model in it."""
    import torch

    model, x = their_model(options).eval(), torch.from_numpy(images_and_labels(options)[0])
    if tuned:
        model, x = _channels_last(model, x)
    if whole:
        model, x, precision = model.bfloat16(), x.bfloat16(), "float32"
    if compiled and tuned:
        from torch._inductor import config

        config.freezing = True
    mode = "max-autotune" if tuned else "default"
    forward = torch.compile(model, mode=mode) if compiled else model

    def run() -> Any:
        with torch.no_grad(), _autocast(precision):
            return forward(x).float().numpy()

    return run


def torch_training(
    options: Options, tuned: bool = False, compiled: bool = False, precision: str = "float32",
    recompute: bool = False,
) -> Run:  # fmt: skip
    import torch

    model = their_model(options, recompute)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=tuned)
    x, y = map(torch.from_numpy, images_and_labels(options))
    if tuned:
        model, x = _channels_last(model, x)
    forward = torch.compile(model) if compiled else model

    def run() -> Any:
        optimizer.zero_grad()
        with _autocast(precision):
            loss = torch.nn.functional.cross_entropy(forward(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


# ---- those that only infer --------------------------------------------------------------------


def onnxruntime_inference(options: Options, tuned: bool = False) -> Run:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options["threads"]
    if tuned:
        settings.add_session_config_entry("session.dynamic_block_base", "4")
        settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(
        onnx_file(options), settings, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: images_and_labels(options)[0]}
    return lambda: session.run(None, feed)[0]


def openvino_inference(options: Options, **settings: Any) -> Run:
    import openvino

    settings |= {"INFERENCE_NUM_THREADS": options["threads"]}
    core = openvino.Core()
    model = core.compile_model(core.read_model(onnx_file(options)), "CPU", settings)
    request, x = model.create_infer_request(), images_and_labels(options)[0]
    return lambda: np.array(request.infer({0: x})[0])


# ---- JAX, which takes as many threads as the process may have cores ---------------------------


def jax_inference(options: Options) -> Run:
    import jax

    from benchmarks.convnext_jax import convnext, from_official

    w = from_official(weights(options))
    x = jax.numpy.asarray(images_and_labels(options)[0].transpose(0, 2, 3, 1))
    forward = jax.jit(partial(convnext, depths=options["depths"]))
    return lambda: np.asarray(forward(w, x))


def jax_training(options: Options) -> Run:
    import jax

    from benchmarks.convnext_jax import adamw, from_official, loss

    images, labels = images_and_labels(options)
    x, y = jax.numpy.asarray(images.transpose(0, 2, 3, 1)), jax.numpy.asarray(labels)
    both = jax.value_and_grad(partial(loss, depths=options["depths"]))
    w = from_official(weights(options))
    zeros = partial(jax.tree_util.tree_map, jax.numpy.zeros_like)
    state = [w, zeros(w), zeros(w), 0.0]

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(w: Any, m: Any, v: Any, t: Any) -> Any:
        value, g = both(w, x, y)
        return value, *adamw(w, g, m, v, t)

    def run() -> Any:
        state[3] += 1.0
        value, *state[:3] = step(*state)
        jax.block_until_ready(state[0])
        return float(value)

    return run


# ---- the limit --------------------------------------------------------------------------------


def product(options: Options, who: str) -> Run:
    """Return some matrix products, done by NumPy's BLAS, PyTorch's or our own kernel."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((PRODUCT, PRODUCT), np.float32) for _ in range(2))
    multiply: Callable[[Any, Any], Any] = np.matmul
    if who == "torch":
        import torch

        torch.set_num_threads(options["threads"])
        x, y = map(torch.from_numpy, (x, y))
        multiply = torch.matmul
    elif who == "minigrad":
        from minigrad.kernels import pick

        multiply = pick("matmul", x)

    def run() -> Any:
        for _ in range(PRODUCTS):
            result = multiply(x, y)
        return np.asarray(result)[0, :10]

    return run
