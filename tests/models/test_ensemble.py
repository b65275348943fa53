"""Ensembles, test-time augmentation and soups; in Python and by the command."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.cli import main
from minigrad.errors import OptionError, ShapeError
from minigrad.nn import functional as F
from minigrad.train import load_checkpoint
from minigrad.viz import save_png

SMALL = ["--depths", "1", "--dims", "4", "--batch-size", "512", "--epochs", "1"]


def heads(count: int) -> list[nn.Module]:
    mg.manual_seed(0)
    return [nn.Sequential(nn.Flatten(), nn.Linear(16, 3)) for _ in range(count)]


def test_probabilities_are_averaged_over_models_and_views() -> None:
    first, second = heads(2)
    x = mg.randn(2, 1, 4, 4)
    turned = [mg.tensor(np.rot90(x.numpy(), n, (2, 3)).copy()) for n in range(4)]
    views = [*turned, *(v.flip(-1) for v in turned)]
    wanted = sum(F.softmax(model(v), 1) for model in (first, second) for v in views) / 16
    found = F.softmax(models.Ensemble([first, second], ["flip", "turns"])(x), 1)
    np.testing.assert_allclose(found.detach(), wanted.detach(), rtol=1e-5)


def test_maps_are_turned_back() -> None:
    """A 1×1 convolution sees no neighbours, so views change nothing where they are undone."""
    model, x = nn.Conv2d(1, 3, 1), mg.randn(2, 1, 4, 6)
    found = models.Ensemble([model], ["turns", "flip"])(x)
    np.testing.assert_allclose(found.detach(), F.log_softmax(model(x), 1).detach(), atol=1e-6)


def test_soups_are_means_of_models_of_one_kind() -> None:
    states = [model.state_dict() for model in heads(3)]
    mixed = models.average_weights(states)
    wanted = np.mean([state["1.weight"].numpy() for state in states], 0)
    np.testing.assert_allclose(mixed["1.weight"].numpy(), wanted, rtol=1e-6)
    assert mixed["1.weight"].dtype == mg.float32
    with pytest.raises(ShapeError, match=r"1\.weight is \(3, 16\) in the first model, \(2, 16\)"):
        models.average_weights(
            [states[0], nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).state_dict()]
        )
    with pytest.raises(OptionError, match="unknown view 'flop'; did you mean 'flip'"):
        models.Ensemble(heads(1), ["flop"])
    with pytest.raises(ShapeError, match="pictures and volumes are turned"):
        models.Ensemble(heads(1), ["turns"])(mg.ones(1, 1, 16))
    with pytest.raises(ShapeError, match="all need the same classes"):
        models.Ensemble([heads(1)[0], nn.Sequential(nn.Flatten(), nn.Linear(16, 2))])(
            mg.ones(1, 1, 4, 4)
        )


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--output", str(tmp_path)]
    for seed, lr in (("a", "0.02"), ("b", "0.03")):
        assert main(["train", *SMALL, *place, "--name", seed, "--lr", lr]) == 0
    a, b, mixed = (str(tmp_path / name) for name in ("a", "b", "soup.safetensors"))
    capsys.readouterr()

    def loss(*words: str) -> float:
        assert main(["val", "--checkpoint", *words]) == 0
        found = re.search(r"loss (\S+)", capsys.readouterr().out)
        assert found
        return float(found[1])

    alone = loss(a)
    together = loss(a, "--ensemble", b)
    assert together <= max(alone, loss(b)) + 1e-4, "the mean of chances is no worse than the worst"
    assert loss(a, "--tta", "flip") not in (alone, together)

    assert main(["soup", a, b, "--output", mixed]) == 0
    assert f"the mean of {a}, {b}" in capsys.readouterr().out
    assert loss(mixed) not in (alone, together)
    weights = [load_checkpoint(Path(run, "checkpoint.safetensors"))["model"] for run in (a, b)]
    mean = load_checkpoint(mixed)["model"]["head.weight"].numpy()
    wanted = np.mean([state["head.weight"].numpy() for state in weights], 0)
    np.testing.assert_allclose(mean, wanted, rtol=1e-6)
    assert main(["soup", a, b, "--output", mixed, "--greedy"]) == 0
    count = capsys.readouterr().out.count(str(tmp_path)) - 1  # in it
    greedy = load_checkpoint(mixed)["model"]["head.weight"].numpy()
    choices = [*(state["head.weight"].numpy() for state in weights), wanted]
    assert any(
        np.allclose(greedy, choice, rtol=1e-6) for choice in choices[-1 if count > 1 else 0 :]
    )
    picture = tmp_path / "x.png"
    save_png(picture, np.full((8, 8), 200, np.uint8))
    assert main(["predict", str(picture), "--checkpoint", mixed, "--ensemble", a]) in (0, 2)
    capsys.readouterr()

    assert main(["train", *SMALL, *place, "--name", "f", "--folds", "2"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"val_accuracy over 2 folds: 0\.\d{4} ± 0\.\d{4}", said)
    assert "718 images to train on, 719 held out" in said.replace(",", "", 0)
    assert len((tmp_path / "f-folds.csv").read_text().splitlines()) == 3


def test_folds_hold_out_every_sample_once() -> None:
    folds = mg.data.stratified_folds(mg.data.digits(), 4)
    assert sorted(int(i) for fold in folds for i in fold.indices) == list(range(1797))
    labels = mg.data.dataset.labels_of(mg.data.digits())
    counts = [np.bincount(labels[fold.indices], minlength=10) for fold in folds]
    assert np.ptp(counts, axis=0).max() <= 1
