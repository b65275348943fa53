"""ConvNeXt: sizes of every variant, options, the head, initial values, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.errors import MinigradError, OptionError, ShapeError

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
VARIANTS = json.loads((GOLDEN / "variants.json").read_text())
COUNTS = json.loads((GOLDEN / "param_counts.json").read_text())
SMALL: dict[str, Any] = {"depths": (1, 2), "dims": (8, 16)}

OFFICIAL = {f"convnext_{name}": facts for name, facts in VARIANTS["v1"].items()}
OFFICIAL |= {f"convnextv2_{name}": facts for name, facts in VARIANTS["v2"].items()}
OFFICIAL |= {"convnextv2_small": VARIANTS["timm_only"]["convnextv2_small"]}


def count(name: str, **options: Any) -> int:
    with nn.init.skip_random():  # memory that is never touched: even huge takes no time
        model = models.create_model(name, **options)
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", sorted(OFFICIAL))
def test_parameter_counts(name: str) -> None:
    facts = OFFICIAL[name]
    assert count(name) == facts["params"]
    if "params_no_head" in facts:
        assert count(name, num_classes=0) == facts["params_no_head"]
        assert count(name, num_classes=21841) == facts["params_21841"]


@pytest.mark.parametrize(
    ("table", "options"),
    [
        ("classification_2d_224x224x3_1000", {}),
        ("classification_1d_3ch_1000", {"spatial_dims": 1}),
        ("classification_2d_3ch_10", {"num_classes": 10}),
        ("classification_3d_1ch_1000", {"spatial_dims": 3, "in_channels": 1}),
        ("classification_3d_96x96x96x4_3", {"spatial_dims": 3, "in_channels": 4, "num_classes": 3}),
    ],
)
def test_parameter_counts_in_every_dimension(table: str, options: dict[str, Any]) -> None:
    for name, expected in COUNTS[table].items():
        assert count(name.replace("convnext_v2", "convnextv2"), **options) == expected, name


def test_every_variant_is_registered() -> None:
    assert models.list_models(family="convnext") == sorted(OFFICIAL)
    for name in OFFICIAL:
        assert callable(getattr(models, name))


# --- options -----------------------------------------------------------------------------------


def test_the_source_documents_spelling() -> None:
    model = models.ConvNeXt(
        num_classes=10, depths=[1, 1, 2, 1], dims=[4, 8, 8, 8], drop_path=0.1, layer_scale_init=1e-5
    )
    assert model(mg.randn(1, 3, 32, 32)).shape == (1, 10)
    assert model.stages[0][0].gamma.detach().tolist() == pytest.approx([1e-5] * 4)
    assert model.stages[3][0].drop_path.drop_prob == pytest.approx(0.1)
    assert models.ConvNeXt(in_chans=1, **SMALL)(mg.randn(1, 1, 8, 8)).shape == (1, 1000)


def test_v1_has_layer_scale_and_v2_has_grn() -> None:
    v1 = models.ConvNeXt(**SMALL).state_dict()
    v2 = models.ConvNeXtV2(**SMALL).state_dict()
    assert any(k.endswith(".0.gamma") for k in v1)
    assert not any("grn" in k for k in v1)
    assert v2["stages.0.0.grn.gamma"].shape == (1, 1, 1, 32)
    assert not any(k.endswith(".0.gamma") for k in v2)
    for off in (0, None):
        plain = models.ConvNeXt(layer_scale_init_value=off, **SMALL).state_dict()
        assert not any("gamma" in k for k in plain)
    both = models.ConvNeXtV2(layer_scale_init_value=0.1, **SMALL).state_dict()
    assert {"stages.0.0.gamma", "stages.0.0.grn.gamma"} <= set(both)


@pytest.mark.parametrize("kind", [models.ConvNeXt, models.ConvNeXtV2])
@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_dimensions_and_patches(kind: Any, spatial_dims: int, patch_size: int) -> None:
    model = kind(2, 5, spatial_dims=spatial_dims, patch_size=patch_size, kernel_size=3, **SMALL)
    side = 4 * patch_size
    x = mg.randn(2, 2, *[side] * spatial_dims, requires_grad=True)
    features = model.forward_features(x)
    assert features.shape == (2, 16, *[2] * spatial_dims)
    assert model.reduction == 2 * patch_size
    y = model(x)
    assert y.shape == (2, 5)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("depths", [(1,), (1, 1, 1), (1, 1, 1, 1, 1)])
def test_any_number_of_stages(depths: tuple[int, ...]) -> None:
    model = models.ConvNeXt(1, 3, depths, [8] * len(depths), patch_size=2)
    assert model(mg.randn(1, 1, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize("classes", [0, None])
def test_without_classes_the_pooled_normed_vector_comes_out(classes: int | None) -> None:
    model = models.ConvNeXt(num_classes=classes, **SMALL)
    x = mg.randn(2, 3, 16, 16)
    y = model(x)
    assert y.shape == (2, 16)
    assert "head.weight" not in model.state_dict()
    expected = model.forward_head(model.forward_features(x), pre_logits=True)
    np.testing.assert_array_equal(y.detach(), expected.detach())
    np.testing.assert_allclose(y.detach().numpy().mean(1), [0, 0], atol=1e-5)


def test_half_and_double() -> None:
    model = models.ConvNeXtV2(num_classes=3, dtype=mg.float64, **SMALL)
    assert {p.dtype for p in model.parameters()} == {mg.float64}
    assert model(mg.randn(1, 3, 16, 16, dtype=mg.float64)).dtype == mg.float64
    assert model.half()(mg.randn(1, 3, 16, 16, dtype=mg.float16)).dtype == mg.float16


# --- behaviour ---------------------------------------------------------------------------------


def test_initial_values() -> None:
    mg.manual_seed(0)
    model = models.ConvNeXt(num_classes=50, depths=(1, 1), dims=(32, 64), head_init_scale=0.001)
    for name, p in model.named_parameters():
        values = p.detach().numpy()
        if name == "head.weight":
            assert values.std() == pytest.approx(2e-5, rel=0.1)
        elif p.ndim > 1:
            assert values.std() == pytest.approx(0.02, rel=0.1), name
        elif name.endswith("gamma"):
            assert (values == np.float32(1e-6)).all()
        else:
            assert (values == (1.0 if name.endswith("weight") else 0.0)).all(), name


def test_seeds_decide() -> None:
    states = []
    for seed in (1, 1, 2):
        mg.manual_seed(seed)
        states.append(models.ConvNeXt(num_classes=3, **SMALL).head.weight.detach().numpy())
    assert (states[0] == states[1]).all()
    assert not (states[0] == states[2]).all()


def test_drop_path_acts_in_training_only() -> None:
    mg.manual_seed(0)
    model = models.ConvNeXtV2(num_classes=3, drop_path_rate=0.9, **SMALL)
    rates = [m.drop_prob for m in model.modules() if isinstance(m, nn.DropPath)]
    assert rates == pytest.approx([0.0, 0.45, 0.9])
    x = mg.randn(1, 3, 16, 16).expand(64, 3, 16, 16)
    assert len(np.unique(model.train()(x).detach().numpy().round(5), axis=0)) > 1
    y = model.eval()(x).detach().numpy()
    np.testing.assert_allclose(y, np.broadcast_to(y[:1], y.shape), atol=1e-6)
    single = models.ConvNeXt(num_classes=3, depths=(1,), dims=(8,), drop_path_rate=0.5)
    assert single.stages[0][0].drop_path.drop_prob == 0.0  # one block: no division by zero


@pytest.mark.parametrize("grn", [False, True])
def test_checkpoint_blocks_keep_less_and_change_nothing(grn: bool) -> None:
    """The same loss and gradients, drop path included, from less that is kept."""
    found = []
    for checkpoint_blocks in (False, True):
        mg.manual_seed(0)
        model = models.ConvNeXt(
            num_classes=3, drop_path_rate=0.5, layer_scale_init_value=1.0, grn=grn,
            checkpoint_blocks=checkpoint_blocks, **SMALL,
        )  # fmt: skip
        loss = model(mg.randn(4, 3, 16, 16)).square().sum()
        kept, stack, seen = 0, [loss._node], {id(p.array) for p in model.parameters()}
        while stack:
            node = stack.pop()
            if node is None or id(node) in seen or node.is_leaf:
                continue
            seen.add(id(node))
            hidden = getattr(getattr(node, "kept", None), "hidden", None)
            arrays = [a for a in [*(node.arrays or ()), hidden] if hasattr(a, "nbytes")]
            kept += sum(a.nbytes for a in arrays if id(a) not in seen)
            stack.extend(node.next)
        loss.backward()
        found.append((kept, loss.item(), [p.grad.numpy() for p in model.parameters()]))
    (kept, loss, gradients), (less, again, same) = found
    assert less < 0.7 * kept
    assert again == loss
    for a, b in zip(gradients, same, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_trunk_makes_no_layout_copies() -> None:
    """Images stay channels-last in memory: moving the axis gives a view that is contiguous."""
    model = models.ConvNeXtV2(num_classes=3, **SMALL)
    seen: list[tuple[str, bool]] = []
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.LayerNorm, nn.GRN)) and name != "norm":
            if (
                isinstance(module, nn.Conv2d)
                or module.__dict__.get("data_format") == "channels_first"
            ):
                note = lambda m, a, y, n=name: seen.append((n, y.movedim(1, -1).is_contiguous()))  # noqa: E731
            else:
                note = lambda m, a, y, n=name: seen.append((n, y.is_contiguous()))  # noqa: E731
            module.register_forward_hook(note)
    model(mg.randn(2, 3, 16, 16))
    assert len(seen) == 13
    assert [name for name, fine in seen if not fine] == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.ConvNeXt(drop_pth_rate=0.1), "did you mean 'drop_path_rate'"),
        (lambda: models.ConvNeXtV2(patchsize=2, **SMALL), "did you mean 'patch_size'"),
        (lambda: models.convnext_tiny(num_clases=3), "did you mean 'num_classes'"),
        (
            lambda: models.ConvNeXt(in_chans=3, in_channels=3),
            "in_chans is another name of in_channels",
        ),
        (lambda: models.ConvNeXt(depths=(1, 2), dims=(8,)), r"2 depths \(1, 2\) and 1 dims \(8,\)"),
        (lambda: models.ConvNeXt(depths=(), dims=()), "one entry per stage"),
        (lambda: models.ConvNeXt(depths=(1, -1), dims=(8, 8)), "must be positive"),
        (lambda: models.ConvNeXt(num_classes=-1), "num_classes must be ≥ 0 or None, got -1"),
        (
            lambda: models.ConvNeXt(drop_path_rate=1.0),
            r"drop_path_rate must lie in \[0, 1\), got 1.0",
        ),
        (lambda: models.ConvNeXt(spatial_dims=4), "spatial_dims must be 1, 2 or 3, got 4"),
        (lambda: models.ConvNeXt(kernel_size=6, **SMALL), "kernel_size must be odd"),
        (lambda: models.ConvNeXt(**SMALL).layer_ids("group"), "four stages, the model has 2"),
    ],
)
def test_refused_options(make: Any, message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        make()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (2, 1, 32, 32),
            r"ConvNeXt: .* \(batch, 3 channels, height, width\), got \(2, 1, 32, 32\)",
        ),
        ((3, 32, 32), r"got \(3, 32, 32\)"),
        ((1, 3, 7, 32), "an input of 7×32 vanishes: the model reduces each side 8 times"),
    ],
)
def test_refused_inputs(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        models.ConvNeXt(num_classes=2, **SMALL)(mg.zeros(*shape))


def test_an_error_inside_names_the_layer() -> None:
    model = models.ConvNeXt(num_classes=2, **SMALL)
    model.stages[1][0].pwconv1 = nn.Linear(3, 64)
    with pytest.raises(ShapeError, match=r"^stages\.1\.0\.pwconv1 \(Linear\(in_features=3, "):
        model(mg.zeros(1, 3, 16, 16))


def test_option_errors_are_value_errors() -> None:
    with pytest.raises(ValueError, match="unknown ConvNeXt option"):
        models.ConvNeXt(nonsense=1)
    with pytest.raises(OptionError, match="did you mean 'convnext_tiny'"):
        models.create_model("convnext_tinny")
