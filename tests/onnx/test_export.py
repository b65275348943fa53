"""Exported models give in onnxruntime what they give here, at sizes that no trace has seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.models as models
from minigrad import io, nn
from minigrad.errors import DataError, GraphError, OptionError, ShapeError
from minigrad.nn import functional as F

pytestmark = pytest.mark.needs("onnx_ir", "onnx", "onnxruntime")

SMALL: dict[str, Any] = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    mg.manual_seed(0)


def lively(model: nn.Module) -> nn.Module:
    """Draw what starts at zero or nearly so: it would hide a fault."""
    rng = np.random.default_rng(0)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if re.search("gamma|beta|bias|grn|running", name):
            values = rng.uniform(0.2, 0.8, tensor.shape)
            tensor.data = mg.tensor(values.astype(np.float32))
    return model


def outputs(found: Any) -> list[Any]:
    if isinstance(found, mg.Tensor):
        return [found.numpy()]
    return [a for v in (found.values() if isinstance(found, dict) else found) for a in outputs(v)]


def agree(
    model: nn.Module,
    path: Path,
    example: tuple[int, ...],
    *shapes: tuple[int, ...],
    dynamic: Any = True,
    tolerance: float = 1e-4,
) -> None:
    """Export at one shape; check the file; run it at others."""
    import onnx
    import onnxruntime

    mg.onnx.export(model, path, mg.zeros(*example), dynamic=dynamic)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    model.eval()
    for shape in shapes:
        x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        with mg.no_grad():
            expected = outputs(model(mg.tensor(x)))
        results = session.run(None, {"input": x})
        assert len(results) == len(expected)
        for result, ours in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, ours, rtol=0, atol=tolerance)


def encoder(**options: Any) -> nn.Module:
    return models.ConvNeXt(**(SMALL | options), num_classes=0)


@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convnext(tmp_path: Path, dims: int, grn: bool) -> None:
    model = models.ConvNeXt(**SMALL, spatial_dims=dims, grn=grn, num_classes=5)
    at = [(2, 3, 64, 32, 96)[: dims + 2], (1, 3, 32, 96, 32)[: dims + 2]]
    agree(lively(model), tmp_path / "a.onnx", (1, 3, *(32,) * dims), *at)


@pytest.mark.parametrize("name", ["convnextv2_atto", "convnext_atto"])
def test_a_model_by_name(tmp_path: Path, name: str) -> None:
    model = lively(models.create_model(name))
    agree(model, tmp_path / "a.onnx", (1, 3, 32, 32), (2, 3, 64, 96), (1, 3, 96, 64))


def test_pyramid(tmp_path: Path) -> None:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            self.encoder = encoder()

        def forward(self, x: mg.Tensor) -> Any:
            return self.encoder.forward_pyramid(x)

    agree(lively(Pyramid()), tmp_path / "a.onnx", (1, 3, 32, 32), (2, 3, 64, 96))


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.UNet(encoder(), num_classes=3, head_upsample="auto", pad=True),
        lambda: models.UNet(encoder(), num_classes=3, decoder_block_type="transpose"),
        lambda: models.AttentionUNet(encoder(), num_classes=3, decoder_normalization="instance"),
        lambda: models.UNetPlusPlus(encoder(grn=True), num_classes=3),
    ],
    ids=["padded", "transpose", "attention", "plusplus"],
)
def test_unet(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    agree(lively(make()), tmp_path / "a.onnx", (1, 3, 32, 32), (2, 3, 64, 96), (1, 3, 96, 32))


def test_unet_in_3d(tmp_path: Path) -> None:
    model = lively(models.UNet(encoder(spatial_dims=3), num_classes=2))
    agree(model, tmp_path / "a.onnx", (1, 3, 32, 32, 32), (2, 3, 32, 64, 32), (1, 3, 64, 32, 32))


@pytest.mark.parametrize("dims", [2, 3])
def test_mednext(tmp_path: Path, dims: int) -> None:
    """Its upsampled sides are 2 n - 1 before they are padded: one side's are another's halved."""
    options: dict[str, Any] = {"do_res": True, "do_res_up_down": True, "grn": True}
    model = models.MedNeXt(
        1, 4, 3, 2, kernel_size=3, spatial_dims=dims, deep_supervision=True, **options
    )
    at = [(2, 1, 32, 16, 48)[: dims + 2], (1, 1, 16, 48, 16)[: dims + 2]]
    agree(lively(model), tmp_path / "a.onnx", (1, 1, *(16,) * dims), *at)


# ---- operations ---------------------------------------------------------------------------------


class Of(nn.Module):
    """A function as a model."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def forward(self, x: mg.Tensor) -> Any:
        return self.function(x)


ELEMENTWISE: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda x: (2 * x - 1) / (x * x + 3.0) - x,
    "powers": lambda x: (x.abs() + 0.5) ** 1.5 + 2.0 ** x + mg.rsqrt(x * x + 1) + x.square(),
    "extremes": lambda x: mg.maximum(x, -x) + mg.minimum(x, x * 0.5) + x.clamp(-0.5, 0.7),
    "logarithms": lambda x: (y := x.abs() + 0.5).log() + y.log2() + y.log10() + y.log1p(),
    "exponentials": lambda x: x.exp() + x.expm1() + x.exp2() + x.sigmoid() + mg.erf(x),
    "circle": lambda x: x.sin() + x.cos() + x.tanh() + x.sinh() + x.cosh() + x.atan(),
    "inverse": lambda x: (y := x.tanh() * 0.9).asin() + y.acos() + x.asinh() + y.atanh(),
    "rounding": lambda x: x.floor() + 2 * x.ceil() + 3 * x.round(),
    "where": lambda x: mg.where(mg.tensor([True, False, True, True]), x, x * 2),
    "gelu": lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"),
    "relus": lambda x: F.relu(x) + F.leaky_relu(x, 0.3) + F.hardtanh(x, -0.3, 0.4) + F.relu6(x),
    "elus": lambda x: F.elu(x, 0.7) + F.selu(x) + F.celu(x, 1.5),
    "swishes": lambda x: F.silu(x) + F.mish(x) + F.hardswish(x) + F.hardsigmoid(x),
    "softplus": lambda x: F.softplus(x, 2.0) + F.logsigmoid(x),
    "softmax": lambda x: F.softmax(x, 1) + F.log_softmax(x, -1),
    "prelu": lambda x: F.prelu(x, mg.tensor([0.1, 0.2, 0.3])),
    "remainders": lambda x: x % 0.7 + mg.fmod(x, 0.7) + mg.logaddexp(x, x * x),
    "halves": lambda x: (x.half() * 3).float(),
}  # fmt: skip

REDUCTIONS: dict[str, Callable[[Any], Any]] = {
    "sums": lambda x: x.sum(1) + x.mean((1,)) + x.amax(1) - x.amin(1),
    "all": lambda x: x.mean(),
    "kept": lambda x: x - x.mean((2, 3), keepdim=True),
    "norms": lambda x: x.norm(2, 1) + x.norm(1, 1),
    "logsumexp": lambda x: x.logsumexp(1),
    "var": lambda x: x.var((2, 3), correction=0) + x.std(1).mean((1, 2), keepdim=False)[:, None],
    "prod": lambda x: x.prod(1),
    "cumsum": lambda x: x.cumsum(2),
}

SHAPES: dict[str, Callable[[Any], Any]] = {
    "flatten": lambda x: x.mean(3).flatten(1, 2).sum(1),
    "there and back": lambda x: (x.flatten(2) * 2).reshape(*x.shape) + x,
    "tokens": lambda x: x.permute(0, 2, 3, 1).reshape(-1, 3).sum(1).reshape(x.shape[0], -1),
    "expand": lambda x: mg.tensor([[1.0, 2.0]]).expand(x.shape[0], 2),
    "joined": lambda x: mg.stack([mg.cat([x, x * 2], 1), mg.cat([x, x], 1)], 2),
    "slices": lambda x: x[:, 1:, ::2, None] + x[:, 1:, -1, None, None, -2:-1],
    "crop": lambda x: x[:, 0, : x.shape[2], -1],
    "flipped": lambda x: x.flip(2, 3) + x.roll(1, 2),
    "taken": lambda x: x[:, mg.tensor([2, 0])],
    "triangles": lambda x: x.tril(1)[:, :, :6, :6] - x.triu(-1)[:, :, :6, :6],
    "padded": lambda x: F.pad(x, (1, 2, 0, 1), value=0.5),
    "einsum": lambda x: mg.einsum("nchw,ndhw->ncd", x, x * 0.1),
    "attention": lambda x: F.scaled_dot_product_attention(*[x.flatten(2).mT[:, None]] * 3),
}

IMAGES: dict[str, Callable[[Any], Any]] = {
    "max": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max ceil": lambda x: F.max_pool2d(x, 3, 2, 0, ceil_mode=True),
    "average": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "average of pixels": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "average by number": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    "global": lambda x: F.adaptive_avg_pool2d(x, 1) + F.adaptive_max_pool2d(x, 1),
    "nearest": lambda x: F.interpolate(x, scale_factor=2.0),
    "exact": lambda x: F.interpolate(x, scale_factor=1.5, mode="nearest-exact"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=(2.0, 0.5), mode="bilinear"),
    "corners": lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2.0, mode="bicubic"),
    "to a size": lambda x: F.interpolate(x, size=(7, 5), mode="bilinear"),
    "to the size of another": lambda x: F.interpolate(x[:, :, ::2, ::2], size=x.shape[2:]) + x,
    "group norm": lambda x: F.group_norm(F.pad(x, (0, 0, 0, 0, 0, 1)), 2),
    "batch norm": lambda x: F.batch_norm(x, None, None, training=True),
    "rms norm": lambda x: F.rms_norm(x.permute(0, 2, 3, 1), 3, mg.tensor([1.0, 2.0, 3.0])),
    "response norm": lambda x: F.global_response_norm(x, mg.ones(3), mg.ones(3), channel_dim=1),
}  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(tmp_path: Path, name: str) -> None:
    tolerance = 1e-2 if name == "halves" else 1e-5
    agree(Of(ELEMENTWISE[name]), tmp_path / "a.onnx", (2, 3, 4), (5, 3, 4), dynamic=(0,),
          tolerance=tolerance)  # fmt: skip


@pytest.mark.parametrize("name", [*REDUCTIONS, *SHAPES, *IMAGES])
def test_reductions_shapes_and_images(tmp_path: Path, name: str) -> None:
    function = (REDUCTIONS | SHAPES | IMAGES)[name]
    at = (1, 3, 8, 8), (3, 3, 10, 6)
    agree(Of(function), tmp_path / "a.onnx", (1, 3, 8, 8), *at, tolerance=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_layers(tmp_path: Path, stride: int) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=stride, padding=1, groups=1),
        nn.BatchNorm2d(8),
        nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1),
        nn.InstanceNorm2d(4, affine=True),
        nn.Conv2d(4, 4, 3, dilation=2, groups=2, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4, 2),
    )
    agree(lively(model), tmp_path / "a.onnx", (1, 3, 8, 8), (2, 3, 12, 16))


def test_several_inputs_and_named_outputs(tmp_path: Path) -> None:
    import onnxruntime

    class Two(nn.Module):
        def forward(self, x: mg.Tensor, y: mg.Tensor) -> Any:
            return {"sum": x + y, "same": x, "pair": (x * 2, y)}

    mg.onnx.export(Two(), tmp_path / "a.onnx", (mg.ones(2, 3), mg.ones(2, 3)))
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert [v.name for v in session.get_inputs()] == ["input_0", "input_1"]
    assert [v.shape for v in session.get_inputs()] == [["batch", 3], ["batch", 3]]
    assert [v.name for v in session.get_outputs()] == ["sum", "same", "pair_0", "pair_1"]
    x, y = np.ones((4, 3), np.float32), np.full((4, 3), 2.0, np.float32)
    found = session.run(None, {"input_0": x, "input_1": y})
    for result, expected in zip(found, [x + y, x, x * 2, y], strict=True):
        np.testing.assert_array_equal(result, expected)


# ---- the file -----------------------------------------------------------------------------------


def test_weights_come_back_under_their_names(tmp_path: Path) -> None:
    model = lively(models.UNet(encoder(grn=True), num_classes=3))
    mg.onnx.export(model, tmp_path / "a.onnx", mg.ones(1, 3, 32, 32))
    weights = mg.onnx.load_weights(tmp_path / "a.onnx")
    expected = {n: t for n, t in model.state_dict().items() if "num_batches" not in n}
    assert weights.keys() == expected.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(array, expected[name].numpy())
    trunk = models.ConvNeXt(**SMALL, num_classes=4)
    mg.onnx.export(trunk, tmp_path / "b.onnx", mg.ones(1, 3, 32, 32))
    other = models.ConvNeXt(**SMALL, num_classes=4)
    models.load_pretrained(other, mg.onnx.load_weights(tmp_path / "b.onnx"), strict=True)
    for name, tensor in trunk.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), tensor.numpy())


def test_weights_come_back_through_every_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minigrad.onnx import exporting

    model = lively(models.ConvNeXtV2(**SMALL, num_classes=4))
    expected = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for limit in (exporting.LIMIT, 1000):  # in one file, and in two
        monkeypatch.setattr(exporting, "LIMIT", limit)
        mg.onnx.export(model, tmp_path / "a.onnx", mg.ones(1, 3, 32, 32))
        built, report = models.load_pretrained(None, tmp_path / "a.onnx", strict=True)
        checkpoint = io.read_checkpoint(tmp_path / "a.onnx")
        assert (report.naming, report.complete, checkpoint.format) == ("facebook", True, "onnx")
        for found in (mg.load(tmp_path / "a.onnx"), built.state_dict(), checkpoint.tensors):
            assert found.keys() == expected.keys()
            for name, array in expected.items():
                np.testing.assert_array_equal(np.asarray(found[name]), array)
    head = io.read_checkpoint(tmp_path / "a.onnx", select="head").tensors
    assert head.keys() == {"weight", "bias"}
    (tmp_path / "a.onnx.data").unlink()
    with pytest.raises(DataError, match=r"a\.onnx\.data: cannot be read"):
        mg.load(tmp_path / "a.onnx")


def test_files_of_others_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    import onnx

    mg.onnx.export(nn.Linear(3, 2), tmp_path / "a.onnx", mg.ones(1, 3))
    whole = onnx.load(tmp_path / "a.onnx")

    def refused(message: str, **changes: Any) -> None:
        other = onnx.ModelProto()
        other.CopyFrom(whole)
        for path, value in changes.items():
            part, _, name = path.partition("_")
            setattr(other if part == "model" else other.graph.initializer[0], name, value)
        (tmp_path / "b.onnx").write_bytes(other.SerializeToString(deterministic=True))
        for door in (mg.load, io.read_checkpoint, mg.onnx.load_weights):
            with pytest.raises(DataError, match=message):
                door(tmp_path / "b.onnx")

    refused(
        r"b\.onnx: written by pytorch; only the files of minigrad", model_producer_name="pytorch"
    )
    refused("'weight' is not whole", tensor_raw_data=b"123")
    refused("'weight' is not whole", tensor_data_location=onnx.TensorProto.EXTERNAL)
    refused("two weights have the name 'bias'", tensor_name="bias")
    whole.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")
    refused("its weights are in '../../etc/passwd', expected b.onnx.data",
            tensor_data_location=onnx.TensorProto.EXTERNAL)  # fmt: skip
    (tmp_path / "b.onnx").write_bytes((tmp_path / "a.onnx").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"b\.onnx: no ONNX file"):
        mg.load(tmp_path / "b.onnx")


def test_equal_models_give_equal_bytes_and_keep_their_mode(tmp_path: Path) -> None:
    model = models.ConvNeXt(**SMALL).train()
    for name in ("a", "b"):
        mg.onnx.export(model, tmp_path / f"{name}.onnx", mg.randn(1, 3, 32, 32))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_large_weights_are_in_a_second_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minigrad.onnx import exporting

    path = tmp_path / "a.onnx"
    model = models.ConvNeXt(**SMALL)
    monkeypatch.setattr(exporting, "LIMIT", 1000)
    agree(model, path, (1, 3, 32, 32), (2, 3, 64, 32))
    assert path.stat().st_size < (tmp_path / "a.onnx.data").stat().st_size
    assert mg.onnx.verify(model, path, mg.randn(2, 3, 32, 64)).worst < 1e-5
    weights = mg.onnx.load_weights(path)
    np.testing.assert_array_equal(weights["head.weight"], model.head.weight.detach().numpy())


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(DataError, match="no ONNX file"):
        mg.onnx.load_weights(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="written by an unknown program"):
        mg.onnx.load_weights(path)


# ---- what a graph cannot say --------------------------------------------------------------------


class Twice(mg.autograd.Function):
    def forward(self, x: Any) -> Any:
        return x * 2


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "unknown": (lambda x: Twice()(x), "twice, in layer 0.*does not know it"),
    "comparison": (lambda x: mg.where(x > 0, x, -x), "where, in layer 0.*depends on the input"),
    "windows": (lambda x: F.adaptive_avg_pool2d(x, 3), "separable, in layer 0.*windows depend"),
    "number": (lambda x: x * float(x.shape[2]), "mul, in layer 0: it works with 8.0 .* and 16.0"),
    "length": (lambda x: x.new_ones(1).expand(x.shape[2] + 1) + 1, "length that is 9 .* and 17"),
    "in place": (lambda x: (x * 1).add_(1) * 2, "changed in place"),
    "branch": (lambda x: x.exp() if x.shape[2] > 8 else x * 2, "for another size of the input"),
    "loop": (lambda x: sum(x[:, :, i] for i in range(x.shape[2])), "operations on inputs of shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_operation(tmp_path: Path, name: str) -> None:
    function, message = REFUSED[name]
    model = nn.Sequential(Of(function))
    with pytest.raises(GraphError, match=message):
        mg.onnx.export(model, tmp_path / "a.onnx", mg.ones(1, 3, 8, 8))
    assert not list(tmp_path.iterdir())
    assert not any(module._forward_hooks for module in model.modules())


def test_what_depends_on_the_size_is_exported_for_one(tmp_path: Path) -> None:
    agree(Of(lambda x: F.adaptive_avg_pool2d(x, 3) * float(x.shape[2])), tmp_path / "a.onnx",
          (2, 3, 8, 8), (2, 3, 8, 8), dynamic=())  # fmt: skip


def test_options(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="example is a Tensor or a tuple"):
        mg.onnx.export(nn.ReLU(), tmp_path / "a.onnx", np.ones(3))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="model is a Module, not function"):
        mg.onnx.export(lambda x: x, tmp_path / "a.onnx", mg.ones(3))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"got \(1, 4, 32, 32\)"):  # not the shape of a trace
        mg.onnx.export(models.ConvNeXt(**SMALL), tmp_path / "a.onnx", mg.ones(1, 4, 32, 32))
    with pytest.raises(OptionError, match="dynamic is True, False or a tuple of axes, not 'batch'"):
        mg.onnx.export(nn.ReLU(), tmp_path / "a.onnx", mg.ones(3), dynamic="batch")
    with pytest.raises(ShapeError, match="names an axis"):
        mg.onnx.export(nn.ReLU(), tmp_path / "a.onnx", mg.ones(3), dynamic=(1,))
    with pytest.raises(GraphError, match="returns a int"):
        mg.onnx.export(Of(lambda x: 3), tmp_path / "a.onnx", mg.ones(3))
    twice: dict[str, Any] = {"a_0": 1, "a": [1]}
    for names, message in ((twice, "names of their own"), ({"input": 1}, "both named .input.")):
        with pytest.raises(GraphError, match=message):
            mg.onnx.export(Of(lambda x, n=names: _scaled(n, x)), tmp_path / "a.onnx", mg.ones(3))


def _scaled(numbers: Any, x: mg.Tensor) -> Any:
    if isinstance(numbers, dict):
        return {key: _scaled(value, x) for key, value in numbers.items()}
    return [x] if isinstance(numbers, list) else x * numbers


def test_a_buffer_that_is_not_kept_is_a_constant(tmp_path: Path) -> None:
    class Shift(nn.Module):
        def __init__(self) -> None:
            self.register_buffer("kept", mg.tensor([1.0, 2.0]))
            self.register_buffer("table", mg.tensor([3.0, 4.0]), persistent=False)

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return x + self.kept * self.table

    agree(Shift(), tmp_path / "a.onnx", (1, 2), (5, 2))
    assert mg.onnx.load_weights(tmp_path / "a.onnx").keys() == {"kept"}


def test_every_operation_has_a_row_or_a_reason() -> None:
    from minigrad.onnx.nodes import NODES

    left_out = {
        "Arithmetic": "no operation", "Binary": "no operation",
        "Atan2": "no operator", "Erfinv": "no operator", "Median": "no operator",
        "BinaryCrossEntropy": "training", "CrossEntropy": "training", "ScaleByMask": "training",
        "ConvWeightGrad": "backward", "PoolGather": "backward", "PoolScatter": "backward",
        "Put": "backward", "Unslice": "backward", "PutView": "in place", "IndexPut": "in place",
        "PointwiseMLP": "not while somebody listens to the layers, as a trace does",
    }  # fmt: skip
    ours = {c for c in _below(mg.autograd.Function) if c.__module__.startswith("minigrad.ops.")}
    assert {c.__name__ for c in ours - NODES.keys()} == left_out.keys()


def _below(kind: type) -> set[type]:
    return {kind}.union(*map(_below, kind.__subclasses__()))


def test_a_row_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.onnx.nodes import NODES

    monkeypatch.setitem(NODES, Twice, lambda g, op, x: g.node("Mul", x, 2.0))
    agree(Of(lambda x: Twice()(x)), tmp_path / "a.onnx", (1, 3), (4, 3))


# ---- verify -------------------------------------------------------------------------------------


def test_verify_goes_layer_by_layer(tmp_path: Path) -> None:
    model = lively(models.ConvNeXt(**SMALL))
    path = tmp_path / "a.onnx"
    mg.onnx.export(model, path, mg.ones(1, 3, 32, 32))
    found = mg.onnx.verify(model, path, mg.randn(2, 3, 64, 96))
    assert found.worst < 1e-5
    layers = [row.layer for row in found.rows]
    assert {"stages.2.1.norm", "stages.2.1.dwconv", "head"} <= {*layers}
    assert max(row.difference for row in found.rows) < 1e-4
    assert "stages.2.1.dwconv  conv" in re.sub("  +", "  ", str(found))
    with mg.no_grad():
        model.stages[2][1].pwconv1.weight.mul_(2)
    changed = mg.onnx.verify(model, path, mg.randn(2, 3, 64, 96))
    wrong = [row.layer for row in changed.rows if row.difference > 1e-3]
    assert wrong[0] == "stages.2.1.pwconv1"
    with pytest.raises(DataError, match="holds another model"):
        mg.onnx.verify(nn.Linear(3, 2), path, mg.ones(1, 3))
    mg.onnx.export(model.double(), path, mg.ones(1, 3, 32, 32).double())
    with pytest.raises(DataError, match=r"does not run it .* export model.float\(\)"):
        mg.onnx.verify(model, path, mg.ones(1, 3, 32, 32).double())


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo: Path) -> None:
    monkeypatch.chdir(tmp_path)
    cells = re.findall(r"^```python\n(.*?)^```", (repo / "docs/onnx.md").read_text(), re.M | re.S)
    assert len(cells) == 4
    exec("\n".join(cells), {})
