"""Namings: told apart by the keys alone, also under wrappers' prefixes; and the refusals."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models
from minigrad.errors import DataError, OptionError
from minigrad.models.weights.describe import describe
from minigrad.models.weights.detect import recognise
from minigrad.models.weights.export import rename
from minigrad.models.weights.layout import Layout
from minigrad.models.weights.naming import Pattern
from minigrad.models.weights.tables import NAMINGS, named

GOLDEN = Path(__file__).parents[2] / "golden"
TINY: dict[str, Any] = {"depths": (1, 2), "dims": (8, 16), "num_classes": 3}
PREFIXES = ["", "module.", "model.", "_orig_mod.", "backbone.", "encoder.", "module._orig_mod."]
NAMES = ["facebook", "timm", "timm_conv_mlp", "torchvision", "huggingface", "keras", "keras_h5"]


def tiny(version: int = 1, **options: Any) -> Any:
    kind = models.ConvNeXt if version == 1 else models.ConvNeXtV2
    return kind(**TINY | options)


@pytest.mark.parametrize("naming", sorted({naming.name for naming in NAMINGS} - {"mednext"}))
@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_out_and_in(naming: str, version: int) -> None:
    """Every naming that has names for a model gives it back whole."""
    model = tiny(version, depths=(1, 1, 2, 1), dims=(8, 12, 16, 20), num_classes=0)
    if naming.startswith("fcmae"):
        model = models.FCMAE(tiny(2), decoder_embed_dim=4)
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    if version == 2 and not any(
        table.rows and not table.unwritable(["stages.0.0.grn.gamma"]) for table in named(naming)
    ):
        with pytest.raises(OptionError, match=rf"{naming}.*has no name for stages.0.0.grn"):
            models.export_state_dict(model, naming)
        return
    out = models.export_state_dict(model, naming)
    found = recognise(out)
    assert not found.unknown
    assert found.naming.name == naming or naming == "eupe"  # whose mark is what we leave out
    for name, array in found.weights.items():
        key = name if name in state else f"encoder.{name}"
        np.testing.assert_array_equal(array, state[key], err_msg=name)
    assert len(found.weights) == len(state)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("naming", NAMES)
def test_prefixes_of_wrappers(prefix: str, naming: str) -> None:
    weights = {prefix + k: v for k, v in models.export_state_dict(tiny(), naming).items()}
    if "keras" in naming and prefix:
        return  # files of Keras have no such wrappers
    found = recognise(weights | {"optimizer.step": np.ones(1)})
    assert found.naming.name == naming
    assert found.unknown == ["optimizer.step"]
    assert found.weights.keys() == tiny().state_dict().keys()


def test_detection_backbone_beside_a_decoder() -> None:
    """Facebook's segmentation checkpoints: norms of the maps, no head, other parts' weights."""
    state = {f"backbone.{k}": v for k, v in tiny(num_classes=0).state_dict().items()}
    state |= {"backbone.norm0.weight": mg.ones(8), "backbone.norm0.bias": mg.zeros(8)}
    state |= {"decode_head.conv_seg.weight": mg.ones(19, 8, 1, 1)}
    found = recognise(state)
    assert (found.naming.name, found.prefix) == ("facebook", "backbone.")
    assert "norm0.weight" in found.weights
    assert found.unknown == ["decode_head.conv_seg.weight"]


def test_open_clip() -> None:
    """The projection is a head without a bias; the text tower is left alone."""
    model = models.TimmConvNeXt(**TINY, head_hidden_size=12)
    trunk = {f"visual.trunk.{k}": v for k, v in models.export_state_dict(model).items()}
    weights = {k: v for k, v in trunk.items() if "trunk.head.fc" not in k and "pre_log" not in k}
    text = {"token_embedding.weight": np.ones((5, 4)), "logit_scale": np.ones(())}
    mlp = {
        "visual.head.mlp.fc1.weight": np.ones((12, 16)), "visual.head.mlp.fc1.bias": np.ones(12),
        "visual.head.mlp.fc2.weight": np.ones((3, 12)),
    }  # fmt: skip
    found, report = models.load_pretrained(None, weights | text | mlp)
    assert type(found) is models.TimmConvNeXt
    assert (report.naming, report.unexpected) == ("open_clip", tuple(text))
    assert not found.head.bias.numpy(force=True).any()
    assert set(models.export_state_dict(found, "open_clip")) == weights.keys() | mlp.keys()
    found.head.bias.data += 1.0
    with pytest.raises(OptionError, match=r"has no head\.bias, which must be zero"):
        models.export_state_dict(found, "open_clip")

    plain, report = models.load_pretrained(
        None, weights | {"visual.head.proj.weight": np.ones((3, 16))}
    )
    assert type(plain) is models.ConvNeXt
    assert plain.num_classes == 3
    out = models.export_state_dict(plain, "open_clip")
    assert [k for k in out if "visual.head" in k] == ["visual.head.proj.weight"]
    biased = out | {"visual.head.proj.bias": np.full(3, 2.0)}
    with_bias, _ = models.load_pretrained(None, biased, strict=True)
    np.testing.assert_array_equal(with_bias.head.bias.numpy(force=True), np.full(3, 2.0))


@pytest.mark.parametrize("which", ["v1", "v1_conv", "v2", "v2_conv"])
def test_mmpretrain(which: str) -> None:
    """Keys and shapes are those of its own code."""
    shapes = json.loads((GOLDEN / "mmpretrain.json").read_text())[which]
    model = tiny(
        1 + which.startswith("v2"), depths=(1, 1, 2, 1), dims=(8, 12, 16, 20), num_classes=10
    )
    weights = models.export_state_dict(model, "mmpretrain")
    assert weights.keys() == shapes.keys()
    there = {name: array.reshape(shapes[name]) for name, array in weights.items()}
    if "conv" not in which:
        assert {name: list(array.shape) for name, array in weights.items()} == shapes
    again, report = models.load_pretrained(None, there, strict=True)
    assert (report.naming, report.complete) == ("mmpretrain", True)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name].numpy(), value.numpy())


def test_maps_of_mmpretrain() -> None:
    """A backbone of four maps has a norm for each, and no head: the last is the classifier's."""
    shapes = json.loads((GOLDEN / "mmpretrain.json").read_text())["maps"]
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    model, report = models.load_pretrained(None, weights)
    assert (report.naming, model.num_classes, model.dims) == ("mmpretrain", 0, (8, 12, 16, 20))
    assert not report.missing
    assert set(report.unexpected) == {
        f"backbone.norm{i}.{leaf}" for i in range(3) for leaf in ("weight", "bias")
    }


@pytest.mark.parametrize("variant", ["v1_tiny", "v1_small", "v1_base"])
def test_detection_backbones_of_facebook(variant: str) -> None:
    """Of Mask R-CNN's and UPerNet's checkpoints: all keys of the trunk, a norm for each map."""
    sizes = json.loads(gzip.open(GOLDEN / "shapes.json.gz").read())[f"fb/{variant}"]
    trunk = {name: shape for name, shape in sizes.items() if not name.startswith(("norm", "head"))}
    dims = [trunk[f"stages.{i}.0.gamma"][0] for i in range(4)]
    trunk |= {f"norm{i}.{leaf}": [dims[i]] for i in range(4) for leaf in ("weight", "bias")}
    zeros = {f"backbone.{k}": np.broadcast_to(np.float32(0), shape) for k, shape in trunk.items()}
    others = {"decode_head.conv_seg.weight": np.ones((150, 512, 1, 1)), "neck.lateral": np.ones(1)}
    found = recognise({f"module.{k}": v for k, v in (zeros | others).items()})
    assert (found.naming.name, found.prefix) == ("facebook", "module.backbone.")
    assert {name: list(array.shape) for name, array in found.weights.items()} == trunk
    assert found.unknown == [f"module.{name}" for name in others]
    options = describe(found.weights)
    assert list(options["dims"]) == dims
    assert (options["num_classes"], sum(options["depths"])) == (0, 18 if "tiny" in variant else 36)


def test_a_detection_backbone_fills_an_encoder() -> None:
    source = tiny(depths=(1, 1, 2, 1), dims=(8, 12, 16, 20), num_classes=0)
    state = {name: value.numpy() for name, value in source.state_dict().items()}
    state = {f"backbone.{k}": v for k, v in state.items() if not k.startswith("norm.")}
    state |= {
        f"backbone.norm{i}.{leaf}": np.full(d, float(i))
        for i, d in enumerate((8, 12, 16, 20))
        for leaf in ("weight", "bias")
    }
    unet = models.UNet(tiny(depths=(1, 1, 2, 1), dims=(8, 12, 16, 20)), num_classes=2)
    _, report = models.load_pretrained(unet, state)
    assert sorted(report.loaded) == sorted(k.replace("backbone", "encoder") for k in state)
    assert not report.unexpected
    assert not [name for name in report.missing if name.startswith("encoder.")]
    np.testing.assert_array_equal(unet.encoder.norm3.weight.numpy(force=True), np.full(20, 3.0))


def test_eupe() -> None:
    """What is left of its training is no part of the model; its export is DINOv3's."""
    model = tiny(num_classes=0)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    rest = {"norms.0.weight": np.ones(8), "projectors.dino.mlp.0.weight": np.ones((4, 16))}
    again, report = models.load_pretrained(None, state | rest, strict=True)
    assert (report.naming, report.complete) == ("eupe", True)
    assert "non-commercial" in report.licence
    assert models.export_state_dict(again, "eupe").keys() == state.keys()


def test_keras_downloads_of_older_versions() -> None:
    """TensorFlow's suffixes, a shorter path, a layer scale that is counted otherwise."""
    weights = {}
    for key, array in models.export_state_dict(tiny(), "keras_h5", name="net").items():
        layer, leaf = key.split("/")[-2:]
        leaf = "Variable" if leaf.startswith("variable") else leaf
        weights[f"{layer}/{layer}/{leaf}:0"] = array
    found = recognise(weights)
    assert found.naming.name == "keras_h5"
    assert found.weights.keys() == tiny().state_dict().keys()


def test_keras_without_a_top() -> None:
    weights = models.export_state_dict(tiny(num_classes=0), "keras")
    weights["layers/normalization/vars/0"] = np.zeros(3)
    found = recognise(weights)
    assert not found.unknown
    assert found.weights.keys() == tiny(num_classes=0).state_dict().keys()


def test_unknown_names() -> None:
    with pytest.raises(DataError, match=r"no weights of a ConvNeXt: conv1\.weight, fc\.weight;"):
        recognise({"conv1.weight": np.ones(3), "fc.weight": np.ones(3)})
    with pytest.raises(DataError, match=r"no weights of a ConvNeXt: there are none"):
        recognise({})
    wrong = {k.replace("conv_dw", "conv_depth"): v
             for k, v in models.export_state_dict(tiny()).items()}  # fmt: skip
    with pytest.raises(
        DataError,
        match=r"nearest, 'timm', knows 33 of 39 keys.*stages\.0\.blocks\.0\.conv_depth\.weight"
        r".*is it stages\.\{i\}\.blocks\.\{j\}\.conv_dw\.\*\?",
    ):
        recognise(wrong)
    with pytest.raises(DataError, match=r"'model' is of type dict.*pass the state_dict itself"):
        recognise({"model": {"head.weight": np.ones(3)}})
    with pytest.raises(OptionError, match=r"unknown naming 'tim'; did you mean 'timm'"):
        rename(tiny().state_dict(), "tim")


def test_patterns_and_layouts() -> None:
    counted = Pattern("layers/dense{_2b+1}/vars/0")
    assert [counted.write({"b": b}) for b in (0, 4)] == [
        "layers/dense_1/vars/0", "layers/dense_9/vars/0",
    ]  # fmt: skip
    assert counted.read("layers/dense_9/vars/0") == {"b": 4}
    assert counted.read("layers/dense_8/vars/0") is None
    assert Pattern("a{_b}").read("a") == {"b": 0}
    assert Pattern("a{_b}").read("a_0") is None
    assert Pattern("a.{i-1}").read("a.0") == {"i": 1}
    kernel = np.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    sparse = Layout("o i h w = (w h) i o")
    assert sparse.to_theirs(kernel)[1 * 4 + 2, 2, 1] == kernel[1, 2, 2, 1]
    np.testing.assert_array_equal(sparse.to_ours(sparse.to_theirs(kernel)), kernel)
    assert Layout("o i * = * i o").to_theirs(np.zeros((8, 3, 2, 4, 5))).shape == (2, 4, 5, 3, 8)
    assert Layout("* c = c").to_theirs(np.zeros((1, 1, 1, 1, 6))).shape == (6,)
    assert not Layout("o i = o i 1 1").fits(np.zeros((8, 3, 2, 1)))
