"""MedNeXt: the authors' names, shapes and counts; their code in PyTorch; UpKern; refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models
from minigrad.errors import OptionError, ShapeError, StateError
from minigrad.models.weights.adapt import resize

GOLDEN = Path(__file__).parents[1] / "golden"
FAMILY = json.loads((GOLDEN / "family.json").read_text())
TINY: dict[str, Any] = {
    "block_counts": (1,) * 9, "exp_r": 2, "do_res": True, "do_res_up_down": True,
}  # fmt: skip


def tiny(kernel_size: int = 3, dims: int = 2, classes: int = 2, **options: Any) -> models.MedNeXt:
    options = TINY | {"dtype": mg.float64} | options
    return models.MedNeXt(1, 2, classes, kernel_size=kernel_size, spatial_dims=dims, **options)


@pytest.mark.parametrize("name", ["mednext_3d", "mednext_2d_grn"])
def test_names_and_shapes_are_the_authors(name: str) -> None:
    case = FAMILY[name]
    model = models.MedNeXt(**case["arguments"])
    state = {key: list(value.shape) for key, value in model.state_dict().items()}
    exported = models.export_state_dict(model, "mednext")
    assert {k: list(v.shape) for k, v in exported.items()} == case["shapes"]
    assert exported.keys() - state.keys() == {"dummy_tensor"}
    with mg.no_grad():
        out = model(mg.zeros(*case["input"]))
    shapes = [list(o.shape) for o in (out if isinstance(out, list) else [out])]
    assert shapes == case["outputs"]
    again, report = models.load_pretrained(None, exported, strict=True)
    assert type(again) is models.MedNeXt
    assert report.naming == "mednext"
    assert {k: list(v.shape) for k, v in again.state_dict().items()} == state


@pytest.mark.parametrize("size", ["S", "B", "M", "L"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_parameters_of_the_published_sizes(size: str, kernel: int) -> None:
    with mg.nn.init.skip_random():
        model = models.create_model(
            f"mednext-{size}", n_classes=3, kernel_size=kernel, deep_supervision=True
        )
    count = sum(p.numel() for p in model.parameters())
    expected = FAMILY["parameter_counts"][f"{size}_k{kernel}_in1_classes3_ds"]
    assert count == expected - 1  # theirs has a number that recomputation needs


CASES: list[dict[str, Any]] = [
    {"d": 2, "k": 3, "deep": True, "res": True, "up_down": True, "grn": False},
    {"d": 2, "k": 5, "deep": False, "res": True, "up_down": True, "grn": True},
    {"d": 3, "k": 3, "deep": True, "res": True, "up_down": False, "grn": True},
    {"d": 3, "k": 3, "deep": False, "res": False, "up_down": True, "grn": False},
    {"d": 1, "k": 7, "deep": True, "res": True, "up_down": True, "grn": True},
]


@pytest.mark.needs("torch")
@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c.values())))
@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
def test_outputs_and_gradients_are_those_of_pytorch(case: dict[str, Any], recompute: bool) -> None:
    import torch

    from tests.models.torch_mednext import MedNeXt as Theirs

    ratios, counts = [2, 3, 2, 2, 2, 2, 2, 3, 2], [1, 2, 1, 1, 1, 1, 1, 1, 1]
    d, k, deep, res, up_down, grn = case.values()
    theirs = Theirs(2, 2, 3, ratios, k, deep, res, up_down, counts, d, grn).double()
    torch.manual_seed(0)
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.5)
    ours = models.MedNeXt(
        2, 2, 3, ratios, k, deep_supervision=deep, do_res=res, do_res_up_down=up_down,
        block_counts=counts, dim=f"{d}d", grn=grn, dtype=mg.float64,
        checkpoint_style="outside_block" if recompute else None,
    )  # fmt: skip
    models.load_pretrained(ours, theirs.state_dict(), strict=True)
    sides = (16, 32, 16) if d == 3 else (32,) * d
    x = np.random.default_rng(0).standard_normal((2, 2, *sides))
    found, expected = ours(mg.tensor(x)), theirs(torch.from_numpy(x))
    found, expected = (y if deep else [y] for y in (found, expected))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), rtol=1e-9, atol=1e-9)
    sum((y * y).mean() for y in found).backward()
    sum((y * y).mean() for y in expected).backward()
    expected = {n: p.grad.numpy() for n, p in theirs.named_parameters() if p.grad is not None}
    largest = max(np.linalg.norm(gradient) for gradient in expected.values())
    for (
        name,
        gradient,
    ) in expected.items():  # conv1's bias has none but for rounding: a norm follows
        error = np.linalg.norm(ours.get_parameter(name).grad.numpy() - gradient)
        assert error <= 1e-9 * largest, name


@pytest.mark.parametrize("name", ["mednext_3d", "mednext_2d_grn"])
def test_gradients_have_the_structure_of_the_authors(name: str) -> None:
    """What holds for any weights: those of the golden gradients cannot be made again.

    Neither they nor the cotangents follow the generator of the other golden files, whose values
    their float64 outputs would need. But where a kernel never meets the image, which parameters a
    norm makes idle, and what two branches share, is the same.
    """
    expected = io.load_file(GOLDEN / f"{name}.safetensors")[0]
    case, rng = FAMILY[name], np.random.default_rng(0)
    model = models.MedNeXt(**case["arguments"], dtype=mg.float64)
    for parameter in model.parameters():
        parameter.data = mg.tensor(rng.standard_normal(parameter.shape) * 0.4)
    out = model(mg.tensor(rng.standard_normal(case["input"])))
    outs = out if isinstance(out, list) else [out]
    sum((y * mg.tensor(rng.standard_normal(y.shape))).mean() for y in outs).backward()
    found = {key: model.get_parameter(key).grad.numpy() for key in expected}
    assert _structure(found) == _structure(expected)
    assert all(found[key].shape == array.shape for key, array in expected.items())


def _structure(gradients: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return who is idle, which numbers are exactly zero, and which tensors are equal."""
    idle = {key for key, g in gradients.items() if np.abs(g).max() < 1e-14}
    busy = {key: g for key, g in gradients.items() if key not in idle}
    zeros = {key: np.flatnonzero(g == 0).tolist() for key, g in busy.items()}
    equal = {
        (a, b) for a in busy for b in busy if a < b and np.array_equal(gradients[a], gradients[b])
    }
    return idle, zeros, equal


def test_upkern() -> None:
    """From kernels of 3 to 5, as the authors train: every depthwise kernel, also the transposed."""
    small, large = tiny(3, 3), tiny(5, 3)
    _, report = models.load_pretrained(large, small.state_dict())
    assert set(report.adapted.values()) == {"kernel 3×3×3 → 5×5×5 (interpolated)"}
    assert set(report.adapted) == {k for k in small.state_dict() if k.endswith("conv1.weight")}
    for name, value in small.state_dict().items():
        expected = value.numpy()
        if name in report.adapted:
            expected = resize(expected, (5, 5, 5))
        np.testing.assert_array_equal(large.state_dict()[name].numpy(), expected, err_msg=name)
    named, report = models.load_pretrained(
        "mednext_s", models.mednext_s(num_classes=3).state_dict(), kernel_size=5
    )
    assert named.out_0.conv_out.weight.shape == (32, 3, 1, 1, 1)
    assert set(report.adapted.values()) == {"kernel 3×3×3 → 5×5×5 (interpolated)"}


def test_other_classes_and_other_axes() -> None:
    model, report = models.load_pretrained(
        tiny(classes=4, dims=3, deep_supervision=True), tiny(deep_supervision=True).state_dict()
    )
    assert report.drawn == tuple(
        f"out_{i}.conv_out.{leaf}" for i in range(5) for leaf in ("weight", "bias")
    )
    assert "2-D → 3-D (mean)" in report.adapted.values()
    assert not report.missing
    with mg.no_grad():
        assert model(mg.zeros(1, 1, 16, 16, 16, dtype=mg.float64))[0].shape == (1, 4, 16, 16, 16)
    _, report = models.load_pretrained(tiny(deep_supervision=True), tiny().state_dict())
    assert {name.split(".")[0] for name in report.missing} == {f"out_{i}" for i in (1, 2, 3, 4)}
    two = models.MedNeXt(2, 2, 2, kernel_size=3, dim="2d", **TINY)
    _, report = models.load_pretrained(two, tiny().state_dict())
    assert report.adapted == {"stem.weight": "1 → 2 input channels (repeat)"}
    wide = models.MedNeXt(1, 4, 2, kernel_size=3, dim="2d", **TINY)
    with pytest.raises(StateError, match=r"stem\.weight is \(2, 1, 1, 1\) there.*n_channels=2"):
        models.load_pretrained(wide, tiny().state_dict())


def test_refusals() -> None:
    with pytest.raises(ShapeError, match=r"must divide by 16, got 16×24"):
        tiny()(mg.zeros(1, 1, 16, 24))
    with pytest.raises(ShapeError, match=r"1 channels and 2 sides\), got \(1, 3, 16, 16\)"):
        tiny()(mg.zeros(1, 3, 16, 16))
    with pytest.raises(OptionError, match=r"exp_r has one entry for each of 9 stages"):
        tiny(exp_r=(2, 3))
    with pytest.raises(OptionError, match="kernel sizes must be odd"):
        tiny(4)
    with pytest.raises(OptionError, match="unknown MedNeXt spatial_dims '4d'"):
        models.MedNeXt(1, 2, 2, dim="4d")
    with pytest.raises(OptionError, match="sizes must be positive"):
        tiny(classes=0)
    with pytest.raises(OptionError, match=r"a named model sets .*exp_r.* itself"):
        models.mednext_s(exp_r=3)
