"""Signals: MNIST-1D, reading from files, training and predicting from the command line."""

from __future__ import annotations

import random
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import cli
from minigrad.data import load_split, mnist1d, read_signal, signals
from minigrad.errors import DataError, MissingExtra, OptionError
from minigrad.runs import TrainConfig, prepare
from minigrad.viz import predictions_svg


def make_dataset(args: Any) -> dict[str, Any]:
    """Stand in for the package: seeds the global generators as it does."""
    random.seed(42)
    np.random.seed(42)
    y = np.arange(120) % 10
    x = np.sin((y[:, None] + 1) * np.arange(40) / 4) + 0.1 * np.random.randn(120, 40)
    return {"x": x[:100], "y": y[:100], "x_test": x[100:], "y_test": y[100:]}


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    data = types.ModuleType("mnist1d.data")
    data.make_dataset = make_dataset  # type: ignore[attr-defined]
    data.get_dataset_args = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mnist1d", types.ModuleType("mnist1d"))
    monkeypatch.setitem(sys.modules, "mnist1d.data", data)
    monkeypatch.setattr(signals, "find_spec", lambda name: name)
    signals._all.cache_clear()
    yield
    signals._all.cache_clear()


@pytest.mark.usefixtures("package")
def test_the_data_and_the_random_numbers_of_others() -> None:
    np.random.seed(7)
    random.seed(7)
    before = np.random.get_state()[1].tolist(), random.getstate()
    train, test = mnist1d(train=True), mnist1d(train=False)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before
    assert (len(train), len(test)) == (100, 20)
    signal, label = test[3]
    assert (signal.shape, signal.dtype, label) == ((1, 40), np.float32, 3)
    split = load_split("mnist1d")
    assert (split.spec.channels, split.spec.size, split.spec.spatial_dims) == (1, 40, 1)
    assert signals.find_mnist1d() == "computed by the package mnist1d"


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mnist1d", None)
    signals._all.cache_clear()
    with pytest.raises(MissingExtra, match=r"mnist1d is not installed; .*minigrad\[signals\]"):
        mnist1d()
    monkeypatch.setattr(signals, "find_spec", lambda name: None)
    assert signals.find_mnist1d() is None


def test_the_real_package_has_the_papers_sizes() -> None:
    pytest.importorskip("mnist1d")
    train, test = mnist1d(), mnist1d(train=False)
    assert (len(train), len(test)) == (4000, 1000)
    x = np.stack([train[i][0] for i in range(4000)])
    assert abs(x.mean()) < 0.01
    assert abs(x.std() - 1) < 0.01
    assert [test[i][1] for i in range(6)] == [2, 6, 3, 9, 4, 3]


@pytest.mark.usefixtures("package")
def test_from_training_to_predicting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "train --data mnist1d --epochs 30 --batch-size 20 --depths 1 --dims 32"
    assert cli.main(words.split()) == 0
    assert "accuracy on 20 held-out images: 100.00 %" in capsys.readouterr().out
    (sheet,) = tmp_path.rglob("predictions.svg")
    assert sheet.read_text().count("<polyline") == 20
    signal, label = mnist1d(train=False)[4]
    np.save("signal.npy", signal[0])
    assert cli.main(["predict", "signal.npy", "--top", "1"]) == 0
    assert capsys.readouterr().out.startswith(f"signal.npy: {label} ")
    np.save("short.npy", signal[0, :30])
    assert cli.main(["predict", "short.npy"]) == 2
    assert "the model takes signals of shape (1, 40)" in capsys.readouterr().err


@pytest.mark.usefixtures("package")
def test_signals_are_not_scaled() -> None:
    with pytest.raises(OptionError, match="signals keep their length of 40: leave it out"):
        prepare(TrainConfig.from_values({"data": "mnist1d", "image_size": 32}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 40)), r"shape \(1, 40\), this is float64 of \(2, 40\)"),
        (np.array(["a"] * 40), "element type is '<U1'"),
    ],
)
def test_files_that_are_no_such_signal(tmp_path: Path, values: Any, message: str) -> None:
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(DataError, match=message):
        read_signal(tmp_path / "x.npy", 1, 40)
    with pytest.raises(DataError, match=r"none\.npy: cannot be read .*check the path"):
        read_signal(tmp_path / "none.npy", 1, 40)
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(DataError, match="array of numbers"):
        read_signal(tmp_path / "text.npy", 1, 40)


def test_a_drawing_has_a_curve_for_every_channel() -> None:
    drawing = predictions_svg(np.random.default_rng(0).normal(size=(3, 2, 9)), [0, 1, 2], [0, 1, 1])
    assert drawing.count("<polyline") == 6
    assert drawing.count("not 2") == 1
    assert predictions_svg(np.zeros((1, 1, 5)), [0], [0]).count("<polyline") == 1
