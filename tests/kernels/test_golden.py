"""Values and gradients of the golden file that official PyTorch code wrote in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.neural import activation, norm

safetensors = pytest.importorskip("safetensors.numpy")

GOLDEN: dict[str, Any] = safetensors.load_file(
    Path(__file__).parents[1] / "golden" / "ops.safetensors"
)


def _leaf(name: str) -> mg.Tensor:
    return mg.Tensor(GOLDEN[name], requires_grad=True)


def _equals(ours: mg.Tensor, name: str, rtol: float = 1e-12) -> None:
    expected = GOLDEN[name]
    np.testing.assert_allclose(
        ours.detach().numpy(), expected, rtol=rtol, atol=rtol * np.abs(expected).max()
    )


def test_gelu() -> None:
    x = _leaf("gelu.x")
    y = activation.gelu(x)
    _equals(y, "gelu.erf")
    _equals(activation.gelu(x, approximate="tanh"), "gelu.tanh")
    y.sum().backward()
    _equals(x.grad, "gelu.erf_grad")


def test_grn_with_a_dead_channel() -> None:
    x = _leaf("grn.x")
    y = norm.global_response_norm(x, _leaf("grn.gamma"), _leaf("grn.beta"))
    _equals(y, "grn.y")
    (y * y).sum().backward()
    _equals(x.grad, "grn.grad_x")


@pytest.mark.parametrize("eps", ["1e-05", "1e-06", "1e-12"])
def test_layer_norm_of_tiny_variance(eps: str) -> None:
    x = _leaf("ln.x")
    weight, bias = 1.0 + mg.Tensor(GOLDEN["grn.gamma"]), mg.Tensor(GOLDEN["grn.beta"])
    y = norm.layer_norm(x, 8, weight, bias, float(eps))
    _equals(y, f"ln.y_{eps}", 1e-9)  # x is 3 + 1e-4 * noise: 1e-16 in x is 1e-11 in y
    (y * y * y).sum().backward()
    _equals(x.grad, f"ln.grad_{eps}", 1e-9)
