"""Sliding windows: the direct result where it must be, little memory, files in and out."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.models import sliding_window as sw
from minigrad.models import sliding_window_inference

RNG = np.random.default_rng(0)


def pointwise(x: mg.Tensor) -> mg.Tensor:
    return mg.cat([x * 2.0, (x * x).sum(1, keepdim=True) - 1.0], 1)


@pytest.mark.parametrize("mode", sw.MODES)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("shape", "roi", "overlap"),
    [
        ((2, 3, 37), 8, 0.25),
        ((2, 3, 21, 30), (8, 7), (0.5, 0.0)),
        ((1, 2, 11, 12, 13), (4, None, 6), 0.6),
        ((1, 1, 5, 40), 16, 0.25),  # a window longer than the image
        ((1, 1, 8, 8), 8, 0.9),
        ((1, 1, 3, 4, 3, 4), 2, 0.5),  # four axes
    ],
)
def test_a_pointwise_predictor_gives_the_direct_result(
    shape: Any, roi: Any, overlap: Any, mode: str, batch: int
) -> None:
    x = RNG.standard_normal(shape)
    y = sliding_window_inference(x, roi, pointwise, overlap, mode, batch)
    np.testing.assert_allclose(y, pointwise(mg.Tensor(x)).numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", sw.MODES)
@pytest.mark.parametrize(("length", "side"), [(37, 8), (8, 8), (5, 9), (64, 3)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.99])
def test_windows_cover_an_axis_and_weigh_one(
    length: int, side: int, overlap: float, mode: str
) -> None:
    axis = sw._axis(length, side, overlap, sw._profile(mode, side, 0.125))
    total = np.zeros(length)
    for i in range(len(axis.starts)):
        place = sw._place(axis, i)
        assert place.image.stop - place.image.start == len(place.weight)
        total[place.image] += place.weight
    np.testing.assert_allclose(total, 1.0)
    if mode != "constant" and side < length and overlap:
        assert axis.weights[0][side - 1] < axis.weights[0][side // 2]


def test_a_module_is_in_evaluation_mode_and_records_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Dropout(0.5), nn.BatchNorm2d(2))
    seen = []
    model[1].register_forward_hook(lambda m, a, y: seen.append((m.training, y.requires_grad)))
    x = mg.randn(1, 1, 20, 20)
    y = sliding_window_inference(x, (20, 8), model, 0.5, batch=2)
    assert isinstance(y, mg.Tensor)
    assert y.shape == (1, 2, 20, 20)
    assert set(seen) == {(False, False)}
    assert model.training
    assert model[2].num_batches_tracked.item() == 0
    whole = sliding_window_inference(x, None, model.eval())
    np.testing.assert_allclose(whole.numpy(), model(x).numpy(force=True), rtol=1e-6)
    inner = slice(1, 7)  # where no window's rim is seen
    np.testing.assert_allclose(
        sliding_window_inference(x, (20, 8), model, 0.0).numpy()[..., inner],
        model(x).numpy(force=True)[..., inner],
        atol=1e-5,
    )


def test_integers_and_halves_reach_a_model_in_its_type() -> None:
    model = nn.Conv1d(1, 1, 1)
    for dtype in (np.uint8, np.float16, np.float64):
        y = sliding_window_inference(np.ones((1, 1, 9), dtype), 4, model)
        assert y.dtype == np.float32
    assert (
        sliding_window_inference(np.ones((1, 1, 9), np.int16), 4, lambda x: x).dtype == np.float32
    )


def test_pad_mode_fills_what_the_image_lacks() -> None:
    x = RNG.random((1, 1, 5))
    seen = []
    sliding_window_inference(x, 9, lambda w: seen.append(w.numpy()) or w, pad_mode="reflect")
    np.testing.assert_array_equal(seen[0][0, 0], np.pad(x[0, 0], 2, mode="reflect"))


def test_files_in_and_out_with_little_memory(tmp_path: Path) -> None:
    """A volume of 64 MB from file to file, while 6 windows of 0.5 MB are in memory."""
    shape = (1, 1, 256, 256, 256)
    source = np.memmap(tmp_path / "in", np.float32, "w+", shape=shape)
    source[0, 0, ::32] = RNG.random((8, 256, 256), np.float32)
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=shape)
    out[0, 0, 3] = 7.0  # what was there before does not count
    tracemalloc.start()
    result = sliding_window_inference(source, 64, lambda x: x * 2.0, 0.0, "constant", 2, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result is out
    assert peak < 12e6
    np.testing.assert_allclose(out[0, 0, ::32], 2 * source[0, 0, ::32], rtol=1e-6)
    assert float(np.abs(out[0, 0, 3]).max()) == 0.0


X = np.zeros((1, 1, 8, 8), np.float32)
WRONG: list[Any] = [
    (lambda: sliding_window_inference(X[0, 0], 4, abs), ShapeError, r"inputs\[None\]"),
    (lambda: sliding_window_inference(X[:0], 4, abs), ShapeError, "not empty"),
    (lambda: sliding_window_inference(X, (4, 4, 4), abs), OptionError, r"2 of them .*\(8, 8\)"),
    (lambda: sliding_window_inference(X, 0, abs), OptionError, "positive integer"),
    (lambda: sliding_window_inference(X, 4.0, abs), OptionError, "positive integer"),
    (lambda: sliding_window_inference(X, 4, abs, 1.0), OptionError, r"overlap .*\[0, 1\)"),
    (lambda: sliding_window_inference(X, 4, abs, mode="gauss"), OptionError, "'gaussian'"),
    (lambda: sliding_window_inference(X, 4, abs, batch=0), OptionError, "batch must be 1"),
    (lambda: sliding_window_inference(X, 4, abs, sigma_scale=0), OptionError, "sigma_scale"),
    (
        lambda: sliding_window_inference(X, 4, lambda x: x[..., 1:]),
        ShapeError,
        r"keep their number and their sides \(4, 4\)",
    ),
    (lambda: sliding_window_inference(X, 4, lambda x: x > 0), DTypeError, "take argmax"),
    (lambda: sliding_window_inference(X, 4, abs, out=X[0]), ShapeError, r"\(1, 1, 8, 8\), got"),
    (lambda: sliding_window_inference(X, 4, abs, out=X > 0), ShapeError, "floating"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


# --- a model in tiles ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", sw.MODES)
def test_tiles_say_what_the_whole_says_away_from_their_rims(mode: str) -> None:
    """The model looks 2 positions far, tiles overlap by 8: what two tiles see whole is the same."""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 3, 3, padding=1))
    x = mg.randn(2, 1, 40, 16)
    whole = mg.softmax(model.eval()(x), 1).numpy(force=True)
    said = mg.models.Tiled(model, 16, 0.5, mode, batch=3).eval()(x).exp().numpy()
    near = np.abs(said - whole).max((0, 1, 3)) < 1e-6
    rims = np.array([8, 16, 24, 32])  # where a tile begins or ends within the picture
    far = np.abs(np.arange(40)[:, None] + 0.5 - rims).min(1) > 2
    assert near[far].all()
    assert not near.all()  # zeros beyond a rim are no picture
    assert np.abs(said - whole).max() < 0.2
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-5)


def test_what_fits_into_a_tile_is_not_cut() -> None:
    class Whole(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            assert x.shape == (1, 1, 5, 6, 7)
            return mg.cat([x, x - x.mean()], 1)

    model, x = Whole(), mg.randn(1, 1, 5, 6, 7)
    tiled = mg.models.Tiled(model, (8, 8, 8))
    np.testing.assert_allclose(tiled(x).numpy(), mg.log_softmax(model(x), 1).numpy(), atol=1e-6)
    for wrong, message in (
        ({"tile": 0}, "sides of 1 or more"),
        ({"tile": 2.5}, "sides of 1 or more"),
        ({"tile": "16"}, "sides of 1 or more"),
        ({"tile": 8, "overlap": 1.0}, r"overlap must lie in \[0, 1\)"),
        ({"tile": 8, "overlap": "much"}, r"overlap must lie in \[0, 1\)"),
        ({"tile": 8, "mode": "hanning"}, "did you mean 'hann'"),
        ({"tile": 8, "batch": 0}, "batch must be 1 or more"),
    ):
        with pytest.raises(OptionError, match=message):
            mg.models.Tiled(model, **wrong)
    with pytest.raises(OptionError, match=r"tile of 2 sides for an input of shape \(1, 1, 5"):
        mg.models.Tiled(model, (8, 8))(x)
