"""The row of `models.load_pretrained`: files of several namings and kinds, into models.

What is refused has left a model that stands as it was; what is loaded stands in the file.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import struct
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import minigrad as mg
from minigrad import io, models
from minigrad.errors import MinigradError
from minigrad.io.torch_file import save_torch
from minigrad.models.weights.load import PretrainedReport
from tests.fuzz.checkpoints import (
    GOLDEN,
    change_end,
    change_entry,
    change_hdf5,
    change_legacy,
    legacy_of,
)
from tests.fuzz.mutate import mutate_json
from tests.fuzz.row import Format, written

__all__ = ["WEIGHTS"]

SIZES: dict[str, Any] = {
    "num_classes": 3, "depths": (1, 2), "dims": (4, 8), "kernel_size": 3, "patch_size": 2,
}  # fmt: skip


def files() -> list[bytes]:
    one, two = _model(1), _model(2)
    flat = [models.export_state_dict(one, naming) for naming in ("timm", "huggingface")]
    flat += [models.export_state_dict(two, naming) for naming in ("facebook", "timm_conv_mlp")]
    flat += [models.export_state_dict(two, "mmpretrain")]
    half = {f"module.{k}": v.astype(np.float16) for k, v in flat[0].items()}
    clip = {f"visual.trunk.{k}": v for k, v in flat[0].items() if "head.fc" not in k}
    clip |= {"visual.head.proj.weight": flat[0]["head.fc.weight"], "logit_scale": np.ones(())}
    mednext = models.MedNeXt(1, 2, 2, 2, 3, block_counts=(1,) * 9, do_res=True, spatial_dims=2)
    flat += [half, clip, models.export_state_dict(mednext, "mednext")]
    found = [written(lambda p, w=w: io.save_file(w, p)) for w in flat]
    states = [
        models.export_state_dict(one, "torchvision"),
        {"model": models.export_state_dict(two, "facebook"), "model_ema": {}, "epoch": 3},
    ]
    zips = [written(lambda p, s=s: save_torch(s, p)) for s in states]
    return [*found, *zips, legacy_of(zips[1]), *_keras()]


def _keras() -> list[bytes]:
    names = ("v1_keras3.weights.h5.gz", "v1_keras_legacy.h5.gz")
    return [gzip.decompress((GOLDEN / name).read_bytes()) for name in names]


def _model(version: int) -> Any:
    mg.manual_seed(version)
    return (models.ConvNeXt if version == 1 else models.ConvNeXtV2)(**SIZES)


NAMES = (  # what stands in a header, and what another naming or shape would have there
    ("stages.0", "stages.1"), ("blocks.1", "blocks.7"), ("weight", "bias"), ("mlp", "mlp2"),
    ("conv_dw", "dwconv"), ("norm", "layernorm"), ("grn", "gamma"), ("head.", ""), ("F32", "F16"),
    ('"stages', '"model.stages'), ("[8,", "[4,2,"), (",1,3,3", ",9"), ("F32", "I32"),
    ("[8]", "[2,4]"), (",1,", ",1,1,"), ("downsample", "stages"),
)  # fmt: skip


def change(content: bytes, rng: random.Random) -> bytes:
    """Change what the kind of file has beside its numbers: names, shapes, programs, trees."""
    if content[:2] == b"PK":
        return rng.choice((change_entry, change_end))(content, rng)
    if content[:1] == b"\x80":
        return change_legacy(content, rng)
    if content[:4] == b"\x89HDF":
        return change_hdf5(content, rng)
    end = 8 + struct.unpack_from("<Q", content)[0]
    header = content[8:end].decode()
    if rng.random() < 0.5:
        header = mutate_json(json.loads(header), rng)
    else:  # names that another naming has, or another place
        old, new = rng.choice(NAMES)
        header = header.replace(old, new, rng.choice((1, 1, -1)))
    text = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + content[end:]


Loaded = tuple[PretrainedReport, dict[str, Any], dict[str, Any] | None]


def read(path: Path) -> list[Loaded]:
    """Load a file into the model that it describes, and into one that stands."""
    standing = _STANDING[b"grn" in path.read_bytes()]
    before = {name: tensor.numpy().copy() for name, tensor in standing.state_dict().items()}
    found: list[Loaded] = []
    refusal = None
    try:
        with _no_code():
            for model in (None, standing):
                try:
                    built, report = models.load_pretrained(model, path)
                except MinigradError as error:
                    refusal = error
                    if model is not None:
                        _check_unchanged(standing, before, before)
                else:
                    after = {name: t.numpy().copy() for name, t in built.state_dict().items()}
                    found.append((report, after, before if model else None))
    finally:
        for name, tensor in standing.state_dict().items():
            tensor.array[...] = before[name]
    if not found:
        assert refusal is not None
        raise refusal
    return found


def _check_unchanged(model: Any, before: dict[str, Any], names: Any) -> None:
    state = model.state_dict()
    for name in names:
        assert np.array_equal(state[name].numpy(), before[name]), f"{name} changed"


def _no_code() -> ExitStack:
    """Nothing that a pickle may call to harm is called."""
    stack = ExitStack()
    ran = AssertionError("a file ran code")
    for home, name in ((os, "system"), (import_module(os.name), "system"), (os, "popen")):
        stack.enter_context(mock.patch.object(home, name, side_effect=ran))
    return stack


def right(path: Path, value: list[Loaded]) -> bool:
    """Whatever was loaded, and not made to fit, stands in the file, in some order of axes."""
    pool: dict[int, list[Any]] = {}
    for array in io.read_checkpoint(path).tensors.values():
        pool.setdefault(array.size, []).append(array)
    return all(_right(pool, *loaded) for loaded in value)


def _right(pool: dict[int, list[Any]], report: Any, after: Any, before: Any) -> bool:
    left = after.keys() - {*report.loaded, *report.drawn}
    if left != set(report.missing) or not report.loaded:
        return False
    if before is not None and not all(np.array_equal(after[n], before[n]) for n in left):
        return False
    return all(
        name in report.adapted or _stands(after[name], pool.get(after[name].size, []))
        for name in report.loaded
    )


def _stands(array: Any, candidates: list[Any]) -> bool:
    wanted = np.sort(array, axis=None)
    with np.errstate(all="ignore"):
        return not array.any() or any(
            np.array_equal(wanted, np.sort(c.astype(array.dtype), axis=None), equal_nan=True)
            for c in candidates
        )


_STANDING = {False: _model(1), True: _model(2)}
WEIGHTS = Format("weights of any naming", ".safetensors", files, read, right, [change, change])
