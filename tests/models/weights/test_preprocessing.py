"""Which preparation of pictures belongs to weights, and what configurations may say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import io, models
from minigrad.models.weights.preprocessing import MEAN, STD, Preprocessing, preprocessing_of

TINY: dict[str, Any] = {"depths": (1, 1), "dims": (8, 16), "num_classes": 2}
OPTIONS = {"spatial_dims": 2, "in_channels": 3, "depths": (3, 3, 9, 3), "dims": (96, 192, 384, 768)}


@pytest.mark.parametrize(
    ("naming", "expected"),
    [
        ("facebook", Preprocessing((224, 224), 256)),
        ("timm", Preprocessing((224, 224), 256)),
        ("torchvision", Preprocessing((224, 224), 236, "bilinear")),
        ("keras_h5", Preprocessing((224, 224), (224, 224), "nearest")),
        ("open_clip", None),
    ],
)
def test_without_a_configuration_it_is_the_usual(naming: str, expected: Any) -> None:
    assert preprocessing_of(naming, OPTIONS, {}) == expected
    assert preprocessing_of(naming, OPTIONS | {"spatial_dims": 3}, {}) is None
    assert preprocessing_of(naming, OPTIONS | {"in_channels": 1}, {}) is None


def test_facebooks_own_file_on_the_hub() -> None:
    config: dict[str, Any] = {
        "crop_pct": 0.875,
        "do_normalize": True,
        "do_resize": True,
        "resample": 3,
    }
    config |= {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224}
    config |= {"image_mean": list(MEAN), "image_std": list(STD)}
    found = preprocessing_of("huggingface", OPTIONS, {"preprocessor_config": config})
    assert found == Preprocessing((224, 224), 256, crop="floor")
    large = preprocessing_of(
        "huggingface", OPTIONS, {"preprocessor_config": config | {"size": 384}}
    )
    assert large is not None
    assert (large.size, large.resize) == ((384, 384), (384, 384))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 10**12},
        {"size": "large"},
        {"size": {"longest_edge": 3}},
        {"crop_pct": 0.0001},
        {"crop_pct": "x"},
        {"image_std": [0, 0, 0]},
        {"image_mean": [float("nan")] * 3},
        {"image_mean": [1, 2]},
        {"image_mean": ["a", None, {}]},
        {"image_std": [10**400] * 3},
        {"size": []},
        {"resample": 99},
        {"rescale_factor": 0},
        {"do_pad": True},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_cannot_be_followed_is_told_as_none(wrong: dict[str, Any]) -> None:
    config = {"size": 224, "feature_extractor_type": "ConvNextFeatureExtractor"} | wrong
    assert preprocessing_of("huggingface", OPTIONS, {"preprocessor_config": config}) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_size": "?"},
        {"input_size": [3, 224, 10**400]},
        {"crop_mode": "border"},
        {"crop_pct": 1e-300},
        {"interpolation": "lanczos"},
        {"std": [10**400] * 3},
        {"mean": 5},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_nor_can_every_configuration_of_timm(wrong: dict[str, Any]) -> None:
    assert preprocessing_of("timm", OPTIONS, {"config": {"pretrained_cfg": wrong}}) is None


def test_a_report_has_the_preparation_and_the_classes(tmp_path: Path) -> None:
    model = models.ConvNeXt(**TINY)
    io.save_file(models.export_state_dict(model, "huggingface"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "cat", "1": "dog"}}))
    own = {"size": {"height": 32, "width": 32}, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(own))
    _, report = models.load_pretrained(None, tmp_path)
    assert report.classes == ("cat", "dog")
    assert report.preprocessing == Preprocessing((32, 32), (32, 32), "bilinear", crop="floor")
    assert report.preprocessing(np.zeros((3, 40, 50), np.float32)).shape == (3, 32, 32)
    _, report = models.load_pretrained(None, tmp_path, num_classes=5)
    assert report.classes is None
    thousand = models.ConvNeXt(**TINY | {"num_classes": 1000}).state_dict()
    assert models.load_pretrained(None, thousand)[1].classes[281] == "tabby"
