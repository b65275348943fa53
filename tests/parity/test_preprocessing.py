"""Pictures are made ready as the libraries themselves do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.data import read_image
from minigrad.data.imagenet import imagenet_classes
from minigrad.models.weights.preprocessing import STD, Preprocessing, preprocessing_of
from tests.parity.test_libraries import library

IMAGE_MODEL: dict[str, Any] = {"spatial_dims": 2, "in_channels": 3}
SIZES = [(301, 460), (233, 224), (500, 251), (150, 190)]  # some are enlarged


@pytest.fixture(params=SIZES, ids=str)
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a file of noise, the hardest to interpolate."""
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (*request.param, 3), np.uint8)
    pillow.fromarray(pixels).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


def agree(found: Preprocessing | None, picture: Path, expected: Any, most: float = 1.0) -> None:
    """Compare within one step of a byte, before the normalisation."""
    assert found is not None
    ours, theirs = found(read_image(picture)), np.asarray(expected)
    assert ours.shape == theirs.shape
    steps = np.abs(ours - theirs) * np.reshape(found.std, (3, 1, 1)) * 255
    assert steps.max() < most + 0.001
    assert (steps > 1.001).mean() < 1e-4
    assert steps.mean() < 0.05


def opened(picture: Path) -> Any:
    from PIL import Image

    return Image.open(picture).convert("RGB")


@pytest.mark.needs("timm", "torchvision")
@pytest.mark.parametrize(
    "options",
    [
        {"crop_pct": None},
        {"crop_pct": 0.95, "input_size": (3, 288, 288), "interpolation": "bilinear"},
    ],
    ids=["default", "bilinear"],
)
def test_timm(picture: Path, options: dict[str, Any]) -> None:
    library("timm")
    from timm.data import create_transform, resolve_data_config

    transform = create_transform(**resolve_data_config(pretrained_cfg=options))
    found = preprocessing_of("timm", IMAGE_MODEL, {"config": {"pretrained_cfg": options}})
    agree(found, picture, transform(opened(picture)))


@pytest.mark.needs("timm", "torchvision")
@pytest.mark.parametrize("picture", [(150, 190), (233, 224), (301, 460)], indirect=True, ids=str)
def test_timm_squash(picture: Path) -> None:
    """Wide pictures, as Pillow 13 shrinks the height of others first, against all before it."""
    options = {"input_size": (3, 256, 256), "crop_pct": 1.0, "crop_mode": "squash"}
    test_timm(picture, options | {"mean": (0.5,) * 3, "std": (0.5,) * 3})


@pytest.mark.needs("torchvision")
def test_torchvision(picture: Path) -> None:
    library("torchvision")
    from torchvision.models import ConvNeXt_Base_Weights as Base
    from torchvision.models import ConvNeXt_Small_Weights as Small
    from torchvision.models import ConvNeXt_Tiny_Weights as Tiny

    for kind, depth, width in ((Tiny, 9, 96), (Small, 27, 96), (Base, 27, 128)):
        options = IMAGE_MODEL | {"depths": (3, 3, depth, 3), "dims": (width, 1, 1, 1)}
        found = preprocessing_of("torchvision", options, {})
        agree(found, picture, kind.DEFAULT.transforms()(opened(picture)))
    assert tuple(Base.DEFAULT.meta["categories"]) == imagenet_classes()


@pytest.mark.needs("transformers", "torchvision")
@pytest.mark.parametrize(
    "options",
    [
        {"size": {"shortest_edge": 224}},
        {"size": {"shortest_edge": 224}, "crop_pct": 0.95, "resample": 2},
        {"size": {"shortest_edge": 384}, "image_mean": [0.5] * 3},
        {"size": {"shortest_edge": 224}, "do_rescale": False, "do_normalize": False},
    ],
    ids=["default", "bilinear", "384", "bytes"],
)
def test_transformers(picture: Path, options: dict[str, Any]) -> None:
    library("torchvision")
    from transformers.models.convnext.image_processing_convnext import ConvNextImageProcessor

    theirs = ConvNextImageProcessor(
        **{"image_mean": [0.485, 0.456, 0.406], "image_std": list(STD)} | options
    )
    config = theirs.to_dict()
    found = preprocessing_of("huggingface", IMAGE_MODEL, {"preprocessor_config": config})
    expected = theirs(opened(picture), return_tensors="np")["pixel_values"][0]
    agree(found, picture, expected, most=2)  # PyTorch resizes bytes by weights of 16 bits
