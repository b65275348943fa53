"""The ten behaviours that are easy to forget, in the systems' own words; and their counts."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models, nn
from minigrad.compat import convnext, dl_techniques, edifice, keras, lucid, medicai
from minigrad.errors import DataError, MinigradError, OptionError, ShapeError
from minigrad.nn.init import skip_random

COUNTS = json.loads(
    (Path(__file__).resolve().parents[1] / "golden" / "param_counts.json").read_text()
)
SMALL: dict[str, Any] = {"depths": (1, 1), "dims": (4, 8)}


@pytest.mark.parametrize(
    "make",
    [
        lambda: medicai.ConvNeXtV2Atto(input_shape=(32, 32, 3), no_such_option=1),
        lambda: medicai.ConvNeXtBackbone(
            depths=(1,), projection_dims=(4,), input_shape=(8, 8, 3), no_such_option=1
        ),
        lambda: medicai.UNet(
            encoder_name="convnextv2_atto", input_shape=(32, 32, 3), no_such_option=1
        ),
        lambda: dl_techniques.create_convnext_v1("tiny", no_such_option=1),
        lambda: dl_techniques.ConvNeXtV2(no_such_option=1, **SMALL),
        lambda: lucid.ConvNeXt(no_such_option=1, **SMALL),
        lambda: lucid.convnext_v2_atto(no_such_option=1),
        lambda: edifice.build(no_such_option=1),
        lambda: edifice.output_size(no_such_option=1),
        lambda: models.create_model("convnext_tiny", no_such_option=1),
    ],
)
def test_1_unknown_arguments_raise(make: Any) -> None:
    with pytest.raises(OptionError, match="'no_such_option'"):
        make()


def test_1_no_system_swallows_drop_path_rate() -> None:
    for model in (
        medicai.ConvNeXtV2Atto(input_shape=(32, 32, 3), drop_path_rate=0.3).net,
        dl_techniques.create_convnext_v2("atto", drop_path_rate=0.3).net,
        lucid.convnext_v2_atto(drop_path_rate=0.3),
    ):
        assert model.stages[3][1].drop_path.drop_prob == pytest.approx(0.3)


@pytest.mark.parametrize("table", COUNTS["backbone_only_include_top_false"])
def test_2_totals_of_trunks(table: str) -> None:
    """Without top there is neither head nor last norm; the names say "1d_3ch" and the like."""
    dims, channels = int(table[0]), int(table.split("_")[1].removesuffix("ch"))
    with skip_random():
        for name, count in COUNTS["backbone_only_include_top_false"][table].items():
            model = convnext.named(name, include_top=False, spatial_dims=dims, in_channels=channels)
            assert model.count_params() == count, name


def test_2_totals_count_the_whole_encoder_and_the_norms_in_use() -> None:
    encoder = {"features_only": True, "in_channels": 1}
    with skip_random():
        every = models.create_model("convnextv2_atto", **encoder).count_params()
        two = models.create_model("convnextv2_atto", out_indices=(0, 1), **encoder).count_params()
    assert every - two == 2 * (160 + 320)


def test_2_examples_of_the_documents() -> None:
    found = COUNTS["seed_examples_official_reading"]
    with skip_random():
        pico = dl_techniques.create_convnext_v2("pico", 100, input_shape=(96, 96, 3))
        tiny = dl_techniques.create_convnext_v2("tiny", 10, input_shape=(32, 32, 3), strides=4)
        own = lucid.ConvNeXt(10, [2, 2, 6, 2], [64, 128, 256, 512])
        slip = lucid.ConvNeXt(1000, [3, 3, 27, 3], [96, 192, 364, 768])
        unet = medicai.UNet(
            encoder_name="convnext_tiny",
            input_shape=(96, 96, 96, 4),
            num_classes=3,
            encoder_depth=4,
            head_upsample=2,
        )
        assert {
            "001_pico_96_100cls": pico.count_params(),
            "001_tiny_v2_32_10cls_stem4": tiny.count_params(),
            "003_tiny_1000": edifice.build(num_classes=1000).count_params(),
            "003_tiny_no_head": edifice.build().count_params(),
            "002_tiny_1000": lucid.ConvNeXt().count_params(),
            "002_custom_2262_64_128_256_512_10cls": own.count_params(),
            "lucid_small_with_364_bug": slip.count_params(),
            "000_unet_3d": unet.count_params(),
        } == found


def test_3_pyramid_shapes_before_any_forward() -> None:
    with skip_random():
        model = medicai.ConvNeXtTiny(input_shape=(64, 96, 3))
    model.net.register_forward_pre_hook(lambda m, a: pytest.fail("a forward ran"))
    shapes = [output.shape for output in model.pyramid_outputs.values()]
    assert shapes == [(None, 16, 24, 96), (None, 8, 12, 192), (None, 4, 6, 384), (None, 2, 3, 768)]
    free = medicai.ConvNeXtV2Atto(input_shape=(None, None, 3)).pyramid_outputs
    assert free["P4"].shape == (None, None, None, 320)


@pytest.mark.parametrize(
    ("shape", "conv"),
    [((64, 2), nn.Conv1d), ((64, 32, 2), nn.Conv2d), ((32, 32, 32, 2), nn.Conv3d)],
)
def test_4_the_number_of_axes_selects_the_dimension(shape: tuple[int, ...], conv: Any) -> None:
    model = medicai.ConvNeXtV2Atto(input_shape=shape, num_classes=3)
    assert isinstance(model.net.downsample_layers[0][0], conv)
    assert model.name == f"ConvNeXtV2Atto{len(shape) - 1}D"
    assert model.predict(np.zeros((1, *shape), np.float32)).shape == (1, 3)


def test_5_depths_and_sides_that_do_not_fit() -> None:
    options: dict[str, Any] = {"encoder_name": "convnextv2_atto"}
    with pytest.raises(OptionError, match="P5"):
        medicai.UNet(input_shape=(64, 64, 3), encoder_depth=5, **options)
    with pytest.raises(ShapeError, match="divide by 32"):
        medicai.UNet(input_shape=(48, 64, 3), encoder_depth=4, **options)


def test_6_pretrained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, path = dl_techniques.create_convnext_v2, tmp_path / "w.safetensors"
    io.save(make("cifar10", 1000, input_shape=(32, 32, 3)).net.state_dict(), path)
    make("cifar10", 5, input_shape=(32, 32, 3), pretrained=path)
    assert "2 mismatched" in capsys.readouterr().out
    make("cifar10", 1000, input_shape=(32, 32, 3), pretrained=path)  # the file's own head: it fits
    assert capsys.readouterr().out == ""
    with pytest.raises(DataError):
        make("cifar10", pretrained=True)
    io.save({"a": mg.ones(1)}, path)
    with pytest.raises(DataError, match="no value fits"):
        make("cifar10", pretrained=path)


def test_7_training_by_names() -> None:
    """More of it in tests/compat/test_keras.py."""
    model = dl_techniques.ConvNeXtV1(num_classes=2, input_shape=(16, 16, 3), **SMALL)
    x, y = np.zeros((3, 16, 16, 3), np.float32), np.eye(2)[[0, 1, 1]]
    with pytest.warns(UserWarning, match="expects probabilities"):
        model.compile("sgd", "categorical_crossentropy", ["accuracy"])
    loss, accuracy = model.train_on_batch(x, y)
    assert loss == pytest.approx(np.log(2), rel=0.05)
    assert 0 <= accuracy <= 1
    model.net.train()
    assert model.predict(x, batch_size=2).shape == (3, 2)
    assert model.net.training


def test_8_mixed_precision() -> None:
    model = dl_techniques.ConvNeXtV2(num_classes=2, input_shape=(16, 16, 3), **SMALL)
    dtypes: dict[str, Any] = {}
    block = model.net.stages[0][0]
    block.pwconv1.register_forward_hook(lambda m, a, y: dtypes.update(product=y.dtype))
    block.grn.register_forward_hook(lambda m, a, y: dtypes.update(grn=y.dtype))
    model.register_forward_hook(lambda m, a, y: dtypes.update(output=y.dtype))
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model.compile("adamw", "cross_entropy")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    scale = model.trainer.scaler.get_scale()
    assert scale > 1
    x, y = np.ones((2, 16, 16, 3), np.float32), np.array([0, 1])
    assert np.isfinite(model.train_on_batch(x, y))
    assert (dtypes["product"], dtypes["grn"]) == (mg.float16, mg.float32)
    assert {p.dtype for p in model.parameters()} == {mg.float32}
    assert model.predict(x).dtype == np.float32


def test_9_whole_models(tmp_path: Path) -> None:
    model = dl_techniques.ConvNeXtV1(num_classes=2, input_shape=(16, 16, 3), **SMALL)
    model.compile("adamw", "cross_entropy")
    x, y = np.ones((2, 16, 16, 3), np.float32), np.array([0, 1])
    model.train_on_batch(x, y)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert [model.train_on_batch(x, y) for _ in range(3)] == [
        loaded.train_on_batch(x, y) for _ in range(3)
    ]


@pytest.mark.parametrize("classes", [0, None])
def test_10_feature_extraction(classes: int | None) -> None:
    x = np.zeros((2, 32, 32, 3), np.float32)
    shape = (32, 32, 3)
    top = medicai.ConvNeXtV2Atto(input_shape=shape, include_top=False)
    assert top.predict(x).shape == (2, 1, 1, 320) == (2, *top.output_shape[1:])
    for model in (
        medicai.ConvNeXtV2Atto(input_shape=shape, num_classes=classes),
        medicai.ConvNeXtV2Atto(input_shape=shape, include_top=False, pooling="avg"),
        medicai.ConvNeXtV2Atto(input_shape=shape, include_top=False, pooling="max"),
        dl_techniques.create_convnext_v2("atto", classes, input_shape=shape),
    ):
        assert model.predict(x).shape == (2, 320)
        assert model.output_shape == (None, 320)


def test_every_public_name_says_what_it_is() -> None:
    for module in (medicai, dl_techniques, lucid, edifice):
        for name in module.__all__:
            assert inspect.getdoc(getattr(module, name)), f"{module.__name__}.{name}"
    assert issubclass(OptionError, MinigradError)
