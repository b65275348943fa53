"""Weights made to fit: each rule on its definition, and in models of one to three axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import models
from minigrad.errors import MinigradError
from minigrad.models.weights.adapt import adapt, inflate, resize, with_channels

SMALL: dict[str, Any] = {"depths": (1, 1), "dims": (8, 16), "patch_size": 2, "dtype": mg.float64}


def array(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


@given(st.integers(1, 8), st.integers(1, 8), st.sampled_from(["repeat", "mean"]))
def test_channels_that_are_alike_give_what_they_gave(old: int, new: int, rule: str) -> None:
    weight = array(4, old, 3, 3)
    found = with_channels(weight, new, rule)
    assert found.shape == (4, new, 3, 3)
    if rule == "mean" or new % old == 0 or new == 1:
        np.testing.assert_allclose(found.sum(1), weight.sum(1), rtol=0, atol=1e-12)
    if rule == "repeat" and new > 1:
        np.testing.assert_allclose(found[:, new - 1], weight[:, (new - 1) % old] * old / new)


@given(st.integers(1, 7), st.sampled_from(["mean", "center"]))
def test_inflating_and_back_changes_nothing(length: int, rule: str) -> None:
    weight = array(3, 2, 5)
    up = inflate(weight, 3, (length, length), rule)
    assert up.shape == (3, 2, length, length, 5)
    np.testing.assert_allclose(inflate(up, 1, (), rule), weight, rtol=0, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_resize_keeps_constants_and_flips(old: int, new: int, axes: int) -> None:
    weight = array(2, 1, *(old,) * axes)
    found = resize(weight, (new,) * axes)
    assert found.shape == (2, 1, *(new,) * axes)
    np.testing.assert_allclose(resize(np.ones_like(weight), (new,) * axes), 1.0)
    np.testing.assert_allclose(resize(weight[..., ::-1], (new,) * axes), found[..., ::-1])
    if old == new:
        np.testing.assert_allclose(found, weight, rtol=0, atol=1e-15)


@pytest.mark.needs("torch")
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_resize_is_upkern(old: int, new: int, axes: int) -> None:
    import torch

    weight = array(4, 1, *(old,) * axes)
    mode = ("linear", "bilinear", "trilinear")[axes - 1]
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(weight), size=(new,) * axes, mode=mode
    )
    np.testing.assert_allclose(resize(weight, (new,) * axes), expected, rtol=0, atol=1e-12)


def test_upkern_of_the_kernels_in_a_model() -> None:
    """Every depthwise kernel of 3 becomes one of 5 by interpolation; all else stays."""
    small = models.ConvNeXt(kernel_size=3, num_classes=4, spatial_dims=3, **SMALL)
    large = models.ConvNeXt(kernel_size=5, num_classes=4, spatial_dims=3, **SMALL)
    _, report = models.load_pretrained(large, small.state_dict())
    assert set(report.adapted.values()) == {"kernel 3×3×3 → 5×5×5 (interpolated)"}
    assert set(report.adapted) == {k for k in small.state_dict() if k.endswith("dwconv.weight")}
    before, after = small.state_dict(), large.state_dict()
    for name, value in before.items():
        expected = value.numpy()
        if name in report.adapted:
            expected = resize(expected, (5, 5, 5))
        np.testing.assert_array_equal(after[name].numpy(), expected, err_msg=name)


@pytest.mark.parametrize("rule", ["mean", "center"])
@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
def test_a_constant_volume_has_the_features_of_the_image(rule: str, grn: bool) -> None:
    """Away from the border, where the kernels reach into the padding."""
    options = SMALL | {"grn": grn, "layer_scale_init_value": None if grn else 0.7}
    flat = models.ConvNeXt(num_classes=4, **options)
    for p in flat.parameters():
        p.data = p.data + 0.1 * mg.randn(*p.shape, dtype=mg.float64)
    volume, report = models.load_pretrained(
        models.ConvNeXt(num_classes=4, spatial_dims=3, **options), flat.state_dict(),
        inflation=rule,
    )  # fmt: skip
    assert set(report.adapted.values()) == {f"2-D → 3-D ({rule})"}
    x = mg.randn(1, 3, 16, 16, dtype=mg.float64)
    deep = x[:, :, None].expand(1, 3, 64, 16, 16)
    with mg.no_grad():
        expected = flat.downsample_layers[0](x).numpy()
        found = volume.downsample_layers[0](deep).numpy()
        np.testing.assert_allclose(found[:, :, 16], expected, rtol=0, atol=1e-12)
        expected = flat.forward_features(x).numpy()
        found = volume.forward_features(deep).numpy()
    everywhere = rule == "center"  # a kernel in the middle of zeros never sees the padding
    exact = 1e-5 if grn else 1e-12  # the eps of its norm counts less over more positions
    if everywhere or not grn:  # GRN's norm is one over all positions, those at the border too
        np.testing.assert_allclose(found[:, :, 8], expected, rtol=0, atol=exact)
    at_the_border = np.abs(found[:, :, 0] - expected).max()
    assert at_the_border < exact if everywhere else at_the_border > 1e-3


def test_grn_of_a_constant_volume_is_that_of_the_image() -> None:
    flat, deep = mg.nn.GRN(8, dtype=mg.float64), mg.nn.GRN(8, spatial_dims=3, dtype=mg.float64)
    gamma = mg.randn(8, dtype=mg.float64)
    for layer in (flat, deep):
        layer.gamma.data = gamma.reshape(layer.gamma.shape)
    x = mg.randn(2, 4, 4, 8, dtype=mg.float64)
    y = deep(x[:, None].expand(2, 5, 4, 4, 8))
    np.testing.assert_allclose(y.detach()[:, 2], flat(x).detach(), rtol=0, atol=1e-5)


def test_an_image_model_becomes_one_of_signals() -> None:
    """Its kernels' sum over the height: what they do to an image that is constant along it."""
    flat = models.ConvNeXt(num_classes=4, layer_scale_init_value=0.7, **SMALL)
    signal, report = models.load_pretrained(
        models.ConvNeXt(num_classes=4, spatial_dims=1, layer_scale_init_value=0.7, **SMALL),
        flat.state_dict(),
    )
    assert report.complete
    x = mg.randn(1, 3, 32, dtype=mg.float64)
    with mg.no_grad():
        expected = flat.forward_features(x[:, :, None].expand(1, 3, 64, 32))[:, :, 8]
        np.testing.assert_allclose(signal.forward_features(x), expected, rtol=0, atol=1e-12)


def test_a_grey_picture_is_what_it_was_as_rgb() -> None:
    colour = models.ConvNeXt(3, 4, **SMALL)
    grey, report = models.load_pretrained(models.ConvNeXt(1, 4, **SMALL), colour.state_dict())
    assert list(report.adapted.values()) == ["3 → 1 input channels (repeat)"]
    x = mg.randn(2, 1, 16, 16, dtype=mg.float64)
    with mg.no_grad():
        expected = colour(x.expand(2, 3, 16, 16))
        np.testing.assert_allclose(grey(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [((8, 4), (8, 5)), ((8, 3, 4, 4), (9, 3, 4, 4)), ((8,), (9,)), ((8, 4), (8, 4, 3, 3))],
)
def test_what_no_rule_mends(found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    assert adapt(np.zeros(found), wanted) is None


def test_rules_that_do_not_exist() -> None:
    with pytest.raises(MinigradError, match=r"unknown rule for channels 'sum'"):
        with_channels(np.zeros((1, 3, 1)), 1, "sum")
    with pytest.raises(MinigradError, match=r"unknown inflation 'centre'; did you mean 'center'"):
        inflate(np.zeros((1, 3, 1)), 2, (), "centre")
