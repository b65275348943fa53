"""The feature pyramid: maps, norms, facts about them, shapes before any forward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.errors import OptionError, ShapeError

COUNTS = json.loads(
    (Path(__file__).resolve().parents[1] / "golden" / "param_counts.json").read_text()
)
SMALL: dict[str, Any] = {"depths": (1, 1, 2, 1), "dims": (4, 8, 12, 16), "kernel_size": 3}


@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_maps_and_their_shapes(spatial_dims: int) -> None:
    model = models.ConvNeXtV2(2, spatial_dims=spatial_dims, **SMALL)
    encoder = models.ConvNeXtFeatures(model)
    side = (37,) + (33,) * (spatial_dims - 1)  # odd sides: floors, not divisions
    maps = encoder(mg.randn(2, 2, *side))
    shapes = encoder.pyramid_shapes((2, *side))
    assert [f.shape for f in maps] == [(2, *shape) for shape in shapes.values()]
    assert encoder.feature_info.names() == list(shapes) == ["P1", "P2", "P3", "P4"]
    assert encoder.feature_info.channels() == [4, 8, 12, 16]
    assert encoder.feature_info.reduction() == [4, 8, 16, 32]
    assert encoder.feature_info.module_name() == [f"stages.{i}" for i in range(4)]
    assert list(encoder.forward_pyramid(mg.zeros(1, 2, *side))) == list(shapes)


def test_normed_and_raw() -> None:
    model = models.ConvNeXt(**SMALL)
    x = mg.randn(1, 3, 64, 64)
    raw = models.ConvNeXtFeatures(model, norm=False)(x)
    np.testing.assert_array_equal(raw[-1].detach(), model.forward_features(x).detach())
    encoder = models.ConvNeXtFeatures(model)
    for i, (before, after) in enumerate(zip(raw, encoder(x), strict=True)):
        own = encoder.get_submodule(f"norm{i}")
        assert isinstance(own, nn.LayerNorm)
        assert own.eps == 1e-6
        expected = nn.functional.layer_norm(
            before.movedim(1, -1), before.shape[1], eps=1e-6
        ).movedim(-1, 1)
        np.testing.assert_allclose(after.detach(), expected.detach(), atol=1e-6)


def test_the_trunk_is_shared_and_the_names_are_official() -> None:
    model = models.ConvNeXt(**SMALL)
    encoder = models.ConvNeXtFeatures(model, out_indices=(0, 3))
    trunk = {k for k in model.state_dict() if not k.startswith(("norm.", "head."))}
    extra = {f"norm{i}.{p}" for i in (0, 3) for p in ("weight", "bias")}
    assert set(encoder.state_dict()) == trunk | extra
    assert encoder.stages is model.stages


def test_chosen_stages_only_run_as_far_as_needed() -> None:
    encoder = models.create_model(
        "convnextv2_atto", in_channels=1, features_only=True, out_indices=(-3, 0), norm=False
    )
    assert encoder.feature_info.names() == ["P1", "P2"]
    maps = encoder(mg.randn(1, 1, 32, 32))
    assert [f.shape for f in maps] == [(1, 40, 8, 8), (1, 80, 4, 4)]
    sum(f.sum() for f in maps).backward()
    assert encoder.stages[1][0].dwconv.weight.grad is not None
    assert encoder.stages[2][0].dwconv.weight.grad is None


def test_pyramids_as_printed_by_medicai() -> None:
    for name, facts in COUNTS["classification_2d_ran"].items():
        with nn.init.skip_random():
            encoder = models.create_model(
                name.replace("convnext_v2", "convnextv2"), features_only=True
            )
        printed = {k: (shape[-1], *shape[1:-1]) for k, shape in facts["pyramid"].items()}
        assert encoder.pyramid_shapes((3, 224, 224)) == printed, name


def test_double_and_training_reach_the_norms() -> None:
    encoder = models.ConvNeXtFeatures(models.ConvNeXt(dtype=mg.float64, **SMALL))
    maps = encoder(mg.randn(1, 3, 32, 32, dtype=mg.float64))
    assert {f.dtype for f in maps} == {mg.float64}
    sum((f * f).sum() for f in maps).backward()
    assert all(p.grad is not None for p in encoder.parameters())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: models.ConvNeXtFeatures(nn.Linear(2, 2)), OptionError, "Linear has no stages"),
        (
            lambda: models.ConvNeXtFeatures(models.ConvNeXt(**SMALL), out_indices=[4]),
            OptionError,
            r"out_indices must name stages 0 to 3 \(P1 to P4\), got \[4\]",
        ),
        (
            lambda: models.ConvNeXtFeatures(models.ConvNeXt(**SMALL)).pyramid_shapes((3, 31, 64)),
            ShapeError,
            "31×64 vanishes",
        ),
        (
            lambda: models.ConvNeXtFeatures(models.ConvNeXt(**SMALL))(mg.zeros(1, 1, 64, 64)),
            ShapeError,
            r"ConvNeXtFeatures: the input must be \(batch, 3 channels, height, width\)",
        ),
    ],
)
def test_refusals(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()
