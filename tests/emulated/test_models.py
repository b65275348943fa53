"""Models, layers and mixed precision on the device give what they give on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.models as models
from minigrad import nn
from minigrad.backend import use_kernels
from minigrad.nn import functional as F
from tests.emulated.conftest import REAL, SLACK, counting


def close(a: Any, b: Any, tolerance: float, what: str) -> None:
    a, b = [np.asarray(x.detach().cpu().numpy(), np.float64) for x in (a, b)]
    assert a.shape == b.shape, what
    assert np.linalg.norm(a - b) <= SLACK * tolerance * max(np.linalg.norm(b), 1e-6), what


def both(
    build: Callable[[str], nn.Module], shape: tuple[int, ...], tolerance: float = 1e-5
) -> None:
    """Compare outputs, gradients of parameters and input on the device and on the CPU."""
    found: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    image = rng.standard_normal(shape).astype(np.float32)
    for device in ("cpu", "cuda"):
        rng = np.random.default_rng(1)
        mg.manual_seed(0)
        model = build(device)
        assert {str(t.device.type) for t in [*model.parameters(), *model.buffers()]} <= {device}
        x = mg.tensor(image, device=device, requires_grad=True)
        mg.manual_seed(1)
        out = model(x)
        outs = list(out) if isinstance(out, tuple) else [out]
        weights = [mg.tensor(rng.standard_normal(o.shape), o.dtype, device) for o in outs]
        loss = sum((o * w).mean() for o, w in zip(outs, weights, strict=True) if o.requires_grad)
        loss.backward()
        assert {o.device.type for o in outs} == {device}
        values = {f"output {i}": o for i, o in enumerate(outs)} | {"input": x.grad}
        values |= {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        found.append(values | dict(model.named_buffers()))
    for name, value in found[0].items():
        close(found[1][name], value, tolerance, name)


SMALL: dict[str, Any] = {"depths": (1, 1), "dims": (8, 16), "patch_size": 2, "num_classes": 3}


@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convnexts_of_signals_images_and_volumes(cupy: Any, dims: int, grn: bool) -> None:
    kind = models.ConvNeXtV2 if grn else models.ConvNeXt
    both(
        lambda d: kind(1, spatial_dims=dims, kernel_size=3, drop_path_rate=0.3, device=d, **SMALL),
        (2, 1, *(8,) * dims),
    )


def test_fcmae(cupy: Any) -> None:
    encoder = {"depths": (1, 1), "dims": (8, 16), "patch_size": 2, "num_classes": 0}
    both(
        lambda d: models.FCMAE(
            models.ConvNeXtV2(1, device=d, **encoder), decoder_embed_dim=16, device=d
        ),
        (2, 1, 16, 16),
    )


def test_unet(cupy: Any) -> None:
    small = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}
    both(
        lambda d: models.UNet(
            models.ConvNeXt(1, 0, device=d, **small), decoder_filters=(16, 8, 8, 8, 8), device=d
        ),
        (2, 1, 64, 64),
        tolerance=3e-5,
    )


LAYERS: dict[str, tuple[Callable[[Any], nn.Module], tuple[int, ...]]] = {
    "conv": (lambda at: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, **at), (2, 4, 7, 7)),
    "conv transpose": (lambda at: nn.ConvTranspose2d(4, 3, 3, stride=2, **at), (2, 4, 5, 5)),
    "depthwise": (lambda at: nn.Conv2d(8, 8, 7, padding=3, groups=8, **at), (2, 8, 9, 9)),
    "batch norm": (lambda at: nn.BatchNorm2d(4, **at), (3, 4, 5, 5)),
    "layer norm": (lambda at: nn.LayerNorm(6, **at), (3, 4, 6)),
    "group norm": (lambda at: nn.GroupNorm(2, 4, **at), (3, 4, 5)),
    "grn": (lambda at: nn.GRN(5, **at), (2, 4, 4, 5)),
    "max pool": (lambda at: nn.MaxPool2d(3, 2, 1), (2, 3, 8, 8)),
    "avg pool": (lambda at: nn.AvgPool2d(3, 2, 1), (2, 3, 8, 8)),
    "adaptive pool": (lambda at: nn.AdaptiveAvgPool2d(3), (2, 3, 8, 8)),
    "upsample": (lambda at: nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4, 4)),
    "gelu": (lambda at: nn.GELU(), (3, 5)),
    "dropout": (lambda at: nn.Dropout(0.5), (30, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(cupy: Any, name: str) -> None:
    build, shape = LAYERS[name]
    both(lambda device: build({"device": device}), shape)


def test_embedding(cupy: Any) -> None:
    mg.manual_seed(0)
    layer = nn.Embedding(5, 3)
    there = nn.Embedding(5, 3, device="cuda")
    there.load_state_dict(layer.state_dict())
    for module, device in ((layer, "cpu"), (there, "cuda")):
        module(mg.tensor([[1, 4], [1, 0]], device=device)).sum().backward()
    close(there.weight.grad, layer.weight.grad, 1e-6, "gradient")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision_of_a_convnext(cupy: Any, dtype: str) -> None:
    """Two-byte products on both devices; their sums differ in the last bits."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")

    class Mixed(nn.Module):
        def __init__(self, device: str) -> None:
            self.model = models.ConvNeXtV2(1, device=device, **SMALL)
            self.kind = device

        def forward(self, x: Any) -> Any:
            with mg.autocast(self.kind, dtype):
                return self.model(x)

    both(Mixed, (2, 1, 8, 8), tolerance=2e-2 if dtype == "float16" else 1e-1)


@pytest.mark.skipif(REAL, reason="CuPy does not count")
def test_inference_never_waits_and_copies_nothing_from_the_host(cupy: Any) -> None:
    model = models.ConvNeXt(1, device="cuda", **SMALL).eval()
    x = mg.randn(2, 1, 8, 8, device="cuda")
    with mg.no_grad(), counting() as counts:
        model(x)
    assert counts.synchronisations == []
    assert counts.uploads == []


@pytest.mark.skipif(REAL, reason="CuPy does not count")
def test_tables_are_copied_to_the_device_once(cupy: Any) -> None:
    """Pooling and resizing know from the sizes what to read; a captured step copies nothing."""
    layers = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Upsample(scale_factor=2, mode="bilinear"))
    x = mg.randn(2, 3, 9, 9, device="cuda", requires_grad=True)

    def step() -> None:
        layers(x).sum().backward()

    step()
    with counting() as counts:
        step()
    assert counts.uploads == []
    assert counts.synchronisations == []


def test_labels_out_of_range_make_the_loss_nan(cupy: Any) -> None:
    """The CPU raises; a GPU would have to be waited for, except in anomaly mode."""
    scores = mg.zeros(3, 4, device="cuda")
    labels = mg.tensor([0, 9, -100], device="cuda")
    each = F.cross_entropy(scores, labels, reduction="none")
    assert np.isnan(each.tolist()).tolist() == [False, True, False]
    assert np.isnan(F.cross_entropy(scores, labels).item())
    assert np.isnan(F.nll_loss(scores, labels).item())
    assert F.cross_entropy(scores, labels.clamp(max=3)).item() == pytest.approx(np.log(4))
    with (
        mg.autograd.detect_anomaly(),
        pytest.raises(mg.errors.OptionError, match="label 9 is out of range"),
    ):
        F.cross_entropy(scores, labels)


def test_products_of_any_number_of_axes_are_one_matrix_product(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CuPy's fast path, and TF32, are for two axes."""
    x, w = mg.randn(2, 3, 40, 16, device="cuda"), mg.randn(16, 32, device="cuda")
    with use_kernels("reference"):
        expected = x.cpu() @ w.cpu()
    seen = []
    if not REAL:
        from tests.emulated.fake_cupy import arrays

        check = arrays._check_product
        monkeypatch.setattr(
            arrays, "_check_product", lambda a, b: (seen.append(max(a.ndim, b.ndim)), check(a, b))
        )
    close(x @ w, expected, 1e-5, "product")
    assert all(ndim == 2 for ndim in seen)
    assert seen or REAL
