"""The frameworks that are compared: how each one runs inference, a training step, a product.

``python -m benchmarks.peers TASK NAME OPTIONS`` is the worker of one of them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.mkl import unlocked
from benchmarks.networks import (
    Options,
    can_export,
    images_and_labels,
    onnx_file,
    our_model,
    their_model,
    weights,
)
from benchmarks.turns import Command, Run, environment, python, serve

PRODUCT = 1024  # rows and columns of the matrix product that measures the limit
PRODUCTS = 4  # how many of them are one turn


@dataclass(frozen=True)
class Peer:
    """How to make one, and what it needs."""

    make: Callable[[Options], Run]
    package: str
    environment: Mapping[str, str] = field(default_factory=dict)
    rounds: int | None = None  # a slow one takes fewer turns
    exported: bool = False  # wants the network as ONNX

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None and (
            not self.exported or can_export()
        )


# ---- minigrad ---------------------------------------------------------------------------------


def minigrad_inference(options: Options, kernels: str = "fast") -> Run:
    import minigrad as mg

    mg.backend.use_kernels(kernels)
    model, x = our_model(options).eval(), mg.tensor(images_and_labels(options)[0])

    def run() -> Any:
        with mg.no_grad():
            return model(x).numpy()

    return run


def minigrad_training(options: Options, kernels: str = "fast", recompute: bool = False) -> Run:
    import minigrad as mg

    mg.backend.use_kernels(kernels)
    model = our_model(options, checkpoint_blocks=recompute)
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-5)
    x, y = map(mg.tensor, images_and_labels(options))

    def run() -> Any:
        optimizer.zero_grad()
        loss = mg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


# ---- PyTorch ----------------------------------------------------------------------------------


def torch_inference(options: Options, last: bool = True, compiled: bool = False) -> Run:
    import torch

    model, x = their_model(options).eval(), torch.from_numpy(images_and_labels(options)[0])
    if last:
        model, x = (a.to(memory_format=torch.channels_last) for a in (model, x))
    forward = torch.compile(model) if compiled else model

    def run() -> Any:
        with torch.no_grad():
            return forward(x).numpy()

    return run


def torch_training(options: Options, last: bool = True, compiled: bool = False) -> Run:
    import torch

    model = their_model(options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    x, y = map(torch.from_numpy, images_and_labels(options))
    if last:
        model, x = (a.to(memory_format=torch.channels_last) for a in (model, x))
    forward = torch.compile(model) if compiled else model

    def run() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(forward(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


# ---- those that only infer --------------------------------------------------------------------


def onnxruntime_inference(options: Options) -> Run:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options["threads"]
    session = onnxruntime.InferenceSession(
        onnx_file(options), settings, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: images_and_labels(options)[0]}
    return lambda: session.run(None, feed)[0]


def openvino_inference(options: Options) -> Run:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": options["threads"], "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip
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


# ---- all of them ------------------------------------------------------------------------------

# glibc gives large blocks back to the system at once, unless it is told not to
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
TUNED, UNLOCKED = "torch channels_last, glibc tuned", "torch channels_last, glibc and MKL tuned"
NUMPY_ONLY, RECOMPUTING = "minigrad, NumPy only", "minigrad, recomputing"


def peers(task: str) -> dict[str, Peer]:
    """Return the peers of a task that can run on this machine; minigrad first, but in products."""
    if task.startswith("fashion"):
        from benchmarks import fashion

        return fashion.peers(task.split()[1])
    find = {"product": _product, "inference": _inference, "training": _training}[task]
    return {name: peer for name, peer in find().items() if peer.installed}


def _product() -> dict[str, Peer]:
    found = {who: Peer(partial(product, who=who), who) for who in ("numpy", "torch")}
    if preload := unlocked():
        found["torch, MKL tuned"] = Peer(partial(product, who="torch"), "torch", preload)
    return found | {"minigrad": Peer(partial(product, who="minigrad"), "numba")}


def _inference() -> dict[str, Peer]:
    return {
        "minigrad": Peer(minigrad_inference, "numba"),
        NUMPY_ONLY: Peer(partial(minigrad_inference, kernels="reference"), "numpy", rounds=5),
        **pytorch(torch_inference),
        "onnxruntime": Peer(onnxruntime_inference, "onnxruntime", exported=True),
        "openvino": Peer(openvino_inference, "openvino", exported=True),
        "jax": Peer(jax_inference, "jax", rounds=5),
    }


def _training() -> dict[str, Peer]:
    return {
        "minigrad": Peer(minigrad_training, "numba"),
        RECOMPUTING: Peer(partial(minigrad_training, recompute=True), "numba"),
        NUMPY_ONLY: Peer(partial(minigrad_training, kernels="reference"), "numpy", rounds=3),
        **pytorch(torch_training),
        "jax": Peer(jax_training, "jax", rounds=2),
    }


def pytorch(make: Callable[..., Run]) -> dict[str, Peer]:
    """Return PyTorch as it comes, and tuned as its users tune it."""
    found = {
        "torch": Peer(partial(make, last=False), "torch"),
        "torch channels_last": Peer(make, "torch"),
        TUNED: Peer(make, "torch", KEEP_MEMORY),
    }
    if preload := unlocked():
        found[UNLOCKED] = Peer(make, "torch", KEEP_MEMORY | preload)
    return found | {"torch.compile": Peer(partial(make, compiled=True), "torch")}


def worker(task: str, name: str, options: Options) -> Command:
    """Return how the worker of a peer is started."""
    words = python("benchmarks.peers", task, name, json.dumps(options))
    return Command(words, environment(options["threads"]) | peers(task)[name].environment)


def main() -> None:
    task, name, text = sys.argv[1:]
    options = json.loads(text)
    peer = peers(task)[name]
    serve(lambda: peer.make(options), options["threads"], options.get("warm", 2))


if __name__ == "__main__":
    main()
