"""Every code block of Edifice's ConvNeXt page, as it is written with minigrad.

Elixir's options become keyword arguments: ``image_size: 224`` is ``image_size=224``.
"""

from __future__ import annotations

import inspect

import pytest

import minigrad as mg
import minigrad.compat.edifice as ConvNeXt
from minigrad import models, nn


def test_usage() -> None:
    # ConvNeXt-Tiny
    model = ConvNeXt.build(
        image_size=224,
        in_channels=3,
        depths=[3, 3, 9, 3],
        dims=[96, 192, 384, 768],
        num_classes=1000,
    )
    assert model.count_params() == 28_589_128
    assert model(mg.zeros(1, 3, 224, 224)).shape == (1, 1000)


def test_architecture() -> None:
    """Both drawings: shapes after each step, and the block's order."""
    model = ConvNeXt.build(image_size=64, depths=[1, 1, 1, 1], dims=[4, 8, 12, 16])
    shapes: list[tuple[int, ...]] = []
    for module in [*model.downsample_layers, *model.stages, model.norm]:
        module.register_forward_hook(lambda m, a, y: shapes.append(y.shape))
    model(mg.zeros(2, 3, 64, 64))
    sides = [(4, 16), (8, 8), (12, 4), (16, 2)]
    expected = [(2, c, s, s) for c, s in sides for _ in range(2)]
    assert shapes == [*expected, (2, 16)]
    block = model.stages[0][0]
    names = [name for name, _ in block.named_children()]
    assert names == ["dwconv", "norm", "pwconv1", "grn", "pwconv2", "drop_path"]
    assert isinstance(block.grn, nn.Identity)
    assert block.dwconv.kernel_size == (7, 7)
    assert block.pwconv1.weight.shape == (16, 4)
    assert block.gamma.shape == (4,)


def test_options_and_their_defaults() -> None:
    parameters = inspect.signature(ConvNeXt.build).parameters
    defaults = {k: p.default for k, p in parameters.items() if k != "architecture"}
    assert defaults == {
        "image_size": 224,
        "patch_size": 4,
        "in_channels": 3,
        "depths": (3, 3, 9, 3),
        "dims": (96, 192, 384, 768),
        "dropout": 0.0,
        "layer_scale_init": 1e-6,
        "num_classes": None,
    }
    model = ConvNeXt.build(depths=[1, 1], dims=[4, 8], patch_size=2, dropout=0.5, num_classes=3)
    assert model.reduction == 4
    assert model.head_dropout.p == 0.5
    assert isinstance(model, models.ConvNeXt)


def test_returns() -> None:
    x = mg.zeros(2, 3, 32, 32)
    sizes = {"depths": [1, 1], "dims": [4, 8]}
    assert ConvNeXt.build(**sizes)(x).shape == (2, 8)
    assert ConvNeXt.build(**sizes, num_classes=5)(x).shape == (2, 5)


@pytest.mark.parametrize("options", [{}, {"num_classes": 7}, {"dims": [4, 8], "depths": [1, 1]}])
def test_output_size(options: dict[str, object]) -> None:
    with nn.init.skip_random():
        model = ConvNeXt.build(**options)
    assert ConvNeXt.output_size(**options) == (model.num_classes or model.dims[-1])


def test_the_registry() -> None:
    """``Edifice.build(:convnext, opts)``."""
    model = ConvNeXt.build("convnext", depths=[1], dims=[4])
    assert model(mg.zeros(1, 3, 8, 8)).shape == (1, 4)
