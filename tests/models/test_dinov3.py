"""DINOv3's features against its authors' own, from the maps that theirs had."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import io, models

GOLDEN = Path(__file__).parents[1] / "golden"


def test_features_are_the_authors() -> None:
    """The last map is given; the norm is that of their file."""
    case = io.load_file(GOLDEN / "dinov3_case.safetensors")[0]
    model, _ = models.load_pretrained(None, GOLDEN / "dinov3_fb.safetensors", dtype=mg.float64)
    last = case["prenorm"].transpose(0, 2, 1).reshape(2, 32, 2, 3)
    model.forward_features = lambda x: mg.tensor(last)
    with mg.no_grad():
        features = models.dinov3_features(model, mg.zeros(2, 3, 64, 96, dtype=mg.float64))
    np.testing.assert_allclose(features.cls, case["cls"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(features.patches, case["patches"], rtol=0, atol=1e-9)


def test_class_feature_is_what_the_model_pools() -> None:
    model = models.ConvNeXt(num_classes=0, depths=(1, 1), dims=(8, 16), dtype=mg.float64)
    x = mg.randn(2, 3, 16, 24, dtype=mg.float64)
    with mg.no_grad():
        np.testing.assert_allclose(models.dinov3_features(model, x).cls, model(x), atol=1e-12)
