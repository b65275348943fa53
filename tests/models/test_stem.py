"""Small inputs: stem and downsamplings adapt, widths stay."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.models.stem import layout


@pytest.mark.parametrize(
    ("side", "stem", "reductions"),
    [
        (8, (3, 1, 1), [1, 2, 4, 4]),
        (28, (3, 1, 1), [1, 2, 4, 8]),
        (32, (3, 1, 1), [1, 2, 4, 8]),
        (63, (3, 1, 1), [1, 2, 4, 8]),
        (64, (4, 2, 1), [2, 4, 8, 16]),
        (127, (4, 2, 1), [2, 4, 8, 16]),
        (128, (4, 4, 0), [4, 8, 16, 32]),
        (224, (4, 4, 0), [4, 8, 16, 32]),
    ],
)
def test_the_documented_rule_for_small_inputs(
    side: int, stem: tuple[int, ...], reductions: list[int]
) -> None:
    with nn.init.skip_random():
        model = models.convnextv2_atto(stem="auto", input_size=(side, side + 100))
    conv = model.downsample_layers[0][0]
    assert (conv.kernel_size[0], conv.stride[0], conv.padding[0]) == stem
    assert model.feature_info.reduction() == reductions
    assert model.dims == (40, 80, 160, 320)
    last = model.pyramid_shapes((3, side, side))["P4"]
    assert min(last[1:]) >= 2
    if side >= 128:
        assert model.downsample_layers[1][1].kernel_size == (2, 2)


def test_a_small_input_goes_through_and_its_shapes_are_foretold() -> None:
    model = models.ConvNeXtV2(1, 4, (1, 1, 1, 1), (4, 4, 8, 8), stem="auto", input_size=9)
    x = mg.randn(2, 1, 9, 11)
    maps = model.forward_pyramid(x)
    assert {k: v.shape[1:] for k, v in maps.items()} == model.pyramid_shapes((1, 9, 11))
    assert [patch.kernel_size for patch in layout(4, stem="auto", input_size=9)] == [3, 2, 2, 1]
    assert model(x).shape == (2, 4)
