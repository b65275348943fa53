"""Who is compared in a task: minigrad and the others, as they come and tuned.

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

from benchmarks import frameworks
from benchmarks.frameworks import BFLOAT16
from benchmarks.machine import has_bfloat16
from benchmarks.mkl import unlocked
from benchmarks.networks import can_export
from benchmarks.turns import CALLS, Command, Options, Run, environment, python, serve

# glibc gives large blocks back to the system at once, unless it is told not to
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
LATENCY = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}  # OpenVINO's, for one call at a time
SLOW = 3  # rounds, with one call in each
NUMPY_ONLY, RECOMPUTING = "minigrad, NumPy only", "minigrad, recomputing"
AS_IT_COMES = "minigrad, not frozen"  # in inference; the others are, see `minigrad.freeze`


@dataclass(frozen=True)
class Peer:
    """How to make one, and what it needs."""

    make: Callable[..., Run]
    package: str
    tuned: bool = True  # else as it comes
    slow: bool = False  # takes fewer turns
    exported: bool = False  # wants the network as ONNX
    unets: bool = True  # knows U-Nets too
    precision: str = "float32"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None and (
            not self.exported or can_export()
        )


def peers(task: str, options: Options | None = None) -> dict[str, Peer]:
    """Return the peers of a task that can run on this machine; minigrad first, but in products."""
    options = options or {}
    if task.startswith("fashion"):
        from benchmarks import fashion

        return fashion.peers(task.split()[1])
    find = {
        ("product", "float32"): _product,
        ("inference", "float32"): _inference,
        ("inference", BFLOAT16): _inference_bfloat16,
        ("training", "float32"): _training,
        ("training", BFLOAT16): _training_bfloat16,
    }[task, options.get("precision", "float32")]
    return {
        name: peer
        for name, peer in find().items()
        if peer.installed and (peer.unets or "spatial_dims" not in options)
    }


def _product() -> dict[str, Peer]:
    def peer(who: str, package: str, **more: Any) -> Peer:
        return Peer(partial(frameworks.product, who=who), package, **more)

    found = {who: peer(who, who) for who in ("numpy", "torch")}
    if preload := unlocked():
        found["torch, MKL tuned"] = peer("torch", "torch", environment=preload)
    return found | {"minigrad": peer("minigrad", "numba")}


def _ours(
    make: Callable[..., Run], precision: str = "float32", tuned: bool = True, **more: Any
) -> Peer:
    return Peer(
        partial(make, precision=precision, **more), "numba", precision=precision, tuned=tuned,
        unets="recompute" not in more,
    )  # fmt: skip


def pytorch(make: Callable[..., Run]) -> dict[str, Peer]:
    """Return PyTorch as it comes, and tuned as its users tune it."""
    return {
        "torch": Peer(make, "torch", tuned=False),
        "torch, tuned": _torch(make),
        "torch.compile": Peer(partial(make, compiled=True), "torch", tuned=False),
        "torch.compile, tuned": _torch(make, compiled=True),
    }


def _torch(make: Callable[..., Run], precision: str = "float32", **more: Any) -> Peer:
    """Return PyTorch, tuned; on an AMD processor its MKL too."""
    if precision != "float32":
        more["precision"] = precision
    return Peer(
        partial(make, tuned=True, **more), "torch", precision=precision,
        unets="recompute" not in more, environment=unlocked() or {},
    )  # fmt: skip


def _numpy_only(make: Callable[..., Run]) -> Peer:
    return Peer(partial(make, kernels="reference"), "numpy", tuned=False, slow=True)


def _inference() -> dict[str, Peer]:
    make, onnx = frameworks.minigrad_inference, frameworks.onnxruntime_inference
    openvino = frameworks.openvino_inference
    found = {
        "minigrad": _ours(make, frozen=True),
        AS_IT_COMES: _ours(make, tuned=False),
        NUMPY_ONLY: _numpy_only(make),
        **pytorch(frameworks.torch_inference),
        "onnxruntime": Peer(onnx, "onnxruntime", tuned=False, exported=True),
        "onnxruntime, tuned": Peer(partial(onnx, tuned=True), "onnxruntime", exported=True),
        "openvino": Peer(openvino, "openvino", tuned=False, exported=True),
        "openvino, tuned": Peer(
            partial(openvino, **LATENCY, INFERENCE_PRECISION_HINT="f32"), "openvino", exported=True
        ),
        "jax": Peer(frameworks.jax_inference, "jax", tuned=False, slow=True, unets=False),
    }
    if has_bfloat16():  # as it comes, OpenVINO computes in bfloat16 there
        del found["openvino"]
    return found


def _training() -> dict[str, Peer]:
    make, theirs = frameworks.minigrad_training, frameworks.torch_training
    return {
        "minigrad": _ours(make),
        RECOMPUTING: _ours(make, recompute=True),
        NUMPY_ONLY: _numpy_only(make),
        **pytorch(theirs),
        "torch, recomputing": _torch(theirs, recompute=True),
        "jax": Peer(frameworks.jax_training, "jax", tuned=False, slow=True, unets=False),
    }


def _inference_bfloat16() -> dict[str, Peer]:
    make, theirs = frameworks.minigrad_inference, frameworks.torch_inference
    found = {
        "minigrad": _ours(make, BFLOAT16, frozen=True),
        AS_IT_COMES: _ours(make, BFLOAT16, tuned=False),
        "minigrad, float32": _ours(make, frozen=True),
    }
    if has_bfloat16():
        found |= {
            "torch autocast, tuned": _torch(theirs, BFLOAT16),
            "torch, tuned": _torch(theirs, BFLOAT16, whole=True),
            "torch.compile, tuned": _torch(theirs, BFLOAT16, compiled=True),
            "openvino, tuned": Peer(
                partial(frameworks.openvino_inference, **LATENCY), "openvino", exported=True,
                precision=BFLOAT16,
            ),
        }  # fmt: skip
    return found


def _training_bfloat16() -> dict[str, Peer]:
    make, theirs = frameworks.minigrad_training, frameworks.torch_training
    found = {
        "minigrad": _ours(make, precision=BFLOAT16),
        RECOMPUTING: _ours(make, precision=BFLOAT16, recompute=True),
        "minigrad, float32": _ours(make),
    }
    if has_bfloat16():
        found |= {
            "torch autocast, tuned": _torch(theirs, BFLOAT16),
            "torch autocast, recomputing": _torch(theirs, BFLOAT16, recompute=True),
            "torch.compile, tuned": _torch(theirs, BFLOAT16, compiled=True),
        }
    return found


def worker(task: str, name: str, options: Options) -> Command:
    """Return how the worker of a peer is started; all that are tuned keep their memory."""
    peer = peers(task, options)[name]
    if peer.slow:
        options = options | {"calls": min(1, options.get("calls", CALLS))}
    words = python("benchmarks.peers", task, name, json.dumps(options))
    keep = KEEP_MEMORY if peer.tuned else {}
    return Command(words, environment(options["threads"]) | keep | peer.environment)


def main() -> None:
    task, name, text = sys.argv[1:]
    options = json.loads(text)
    peer = peers(task, options)[name]
    serve(
        lambda: peer.make(options), options["threads"], options.get("warm", 2),
        options.get("calls", CALLS),
    )  # fmt: skip


if __name__ == "__main__":
    main()
