"""``minigrad predict --weights``: pictures shown to weights of any library."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models
from minigrad.cli import main
from minigrad.data import read_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a checkpoint as a hub has it, and a picture in the folder beside it."""
    model = models.ConvNeXt(num_classes=2, depths=(1, 1), dims=(8, 16))
    mg.random.manual_seed(0)
    mg.nn.init.normal_(model.head.weight)
    at = tmp_path / "hub"
    at.mkdir()
    io.save_file(models.export_state_dict(model, "huggingface"), at / "model.safetensors")
    (at / "config.json").write_text(json.dumps({"id2label": {"0": "cat", "1": "dog"}}))
    own = {"size": {"height": 32, "width": 32}, "resample": 2}
    (at / "preprocessor_config.json").write_text(json.dumps(own))
    pixels = np.random.default_rng(0).random((3, 40, 50), np.float32)
    np.save(tmp_path / "photo.npy", pixels)
    return tmp_path


def test_the_label_is_that_of_the_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, hub = str(folder / "photo.npy"), str(folder / "hub")
    assert main(["predict", photo, "--weights", hub, "--top", "2"]) == 0
    said = capsys.readouterr().out
    model, report = models.load_pretrained(None, hub)
    assert report.preprocessing is not None
    with mg.no_grad():
        x = mg.tensor(report.preprocessing(read_image(photo))[None])
        chances = mg.softmax(model.eval()(x), 1).numpy()[0]
    order = np.argsort(-chances)
    guess = ", ".join(f"{('cat', 'dog')[i]} {100 * chances[i]:.1f} %" for i in order)
    assert f"{photo}: {guess}\n" in said
    assert "licence: " in said


def test_what_cannot_be_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, hub = str(folder / "photo.npy"), str(folder / "hub")
    assert main(["predict", photo, "--weights", hub, "--checkpoint", "x"]) == 2
    assert "--weights and --checkpoint both name a model" in capsys.readouterr().err
    assert main(["predict", photo, "--weights", hub, "--masks", "m"]) == 2
    assert "--masks is for a segmentation, but " in capsys.readouterr().err
    volume = models.ConvNeXt(spatial_dims=3, num_classes=2, depths=(1, 1), dims=(8, 16))
    weights = {name: value.numpy() for name, value in volume.state_dict().items()}
    io.save_file(weights, folder / "volume.safetensors")
    assert main(["predict", photo, "--weights", str(folder / "volume.safetensors")]) == 2
    assert "are of no model of pictures that is known" in capsys.readouterr().err
