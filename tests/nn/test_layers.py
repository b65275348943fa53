"""Every layer against PyTorch's: values, gradients, state names, repr."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import MinigradError, OptionError, ShapeError

torch = pytest.importorskip("torch")
tnn = torch.nn

# (layer, positional arguments, keyword arguments, shape of the input); both libraries take them.
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("Linear", (5, 3), {}, (2, 4, 5)),
    ("Linear", (5, 3), {"bias": False}, (5,)),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1}, (2, 4, 9)),
    ("Conv2d", (4, 6, 3), {"padding": "same", "groups": 2}, (2, 4, 7, 6)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "dilation": (1, 2), "bias": False}, (2, 4, 7, 6)),
    ("Conv2d", (4, 4, 3), {"padding": 1, "padding_mode": "reflect"}, (2, 4, 5, 6)),
    ("Conv2d", (4, 4, (2, 3)), {"padding": "same", "padding_mode": "circular"}, (2, 4, 5, 6)),
    ("Conv3d", (2, 4, 3), {"padding": 1, "padding_mode": "replicate"}, (1, 2, 4, 5, 6)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 6, 4), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 5, 6)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": 2, "bias": False}, (1, 2, 3, 4, 2)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (2, 3, 9)),
    ("MaxPool2d", (2,), {}, (2, 3, 6, 5)),
    ("MaxPool2d", (3,), {"stride": 2, "dilation": 2, "ceil_mode": True}, (2, 3, 9, 8)),
    ("MaxPool3d", (2,), {}, (1, 2, 4, 5, 6)),
    ("AvgPool1d", (3,), {"stride": 2}, (2, 3, 9)),
    ("AvgPool2d", (3,), {"padding": 1, "count_include_pad": False}, (2, 3, 7, 6)),
    ("AvgPool3d", (2,), {}, (1, 2, 4, 5, 6)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 3, 7)),
    ("AdaptiveAvgPool2d", ((None, 2),), {}, (2, 3, 7, 5)),
    ("AdaptiveAvgPool3d", (2,), {}, (1, 2, 3, 4, 5)),
    ("AdaptiveMaxPool1d", (3,), {}, (2, 3, 7)),
    ("AdaptiveMaxPool2d", (2,), {}, (2, 3, 7, 5)),
    ("AdaptiveMaxPool3d", (2,), {}, (1, 2, 3, 4, 5)),
    ("LayerNorm", (6,), {"eps": 1e-6}, (2, 3, 6)),
    ("LayerNorm", ((3, 6),), {"bias": False}, (2, 3, 6)),
    ("LayerNorm", (6,), {"elementwise_affine": False}, (2, 6)),
    ("GroupNorm", (2, 6), {}, (2, 6, 3, 4)),
    ("GroupNorm", (3, 6), {"affine": False}, (2, 6, 5)),
    ("GroupNorm", (3, 6), {"bias": False}, (2, 6, 5)),
    ("BatchNorm1d", (4,), {"bias": False}, (5, 4)),
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"momentum": 0.3}, (5, 4, 3)),
    ("BatchNorm2d", (4,), {"momentum": None}, (3, 4, 5, 2)),
    ("BatchNorm2d", (4,), {"affine": False, "track_running_stats": False}, (3, 4, 5, 2)),
    ("BatchNorm3d", (2,), {"eps": 1e-3}, (3, 2, 2, 3, 4)),
    ("InstanceNorm1d", (4,), {}, (3, 4, 5)),
    ("InstanceNorm2d", (4,), {"affine": True, "track_running_stats": True}, (3, 4, 5, 2)),
    ("InstanceNorm3d", (2,), {"affine": True}, (3, 2, 2, 3, 4)),
    ("ReLU", (), {}, (3, 4)),
    ("GELU", (), {}, (3, 4)),
    ("GELU", ("tanh",), {}, (3, 4)),
    ("SiLU", (), {}, (3, 4)),
    ("Sigmoid", (), {}, (3, 4)),
    ("Tanh", (), {}, (3, 4)),
    ("Softplus", (), {"beta": 2.0, "threshold": 1.0}, (3, 4)),
    ("LeakyReLU", (0.2,), {}, (3, 4)),
    ("ELU", (0.7,), {}, (3, 4)),
    ("Softmax", (1,), {}, (3, 4)),
    ("LogSoftmax", (), {"dim": -1}, (3, 4)),
    ("Identity", (), {}, (3, 4)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("Unflatten", (1, (2, 3)), {}, (4, 6)),
    ("Upsample", (), {"scale_factor": 2}, (1, 2, 3, 4)),
    ("Upsample", ((5, 7),), {"mode": "bilinear", "align_corners": True}, (1, 2, 3, 4)),
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(CASES)]


def pair(name: str, args: Any, kwargs: Any) -> tuple[nn.Module, Any]:
    """Return our layer and PyTorch's with the same random parameters, in float64."""
    theirs = getattr(tnn, name)(*args, **kwargs).double()
    if any(True for _ in getattr(nn, name)(*args, **kwargs).state_dict()):
        ours = getattr(nn, name)(*args, **kwargs, dtype=mg.float64)
    else:
        ours = getattr(nn, name)(*args, **kwargs).double()
    generator = torch.Generator().manual_seed(0)
    for p in theirs.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64)
    report = ours.load_state_dict(theirs.state_dict()) if theirs.state_dict() else None
    assert report is None or list(report.loaded) == list(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), CASES, ids=IDS)
def test_layer_equals_torch(name: str, args: Any, kwargs: Any, shape: Any, train: bool) -> None:
    ours, theirs = pair(name, args, kwargs)
    ours.train(train)
    theirs.train(train)
    rng = np.random.default_rng(1)
    for _ in range(2):  # twice: running statistics move
        values = rng.standard_normal(shape)
        x, tx = mg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        y, ty = ours(x), theirs(tx)
        np.testing.assert_allclose(y.detach(), ty.detach().numpy(), rtol=1e-10, atol=1e-12)
        seed = rng.standard_normal(y.shape)
        y.backward(mg.tensor(seed))
        ty.backward(torch.tensor(seed))
        np.testing.assert_allclose(x.grad, tx.grad.numpy(), rtol=1e-9, atol=1e-11)
    for (key, p), (their_key, tp) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert key == their_key
        np.testing.assert_allclose(p.grad, tp.grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=key)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), rtol=1e-12, err_msg=key)


OWN_REPR = {"AvgPool1d", "Upsample"}  # PyTorch prints (3,) for 3, and 2.0 for 2


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), CASES, ids=IDS)
def test_repr_equals_torch(name: str, args: Any, kwargs: Any, shape: Any) -> None:
    ours, theirs = pair(name, args, kwargs)
    if name not in OWN_REPR:
        assert repr(ours) == repr(theirs)


LOSSES = [
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, "classes"),
    ("CrossEntropyLoss", {"weight": [0.5, 1.0, 2.0], "ignore_index": 1}, "classes"),
    ("CrossEntropyLoss", {"reduction": "none"}, "probabilities"),
    ("NLLLoss", {"weight": [0.5, 1.0, 2.0]}, "classes"),
    ("BCELoss", {}, "probabilities"),
    ("BCEWithLogitsLoss", {"pos_weight": [0.5, 1.0, 2.0]}, "probabilities"),
    ("MSELoss", {"reduction": "sum"}, "values"),
    ("L1Loss", {}, "values"),
    ("SmoothL1Loss", {"beta": 0.5, "reduction": "none"}, "values"),
]


@pytest.mark.parametrize(
    ("name", "options", "kind"), LOSSES, ids=[f"{n}-{k}" for n, _, k in LOSSES]
)
def test_loss_equals_torch(name: str, options: dict[str, Any], kind: str) -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_normal((6, 3))
    if name == "BCELoss":
        values = 1 / (1 + np.exp(-values))
    target = {
        "classes": rng.integers(0, 3, 6),
        "probabilities": rng.dirichlet(np.ones(3), 6),
        "values": rng.standard_normal((6, 3)),
    }[kind]
    ours = {k: mg.tensor(np.array(v)) if isinstance(v, list) else v for k, v in options.items()}
    theirs = {
        k: torch.tensor(np.array(v)) if isinstance(v, list) else v for k, v in options.items()
    }
    x, tx = mg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    loss = getattr(nn, name)(**ours)(x, mg.tensor(target))
    expected = getattr(tnn, name)(**theirs)(tx, torch.tensor(target))
    np.testing.assert_allclose(loss.detach(), expected.detach().numpy(), rtol=1e-10)
    loss.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(x.grad, tx.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_embedding_equals_torch() -> None:
    ours, theirs = nn.Embedding(7, 3), tnn.Embedding(7, 3)
    ours.load_state_dict(theirs.state_dict())
    index = np.array([[1, 6, 1], [0, 1, 2]])
    y, ty = ours(mg.tensor(index)), theirs(torch.tensor(index))
    np.testing.assert_array_equal(y.detach(), ty.detach().numpy())
    y.sum().backward()
    ty.sum().backward()
    np.testing.assert_array_equal(ours.weight.grad, theirs.weight.grad.numpy())
    assert repr(ours) == repr(theirs)


def test_layer_norm_over_channels_equals_moving_the_axis() -> None:
    layer = nn.LayerNorm(5, eps=1e-6, data_format="channels_first", dtype=mg.float64)
    nn.init.normal_(layer.weight)
    x = mg.randn(2, 5, 3, 4, dtype=mg.float64)
    last = nn.LayerNorm(5, eps=1e-6, dtype=mg.float64)
    last.load_state_dict(layer.state_dict())
    expected = last(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(layer(x).detach(), expected.detach())


@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_grn_is_the_official_formula(spatial_dims: int) -> None:
    layer = nn.GRN(4, spatial_dims=spatial_dims, dtype=mg.float64)
    assert layer.gamma.shape == layer.beta.shape == (*(1,) * (spatial_dims + 1), 4)
    for p in layer.parameters():
        nn.init.normal_(p)
    x = np.random.default_rng(3).standard_normal((2, *(3,) * spatial_dims, 4))
    axes = tuple(range(1, spatial_dims + 1))
    norm = np.sqrt((x * x).sum(axes, keepdims=True))
    share = norm / (norm.mean(-1, keepdims=True) + 1e-6)
    expected = layer.gamma.detach().numpy() * (x * share) + layer.beta.detach().numpy() + x
    np.testing.assert_allclose(layer(mg.tensor(x)).detach(), expected, rtol=1e-12)


def test_layer_scale() -> None:
    layer = nn.LayerScale(3, init_value=0.5)
    np.testing.assert_array_equal(layer(mg.ones(2, 3)).detach(), np.full((2, 3), 0.5))


@pytest.mark.parametrize(
    ("layer", "shape", "same"),
    [
        (nn.Dropout(0.4), (20, 10, 10), 0),
        (nn.Dropout1d(0.4), (40, 50, 3), 1),
        (nn.Dropout2d(0.4), (40, 50, 3, 2), 2),
        (nn.Dropout3d(0.4), (40, 50, 2, 2, 2), 3),
        (nn.DropPath(0.4), (2000, 3, 2), 2),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "",
)
def test_dropping(layer: nn.Module, shape: tuple[int, ...], same: int) -> None:
    """Kept values are scaled, the rate is right, and what belongs together goes together."""
    mg.manual_seed(0)
    y = layer(mg.ones(*shape)).numpy()
    assert set(np.unique(y)) == {np.float32(0.0), np.float32(1 / 0.6)}
    assert abs((y == 0).mean() - 0.4) < 0.05
    units = y.reshape(*shape[: len(shape) - same], -1) if same else y
    if same:
        assert (units == units[..., :1]).all()
    np.testing.assert_array_equal(layer.eval()(mg.ones(*shape)), np.ones(shape))


def test_dice_loss_layer() -> None:
    logits = mg.randn(2, 3, 4, 4)
    target = mg.randint(0, 3, (2, 4, 4))
    expected = nn.functional.dice_loss(logits, target, smooth=0.5, reduction="sum")
    assert nn.DiceLoss(smooth=0.5, reduction="sum")(logits, target).item() == expected.item()


@pytest.mark.parametrize("kind", ["Conv2d", "Linear", "BatchNorm1d", "ConvTranspose1d"])
def test_first_values_are_distributed_as_in_torch(kind: str) -> None:
    args = (64, 96) if kind == "Linear" else (64,) if kind == "BatchNorm1d" else (64, 96, 3)
    ours, theirs = getattr(nn, kind)(*args), getattr(tnn, kind)(*args)
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        a, b = a.numpy(), b.numpy()
        assert a.shape == b.shape, key
        assert np.abs(a).max() <= np.abs(b).max() * 1.1 + 1e-6, key
        noise = 4 / a.size**0.5  # of the standard deviation of so few numbers
        assert abs(a.std() - b.std()) <= (0.05 + noise) * b.std() + 1e-6, key


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 8, 0), "kernel_size must be an integer ≥ 1 or 2 of them, got 0"),
        (lambda: nn.Conv2d(3, 8, (3, 3, 3)), "kernel_size"),
        (lambda: nn.Conv2d(3, 8, 3, stride=2, padding="same"), "needs stride 1"),
        (lambda: nn.Conv2d(3, 8, 3, padding="sane"), "did you mean 'same'"),
        (lambda: nn.Conv2d(3, 8, 3, padding_mode="reflekt"), "did you mean 'reflect'"),
        (lambda: nn.Conv2d(3, 8, 3, groups=2), "groups=2 must divide in_channels=3"),
        (lambda: nn.Linear(-1, 2), "-1"),
        (lambda: nn.GroupNorm(4, 6), "num_groups=4 must divide num_channels=6"),
        (lambda: nn.LayerNorm(6, data_format="channel_first"), "did you mean 'channels_first'"),
        (lambda: nn.LayerNorm((2, 3), data_format="channels_first"), "one integer"),
        (lambda: nn.GELU("tahn"), "did you mean 'tanh'"),
        (lambda: nn.Dropout(1.5), r"\[0, 1\], got 1.5"),
        (lambda: nn.DropPath(1.0), r"\[0, 1\), got 1.0"),
        (lambda: nn.Upsample(), "exactly one of size and scale_factor"),
        (lambda: nn.MSELoss(reduction="avg"), "unknown MSELoss reduction"),
    ],
)
def test_refused_options(make: Any, message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            nn.BatchNorm2d(3),
            (2, 3),
            r"BatchNorm2d\(3, .*\): expects a 4-D input, got shape \(2, 3\)",
        ),
        (nn.InstanceNorm2d(3), (2, 4, 5, 5), "expects 3 channels"),
        (nn.Dropout2d(), (2, 3), "expects a 4-D input"),
        (nn.Linear(4, 2), (3, 5), r"Linear\(in_features=4, out_features=2, bias=True\): "),
    ],
)
def test_refused_inputs(layer: nn.Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        layer(mg.zeros(*shape))


def test_unknown_keyword_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'biass'"):
        nn.Linear(2, 3, biass=False)


def test_half_precision_layers_keep_their_dtype() -> None:
    layer = nn.Linear(4, 2, dtype=mg.float16)
    assert layer.weight.dtype == mg.float16
    assert layer(mg.ones(1, 4, dtype=mg.float16)).dtype == mg.float16


def test_device_is_checked() -> None:
    with pytest.raises(OptionError, match="unknown device 'gpu'"):
        nn.Linear(4, 2, device="gpu")
