"""Whole ConvNeXts train on the device as they do on the CPU, without waiting for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.models as models
from minigrad.nn import functional as F
from tests.emulated.conftest import REAL, SLACK, counting

SMALL = {"num_classes": 5, "depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}
VERSIONS: dict[str, Any] = {
    "v1": lambda **at: models.ConvNeXt(layer_scale_init_value=0.5, **SMALL, **at),
    "v2": lambda **at: models.ConvNeXtV2(**SMALL, **at),
}


def batch(device: str, size: int = 64) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((3, 3, size, size), np.float32)
    return mg.tensor(images, device=device), mg.tensor([0, 4, 2], device=device)


def close(found: Any, expected: Any, what: str) -> None:
    a, b = [np.asarray(x.detach().cpu().numpy(), np.float64) for x in (found, expected)]
    assert a.shape == b.shape, what
    assert np.linalg.norm(a - b) <= SLACK * 1e-5 * np.linalg.norm(b), what


def trained(version: str, device: str, drop_path: float = 0.0) -> dict[str, Any]:
    """Take one step; return the logits, the loss, all gradients and all weights."""
    mg.manual_seed(0)
    model = VERSIONS[version](drop_path_rate=drop_path, device=device)
    if version == "v2":  # GRN's parameters begin at 0; then it would not be tested
        with mg.no_grad():
            for name, p in model.named_parameters():
                if "grn" in name:
                    p.add_(mg.tensor(np.linspace(-1, 1, p.numel(), dtype=np.float32).reshape(
                        p.shape), device=device))  # fmt: skip
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-3)
    images, labels = batch(device)
    logits = model(images)
    loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
    loss.backward()
    results = {"logits": logits, "loss": loss}
    results |= {f"gradient of {n}": p.grad.clone() for n, p in model.named_parameters()}
    optimizer.step()
    return results | dict(model.named_parameters())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_a_step_of_a_convnext_is_that_of_the_cpu(cupy: Any, version: str, drop_path: float) -> None:
    found, expected = [trained(version, device, drop_path) for device in ("cuda", "cpu")]
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.device.type == "cuda"
        close(value, expected[name], name)


@pytest.mark.skipif(REAL, reason="CuPy does not count synchronisations")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_training_step_never_waits_for_the_device(cupy: Any, version: str) -> None:
    """Forward, loss, backward, clipping, step and average: Python runs ahead of the GPU."""
    model = VERSIONS[version](drop_path_rate=0.5, device="cuda")
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = mg.optim.CosineAnnealingLR(optimizer, 10)
    average = mg.optim.ModelEma(model)
    images, labels = batch("cuda")

    def step() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        mg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update(model)
        return loss

    step()
    with counting() as counts:
        step()
    assert counts.synchronisations == []
