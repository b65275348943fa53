from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import minigrad as mg
from minigrad import nn
from minigrad.models import create_model
from minigrad.viz import summary

VARIANTS = Path(__file__).parents[3] / "shared" / "reference" / "variants.json"


def test_rows_sum_up_what_is_below_them() -> None:
    tail = nn.Sequential(nn.GELU(), nn.Flatten(), nn.Linear(8 * 16, 5, bias=False))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), tail)
    table = summary(model, (3, 4, 4))
    model_row, conv, tail_row, *_, linear = table.rows
    assert conv.macs == 16 * 8 * 27
    assert linear.macs == tail_row.macs == linear.params == 640
    assert model_row.depth == 0
    assert linear.depth == 2
    assert table.macs == 16 * 8 * 27 + 640
    assert table.params == 8 * 27 + 8 + 640
    assert conv.shape == (1, 8, 4, 4)
    assert summary(model, (3, 4, 4), depth=1).macs == table.macs
    assert len(summary(model, (3, 4, 4), depth=1).rows) == 3


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv1d(4, 8, 3, stride=2, groups=2), (4, 9), 4 * 8 * 2 * 3),
        (nn.Conv3d(1, 2, 2), (1, 3, 3, 3), 8 * 2 * 8),
        (nn.ConvTranspose2d(3, 5, 2, stride=2), (3, 4, 4), 16 * 3 * 5 * 4),
        (nn.Linear(3, 5), (7, 3), 7 * 15),
    ],
)
def test_multiply_adds(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert summary(layer, shape).macs == macs


def test_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    model[0].weight.requires_grad_(False)
    table = summary(model, (3,))
    assert model.training
    assert not any(vars(module).get("_forward_hooks") for module in model.modules())
    assert all((before[k] == v.numpy()).all() for k, v in model.state_dict().items())
    assert table.params - table.trainable == 12
    assert "(12 trainable)" in table.total


def test_a_module_that_is_used_twice_counts_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(4, 4)

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return self.layer(self.layer(x))

    assert summary(Twice(), (4,)).macs == 32
    assert summary(Twice(), (4,)).params == 20


def test_text_and_rich() -> None:
    table = summary(nn.Linear(3, 5), (3,))
    assert "20 parameters, 15 multiply-adds" in str(table)
    rich = pytest.importorskip("rich.console")
    console = rich.Console(record=True, file=io.StringIO(), width=120)
    console.print(table)
    assert "1 × 5" in console.export_text()


@pytest.mark.skipif(not VARIANTS.exists(), reason="shared/reference is not here")
@pytest.mark.parametrize(("family", "name"), [("v1", "tiny"), ("v2", "atto"), ("v2", "nano")])
def test_multiply_adds_of_the_published_models(family: str, name: str) -> None:
    expected = json.loads(VARIANTS.read_text())[family][name]
    prefix = {"v1": "convnext", "v2": "convnextv2"}[family]
    table = summary(create_model(f"{prefix}_{name}"), (3, 224, 224), depth=0)
    assert table.params == expected["params"]
    assert round(table.macs / 1e9, 4) == expected["gmacs_224"]
