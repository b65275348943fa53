from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, io, models, runs
from minigrad.errors import DataError, OptionError

TINY = {"depths": (1, 1), "dims": (4, 8), "decoder_dim": 4, "batch_size": 512}


def test_patches_of_fashion_mnist_are_whole() -> None:
    fashion = runs.PretrainConfig.from_values({"data": "fashion-mnist"})
    assert 28 % (fashion.patch_size * 2 ** (len(fashion.dims) - 1)) == 0


def test_labels_are_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the labels are, the same weights come out."""
    states, real = [], data.load_split
    for shift in (0, 3):

        def other(*args: object, shift: int = shift, **options: object) -> data.Split:
            split = real(*args, **options)
            pairs = [(image, (label + shift) % 10) for image, label in split.train]
            return dataclasses.replace(split, train=pairs)

        monkeypatch.setattr("minigrad.runs.task.load_split", other)
        experiment = runs.prepare(runs.PretrainConfig(epochs=1, **TINY))
        monkeypatch.undo()
        experiment.fit()
        states.append(experiment.trainer.model.state_dict())
    assert all((states[0][k].numpy() == states[1][k].numpy()).all() for k in states[0])


def test_reconstructions_are_of_the_same_masks_each_time() -> None:
    experiment = runs.prepare(runs.PretrainConfig(epochs=1, **TINY))
    state = mg.get_rng_state()
    first, second = (runs.reconstructions(experiment, 5) for _ in range(2))
    assert repr(mg.get_rng_state()) == repr(state)
    assert list(first) == ["image", "masked", "reconstruction"]
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
        assert first[name].shape == (5, 1, 8, 8)
    hidden = np.isnan(first["masked"])
    assert hidden.reshape(5, -1).sum(1).tolist() == [48] * 5  # 3 of 4 patches of 4 × 4
    np.testing.assert_array_equal(first["reconstruction"][~hidden], first["image"][~hidden])
    assert not (first["reconstruction"] == first["image"]).all()
    supervised = runs.prepare(runs.TrainConfig(epochs=1, depths=(1,), dims=(4,)))
    with pytest.raises(OptionError, match="must be one of a PretrainConfig"):
        runs.reconstructions(supervised)


def test_initial_weights_for_another_number_of_classes(tmp_path: Path) -> None:
    sizes = {"depths": (1,), "dims": (8,), "patch_size": 2}
    model, other = models.ConvNeXtV2(1, 3, **sizes), models.ConvNeXtV2(1, 5, **sizes)
    path = tmp_path / "weights.safetensors"
    io.save(model.state_dict(), path)
    report = runs.load_initial(other, path)
    assert set(report.mismatched) == {"head.weight", "head.bias"}
    assert bool((other.stages[0][0].pwconv1.weight == model.stages[0][0].pwconv1.weight).all())
    assert runs.initial_sizes(path) == {}
    io.save({"epoch": 3}, path)
    with pytest.raises(DataError, match="but not of a model's weights"):
        runs.load_initial(other, path)


def test_stratified_subset() -> None:
    digits = data.digits(train=True)
    part = data.stratified_subset(digits, 0.1, seed=1)
    counts = np.bincount([label for _, label in digits])
    found = np.bincount([part[i][1] for i in range(len(part))])
    assert found.tolist() == [round(0.1 * n) for n in counts]
    assert (np.diff(part.indices) > 0).all()
    again, other = (data.stratified_subset(digits, 0.1, seed=s) for s in (1, 2))
    np.testing.assert_array_equal(part.indices, again.indices)
    assert len(np.intersect1d(part.indices, other.indices)) < 0.4 * len(part)
    nested = data.stratified_subset(part, 0.5)
    assert set(nested.indices) <= set(range(len(part)))
    assert len(data.stratified_subset(digits, 1e-6)) == 10
    plain = [(np.zeros((1, 2, 2), np.float32), label) for label in (0, 1, 1, 1)]
    assert len(data.stratified_subset(plain, 0.5)) == 3


@pytest.mark.parametrize("naming", ["timm", "huggingface"])
def test_start_from_a_file_of_another_library(tmp_path: Path, naming: str) -> None:
    sizes: Any = {"depths": (1, 1), "dims": (8, 16), "num_classes": 3}
    trained, model = models.ConvNeXtV2(**sizes), models.ConvNeXtV2(**sizes)
    io.save_torch(models.export_state_dict(trained, naming), tmp_path / "weights.pth")
    assert runs.load_initial(model, tmp_path / "weights.pth").complete
    for name, value in trained.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), value.numpy())


def test_features_start_from_a_classifier_their_norms_as_they_are(tmp_path: Path) -> None:
    sizes: Any = (1, 10, (1, 1), (8, 12))
    trained, other = (models.ConvNeXtV2(*sizes, patch_size=2, kernel_size=3) for _ in range(2))
    io.save(trained.state_dict(), tmp_path / "classifier.safetensors")
    features = models.ConvNeXtFeatures(other)
    runs.load_initial(features, tmp_path / "classifier.safetensors")
    weights = trained.state_dict()
    for name, value in features.state_dict().items():
        if name.startswith("norm"):
            assert (value.numpy() == float(name.endswith("weight"))).all()
        else:
            np.testing.assert_array_equal(value, weights[name], err_msg=name)
