"""Exported weights load strictly into the libraries themselves, which then give our logits."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models
from minigrad.cli import main
from minigrad.models.weights.export import rename
from tests.parity.procedural import image, weights

SIZES: dict[str, Any] = {"depths": (1, 1, 2, 1), "dims": (8, 12, 16, 20), "num_classes": 10}


def library(name: str) -> Any:
    """Import a library; what it warns of is no fault of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if importlib.util.find_spec("torchvision"):  # others import it when it is there
            _complete_torchvision()
        return importlib.import_module(name)


def _complete_torchvision() -> None:
    """Declare the operators that a torchvision for CUDA lacks beside a PyTorch without."""
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        declared = torch.library.Library("torchvision", "DEF")
        declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _complete_torchvision.declared = declared  # type: ignore[attr-defined]  # keep it alive
        importlib.import_module("torchvision")


def ours(kind: Any = models.ConvNeXt, **options: Any) -> tuple[Any, Any, Any]:
    """Return a model with procedural weights, an input, and what comes out."""
    model = kind(**SIZES | options, dtype=mg.float64)
    model.load_state_dict(weights(model.state_dict()))
    x = image("x", (2, 3, 64, 64))
    with mg.no_grad():
        return model, x, model(mg.tensor(x)).numpy()


def load_strictly(module: Any, state: Any) -> Any:
    import torch

    module = module.double().eval()
    module.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=True)
    return module


def logits(module: Any, x: Any) -> Any:
    import torch

    with torch.no_grad():
        y = module(torch.from_numpy(x))
    return getattr(y, "logits", y).numpy()


TIMM: list[tuple[Any, str, dict[str, Any], dict[str, Any]]] = [
    (models.ConvNeXt, "timm", {}, {}),
    (models.ConvNeXtV2, "timm", {}, {}),
    (models.ConvNeXt, "timm_conv_mlp", {}, {"conv_mlp": True}),
    (models.ConvNeXtV2, "timm_conv_mlp", {}, {"conv_mlp": True}),
    *(
        (models.TimmConvNeXt, "timm", {key: value}, {key: value})
        for key, value in [
            ("stem_type", "overlap"),
            ("stem_type", "overlap_tiered"),
            ("stem_type", "overlap_act"),
            ("head_norm_first", True),
            ("head_hidden_size", 12),
            ("norm_layer", "simplenorm"),
            ("norm_layer", "rmsnorm"),
        ]
    ),
]


@pytest.mark.needs("torch", "timm")
@pytest.mark.parametrize(
    ("kind", "naming", "options", "theirs"),
    TIMM,
    ids=[f"{k.__name__}-{n}-{'-'.join(map(str, o.values()))}" for k, n, o, _ in TIMM],
)
def test_timm(kind: Any, naming: str, options: Any, theirs: Any) -> None:
    library("timm")
    from timm.models.convnext import ConvNeXt

    model, x, expected = ours(kind, **options)
    v2 = kind is models.ConvNeXtV2
    module = load_strictly(
        ConvNeXt(
            depths=SIZES["depths"], dims=SIZES["dims"], num_classes=10, use_grn=v2,
            ls_init_value=None if v2 else 1e-6, **theirs,
        ),
        models.export_state_dict(model, naming),
    )  # fmt: skip
    np.testing.assert_allclose(logits(module, x), expected, rtol=0, atol=1e-9)
    again, report = models.load_pretrained(None, module.state_dict(), strict=True, dtype=mg.float64)
    assert report.naming == naming
    if theirs.get("norm_layer") != "simplenorm":  # which its one size betrays, not its keys
        with mg.no_grad():
            np.testing.assert_allclose(again(mg.tensor(x)), expected, rtol=0, atol=1e-9)


@pytest.mark.needs("torch", "timm")
def test_sizes_of_timm() -> None:
    """Every named model has the keys and shapes that timm's has, and its own name's options."""
    timm = library("timm")
    import torch

    for name in models.list_models("convnext_timm"):
        with torch.device("meta"):
            theirs = timm.create_model(name, num_classes=3)
        if sum(p.numel() for p in theirs.parameters()) > 5e7:  # large_mlp and xxlarge
            continue
        with mg.nn.init.skip_random():
            model = models.create_model(name, num_classes=3)
        found = models.export_state_dict(model, "timm_conv_mlp")
        assert {k: v.shape for k, v in found.items()} == {
            k: tuple(v.shape) for k, v in theirs.state_dict().items()
        }, name


RENAMED: list[tuple[str, Any, dict[str, Any]]] = [
    ("facebook", models.ConvNeXt, {}),
    ("facebook", models.ConvNeXtV2, {}),
    ("dinov3", models.ConvNeXt, {"num_classes": 0}),
    ("eupe", models.ConvNeXt, {"num_classes": 0}),
    ("open_clip", models.ConvNeXt, {}),
    ("open_clip", models.TimmConvNeXt, {"head_hidden_size": 12}),
]


@pytest.mark.needs("torch", "timm")
@pytest.mark.parametrize(
    ("naming", "kind", "options"), RENAMED, ids=[f"{n}-{k.__name__}" for n, k, _ in RENAMED]
)
def test_timm_renames_as_we_do(naming: str, kind: Any, options: dict[str, Any]) -> None:
    """Its own reader of others' files gives what ours gives, key for key and bit for bit."""
    library("timm")
    import torch
    from timm.models.convnext import ConvNeXt, checkpoint_filter_fn

    model, x, _ = ours(kind, **options)
    if naming == "open_clip":
        model.head.bias.data = mg.zeros(10, dtype=mg.float64)  # it has none there
    with mg.no_grad():
        expected = model(mg.tensor(x)).numpy()
    v2 = kind is models.ConvNeXtV2
    hidden = {k: v for k, v in options.items() if k == "head_hidden_size"}
    module = ConvNeXt(
        depths=SIZES["depths"], dims=SIZES["dims"], num_classes=options.get("num_classes", 10),
        use_grn=v2, ls_init_value=None if v2 else 1e-6, **hidden,
    ).double().eval()  # fmt: skip
    theirs = models.export_state_dict(model, naming)
    if naming == "eupe":  # what training leaves in those files
        theirs |= {"norms.2.weight": np.ones(16), "projectors.0.1.weight": np.ones((4, 20))}
    if naming == "dinov3":  # timm drops the last norm's second name alone
        theirs |= {"norms.3.weight": theirs["norm.weight"], "norms.3.bias": theirs["norm.bias"]}
    renamed = checkpoint_filter_fn({k: torch.from_numpy(v) for k, v in theirs.items()}, module)
    found = rename(theirs, "timm")
    assert found.keys() == renamed.keys()
    for name, tensor in renamed.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), err_msg=name)
    load_strictly(module, found)
    np.testing.assert_allclose(logits(module, x), expected, rtol=0, atol=1e-9)
    _, report = models.load_pretrained(model, theirs, strict=True)
    assert report.naming == naming


@pytest.mark.needs("torch", "timm", "open_clip")
@pytest.mark.parametrize("proj", ["linear", "mlp"])
@pytest.mark.parametrize("bias", [False, True])
def test_open_clip(proj: str, bias: bool) -> None:
    """The image tower of CLIP: its weights come in, what goes out it takes strictly."""
    library("timm")
    open_clip = library("open_clip")
    import torch

    torch.manual_seed(0)
    tower = {"timm_model_name": "convnext_atto", "timm_pool": "", "timm_proj": proj,
             "timm_proj_bias": bias, "image_size": 64}  # fmt: skip
    text = {"context_length": 4, "vocab_size": 9, "width": 8, "heads": 1, "layers": 1}
    clip = open_clip.CLIP(12, tower, text).double().eval()
    weights = {k: v.numpy() for k, v in clip.state_dict().items()}
    model, report = models.load_pretrained(None, weights, dtype=mg.float64)
    assert report.naming == "open_clip"
    assert not report.missing
    assert not [name for name in report.unexpected if name.startswith("visual.")]
    x = image("x", (2, 3, 64, 64))
    with mg.no_grad(), torch.no_grad():
        expected = clip.encode_image(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(model(mg.tensor(x)), expected, rtol=0, atol=1e-9)
    if not bias:
        out = models.export_state_dict(model, "open_clip")
        found = {name.removeprefix("visual."): array for name, array in out.items()}
        tower = clip.visual.state_dict()  # whose linear layers are convolutions in this size
        assert found.keys() == tower.keys()
        for name, tensor in tower.items():
            np.testing.assert_array_equal(found[name].reshape(tensor.shape), tensor.numpy())


@pytest.mark.needs("torch", "torchvision")
def test_torchvision() -> None:
    library("torchvision")
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    model, x, expected = ours()
    stages = zip(SIZES["dims"], [*SIZES["dims"][1:], None], SIZES["depths"], strict=True)
    module = ConvNeXt([CNBlockConfig(*stage) for stage in stages], num_classes=10)
    load_strictly(module, models.export_state_dict(model, "torchvision"))
    np.testing.assert_allclose(logits(module, x), expected, rtol=0, atol=1e-9)


@pytest.mark.needs("torch", "transformers", "safetensors")
@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_transformers(version: int, tmp_path: Path) -> None:
    """A folder that it saved comes in with its own eps; what goes out it takes strictly."""
    transformers = library("transformers")
    kind = models.ConvNeXt if version == 1 else models.ConvNeXtV2
    name = "ConvNext" if version == 1 else "ConvNextV2"
    config = getattr(transformers, f"{name}Config")(
        depths=list(SIZES["depths"]), hidden_sizes=list(SIZES["dims"]), num_labels=10
    )
    model, x, _ = ours(kind)
    module = getattr(transformers, f"{name}ForImageClassification")(config)
    load_strictly(module, models.export_state_dict(model, "huggingface"))
    module.save_pretrained(tmp_path)
    again, report = models.load_pretrained(
        None, tmp_path / "model.safetensors", strict=True, dtype=mg.float64
    )
    assert report.naming == "huggingface"
    with mg.no_grad():
        np.testing.assert_allclose(again(mg.tensor(x)), logits(module, x), rtol=0, atol=1e-9)
    trunk = getattr(transformers, f"{name}Model")(config)
    assert models.load_pretrained(again, trunk.state_dict())[1].naming == "huggingface"


@pytest.mark.needs("torch", "transformers")
@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_backbones_of_transformers(version: int) -> None:
    """With a norm for each map, which are a U-Net's."""
    transformers = library("transformers")
    name = "ConvNext" if version == 1 else "ConvNextV2"
    config = getattr(transformers, f"{name}Config")(
        depths=list(SIZES["depths"]), hidden_sizes=list(SIZES["dims"]),
        out_features=[f"stage{i}" for i in (1, 2, 3, 4)],
    )  # fmt: skip
    module = getattr(transformers, f"{name}Backbone")(config)
    kind = models.ConvNeXt if version == 1 else models.ConvNeXtV2
    unet = models.UNet(kind(**SIZES), num_classes=2)
    _, report = models.load_pretrained(unet, module.state_dict())
    assert (report.naming, report.unexpected) == ("huggingface", ())
    assert not [each for each in report.missing if each.startswith("encoder.")]
    load_strictly(module, models.export_state_dict(unet, "huggingface"))


@pytest.mark.needs("torch", "transformers")
def test_dinov3_of_transformers() -> None:
    transformers = library("transformers")
    config = transformers.DINOv3ConvNextConfig(
        depths=list(SIZES["depths"]), hidden_sizes=list(SIZES["dims"])
    )
    model, x, expected = ours(num_classes=0)
    module = transformers.DINOv3ConvNextModel(config)
    load_strictly(module, models.export_state_dict(model, "dinov3_huggingface"))
    import torch

    with torch.no_grad():
        found = module(torch.from_numpy(x)).pooler_output.numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.needs("torch", "keras", "h5py")
def test_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "torch")
    library("keras")
    import h5py
    from keras.src.applications import convnext

    model, x, expected = ours()
    theirs = convnext.ConvNeXt(
        depths=list(SIZES["depths"]), projection_dims=list(SIZES["dims"]), weights=None,
        classes=10, input_shape=(64, 64, 3), include_preprocessing=False,
        classifier_activation=None, name="convnext_tiny",
    )  # fmt: skip
    file = tmp_path / "a.weights.h5"
    with h5py.File(file, "w") as out:
        for name, array in models.export_state_dict(model, "keras").items():
            out[name] = array
    theirs.load_weights(file)
    found = theirs(x.transpose(0, 2, 3, 1).astype(np.float32)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.mark.needs("torch", "keras", "h5py")
@pytest.mark.parametrize("naming", ["keras", "keras_h5"])
def test_a_converted_file_is_read_by_keras(
    naming: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `minigrad convert` writes, `load_weights` takes, of either kind."""
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "torch")
    library("keras")
    from keras.src.applications import convnext

    model, x, expected = ours()
    theirs = convnext.ConvNeXt(
        depths=list(SIZES["depths"]), projection_dims=list(SIZES["dims"]), weights=None,
        classes=10, input_shape=(64, 64, 3), include_preprocessing=False,
        classifier_activation=None, name="another_name",
    )  # fmt: skip
    io.save(model.state_dict(), tmp_path / "a.safetensors")
    out = tmp_path / ("b.weights.h5" if naming == "keras" else "b.h5")
    assert main(["convert", str(tmp_path / "a.safetensors"), str(out), "--to", naming]) == 0
    theirs.load_weights(out)
    found = theirs(x.transpose(0, 2, 3, 1).astype(np.float32)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.mark.needs("torch", "timm", "safetensors")
def test_a_file_of_ours_is_read_by_the_safetensors_library(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model, x, expected = ours()
    io.save_file(
        models.export_state_dict(model, "timm"), tmp_path / "a.safetensors", {"format": "pt"}
    )
    library("timm")
    from timm.models.convnext import ConvNeXt

    module = ConvNeXt(depths=SIZES["depths"], dims=SIZES["dims"], num_classes=10).double()
    module.load_state_dict(load_file(tmp_path / "a.safetensors"), strict=True)
    np.testing.assert_allclose(logits(module.eval(), x), expected, rtol=0, atol=1e-9)
