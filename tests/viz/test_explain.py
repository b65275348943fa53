"""Grad-CAM against its formula, receptive fields against kernels, and the pictures of them."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import models, nn, viz
from minigrad.data.transforms import resize
from minigrad.errors import GraphError, MinigradError
from minigrad.nn import functional as F
from minigrad.viz.svg import encode_png


class Net(nn.Module):
    """Two convolutions, the mean, a linear layer; and a layer that is never used."""

    def __init__(self) -> None:
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Conv2d(3, 5, 3, stride=2)
        self.head = nn.Linear(5, 4)
        self.idle = nn.Conv2d(2, 2, 1)

    def features(self, x: Any) -> Any:
        return F.gelu(self.second(self.drop(F.relu(self.first(x)))))

    def forward(self, x: Any) -> Any:
        return self.head(self.features(x).mean((2, 3)))


@pytest.fixture
def net() -> Net:
    mg.manual_seed(3)
    return Net().double()


def images(n: int = 3) -> mg.Tensor:
    return mg.randn(n, 2, 9, 11, dtype=mg.float64, generator=mg.Generator(0))


# --- Grad-CAM ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["first", "second"])
def test_grad_cam_is_its_formula(net: Net, layer: str) -> None:
    """Against the definition, written out with autograd alone."""
    x, targets = images(), [2, 0, 3]
    found = viz.grad_cam(net, x, targets, layer)

    net.eval()
    a = getattr(net, layer)(x if layer == "first" else F.relu(net.first(x)))
    hidden = F.gelu(a if layer == "second" else net.second(F.relu(a)))
    scores = net.head(hidden.mean((2, 3)))
    for i, target in enumerate(targets):
        (gradient,) = mg.autograd.grad(scores[i, target], a, retain_graph=True)
        alpha = gradient.numpy()[i].mean((1, 2))
        expected = np.maximum((alpha[:, None, None] * a.detach().numpy()[i]).sum(0), 0)
        np.testing.assert_allclose(found[i], expected, rtol=1e-6)
        assert expected.max() > 0


def test_pictures_may_come_as_arrays(net: Net) -> None:
    x = images()
    np.testing.assert_array_equal(viz.grad_cam(net, x.numpy(), layer="first"),
                                  viz.grad_cam(net, x, layer="first"))  # fmt: skip


def test_before_a_mean_and_a_linear_layer_it_is_the_class_activation_map() -> None:
    """There α is the head's weight over the number of positions (Zhou et al., 2016)."""
    mg.manual_seed(0)
    body = nn.Conv2d(1, 6, 3)
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    x = mg.randn(2, 1, 7, 7)
    maps, weight = body(x).detach().numpy(), model[3].weight.detach().numpy()
    expected = np.maximum(np.einsum("k,nkhw->nhw", weight[1], maps), 0) / 25
    np.testing.assert_allclose(viz.grad_cam(model, x, 1, "0"), expected, rtol=1e-4, atol=1e-7)


def test_grad_cam_leaves_the_model_as_it_was(net: Net) -> None:
    net.train()
    net.drop.eval()
    net.first.requires_grad_(False)
    with mg.no_grad():  # as in evaluation code
        first = viz.grad_cam(net, images(), layer="second")
        again = viz.grad_cam(net, images(), layer="second")
    np.testing.assert_array_equal(first, again)  # no dropout while it looks
    assert [m.training for m in net.modules()] == [True, True, False, True, True, True]
    assert not any(m._forward_hooks for m in net.modules())
    assert all(p.grad is None for p in net.parameters())
    guesses = net.eval()(images()).detach().numpy().argmax(1)
    np.testing.assert_array_equal(first, viz.grad_cam(net, images(), list(guesses), "second"))
    frozen = net.requires_grad_(False)
    np.testing.assert_array_equal(first, viz.grad_cam(frozen, images(), layer="second"))


def test_it_finds_the_half_that_decides() -> None:
    """A model trained to tell bright left from bright right looks there."""
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 0.1, (64, 1, 8, 16)).astype(np.float32), rng.integers(0, 2, 64)
    for i, side in enumerate(y):
        x[i, :, 2:6, 2 + 8 * side : 6 + 8 * side] += 1
    model = models.ConvNeXtV2(1, 2, (1,), (8,), patch_size=2, kernel_size=3)
    head = nn.Sequential(nn.Conv2d(8, 8, (4, 8)), nn.Flatten(), nn.Linear(8, 2))

    class Located(nn.Module):
        def __init__(self) -> None:
            self.stages, self.stem, self.head = model.stages, model.downsample_layers[0], head

        def forward(self, x: Any) -> Any:
            return self.head(self.stages[0](self.stem(x)))

    located = Located()
    optimizer = mg.optim.AdamW(located.parameters(), lr=5e-3)
    for _ in range(40):
        loss = F.cross_entropy(located(mg.tensor(x)), mg.tensor(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    cams = viz.grad_cam(located, mg.tensor(x), list(y))
    assert cams.shape == (64, 4, 8)
    halves = cams.reshape(64, 4, 2, 4).sum((1, 3))
    assert (halves[np.arange(64), y] > halves[np.arange(64), 1 - y]).mean() > 0.9


@pytest.mark.parametrize("kind", [models.ConvNeXt, models.ConvNeXtV2])
def test_grad_cam_of_convnext(kind: Any) -> None:
    mg.manual_seed(0)
    model = kind(1, 10, depths=(1, 1), dims=(8, 16), patch_size=2, head_init_scale=10.0)
    x = mg.randn(2, 1, 28, 20)
    assert viz.grad_cam(model, x).shape == (2, 7, 5)
    assert viz.grad_cam(model, x, layer="stages.0.0.dwconv").shape == (2, 14, 10)
    assert (viz.grad_cam(model, x, 3) >= 0).all()


@pytest.mark.parametrize(
    ("layer", "target", "message"),
    [
        ("secnd", None, "unknown module of Net 'secnd'; did you mean 'second'"),
        (None, None, "Net has no stages, so the layer must be named; its modules are first, drop"),
        ("head", None, r"grad_cam: the layer 'head' must give a map.*got \(3, 4\); name a stage"),
        ("idle", None, "grad_cam: the layer 'idle' has no part in the model's output"),
        ("second", 4, "grad_cam: classes are numbered 0 to 3, got 4"),
        ("second", [1, 2], "one class for each of 3 images"),
    ],
)
def test_refused_questions(net: Net, layer: Any, target: Any, message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        viz.grad_cam(net, images(), target, layer)
    assert not any(m._forward_hooks for m in net.modules())
    assert net.training


def test_a_model_without_scores_is_refused(net: Net) -> None:
    with pytest.raises(
        MinigradError, match=r"must give scores \(N, classes\), got \(3, 3, 9, 11\)"
    ):
        viz.grad_cam(nn.Sequential(net.first), images(), layer="0")


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", [models.UNet, models.AttentionUNet, models.UNetPlusPlus])
def test_grad_cam_of_a_segmentation(kind: Any, dims: int) -> None:
    mg.manual_seed(0)
    encoder = models.ConvNeXt(1, 0, (1, 1, 1), (4, 8, 8), patch_size=2, spatial_dims=dims)
    model = kind(encoder, num_classes=3, decoder_filters=(8, 8, 4), classifier_activation=None)
    x = mg.randn(2, 1, *[16] * dims)
    cam = viz.grad_cam(viz.ClassSums(model), x, 1)
    assert cam.shape == (2, *[2] * dims)  # of the encoder's last stage
    assert (cam >= 0).all()


def test_class_sums_count_where_the_class_is_seen() -> None:
    """Against its definition, and by numbers: class 2 is seen nowhere, so it counts everywhere."""
    scores = mg.tensor([[[5.0, 1.0, 7.0], [4.0, 2.0, 0.0], [1.0, 0.0, 3.0]]])
    sums = viz.ClassSums(nn.Identity())(scores)
    np.testing.assert_allclose(sums.numpy(), [[5 + 7, 2, 1 + 0 + 3]])
    with pytest.raises(MinigradError, match="scores must be"):
        viz.ClassSums(nn.Identity())(mg.ones(2, 3))


# --- Layer-CAM ---------------------------------------------------------------------------------


def layer_cam_by_hand(net: Net, x: Any, target: int, layer: str) -> Any:
    """Return the map of one image of the definition, written out with autograd alone."""
    a = net.first(x) if layer == "first" else net.second(F.relu(net.first(x)))
    hidden = F.gelu(net.second(F.relu(a)) if layer == "first" else a)
    (gradient,) = mg.autograd.grad(net.head(hidden.mean((2, 3)))[0, target], a)
    weighted = np.maximum(gradient.numpy()[0], 0) * a.detach().numpy()[0]
    return np.maximum(weighted.sum(0), 0)


def test_layer_cam_is_its_formula(net: Net) -> None:
    """Each layer alone, and both combined: scaled by tanh, to one size, the greatest counts."""
    x, targets = images(), [2, 0, 3]
    net.eval()
    fine, coarse = (
        np.stack([layer_cam_by_hand(net, x[i : i + 1], t, name) for i, t in enumerate(targets)])
        for name in ("first", "second")
    )
    assert fine.max() > 0
    assert coarse.max() > 0
    net.train()
    np.testing.assert_allclose(viz.layer_cam(net, x, targets, ["first"]), fine, rtol=1e-5)
    np.testing.assert_allclose(viz.layer_cam(net, x, targets, ["second"]), coarse, rtol=1e-5)
    maps = [np.tanh(2 * m / m.max((1, 2), keepdims=True)).astype(np.float32)
            for m in (fine, coarse)]  # fmt: skip
    expected = np.maximum(maps[0], resize(maps[1], (9, 11)))
    for names in (["first", "second"], ["second", "first"]):
        found = viz.layer_cam(net, x, targets, names)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    frozen = net.requires_grad_(False)
    np.testing.assert_array_equal(found, viz.layer_cam(frozen, x, targets, names))
    assert not any(m._forward_hooks for m in net.modules())


def test_refused_layer_cams(net: Net) -> None:
    for layers, message in (
        ([], "name one layer at least"),
        (["first", "idle"], "layer_cam: the layer 'idle' has no part in the model's output"),
        (["first", "head"], "layer_cam: the layer 'head' must give a map"),
        (None, "Net has no stages, so the layer must be named"),
    ):
        with pytest.raises(MinigradError, match=message):
            viz.layer_cam(net, images(), layers=layers)
        assert not any(m._forward_hooks for m in net.modules())
    parts = nn.Conv1d(1, 2, 3), nn.Conv1d(2, 2, 3), nn.Flatten(), nn.Linear(24, 2)
    line, x = nn.Sequential(*parts).double(), mg.ones(1, 1, 16, dtype=mg.float64)
    assert viz.layer_cam(line, x, layers=["0"]).shape == (1, 14)
    with pytest.raises(MinigradError, match="these have 1 spatial axes; name one layer"):
        viz.layer_cam(line, x, layers=["0", "1"])


# --- the effective receptive field -------------------------------------------------------------


@settings(max_examples=20)
@given(st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]), st.integers(1, 3), st.integers(1, 3))
def test_field_of_one_convolution_is_its_kernel(k: int, d: int, ins: int, outs: int) -> None:
    conv = nn.Conv2d(ins, outs, k, padding=d * (k // 2), dilation=d).double()
    field = viz.receptive_field(conv, (ins, 17, 15), samples=1)
    reach = d * (k // 2)
    support = np.zeros((17, 15), bool)
    support[8 - reach : 8 + reach + 1 : d, 7 - reach : 7 + reach + 1 : d] = True
    np.testing.assert_array_equal(field > 0, support)
    if outs == 1:  # a sign changes nothing
        window = np.abs(conv.weight.detach().numpy()[0]).sum(0)
        np.testing.assert_allclose(field[support].reshape(k, k), window, rtol=1e-6)


def test_field_of_convnext_v1_is_stem_and_kernel() -> None:
    mg.manual_seed(0)
    model = models.ConvNeXt(1, 3, depths=(1, 1), dims=(8, 8), patch_size=2, kernel_size=3)
    for p in model.parameters():
        if p.ndim > 1 or p is model.stages[0][0].gamma:
            p.data = mg.randn(*p.shape)
    field = viz.receptive_field(model, (1, 24, 24), "stages.0")
    support = np.zeros((24, 24), bool)
    support[10:16, 10:16] = True  # 3 × 3 patches of 2 × 2 around patch 6
    np.testing.assert_array_equal(field > 0, support)
    assert (viz.receptive_field(model, (1, 24, 24)) > 0).sum() > 36


def test_global_response_norm_sees_everything() -> None:
    """V2's norms over all positions connect every pixel with the middle."""
    mg.manual_seed(0)
    model = models.ConvNeXtV2(1, 3, depths=(1,), dims=(8,), patch_size=2, kernel_size=3)
    for p in model.parameters():
        p.data = mg.randn(*p.shape)
    assert (viz.receptive_field(model, (1, 12, 12)) > 0).all()


def test_field_is_repeatable_and_leaves_no_trace() -> None:
    mg.manual_seed(0)
    model = models.ConvNeXtV2(1, 3, depths=(1, 1), dims=(8, 8), patch_size=2, drop_path=0.5)
    state = mg.get_rng_state()
    first = viz.receptive_field(model, (1, 16, 16), samples=2)
    np.testing.assert_array_equal(first, viz.receptive_field(model, (1, 16, 16), samples=2))
    assert repr(mg.get_rng_state()) == repr(state)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())
    x = mg.randn(3, 1, 16, 16)
    assert viz.receptive_field(model, images=x).shape == (16, 16)
    line = nn.Conv1d(1, 1, 5, padding=2)
    assert (viz.receptive_field(line, (1, 11)) > 0).sum() == 5


def test_refused_fields(net: Net) -> None:
    with pytest.raises(MinigradError, match=r"the model must give a map.*got \(1, 4\)"):
        viz.receptive_field(net, (2, 9, 9), samples=1)
    with pytest.raises(MinigradError, match="did you mean 'second'"):
        viz.receptive_field(net, (2, 9, 9), "secand")
    with pytest.raises(GraphError, match="'idle' has no part in the model's output"):
        viz.receptive_field(net, (2, 9, 9), "idle", samples=1)
    with pytest.raises(MinigradError, match="samples must be 1 or more, got 0"):
        viz.receptive_field(net, (2, 9, 9), samples=0)
    with pytest.raises(MinigradError, match=r"share must lie in \(0, 1\], got 2"):
        viz.receptive_side(np.ones((3, 3)), 2)


def test_sides() -> None:
    dot = np.zeros((9, 9))
    dot[4, 4] = 1
    assert viz.receptive_side(dot, 1.0) == 1
    assert viz.receptive_side(np.ones((9, 9)), 25 / 81) == 5
    assert viz.receptive_side(np.ones((9, 9)), 26 / 81) == 7
    assert viz.receptive_side(np.ones((8, 8)), 1.0) == 8


# --- pictures ----------------------------------------------------------------------------------


def test_heat_goes_from_black_to_white() -> None:
    pixels = viz.heat(np.linspace(0, 1, 50)[None])[0].astype(int)
    assert pixels[0].tolist() == [0, 0, 0]
    assert pixels[-1].tolist() == [255, 255, 255]
    assert (np.diff(pixels.sum(1)) > 0).all()
    assert (viz.heat(np.zeros((2, 2))) == 0).all()


def test_overlay() -> None:
    image = np.random.default_rng(0).random((3, 32, 24)).astype(np.float32)
    plain = viz.overlay(image, np.zeros((4, 3)))
    grey = (255 * image.mean(0)).round()
    np.testing.assert_allclose(plain.astype(float), np.stack([grey] * 3, -1), atol=1)
    spot = np.zeros((4, 3))
    spot[0, 0] = 5
    changed = (viz.overlay(image, spot) != plain).any(-1)
    assert changed[:4, :4].all()
    assert not changed[16:].any()
    np.testing.assert_array_equal(viz.overlay(image, spot), viz.overlay(image, 7 * spot))
    for bad, message in ((spot - 1, "must not be negative"), (spot[0], r"\(H, W\), got \(3,\)")):
        with pytest.raises(MinigradError, match=message):
            viz.overlay(image, bad)
    with pytest.raises(MinigradError, match=r"must be \(1 or 3, H, W\), got \(2, 8, 8\)"):
        viz.overlay(np.zeros((2, 8, 8)), spot)
    with pytest.raises(MinigradError, match="strength must lie between 0 and 1, got 2"):
        viz.overlay(image, spot, 2)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_png(shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    viz.save_png(tmp_path / "a.png", pixels)
    raw = (tmp_path / "a.png").read_bytes()
    assert raw == encode_png(pixels)
    body = raw[raw.index(b"IDAT") + 4 : raw.index(b"IEND") - 8]
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(5, -1)
    assert (rows[:, 0] == 0).all()
    np.testing.assert_array_equal(rows[:, 1:].reshape(shape), pixels)
    pillow = pytest.importorskip("PIL.Image")
    np.testing.assert_array_equal(np.asarray(pillow.open(io.BytesIO(raw))), pixels)


def test_reconstructions() -> None:
    x = np.random.default_rng(0).random((3, 1, 8, 8)).astype(np.float32)
    hidden = x.copy()
    hidden[:, :, :4] = np.nan
    drawing = viz.reconstructions_svg({"image": x, "masked": hidden}, title="a & b")
    assert drawing.count("<image") == 6
    assert ">masked</text>" in drawing
    assert "a &amp; b" in drawing
    with pytest.raises(MinigradError, match="no row to draw"):
        viz.reconstructions_svg({})
    with pytest.raises(MinigradError, match=r"one shape \(N, 1 or 3, H, W\), got \[\(2, 1, 8, 8\)"):
        viz.reconstructions_svg({"a": x, "b": x[:2]})
