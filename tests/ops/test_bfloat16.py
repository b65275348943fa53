"""bfloat16 tensors stay bfloat16 through operations, methods and gradients."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")
pytest.importorskip("ml_dtypes")

X = [[0.5, -1.25, 2.0], [3.0, 0.125, -0.75]]

FUNCTIONS = {
    "product with a number": lambda m, f, x: x * x * 0.5 + 1,
    "sigmoid": lambda m, f, x: m.sigmoid(x),
    "silu": lambda m, f, x: f.silu(x),
    "softplus": lambda m, f, x: f.softplus(x),
    "elu": lambda m, f, x: f.elu(x),
    "leaky_relu": lambda m, f, x: f.leaky_relu(x),
    "gelu": lambda m, f, x: f.gelu(x),
    "power": lambda m, f, x: (x * x + 1) ** 1.5,
    "maximum": lambda m, f, x: m.maximum(x, x * x),
    "where": lambda m, f, x: m.where(x > 0, x, x * 0.25),
    "clamp": lambda m, f, x: m.clamp(x, -1, 1),
    "mean": lambda m, f, x: x.mean(1),
    "layer_norm": lambda m, f, x: f.layer_norm(x, (3,)),
    "softmax": lambda m, f, x: f.softmax(x, dim=1),
    "matmul": lambda m, f, x: x @ x.t(),
    "view and index": lambda m, f, x: x.reshape(3, 2)[1:] * 2,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_round_as_pytorch_does(name):
    function = FUNCTIONS[name]
    x = mg.tensor(X, dtype="bfloat16", requires_grad=True)
    t = torch.tensor(X, dtype=torch.bfloat16, requires_grad=True)
    ours, theirs = function(mg, F, x), function(torch, torch.nn.functional, t)
    assert ours.dtype.name == "bfloat16"
    (ours * ours).sum().backward()
    (theirs * theirs).sum().backward()
    assert x.grad.dtype.name == "bfloat16"
    for a, b in ((ours, theirs), (x.grad, t.grad)):
        np.testing.assert_allclose(
            a.detach().float().numpy(), b.detach().float().numpy(), rtol=2e-2, atol=2e-2
        )


def test_in_place_and_scalars_keep_bfloat16():
    x = mg.ones(3, dtype="bfloat16")
    x += 0.5
    x.mul_(2)
    assert x.dtype.name == "bfloat16"
    assert x.float().tolist() == [3.0, 3.0, 3.0]
