"""The effective receptive field: which part of the input a position of a map really looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad import random
from minigrad.autograd.engine import grad
from minigrad.errors import GraphError, OptionError, ShapeError
from minigrad.modes import enable_grad
from minigrad.nn import Module
from minigrad.nn.utils import evaluating
from minigrad.tensor import Tensor
from minigrad.viz.grad_cam import find_layer

__all__ = ["receptive_field", "receptive_side"]


class _Reached(Exception):
    """The layer has run; what follows it does not matter."""


def receptive_field(
    model: Module,
    input_shape: Sequence[int] = (3, 224, 224),
    layer: str | None = None,
    *,
    images: Tensor | None = None,
    samples: int = 8,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return how much every input position moves the middle of a layer's map.

    The mean over images and random signs s of sum over input channels of
    |∂(sum over channels k of s_k y_k(middle)) / ∂x|. Without the signs, a layer norm at the end
    would hide everything: its channels always sum to the same.

    Parameters
    ----------
    model : Module
        It is evaluated in evaluation mode and left as it was.
    input_shape : sequence of int, default (3, 224, 224)
        (C, *spatial) of one sample.
    layer : str, optional
        Name of the module whose map is looked at, such as "stages.2"; by default the last stage,
        or the whole model where there are no stages.
    images : Tensor, (N, C, *spatial), optional
        Inputs to average over; by default `samples` of noise.
    samples : int, default 8
        How many.
    seed : int, default 0
        Of noise and signs; the global generator is not touched.

    Returns
    -------
    array of the input's spatial shape, float32

    Raises
    ------
    OptionError
        If there is no such layer.
    ShapeError
        If the layer gives no map.
    GraphError
        If it does not depend on the input.

    Notes
    -----
    Source: Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural
    Networks", arXiv:1701.04128.

    Examples
    --------
    >>> import minigrad as mg
    >>> field = receptive_field(mg.nn.Conv2d(1, 4, 3, padding=1), (1, 9, 9))
    >>> field.shape, int((field > 0).sum())
    ((9, 9), 9)
    """
    if samples < 1:
        raise OptionError(f"receptive_field: samples must be 1 or more, got {samples}")
    name = _layer_or_all(model, layer)
    generator = random.Generator(seed)
    weight = next(model.parameters(), None)
    device, dtype = ("cpu", None) if weight is None else (str(weight.device), weight.dtype)
    total, count = 0.0, samples if images is None else len(images)
    for i in range(count):
        if images is None:
            x = random.randn(1, *input_shape, generator=generator, device=device, dtype=dtype)
        else:
            x = images[i : i + 1].detach().to(device)
        x = x.clone().requires_grad_()
        with evaluating(model), enable_grad():
            y = _output_of(model, name, x)
            if y.ndim < 3:
                raise ShapeError(
                    f"receptive_field: {name or 'the model'} must give a map (N, C, *spatial), "
                    f"got {y.shape}; name a stage or a convolution with layer=…"
                )
            middle = y[(0, slice(None), *(n // 2 for n in y.shape[2:]))]
            signs = random.randint(0, 2, middle.shape, generator=generator, device=device)
            probe = (2 * signs - 1).to(middle.dtype)
            try:
                (gradient,) = grad((middle * probe).sum(), x)
            except GraphError as error:
                raise GraphError(
                    f"receptive_field: {name or 'the output'} does not depend on the input "
                    f"({error})"
                ) from None
        assert gradient is not None
        total = total + np.abs(gradient.cpu().numpy()[0]).sum(0)
    return np.asarray(total / count, dtype=np.float32)


def receptive_side(field: Any, share: float = 0.5) -> int:
    """Return the side of the smallest centred square (interval, cube) that holds a share of it.

    Parameters
    ----------
    field : array
        What `receptive_field` returned.
    share : float, default 0.5
        Of the sum over the whole field.

    Returns
    -------
    int
        Odd, or the largest side where the square meets the border.

    Examples
    --------
    >>> import numpy as np
    >>> receptive_side(np.ones((9, 9)), 0.1)
    3
    """
    if not 0 < share <= 1:
        raise OptionError(f"receptive_side: share must lie in (0, 1], got {share}")
    values = np.asarray(field, dtype=np.float64)
    wanted, longest = share * values.sum() * (1 - 1e-12), int(max(values.shape))
    for reach in range(longest):
        box = tuple(slice(max(0, n // 2 - reach), n // 2 + reach + 1) for n in values.shape)
        if values[box].sum() >= wanted:
            return min(2 * reach + 1, longest)
    return longest


def _layer_or_all(model: Module, layer: str | None) -> str:
    if layer is None and not any(n.startswith("stages.") for n, _ in model.named_modules()):
        return ""
    return find_layer(model, layer)


def _output_of(model: Module, name: str, x: Tensor) -> Tensor:
    """Run the model as far as a layer, and return what that gives."""
    found: list[Any] = []

    def stop(module: Module, args: Any, output: Any) -> None:
        found.append(output)
        raise _Reached

    handle = model.get_submodule(name).register_forward_hook(stop)
    try:
        model(x)
    except _Reached:
        pass
    finally:
        handle.remove()
    if not found:
        raise GraphError(f"receptive_field: the layer {name!r} has no part in the model's output")
    if not isinstance(found[0], Tensor):
        raise ShapeError(
            f"receptive_field: {name or 'the model'} gives a {type(found[0]).__name__}, no map"
        )
    return found[0]
