"""Every golden weights file loads with its naming found out, computes what its authors' code does,
and goes out again byte by byte.
"""

from __future__ import annotations

import gzip
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models
from minigrad.models.weights.detect import recognise
from minigrad.models.weights.export import rename
from minigrad.models.weights.load import read
from minigrad.nn import functional as F
from tests.parity.procedural import image
from tests.parity.test_golden import GOLDEN, GRADIENTS, LOGITS, both_dtypes, close_gradient, golden


class Case(NamedTuple):
    file: str
    naming: str
    version: int = 1
    logits: str = "logits"
    kind: type = models.ConvNeXt


CASES = [
    Case("v1_fb.pth", "facebook"),
    Case("v2_fb.pth", "facebook", 2, kind=models.ConvNeXtV2),
    Case("v1_timm.safetensors", "timm"),
    Case("v2_timm.safetensors", "timm", 2, kind=models.ConvNeXtV2),
    Case("v1_timm_convmlp.safetensors", "timm_conv_mlp"),
    Case("v2_timm_convmlp.safetensors", "timm_conv_mlp", 2, kind=models.ConvNeXtV2),
    Case("v1_timm_hnf.safetensors", "timm", logits="logits_hnf", kind=models.TimmConvNeXt),
    Case("v1_timm_ols.safetensors", "timm_conv_mlp", logits="logits_ols", kind=models.TimmConvNeXt),
    Case("v1_torchvision.pth", "torchvision"),
    Case("v1_hf.safetensors", "huggingface", logits="logits_hf"),
    Case("v2_hf.safetensors", "huggingface", 2, "logits_hf", models.ConvNeXtV2),
    Case("v1_keras3.weights.h5.gz", "keras"),
    Case("v1_keras_legacy.h5.gz", "keras_h5"),
]
every_file = pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])


def arrays(file: str) -> dict[str, Any]:
    """Return what a golden file holds, under its own names."""
    if not file.endswith(".gz"):
        return io.read_checkpoint(GOLDEN / file).tensors
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder, file.removesuffix(".gz"))
        unpacked.write_bytes(gzip.open(GOLDEN / file).read())
        return {name: a.copy() for name, a in io.read_checkpoint(unpacked).tensors.items()}


@every_file
@both_dtypes
def test_logits_and_gradients(case: Case, dtype: Any) -> None:
    model, report = models.load_pretrained(None, arrays(case.file), strict=True, dtype=dtype)
    assert (report.naming, type(model), report.complete) == (case.naming, case.kind, True)
    expected = golden(f"v{case.version}_case")
    x = mg.tensor(image("x", (2, 3, 64, 64)), dtype=dtype)
    with mg.no_grad():
        np.testing.assert_allclose(model(x), expected[case.logits], rtol=0, atol=LOGITS[dtype])
    if case.kind is models.TimmConvNeXt:  # their gradients are not in the file
        return
    model.norm.eps = 1e-6  # Hugging Face's logits are told for its own, the gradients are not
    F.cross_entropy(model(x), mg.tensor(expected["labels"])).backward()
    for name, parameter in model.named_parameters():
        close_gradient(parameter.grad.numpy(), expected[f"grad.{name}"], dtype, name)
    assert GRADIENTS[dtype] <= 1e-4


@every_file
def test_round_trip(case: Case) -> None:
    """In as half precision, out of a model of single precision: the very bytes, cast back."""
    file = arrays(case.file)
    model, _ = models.load_pretrained(None, file)
    out = models.export_state_dict(model, case.naming, name="convnext_tiny")
    assert out.keys() == file.keys()
    for name, array in file.items():
        assert out[name].shape == array.shape, name
        assert out[name].astype(array.dtype).tobytes() == array.tobytes(), name
    direct = rename(file, case.naming, name="convnext_tiny")
    assert all(direct[name].tobytes() == array.tobytes() for name, array in file.items())


@every_file
@pytest.mark.parametrize("naming", ["facebook", "timm", "timm_conv_mlp"])
def test_every_naming_becomes_every_other(case: Case, naming: str) -> None:
    if case.kind is models.TimmConvNeXt and naming == "facebook":
        return  # it has no name for these heads, and a stem of its own
    weights = arrays(case.file)
    there = recognise(rename(weights, naming))
    assert there.naming.name == naming
    for name, array in recognise(weights).weights.items():
        assert there.weights[name].tobytes() == array.tobytes(), name


def test_isotropic_takes_its_layer_scale_from_the_keys() -> None:
    case = golden("iso_case")
    x = mg.tensor(case["x"].astype(np.float64))
    model, report = models.load_pretrained(None, GOLDEN / "iso_fb.pth", dtype=mg.float64)
    assert report.complete
    with mg.no_grad():
        np.testing.assert_allclose(model(x), case["logits_ls"], rtol=0, atol=1e-9)
    plain = {k: v for k, v in arrays("iso_fb.pth").items() if not k.endswith("gamma")}
    model, report = models.load_pretrained(None, plain, strict=True, dtype=mg.float64)
    with mg.no_grad():
        np.testing.assert_allclose(model(x), case["logits"], rtol=0, atol=1e-9)
    out = models.export_state_dict(model, "facebook")
    assert all(out[k].astype(v.dtype).tobytes() == v.tobytes() for k, v in plain.items())


def test_dinov3() -> None:
    model, report = models.load_pretrained(None, GOLDEN / "dinov3_fb.safetensors", strict=True)
    assert (report.naming, model.num_classes) == ("dinov3", 0)
    assert report.licence.startswith("DINOv3")
    file = arrays("dinov3_fb.safetensors")
    torch, report = models.load_pretrained(None, GOLDEN / "dinov3_fb.pth", strict=True)
    assert report.naming == "dinov3"
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(torch.state_dict()[name].numpy(), value.numpy())
    out = models.export_state_dict(model, "dinov3")
    assert {k: v.tobytes() for k, v in out.items()} == {k: v.tobytes() for k, v in file.items()}
    there = models.export_state_dict(model, "dinov3_huggingface")
    assert models.load_pretrained(model, there, strict=True)[1].naming == "dinov3_huggingface"
    projected = file | {"projectors.0.weight": np.ones((2, 2)), "norms.0.weight": np.ones(8)}
    assert models.load_pretrained(model, projected, strict=True)[1].naming == "eupe"


def test_autoencoder() -> None:
    encoder = models.ConvNeXtV2(num_classes=0, depths=(1, 1, 2, 1), dims=(8, 12, 16, 20))
    model = models.FCMAE(encoder, decoder_embed_dim=6)
    file = arrays("fcmae_minkowski.pth")
    assert models.load_pretrained(model, file, strict=True)[1].naming == "fcmae"
    out = models.export_state_dict(model, "fcmae")
    assert out.keys() == file.keys()
    for name, array in file.items():
        assert out[name].astype(array.dtype).tobytes() == array.tobytes(), name
    again = models.export_state_dict(model, "fcmae_dense")
    assert list(again) == list(model.state_dict())
    assert recognise(again).naming.name == "fcmae_dense"


def test_the_configuration_of_hugging_face(tmp_path: Path) -> None:
    """Its eps is that of the last norm alone; without the configuration it is the default."""
    for version in (1, 2):
        config = json.loads((GOLDEN / f"v{version}_hf_config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config))
        shutil.copy(GOLDEN / f"v{version}_hf.safetensors", tmp_path / "model.safetensors")
        assert read(tmp_path).eps == config["layer_norm_eps"] == 1e-12
        told = config | {"layer_norm_eps": 1e-5, "license": "cc-by-nc-4.0"}
        (tmp_path / "config.json").write_text(json.dumps(told))
        model, report = models.load_pretrained(None, tmp_path)
        assert (model.norm.eps, model.stages[0][0].norm.eps) == (1e-5, 1e-6)
        assert report.licence == "cc-by-nc-4.0"
        found = read(GOLDEN / f"v{version}_hf.safetensors")
        assert found.options["depths"] == tuple(config["depths"])
        assert found.options["dims"] == tuple(config["hidden_sizes"])
        assert found.options["patch_size"] == config["patch_size"]


def test_keys_and_shapes_of_all_sizes() -> None:
    """The libraries' own listings of thirteen sizes, out of one another."""
    tables = json.loads(gzip.open(GOLDEN / "shapes.json.gz").read())
    names = {"fb": "facebook", "timm": "timm", "hf": "huggingface", "torchvision": "torchvision"}
    for key, shapes in tables.items():
        library, variant = key.split("/")
        naming = names[library]
        if library == "timm" and variant[3:] in ("atto", "femto", "pico", "nano"):
            naming = "timm_conv_mlp"
        ours = tables[f"fb/{variant}"]
        zeros = {k: np.broadcast_to(np.int8(0), shape) for k, shape in ours.items()}
        if sum(map(math.prod, ours.values())) > 1e8:  # a layout copies, and the names are the same
            zeros = {k: v for k, v in zeros.items() if "pwconv" not in k}
        found = rename(zeros, naming)
        expected = {k: s for k, s in shapes.items() if len(zeros) == len(ours) or k in found}
        assert {k: list(v.shape) for k, v in found.items()} == expected, key
        assert len(found) == len(zeros)
        assert recognise(found).naming.name == naming
