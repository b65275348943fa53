"""Isotropic ConvNeXt: official counts and names, behaviour, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.errors import MinigradError

FACTS = json.loads((Path(__file__).resolve().parents[1] / "golden" / "variants.json").read_text())
SMALL: dict[str, Any] = {"depth": 2, "dim": 8, "patch_size": 4}


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_counts_and_names(size: str) -> None:
    facts = FACTS["isotropic"][size]
    with nn.init.skip_random():
        model: Any = models.create_model(f"convnext_isotropic_{size}")
    assert sum(p.numel() for p in model.parameters()) == facts["params"]
    assert (model.depth, model.dim) == (facts["depth"], facts["dim"])
    names = set(model.state_dict())
    assert ("blocks.0.gamma" in names) == bool(facts["layer_scale_init_value"])
    tops = {name.split(".")[0] for name in names}
    assert tops == {"stem", "blocks", "norm", "head"}
    assert model.stem.weight.shape == (facts["dim"], 3, 16, 16)


def test_it_is_the_formula_of_its_parts() -> None:
    model = models.ConvNeXtIsotropic(num_classes=3, grn=True, drop_path_rate=0.5, **SMALL).eval()
    x = mg.randn(2, 3, 16, 12)
    y = model.blocks[1](model.blocks[0](model.stem(x)))
    assert y.shape == (2, 8, 4, 3)
    expected = model.head(nn.functional.layer_norm(y.mean((2, 3)), 8, eps=1e-6))
    np.testing.assert_allclose(model(x).detach(), expected.detach(), atol=1e-6)
    assert [block.drop_path.drop_prob for block in model.blocks] == [0.0, 0.5]


@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_dimensions_and_gradients(spatial_dims: int) -> None:
    model = models.ConvNeXtIsotropic(1, 3, spatial_dims=spatial_dims, **SMALL)
    model(mg.randn(2, 1, *(8,) * spatial_dims)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    last = model.forward_features(mg.randn(2, 1, *(8,) * spatial_dims))
    assert last.shape == (2, 8, *(2,) * spatial_dims)
    assert models.ConvNeXtIsotropic(1, None, spatial_dims=spatial_dims, **SMALL)(
        mg.randn(2, 1, *(8,) * spatial_dims)
    ).shape == (2, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.ConvNeXtIsotropic(depths=(1, 2)), "did you mean 'depth'"),
        (lambda: models.ConvNeXtIsotropic(depth=0), "must be positive.*depth=0"),
        (lambda: models.ConvNeXtIsotropic(spatial_dims=4), "must be 1, 2 or 3, got 4"),
        (lambda: models.ConvNeXtIsotropic(drop_path=1.0), r"must lie in \[0, 1\)"),
        (lambda: models.ConvNeXtIsotropic(num_classes=-1), "num_classes must be ≥ 0"),
        (lambda: models.ConvNeXtIsotropic(**SMALL)(mg.zeros(1, 3, 3, 9)), "3×9 vanishes"),
        (
            lambda: models.ConvNeXtFeatures(models.ConvNeXtIsotropic(**SMALL)),
            "ConvNeXtIsotropic has no stages to take maps from",
        ),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        make()
