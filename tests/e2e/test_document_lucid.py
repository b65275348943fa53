"""Every code block of lucid's ConvNeXt page, as it is written with minigrad.

What changes: ``import lucid.models as models`` becomes ``import minigrad.compat.lucid as models``,
and ``lucid.random.randn`` becomes ``minigrad.randn``.
"""

from __future__ import annotations

import inspect

import pytest

import minigrad as mg
import minigrad.compat.lucid as models
from minigrad import nn


def test_class_signature() -> None:
    assert issubclass(models.ConvNeXt, nn.Module)
    parameters = inspect.signature(models.ConvNeXt.__init__).parameters
    names = ["num_classes", "depths", "dims", "drop_path", "layer_scale_init"]
    assert list(parameters)[1:6] == names
    assert [parameters[name].default for name in names] == [
        1000, (3, 3, 9, 3), (96, 192, 384, 768), 0.0, 1e-6,
    ]  # fmt: skip


def test_basic_example(capsys: pytest.CaptureFixture[str]) -> None:
    # Create ConvNeXt with default 1000 classes
    model = models.ConvNeXt(num_classes=1000)

    # Input tensor with shape (1, 3, 224, 224)
    input_ = mg.randn(1, 3, 224, 224)

    # Perform forward pass
    output = model(input_)

    print(output.shape)  # Shape: (1, 1000)
    assert capsys.readouterr().out == "(1, 1000)\n"
    assert model.count_params() == 28_589_128


def test_custom_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    # Create ConvNeXt with custom number of classes and configuration
    model = models.ConvNeXt(
        num_classes=10,
        depths=[2, 2, 6, 2],
        dims=[64, 128, 256, 512],
        drop_path=0.1,
        layer_scale_init=1e-5,
    )

    input_ = mg.randn(1, 3, 224, 224)

    output = model(input_)
    print(output.shape)  # Shape: (1, 10)
    assert capsys.readouterr().out == "(1, 10)\n"
    assert model.count_params() == 8_537_802
    assert model.stages[0][0].gamma.detach().numpy() == pytest.approx(1e-5)
    assert model.stages[3][1].drop_path.drop_prob == pytest.approx(0.1)


def test_the_pages_of_the_table_of_contents() -> None:
    with nn.init.skip_random():
        for name in ("tiny", "small", "base", "large", "xlarge"):
            assert isinstance(getattr(models, f"convnext_{name}")(), mg.models.ConvNeXt)
        for name in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge"):
            model = getattr(models, f"convnext_v2_{name}")(num_classes=3)
            assert isinstance(model, mg.models.ConvNeXtV2)
        assert models.ConvNeXt_V2(drop_path=0.2).stages[3][2].drop_path.drop_prob == 0.2
    assert {"convnext_tiny", "convnext_v2_huge"} <= set(models.get_model_names())
