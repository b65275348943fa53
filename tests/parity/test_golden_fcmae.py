"""The masked autoencoder against golden files: loss, maps, every gradient, checkpoint names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models
from tests.parity.procedural import image, unit, weight

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SIZES: dict[str, Any] = {"depths": (1, 1, 2, 1), "dims": (8, 12, 16, 20)}
STATISTICS = {"minkowski": "batch", "per_sample": "sample"}

# manifest.json: absolute on outputs, relative on gradients (some are stored as float32).
OUTPUTS = {mg.float64: 1e-9, mg.float32: 2e-5}
GRADIENTS = {mg.float64: 1e-6, mg.float32: 1e-4}
both_dtypes = pytest.mark.parametrize("dtype", [mg.float64, mg.float32], ids=str)
both_statistics = pytest.mark.parametrize("tag", STATISTICS)


def golden() -> dict[str, Any]:
    return io.load_file(GOLDEN / "fcmae_case.safetensors")[0]


def canonical(name: str) -> str:
    return name.removeprefix("encoder.")


def value(name: str, shape: tuple[int, ...]) -> Any:
    return unit(name, shape) * 0.5 if name == "mask_token" else weight(name, shape)


def autoencoder(tag: str, dtype: Any = mg.float64, **options: Any) -> models.FCMAE:
    encoder = models.ConvNeXtV2(num_classes=0, dtype=dtype, **SIZES)
    options = {"decoder_embed_dim": 6, "grn_statistic": STATISTICS[tag], "dtype": dtype} | options
    model = models.FCMAE(encoder, **options)
    state = model.state_dict()
    model.load_state_dict({k: value(canonical(k), t.shape) for k, t in state.items()})
    return model


def images(dtype: Any = mg.float64) -> mg.Tensor:
    return mg.tensor(image("fcmae", (2, 3, 96, 96)), dtype=dtype)


@both_statistics
@both_dtypes
def test_loss_maps_and_gradients(tag: str, dtype: Any) -> None:
    case, model = golden(), autoencoder(tag, dtype)
    mask = mg.tensor(case["mask"])
    loss, pred, _ = model(images(dtype), mask)
    loss.backward()

    atol = OUTPUTS[dtype]
    assert loss.dtype == dtype
    np.testing.assert_allclose(loss.item(), case[f"{tag}.loss"], rtol=0, atol=atol)
    with mg.no_grad():
        features = model.forward_encoder(images(dtype), mask)
    expected = case[f"{tag}.enc"]  # stored as float32, up to 12
    np.testing.assert_allclose(features, expected, rtol=1e-7, atol=max(atol, 1e-7))
    norms = mg.norm(pred.detach(), dim=1)
    np.testing.assert_allclose(norms, case[f"{tag}.pred_l2"], rtol=10 * atol)
    first = case[f"{tag}.pred_sample0_first8"]
    np.testing.assert_allclose(pred.detach()[0, :8], first, rtol=1e-6, atol=max(atol, 1e-6))

    gradients = {canonical(n): p.grad.numpy() for n, p in model.named_parameters()}
    assert {f"{tag}.grad_l2.{n}" for n in gradients} == {
        key for key in case if key.startswith(f"{tag}.grad_l2.")
    }
    rtol = 1e-9 if dtype == mg.float64 else GRADIENTS[dtype]  # the norms are stored as float64
    for name, gradient in gradients.items():
        wide = gradient.astype(np.float64).ravel()
        norm = case[f"{tag}.grad_l2.{name}"]
        np.testing.assert_allclose(np.linalg.norm(wide), norm, rtol=rtol, err_msg=name)
        if tag == "minkowski" and not name.startswith("pred."):
            error = np.linalg.norm(wide - case[f"grad.{name}"].ravel())
            assert error <= GRADIENTS[dtype] * norm, name


def test_loss_of_plain_pixels() -> None:
    case, model = golden(), autoencoder("minkowski", norm_pix_loss=False)
    loss, _, _ = model(images(), mg.tensor(case["mask"]))
    expected = case["minkowski.loss_no_norm_pix"]
    np.testing.assert_allclose(loss.item(), expected, rtol=0, atol=1e-9)


def test_the_statistics_differ() -> None:
    case = golden()
    assert abs(case["minkowski.loss"] - case["per_sample.loss"]) > 1e-3


def test_official_training_checkpoint() -> None:
    """Its sparse kernels, ``.ln.``, ``.linear.`` and flat biases become a ConvNeXt V2."""
    state = mg.io.read_checkpoint(GOLDEN / "fcmae_minkowski.pth").tensors
    assert state["encoder.stages.0.0.dwconv.kernel"].shape == (49, 8)
    weights = models.from_fcmae(state)
    model = models.ConvNeXtV2(num_classes=0, dtype=mg.float64, **SIZES)
    report = model.load_state_dict(weights, strict=False)
    assert set(report.missing) == {"norm.weight", "norm.bias"}
    assert not report.unexpected
    assert not report.mismatched
    for name in report.loaded:  # every procedural value is exact in half precision
        found = model.state_dict()[name]
        np.testing.assert_array_equal(found, weight(name, found.shape), err_msg=name)


def test_released_checkpoints_are_plain() -> None:
    state = autoencoder("minkowski").state_dict()
    plain = {canonical(k): v for k, v in state.items() if k.startswith("encoder.")}
    renamed = models.from_fcmae(plain)
    assert list(renamed) == list(plain)
    flat = {k: v.reshape(1, -1) if "grn" in k else v for k, v in plain.items()}
    for name, array in models.from_fcmae(flat).items():
        np.testing.assert_array_equal(array, plain[name])
