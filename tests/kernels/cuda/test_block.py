"""The ConvNeXt block on the GPU: one chain of kernels, in every precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels.cuda import mlp
from minigrad.models import Block
from tests.kernels.cuda.tools import TOLERANCE, dtype_of


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that gets the dtypes of x and skip of every fused block."""
    calls: list[Any] = []
    real = mlp._known

    def known(x: Any, skip: Any, *rest: Any) -> bool:
        calls.append((x.dtype.name, skip.dtype.name))
        return real(x, skip, *rest)

    monkeypatch.setattr(mlp, "_known", known)
    return calls


def blocks(grn: bool) -> tuple[Block, Block]:
    """Return the same block on both devices."""
    mg.manual_seed(0)
    host = Block(8, layer_scale_init_value=None if grn else 0.5, grn=grn)
    device = Block(8, layer_scale_init_value=None if grn else 0.5, grn=grn)
    device.load_state_dict(host.state_dict())
    return host, device.to("cuda")


def gradients(block: Block, x: np.ndarray[Any, Any], device: str) -> list[np.ndarray[Any, Any]]:
    t = mg.tensor(x).to(device).requires_grad_()
    y = block(t)
    (y.float() * y.float()).sum().backward()
    tensors = [y, t.grad, *(p.grad for p in block.parameters())]
    return [a.detach().cpu().float().numpy() for a in tensors]


def assert_near(got: list[Any], expected: list[Any], tolerance: float) -> None:
    for g, e in zip(got, expected, strict=True):
        assert np.linalg.norm(g - e) <= tolerance * np.linalg.norm(e)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.usefixtures("cupy")
def test_autocast(rng: np.random.Generator, fused: list[Any], grn: bool, dtype: str) -> None:
    """Values of the branch have two bytes; the skip connection and the parameters stay float32."""
    host, device = blocks(grn)
    x = rng.normal(0, 1, (2, 8, 9, 9)).astype(np.float32)
    expected = gradients(host, x, "cpu")
    with mg.autocast("cuda", dtype=dtype):
        got = gradients(device, x, "cuda")
    assert fused == [(dtype, "float32")] * 2
    assert all(p.grad.dtype == mg.float32 for p in device.parameters())
    assert_near(got, expected, 3 * TOLERANCE[dtype])


@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.usefixtures("cupy")
def test_a_narrow_skip_connection(rng: np.random.Generator, fused: list[Any], grn: bool) -> None:
    """It stays narrow, unless the layer scale is float32: so it is in PyTorch."""
    host, device = blocks(grn)
    x = rng.normal(0, 1, (2, 8, 9, 9)).astype(np.float16)
    expected = gradients(host, x.astype(np.float32), "cpu")
    with mg.autocast("cuda", dtype="float16"):
        got = gradients(device, x, "cuda")
    assert fused == [("float16", "float16" if grn else "float32")] * 2
    assert_near(got, expected, 3 * TOLERANCE["float16"])


@pytest.mark.usefixtures("cupy")
def test_a_model_of_two_bytes(rng: np.random.Generator, fused: list[Any]) -> None:
    host, device = blocks(True)
    device.to(dtype_of("float16"))
    x = rng.normal(0, 1, (2, 8, 9, 9)).astype(np.float16)
    assert_near(gradients(device, x, "cuda"), gradients(host, x.astype(np.float32), "cpu"), 2e-2)
    assert fused == [("float16", "float16")] * 2


@pytest.mark.usefixtures("cupy")
def test_second_derivatives_in_mixed_precision(rng: np.random.Generator) -> None:
    host, device = blocks(False)
    x = rng.normal(0, 1, (1, 8, 8, 8)).astype(np.float32)

    def second(block: Block, device: str, half: bool) -> np.ndarray[Any, Any]:
        t = mg.tensor(x).to(device).requires_grad_()
        with mg.autocast(device, dtype="float16", enabled=half):
            y = block(t)
        (g,) = mg.autograd.grad((y * y).sum(), [t], create_graph=True)
        (gg,) = mg.autograd.grad((g * g).sum(), [t])
        return gg.cpu().numpy()

    expected = second(host, "cpu", False)
    assert_near([second(device, "cuda", True)], [expected], 2e-2)
