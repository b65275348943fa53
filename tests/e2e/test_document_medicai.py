"""Every code block of medicai's ConvNeXt page, as it is written with minigrad.

What changes: ``from medicai.models import`` becomes ``from minigrad.compat.medicai import``.
"""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.models import ConvNeXtFeatures
from minigrad.nn.init import skip_random

CATALOG = """\
                  Model Registry Catalog
┏━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━┓
┃ Segmentor        ┃ Backbone Family ┃ Variants           ┃
┡━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━┩
│ • attention_unet │ convnext        │ • convnext_base    │
│ • unet           │                 │ • convnext_large   │
│ • unet_plus_plus │                 │ • convnext_small   │
│                  │                 │ • convnext_tiny    │
│                  │                 │ • convnext_xlarge  │
│                  │                 │ • convnextv2_atto  │
│                  │                 │ • convnextv2_base  │
│                  │                 │ • convnextv2_femto │
│                  │                 │ • convnextv2_huge  │
│                  │                 │ • convnextv2_large │
│                  │                 │ • convnextv2_nano  │
│                  │                 │ • convnextv2_pico  │
│                  │                 │ • convnextv2_small │
│                  │                 │ • convnextv2_tiny  │
└──────────────────┴─────────────────┴────────────────────┘
"""


def test_block_1_two_and_three_dimensions() -> None:
    from minigrad.compat.medicai import ConvNeXtTiny, ConvNeXtV2Atto

    # Build 2D model with convnext_tiny
    model = ConvNeXtTiny(input_shape=(224, 224, 3), num_classes=5, classifier_activation="sigmoid")
    chances = model.predict(np.zeros((1, 224, 224, 3), np.float32))
    assert chances.shape == (1, 5)
    assert ((chances > 0) & (chances < 1)).all()

    # Build 3D model with ConvNeXtV2Atto
    model = ConvNeXtV2Atto(input_shape=(96, 96, 96, 4), num_classes=3, classifier_activation=None)
    assert model.output_shape == (None, 3)
    assert model.count_params() == 4_206_443
    # Run at a third of the side: 2 cores are all that this test may ask for.
    model = ConvNeXtV2Atto(input_shape=(32, 32, 32, 4), num_classes=3, classifier_activation=None)
    assert model.predict(np.zeros((1, 32, 32, 32, 4), np.float32)).shape == (1, 3)


def test_block_2_the_feature_pyramid(capsys: pytest.CaptureFixture[str]) -> None:
    from minigrad.compat.medicai import ConvNeXtTiny, ConvNeXtV2Atto

    with skip_random():
        model = ConvNeXtTiny(input_shape=(96, 96, 96, 4), num_classes=3, classifier_activation=None)
    for name, output in model.pyramid_outputs.items():
        print(name, output)
    assert capsys.readouterr().out.splitlines() == [
        "P1 <KerasTensor shape=(None, 24, 24, 24, 96), dtype=float32>",
        "P2 <KerasTensor shape=(None, 12, 12, 12, 192), dtype=float32>",
        "P3 <KerasTensor shape=(None, 6, 6, 6, 384), dtype=float32>",
        "P4 <KerasTensor shape=(None, 3, 3, 3, 768), dtype=float32>",
    ]
    # The maps themselves, on a smaller model: keras.Model(model.input, model.pyramid_outputs)
    # there, ConvNeXtFeatures(model.net) here.
    small = ConvNeXtV2Atto(input_shape=(32, 32, 32, 1))
    maps = ConvNeXtFeatures(small.net)(mg.zeros(2, 1, 32, 32, 32))
    for found, output in zip(maps, small.pyramid_outputs.values(), strict=True):
        assert found.movedim(1, -1).shape[1:] == output.shape[1:]


def test_block_3_a_unet_over_convnext() -> None:
    from minigrad.compat.medicai import UNet

    options = {
        "num_classes": 3,
        "classifier_activation": "sigmoid",
        "encoder_depth": 4,
        "head_upsample": 2,  # Restores spatial output resolution
    }
    with skip_random():
        unet_convnext = UNet(encoder_name="convnext_tiny", input_shape=(96, 96, 96, 4), **options)
    assert repr(unet_convnext.output) == "<KerasTensor shape=(None, 96, 96, 96, 3), dtype=float32>"
    assert unet_convnext.count_params() / 1e6 == 43.644483

    # A mask comes out; atto and a third of the side, for 2 cores.
    small = UNet(encoder_name="convnextv2_atto", input_shape=(32, 32, 32, 4), **options)
    mask = small.predict(np.zeros((1, 32, 32, 32, 4), np.float32))
    assert mask.shape == (1, 32, 32, 32, 3)
    assert mask.dtype == np.float32


def test_block_4_the_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    from minigrad.compat import medicai

    print(medicai.list_models(family="convnext"))
    assert capsys.readouterr().out == CATALOG
    for segmentor in ("unet", "attention_unet", "unet_plus_plus"):
        model = medicai.create_model(
            segmentor, encoder_name="convnextv2_atto", encoder_depth=3, num_classes=2
        )
        assert model(mg.zeros(1, 3, 32, 32)).shape[:2] == (1, 2)
