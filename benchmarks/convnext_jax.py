"""ConvNeXt in JAX: channels last throughout, the official parameter names, AdamW by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Weights = dict[str, Any]
LAYOUT = ("NHWC", "HWIO", "NHWC")


def from_official(saved: Any) -> Weights:
    """Return the weights in JAX's order: kernels (H, W, I, O), matrices (in, out)."""
    orders = {4: (2, 3, 1, 0), 2: (1, 0)}
    arrays = {name: saved[name] for name in saved}
    return {
        # GRN's (1, 1, 1, C) is no kernel, and broadcasts as it is
        name: jnp.asarray(np.ascontiguousarray(a.transpose(orders[a.ndim])))
        if a.ndim in orders and name.endswith("weight")
        else jnp.asarray(a)
        for name, a in arrays.items()
    }


def patchify(w: Weights, name: str, x: Any, stride: int) -> Any:
    kernel = w[name + ".weight"]
    y = lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=LAYOUT)
    return y + w[name + ".bias"]


def depthwise(w: Weights, name: str, x: Any) -> Any:
    """Shift, scale and add: XLA makes one loop of it, many times faster than its grouped one."""
    kernel = w[name + ".weight"]
    side, (height, width) = len(kernel), x.shape[1:3]
    edge = side // 2
    padded = jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    y = w[name + ".bias"]
    for i in range(side):
        for j in range(side):
            y = y + padded[:, i : i + height, j : j + width] * kernel[i, j, 0]
    return y


def layer_norm(w: Weights, name: str, x: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-6) * w[name + ".weight"] + w[name + ".bias"]


def linear(w: Weights, name: str, x: Any) -> Any:
    return x @ w[name + ".weight"] + w[name + ".bias"]


def block(w: Weights, name: str, x: Any) -> Any:
    y = layer_norm(w, name + ".norm", depthwise(w, name + ".dwconv", x))
    y = jax.nn.gelu(linear(w, name + ".pwconv1", y), approximate=False)
    if name + ".grn.gamma" in w:
        norm = jnp.sqrt((y * y).sum((1, 2), keepdims=True))
        scaled = y * (norm / (norm.mean(-1, keepdims=True) + 1e-6))
        y = w[name + ".grn.gamma"] * scaled + w[name + ".grn.beta"] + y
    y = linear(w, name + ".pwconv2", y)
    return x + (y * w[name + ".gamma"] if name + ".gamma" in w else y)


def convnext(w: Weights, x: Any, depths: Sequence[int]) -> Any:
    for i, depth in enumerate(depths):
        name = f"downsample_layers.{i}"
        if i:
            x = patchify(w, name + ".1", layer_norm(w, name + ".0", x), 2)
        else:
            x = layer_norm(w, name + ".1", patchify(w, name + ".0", x, 4))
        for j in range(depth):
            x = block(w, f"stages.{i}.{j}", x)
    return linear(w, "head", layer_norm(w, "norm", x.mean((1, 2))))


def loss(w: Weights, x: Any, y: Any, depths: Sequence[int]) -> Any:
    logs = jax.nn.log_softmax(convnext(w, x, depths))
    return -logs[jnp.arange(len(y)), y].mean()


def adamw(w: Weights, g: Weights, m: Weights, v: Weights, t: Any, lr: float = 1e-5) -> Any:
    """Take one step; return weights and moments."""
    each = jax.tree_util.tree_map
    m = each(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = each(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)

    def step(w: Any, m: Any, v: Any) -> Any:
        return w * (1 - 0.01 * lr) - lr * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

    return each(step, w, m, v), m, v
