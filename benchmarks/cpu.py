"""Speed and memory on the CPU beside the peers: ``python -m benchmarks.cpu``.

Each framework lives in a process of its own and waits; they take turns, one call each per round, so
that a change of the machine's speed meets all of them. Printed are the median over the rounds, the
median of the ratios within a round to minigrad's time, and the peak memory of the process. With
one thread the clock is that of the process, which other programs on the machine hardly disturb.
Peers that are not installed are left out (pip install torch==2.13.0 onnx onnxruntime openvino).

    python -m benchmarks.cpu inference --model convnext_tiny --batch 1 8
    python -m benchmarks.cpu training --batch 8
    python -m benchmarks.cpu kernels
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.kernels import pick

Run = Callable[[], Any]

# The official initial values make every block nearly the identity; these do not.
SCALE = 0.3


# ---- the peers --------------------------------------------------------------------------------


def data(options: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    size = options["size"]
    images = rng.standard_normal((options["batch"], 3, size, size), np.float32)
    return images, rng.integers(0, 1000, options["batch"])


def our_model(options: dict[str, Any]) -> Any:
    import minigrad as mg
    import minigrad.models as models

    mg.manual_seed(0)
    model = models.create_model(options["model"])
    rng = np.random.default_rng(0)
    with mg.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("gamma", "beta")):
                p.copy_(mg.tensor(SCALE * rng.standard_normal(p.shape, np.float32)))
    return model


def their_model(options: dict[str, Any]) -> Any:
    import torch

    from benchmarks.convnext_torch import ConvNeXt

    torch.set_num_threads(options["threads"])
    ours = our_model(options)
    theirs = ConvNeXt(ours.depths, ours.dims, grn="v2" in options["model"])
    state = {k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict({k: v.reshape(theirs.state_dict()[k].shape) for k, v in state.items()})
    return theirs


def minigrad_inference(options: dict[str, Any]) -> Run:
    import minigrad as mg

    model, x = our_model(options).eval(), mg.tensor(data(options)[0])

    def run() -> Any:
        with mg.no_grad():
            return model(x).numpy()

    return run


def torch_inference(options: dict[str, Any], last: bool = True, compiled: bool = False) -> Run:
    import torch

    model, x = their_model(options).eval(), torch.from_numpy(data(options)[0])
    if last:
        model, x = (a.to(memory_format=torch.channels_last) for a in (model, x))
    forward = torch.compile(model) if compiled else model

    def run() -> Any:
        with torch.no_grad():
            return forward(x).numpy()

    return run


def _onnx_file(options: dict[str, Any]) -> str:
    import warnings

    import torch

    path = Path(tempfile.mkdtemp()) / "model.onnx"
    warnings.simplefilter("ignore")
    x = torch.from_numpy(data(options)[0])
    torch.onnx.export(their_model(options).eval(), (x,), str(path), dynamo=False, opset_version=20)
    return str(path)


def onnxruntime_inference(options: dict[str, Any]) -> Run:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options["threads"]
    file = _onnx_file(options)
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: data(options)[0]}
    return lambda: session.run(None, feed)[0]


def openvino_inference(options: dict[str, Any]) -> Run:
    import openvino

    core = openvino.Core()
    model = core.compile_model(
        core.read_model(_onnx_file(options)),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": options["threads"],
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
        },
    )
    request, x = model.create_infer_request(), data(options)[0]
    return lambda: np.array(request.infer({0: x})[0])


def minigrad_training(options: dict[str, Any]) -> Run:
    import minigrad as mg

    model = our_model(options)
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-5)
    x, y = map(mg.tensor, data(options))

    def run() -> Any:
        optimizer.zero_grad()
        loss = mg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def torch_training(options: dict[str, Any], last: bool = True, compiled: bool = False) -> Run:
    import torch

    model = their_model(options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    x, y = map(torch.from_numpy, data(options))
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


# glibc gives large blocks back to the system at once, unless it is told not to
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}

# task -> peer -> how to make it, and its environment; the package that must be there
PEERS: dict[str, dict[str, tuple[Callable[..., Run], dict[str, Any], dict[str, str], str]]] = {
    "inference": {
        "minigrad": (minigrad_inference, {}, {}, "numba"),
        "torch": (torch_inference, {"last": False}, {}, "torch"),
        "torch channels_last": (torch_inference, {}, {}, "torch"),
        "  with glibc tuned": (torch_inference, {}, KEEP_MEMORY, "torch"),
        "torch.compile": (torch_inference, {"compiled": True}, {}, "torch"),
        "onnxruntime": (onnxruntime_inference, {}, {}, "onnxruntime"),
        "openvino": (openvino_inference, {}, {}, "openvino"),
    },
    "training": {
        "minigrad": (minigrad_training, {}, {}, "numba"),
        "torch": (torch_training, {"last": False}, {}, "torch"),
        "torch channels_last": (torch_training, {}, {}, "torch"),
        "  with glibc tuned": (torch_training, {}, KEEP_MEMORY, "torch"),
        "torch.compile": (torch_training, {"compiled": True}, {}, "torch"),
    },
}


# ---- taking turns -----------------------------------------------------------------------------


def worker(task: str, name: str, options: dict[str, Any]) -> None:
    """Make one peer; for every line that comes in, run it once and say how long it took."""
    make, extra, _, _ = PEERS[task][name]
    clock = time.process_time if options["threads"] == 1 else time.perf_counter
    if task == "inference" or name == "minigrad":
        import numba

        numba.set_num_threads(options["threads"])
    run = make(options, **extra)
    first = run()
    run()
    print(json.dumps({"result": np.ravel(first)[:10].tolist()}), flush=True)
    for _ in sys.stdin:
        start = clock()
        run()
        seconds = clock() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"ms": 1e3 * seconds / options["batch"], "peak_mb": peak}), flush=True)


class Peer:
    """A process that runs its framework when asked."""

    def __init__(self, task: str, name: str, options: dict[str, Any]) -> None:
        arguments = [sys.executable, "-m", "benchmarks.cpu", "--worker", task, name]
        threads = str(options["threads"])
        environment = {
            **os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads, **PEERS[task][name][2],
        }  # fmt: skip
        self.process = subprocess.Popen(
            [*arguments, json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.times: list[dict[str, float]] = []
        self.result = self._answer()["result"]

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"a peer ended: {self.process.args}")

    def take_turn(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(self._answer())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(task: str, options: dict[str, Any], rounds: int, names: list[str]) -> list[Any]:
    """Print one table; return its rows."""
    peers = {}
    for name, (*_, package) in PEERS[task].items():
        if importlib.util.find_spec(package) and (not names or name.strip() in names):
            peers[name] = Peer(task, name, options)
    for _ in range(rounds):
        for peer in peers.values():
            peer.take_turn()
            time.sleep(0.05)  # threads that wait, spinning, give up
    print(
        f"\n{task}, {options['model']} at {options['size']}, batch {options['batch']}, "
        f"{options['threads']} threads"
    )
    print(f"{'':24}{'ms/image':>10}{'to minigrad':>13}{'peak MB':>9}{'differs by':>12}")
    table = []
    for name, peer in peers.items():
        ours = peers["minigrad"]
        row = {
            "task": task, **options, "peer": name.strip(),
            "ms": statistics.median(t["ms"] for t in peer.times),
            "ratio": statistics.median(
                t["ms"] / o["ms"] for t, o in zip(peer.times, ours.times, strict=True)
            ),
            "peak_mb": peer.times[-1]["peak_mb"],
            "difference": float(np.abs(np.subtract(peer.result, ours.result)).max()),
        }  # fmt: skip
        table.append(row)
        print(
            f"{name:24}{row['ms']:10.1f}{row['ratio']:13.2f}{row['peak_mb']:9.0f}"
            f"{row['difference']:12.1e}",
            flush=True,
        )
    for peer in peers.values():
        peer.close()
    return table


# ---- kernels ----------------------------------------------------------------------------------


def products(m: int, k: int, n: int) -> Iterator[tuple[str, float, Run, Run]]:
    """Yield name, operations, our kernel and theirs."""
    import torch

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    ours = pick("matmul", x)
    yield f"matrix product {m} x {k} x {n}", 2.0 * m * k * n, lambda: ours(x, y), lambda: tx @ ty


def depthwise(side: int, channels: int) -> Iterator[tuple[str, float, Run, Run]]:
    """Yield the same for the three kernels of the depthwise convolution, on 8 images."""
    import torch

    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, side, side, channels), np.float32).transpose(0, 3, 1, 2)
    g, w = np.ones_like(x), rng.standard_normal((channels, 1, 7, 7), np.float32)
    tx, tg, tw = map(torch.from_numpy, (x, g, w))
    steps = ((1, 1), ((3, 3), (3, 3)), (1, 1), channels)
    forward, input_grad, weight_grad = (
        pick("depthwise_conv" + what, x) for what in ("", "_input_grad", "_weight_grad")
    )

    def backward(*mask: bool) -> Any:
        rest = (None, (1, 1), (3, 3), (1, 1), False, (0, 0), channels, mask)
        return torch.ops.aten.convolution_backward(tg, tx, tw, *rest)

    work = 98.0 * x.size
    yield (
        f"depthwise 7x7, {side} x {side} x {channels}", work,
        lambda: forward(x, w, None, *steps),
        lambda: torch.nn.functional.conv2d(tx, tw, padding=3, groups=channels),
    )  # fmt: skip
    yield (
        "  gradient of the input", work,
        lambda: input_grad(g, w, (side, side), *steps), lambda: backward(True, False, False),
    )  # fmt: skip
    yield (
        "  gradient of the weight", work,
        lambda: weight_grad(g, x, (7, 7), *steps), lambda: backward(False, True, False),
    )  # fmt: skip


def kernels(options: dict[str, Any], rounds: int) -> list[Any]:
    """Print GFLOP/s of single kernels, beside PyTorch in the same process."""
    import numba
    import torch

    numba.set_num_threads(options["threads"])
    torch.set_num_threads(options["threads"])
    clock = time.process_time if options["threads"] == 1 else time.perf_counter
    cases = [products(1024, 1024, 1024), products(6272, 192, 768), products(1568, 1536, 384)]
    cases += [depthwise(side, c) for side, c in ((56, 96), (28, 192), (14, 384), (7, 768))]
    print(f"\nkernels, float32, {options['threads']} threads")
    print(f"{'':44}{'GFLOP/s':>9}{'torch':>9}{'ratio':>8}")
    table = []
    for name, work, *runs in (case for group in cases for case in group):
        seconds: list[list[float]] = [[], []]
        for _ in range(rounds):
            for run, found in zip(runs, seconds, strict=True):
                time.sleep(0.02)  # threads that wait, spinning, give up
                run()
                start = clock()
                run()
                found.append(clock() - start)
        ours, theirs = (work / statistics.median(found) / 1e9 for found in seconds)
        table.append({"kernel": name, "gflops": ours, "torch_gflops": theirs})
        print(f"{name:44}{ours:9.0f}{theirs:9.0f}{ours / theirs:8.2f}", flush=True)
    return table


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="*", default=["kernels", "inference", "training"])
    parser.add_argument("--model", default="convnext_tiny")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", nargs="*", default=[], help="besides minigrad; default: all")
    parser.add_argument("--json", type=Path, help="where to write the tables")
    args = parser.parse_args()
    names = ["minigrad", *args.peers] if args.peers else []
    tables: list[Any] = []
    for task in args.tasks:
        options = {"model": args.model, "size": args.size, "threads": args.threads}
        if task == "kernels":
            tables += kernels(options, args.rounds)
            continue
        for batch in args.batch:
            tables += compare(task, {**options, "batch": batch}, args.rounds, names)
    if args.json:
        args.json.write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
