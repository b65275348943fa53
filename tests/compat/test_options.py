"""The switches of other systems: beside PyTorch in every dimension, head, rescaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.autograd import gradcheck
from minigrad.compat.block import Block
from minigrad.compat.convnext import ConvNeXt, ConvNeXtV2
from minigrad.errors import OptionError
from minigrad.nn import functional as F

SMALL: dict[str, Any] = {"depths": (1, 2), "dims": (4, 8), "kernel_size": 3, "patch_size": 2}
BLOCK_OPTIONS: list[dict[str, Any]] = [
    {},
    {"grn": True},
    {"grn": True, "layer_scale_init_value": None},
    {"grn": True, "grn_norm": "sum", "grn_eps": 1e-4},
    {"grn": True, "grn_position": "projection"},
    {"grn": True, "grn_position": "projection", "grn_norm": "sum"},
    {"approximate": "tanh"},
    {"activation": "relu"},
    {"eps": 1e-2},
    {"pooling": "max"},
]


def build(**options: Any) -> ConvNeXt:
    """Return a model whose every parameter matters: nothing is left at zero or near it."""
    model = ConvNeXt(2, 3, dtype=mg.float64, **(SMALL | options))
    with mg.no_grad():
        for p in model.parameters():
            p.copy_(mg.randn(*p.shape, dtype=mg.float64) * 0.5 + 0.1)
    return model


@pytest.mark.parametrize("options", BLOCK_OPTIONS, ids=str)
@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_outputs_and_all_gradients_equal_pytorchs(
    options: dict[str, Any], spatial_dims: int
) -> None:
    torch = pytest.importorskip("torch")
    from tests.models.torch_convnext import twin

    mg.manual_seed(0)
    model = build(spatial_dims=spatial_dims, **options)
    theirs = twin(model)
    x = mg.randn(3, 2, *(8, 12, 4)[:spatial_dims], dtype=mg.float64, requires_grad=True)
    u = torch.tensor(x.detach().numpy(), requires_grad=True)
    weight = np.random.default_rng(0).normal(size=(3, 3))
    y, v = model(x), theirs(u)
    np.testing.assert_allclose(y.detach(), v.detach(), rtol=1e-10, atol=1e-10)
    (y * mg.tensor(weight)).sum().backward()
    (v * torch.tensor(weight)).sum().backward()
    np.testing.assert_allclose(x.grad, u.grad, rtol=1e-8, atol=1e-9)
    expected = dict(theirs.named_parameters())
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad, expected[name].grad, rtol=1e-7, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("options", BLOCK_OPTIONS[:-1], ids=str)
@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_gradcheck_of_the_block(options: dict[str, Any], spatial_dims: int) -> None:
    mg.manual_seed(1)
    options = {"kernel_size": 3, "layer_scale_init_value": 0.5} | options
    block = Block(2, spatial_dims=spatial_dims, dtype=mg.float64, **options)
    with mg.no_grad():
        for p in block.parameters():
            p.copy_(mg.randn(*p.shape, dtype=mg.float64) * 0.5 + 0.1)
    names = [name for name, _ in block.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in block.parameters()]
    x = mg.randn(2, 2, *(3,) * spatial_dims, dtype=mg.float64, requires_grad=True)

    def run(x: Any, *weights: Any) -> Any:
        for name, weight in zip(names, weights, strict=True):
            owner, _, leaf = name.rpartition(".")
            vars(block.get_submodule(owner))[leaf] = weight
        return block(x)

    assert gradcheck(run, (x, *values))


@pytest.mark.parametrize(
    "model",
    [
        lambda at: ConvNeXt(2, 3, pooling="max", classifier_activation="softmax", **at),
        lambda at: ConvNeXt(2, 3, stem="auto", input_size=4, **at | {"patch_size": 4}),
        lambda at: ConvNeXtV2(2, include_top=False, include_rescaling=True, **at),
        lambda at: models.ConvNeXtFeatures(ConvNeXtV2(2, **at)),
        lambda at: models.ConvNeXtIsotropic(2, 3, 2, 4, patch_size=2, grn=True, dtype=mg.float64),
    ],
)
def test_gradcheck_of_whole_models(model: Any) -> None:
    mg.manual_seed(2)
    net = model(SMALL | {"dtype": mg.float64, "initializer": nn.init.xavier_normal_})
    x = mg.randn(2, 2, 4, 4, dtype=mg.float64, requires_grad=True)

    def run(x: Any) -> Any:
        y = net(x)
        return tuple(y) if isinstance(y, list) else y

    assert gradcheck(run, (x,))


# --- head --------------------------------------------------------------------------------------


def test_without_top_the_map_comes_out() -> None:
    model = ConvNeXt(include_top=False, **SMALL)
    assert model(mg.randn(1, 3, 16, 16)).shape == (1, 8, 4, 4)
    assert not [k for k in model.state_dict() if k.startswith(("norm", "head"))]


@pytest.mark.parametrize(
    ("name", "function"),
    [("softmax", lambda x: F.softmax(x, 1)), ("sigmoid", F.sigmoid), (None, lambda x: x)],
)
def test_classifier_activation(name: str | None, function: Any) -> None:
    model = ConvNeXt(num_classes=3, classifier_activation=name, **SMALL)
    x = mg.randn(2, 3, 8, 8)
    model.head.weight.data = mg.randn(3, 8)
    plain = model.head(model.forward_head(model.forward_features(x), pre_logits=True))
    np.testing.assert_array_equal(model(x).detach(), function(plain).detach())
    if name:
        assert model.half()(x.half()).dtype == mg.float32


def test_dropouts_act_in_training_only_and_in_their_places() -> None:
    mg.manual_seed(0)
    model = ConvNeXtV2(num_classes=3, dropout=0.5, spatial_dropout=0.25, head_dropout=0.9, **SMALL)
    x = mg.randn(4, 3, 16, 16)
    np.testing.assert_array_equal(model.eval()(x).detach(), model(x).detach())
    assert not np.array_equal(model.train()(x).detach(), model(x).detach())
    block = model.stages[0][0]
    seen: dict[str, Any] = {}
    block.dropout.register_forward_hook(lambda m, a, y: seen.update(single=y))
    block.spatial_dropout.register_forward_hook(lambda m, a, y: seen.update(whole=y))
    model.register_forward_hook(lambda m, a, y: None)
    model.head.register_forward_pre_hook(lambda m, a: seen.update(head=a[0]))
    model(x)
    assert seen["single"].shape == (4, 8, 8, 16)
    assert 0.4 < (seen["single"] == 0).float().mean().item() < 0.6
    channels = (seen["whole"] == 0).all(dim=3).all(dim=2)
    assert 0.05 < channels.float().mean().item() < 0.5
    assert (seen["head"] == 0).float().mean().item() > 0.6


# --- input and initial values ------------------------------------------------------------------


def test_rescaling_is_imagenets_for_three_channels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
    mg.manual_seed(0)
    model = ConvNeXt(num_classes=3, include_rescaling=True, **SMALL)
    plain = ConvNeXt(num_classes=3, **SMALL)
    assert set(plain.state_dict()) == set(model.state_dict())
    plain.load_state_dict(model.state_dict())
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    shape = (1, 3, 1, 1)
    normal = (pixels / 255 - mean.reshape(shape)) / std.reshape(shape)
    expected = plain(mg.tensor(normal.astype(np.float32))).detach().numpy()
    np.testing.assert_allclose(model(mg.tensor(pixels)).detach(), expected, atol=2e-5)
    maps = models.ConvNeXtFeatures(model, norm=False)(mg.tensor(pixels))
    np.testing.assert_array_equal(
        maps[-1].detach(), model.forward_features(mg.tensor(pixels)).detach()
    )
    assert model.double()(mg.tensor(pixels)).dtype == mg.float64


def test_rescaling_of_other_channels_divides_by_255() -> None:
    model = ConvNeXt(4, 3, include_rescaling=True, spatial_dims=3, **SMALL)
    x = mg.full((1, 4, 2, 2, 2), 51.0)
    np.testing.assert_allclose(model.rescaling(x), 0.2, rtol=1e-6)


def test_initial_values() -> None:
    mg.manual_seed(0)
    shape = {"depths": (1,), "dims": (32,)}
    glorot = ConvNeXt(num_classes=64, initializer="glorot_uniform", **shape).head.weight
    assert np.abs(glorot.detach().numpy()).max() <= np.sqrt(6 / 96)
    assert glorot.detach().numpy().std() == pytest.approx(np.sqrt(2 / 96), rel=0.1)
    own = ConvNeXt(initializer=lambda w: nn.init.constant_(w, 0.25), **shape)
    assert set(own.stages[0][0].dwconv.weight.detach().numpy().ravel()) == {0.25}
    assert set(own.head.bias.detach().numpy()) == {0.0}
    grn = ConvNeXtV2(grn_init=1.0, **shape).stages[0][0].grn
    assert set(grn.gamma.detach().numpy().ravel()) == {1.0}


def test_official_layout_is_the_same_under_every_option() -> None:
    plain = set(ConvNeXt(grn=True, **SMALL).state_dict())
    extras = {
        "dropout": 0.1,
        "spatial_dropout": 0.1,
        "head_dropout": 0.1,
        "include_rescaling": True,
    }
    for options in [*BLOCK_OPTIONS, extras]:
        model = ConvNeXt(**(SMALL | {"grn": True} | options | {"layer_scale_init_value": 1}))
        assert set(model.state_dict()) == plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "auto", "patch_size": 4}, "stem='auto' chooses by the smallest side"),
        ({"stem": "auto", "input_size": 32}, "patch_size=2 cannot hold"),
        ({"stem": "atuo"}, "did you mean 'auto'"),
        ({"stem": "auto", "input_size": (32, 0), "patch_size": 4}, r"got \(32, 0\)"),
        ({"pooling": "mean"}, r"unknown ConvNeXt pooling 'mean' \(choose from avg, max\)"),
        ({"classifier_activation": "sofmax"}, "did you mean 'softmax'"),
        ({"initializer": "xavier"}, "unknown initializer 'xavier'"),
        ({"activation": "gelo"}, "did you mean 'gelu'"),
        ({"activation": "relu", "approximate": "tanh"}, "for GELU; the activation is 'relu'"),
        ({"approximate": "erf"}, r"unknown GELU approximation 'erf'"),
        ({"grn": True, "grn_norm": "max"}, r"unknown GRN norm 'max' \(choose from mean, sum\)"),
        ({"grn_position": "end"}, "choose from hidden, projection"),
        ({"dropout": 1.5}, r"must lie in \[0, 1\], got 1.5"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ConvNeXt(**(SMALL | options))
