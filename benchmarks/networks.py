"""The same network for every peer: weights in a file, images and labels from a seed.

``python -m benchmarks.networks OPTIONS`` writes the files; a process of its own does, so that no
peer has held more memory than it needs for its own work.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.turns import Options

# The official initial values make every block nearly the identity; these do not.
SCALE = 0.3


def describe(name: str, depths: Sequence[int] | None = None) -> Options:
    """Return what peers must know to build a named model, or a deeper or shallower one."""
    import minigrad.models as models
    from minigrad.nn import init

    with init.skip_random():
        model = models.create_model(name)
    return {
        "model": name, "depths": list(depths or model.depths), "dims": list(model.dims),
        "grn": name.startswith("convnextv2"), "num_classes": 1000,
    }  # fmt: skip


def prepare(options: Options, folder: Path, onnx: bool = False) -> None:
    """Write the weights, and the network as ONNX, to a folder."""
    words = [json.dumps(options | {"folder": str(folder), "onnx": onnx})]
    subprocess.run([sys.executable, "-m", "benchmarks.networks", *words], check=True)


def images_and_labels(options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch that every peer works on."""
    rng = np.random.default_rng(1)
    size = options["size"]
    images = rng.standard_normal((options["batch"], 3, size, size), np.float32)
    return images, rng.integers(0, options["num_classes"], options["batch"])


def weights(options: Options) -> Any:
    """Return name -> array; the arrays are read one at a time."""
    return np.load(Path(options["folder"]) / "weights.npz")


def our_model(options: Options, **more: Any) -> Any:
    """Return minigrad's network with the weights of the folder."""
    import minigrad as mg
    import minigrad.models as models
    from minigrad.nn import init

    kind = models.ConvNeXtV2 if options["grn"] else models.ConvNeXt
    with init.skip_random():
        model = kind(depths=options["depths"], dims=options["dims"], **more)
    saved = weights(options)
    with mg.no_grad():
        for name, p in model.named_parameters():
            p.copy_(mg.tensor(saved[name]))
    return model


def their_model(options: Options) -> Any:
    """Return PyTorch's network with the same weights."""
    import torch

    from benchmarks.convnext_torch import ConvNeXt

    torch.set_num_threads(options["threads"])
    model = ConvNeXt(options["depths"], options["dims"], grn=options["grn"])
    load_torch(model, weights(options))
    return model


def load_torch(model: Any, saved: Any) -> None:
    """Fill a PyTorch module; official names, official shapes but for axes of length 1."""
    import torch

    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.from_numpy(saved[name]).reshape(p.shape))


def onnx_file(options: Options) -> str:
    """Return the path of the network as ONNX."""
    return str(Path(options["folder"]) / "model.onnx")


def can_export() -> bool:
    """Return whether this machine has what the export takes."""
    return all(map(importlib.util.find_spec, ("torch", "onnx")))


def _write_weights(options: Options) -> None:
    import minigrad as mg
    import minigrad.models as models

    mg.manual_seed(0)
    kind = models.ConvNeXtV2 if options["grn"] else models.ConvNeXt
    model = kind(depths=options["depths"], dims=options["dims"])
    rng = np.random.default_rng(0)
    arrays = {}
    for name, p in model.named_parameters():
        arrays[name] = p.detach().numpy()
        if name.endswith(("gamma", "beta")):
            arrays[name] = SCALE * rng.standard_normal(p.shape, np.float32)
    np.savez(Path(options["folder"]) / "weights.npz", **arrays)


def _write_onnx(options: Options) -> None:
    import torch

    warnings.simplefilter("ignore")
    x = torch.from_numpy(images_and_labels(options)[0])
    torch.onnx.export(
        their_model(options).eval(), (x,), onnx_file(options), dynamo=False, opset_version=20
    )


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    _write_weights(given)
    if given["onnx"]:
        _write_onnx(given)
