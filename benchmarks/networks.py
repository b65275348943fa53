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

# The nets that `minigrad segment` trains, by the data whose defaults they have.
UNETS: dict[str, Options] = {
    "unet_2d": {"data": "fashion-scenes", "spatial_dims": 2, "num_classes": 6},
    "unet_3d": {"data": "brain", "spatial_dims": 3, "num_classes": 4},
}
# The official initial values make every block nearly the identity; these do not.
SCALE = 0.3


def describe(name: str, depths: Sequence[int] | None = None) -> Options:
    """Return what peers must know to build a named model, or a deeper or shallower one."""
    import minigrad.models as models
    from minigrad.nn import init

    if name in UNETS:
        return {"model": name} | UNETS[name]
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
    """Return the batch that every peer works on: a label for an image, or for each position."""
    rng = np.random.default_rng(1)
    sides, channels, labels = (options["size"],) * 2, 3, (options["batch"],)
    if "spatial_dims" in options:
        sides, channels = (options["size"],) * options["spatial_dims"], 1
        labels += sides
    images = rng.standard_normal((options["batch"], channels, *sides), np.float32)
    return images, rng.integers(0, options["num_classes"], labels)


def weights(options: Options) -> Any:
    """Return name -> array; the arrays are read one at a time."""
    return np.load(Path(options["folder"]) / "weights.npz")


def our_model(options: Options, recompute: bool = False) -> Any:
    """Return minigrad's network with the weights of the folder."""
    import minigrad as mg
    from minigrad.nn import init

    with init.skip_random():
        model = _build(options, recompute)
    saved = weights(options)
    with mg.no_grad():
        for name, p in model.named_parameters():
            p.copy_(mg.tensor(saved[name]))
    return model


def _build(options: Options, recompute: bool = False) -> Any:
    import minigrad.models as models

    if "spatial_dims" in options:
        from minigrad.data.catalog import ImageSpec
        from minigrad.runs.segmentation import Segmentation, SegmentConfig

        classes = tuple(map(str, range(options["num_classes"])))
        spec = ImageSpec(classes, 1, options["size"], (0.0,), (1.0,), options["spatial_dims"])
        return Segmentation().build(SegmentConfig.from_values({"data": options["data"]}), spec)
    kind = models.ConvNeXtV2 if options["grn"] else models.ConvNeXt
    return kind(depths=options["depths"], dims=options["dims"], checkpoint_blocks=recompute)


def their_model(options: Options, recompute: bool = False) -> Any:
    """Return PyTorch's network with the same weights."""
    import torch

    torch.set_num_threads(options["threads"])
    if "spatial_dims" in options:
        from tests.models.torch_unet import TorchUNet

        model = TorchUNet(_build(options))
    else:
        from benchmarks.convnext_torch import ConvNeXt

        model = ConvNeXt(
            options["depths"], options["dims"], grn=options["grn"], recompute=recompute
        )
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


def write_weights(options: Options) -> None:
    """Write the weights that every peer begins with."""
    import minigrad as mg

    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    arrays = {}
    for name, p in _build(options).named_parameters():
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
    write_weights(given)
    if given["onnx"]:
        _write_onnx(given)
