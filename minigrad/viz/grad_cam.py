"""Grad-CAM: where in the picture a model looks for a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.autograd.engine import grad
from minigrad.errors import GraphError, OptionError, RangeError, ShapeError
from minigrad.loading import check_kinds
from minigrad.modes import enable_grad
from minigrad.nn import Module
from minigrad.nn.utils import evaluating
from minigrad.ops.arguments import check_tensor
from minigrad.ops.elementwise import where
from minigrad.tensor import Tensor
from minigrad.viz.given import numbers

__all__ = ["ClassSums", "find_layer", "find_stages", "grad_cam", "maps_and_gradients"]


def grad_cam(
    model: Module,
    images: Tensor,
    target: int | Sequence[int] | None = None,
    layer: str | None = None,
) -> NDArray[np.float32]:
    """Return how much every position of a layer's map speaks for a class.

    L = relu(sum over channels k of α_k A_k), where A is the layer's output and α_k the mean of
    ∂(score of the class)/∂A_k over all positions.

    Parameters
    ----------
    model : Module
        A classifier; it is evaluated in evaluation mode and left as it was.
    images : Tensor, (N, C, *spatial)
        What is classified.
    target : int or sequence of int, optional
        The class, or one for each image; by default what the model takes each for.
    layer : str, optional
        Name of the module whose output is A, such as "stages.2"; by default the last stage (of
        the encoder, if there is one).

    Returns
    -------
    array (N, sides of the map …), float32
        Not negative; all zero where nothing in the image speaks for the class.

    Raises
    ------
    OptionError
        If there is no such layer; the nearest name is suggested.
    ShapeError
        If the layer gives no map (N, C, *spatial), or the model no scores (N, classes).
    RangeError
        If there is no such class.
    GraphError
        If the scores do not depend on the layer.

    Notes
    -----
    Source: Selvaraju et al., "Grad-CAM", arXiv:1610.02391, equations 1 and 2.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> model = models.ConvNeXtV2(1, 10, depths=(1, 1), dims=(8, 16), patch_size=2)
    >>> grad_cam(model, mg.randn(2, 1, 28, 28)).shape
    (2, 7, 7)
    """
    check_kinds("grad_cam", Module, model=model)
    check_kinds("grad_cam", str | None, layer=layer)
    name = find_layer(model, layer)
    ((values, gradient),) = maps_and_gradients("grad_cam", model, images, target, [name])
    weights = gradient.mean(tuple(range(2, gradient.ndim)), keepdims=True)
    return np.asarray(np.maximum((weights * values).sum(1), 0), np.float32)


def maps_and_gradients(
    what: str,
    model: Module,
    images: Tensor,
    target: int | Sequence[int] | None,
    names: Sequence[str],
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the output of each layer, and the gradient of the scores of the classes by it."""
    images = check_tensor(what, images)
    maps: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim < 3:
            shape = getattr(output, "shape", type(output).__name__)
            raise ShapeError(
                f"{what}: the layer {name!r} must give a map (N, C, *spatial), got {shape}; "
                "name a stage or a convolution"
            )
        # What came before the first needs no gradient.
        cut = not maps or not output.requires_grad
        maps[name] = output.detach().requires_grad_() if cut else output
        return maps[name]

    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: keep(name, output)
        )
        for name in dict.fromkeys(names)
    ]
    try:
        with evaluating(model), enable_grad():
            scores = model(images.detach())
            chosen = _choose(what, scores, target)
            for name in names:
                if name not in maps:
                    raise GraphError(
                        f"{what}: the layer {name!r} has no part in the model's output"
                    )
            total = scores[np.arange(len(chosen)), chosen].sum()
            try:
                gradients = grad(total, [maps[name] for name in names])
            except GraphError as error:
                said = f"layer {names[0]!r}" if len(names) == 1 else f"layers {', '.join(names)}"
                raise GraphError(
                    f"{what}: the scores do not depend on the {said} ({error})"
                ) from None
    finally:
        for handle in handles:
            handle.remove()
    pairs = []
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient is not None  # grad raises where there is none
        pairs.append((maps[name].detach().cpu().numpy(), gradient.cpu().numpy()))
    return pairs


class ClassSums(Module):
    """A segmentation model as a classifier, which `grad_cam` can ask.

    The score of a class is the sum of its scores where the model sees that class: everywhere, if
    it sees it nowhere.

    Notes
    -----
    Source: Vinogradova et al., "Towards interpretable semantic segmentation via gradient-weighted
    class activation mapping", arXiv:2002.11434, equation 2.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> encoder = models.ConvNeXt(1, depths=(1, 1, 1), dims=(4, 8, 8), patch_size=2)
    >>> unet = models.UNet(encoder, num_classes=3, decoder_filters=(8, 8, 4))
    >>> grad_cam(ClassSums(unet), mg.randn(2, 1, 16, 16), 1).shape
    (2, 2, 2)
    """

    def __init__(self, model: Module) -> None:
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(x)
        if scores.ndim < 3:
            raise ShapeError(
                f"ClassSums: scores must be (N, classes, *spatial), got {scores.shape}"
            )
        seen = scores.detach().cpu().numpy().argmax(1, keepdims=True)
        counted = seen == np.arange(scores.shape[1]).reshape(-1, *[1] * (scores.ndim - 2))
        axes = tuple(range(2, scores.ndim))
        counted |= ~counted.any(axes, keepdims=True)
        sums: Tensor = where(Tensor(counted).to(str(scores.device)), scores, 0.0).sum(axes)
        return sums


def find_layer(model: Module, layer: str | None) -> str:
    """Return the name of a layer that exists; None stands for the last stage."""
    if layer is not None:
        model.get_submodule(layer)  # names the nearest one if there is none
        return layer
    return find_stages(model)[-1]


def find_stages(model: Module) -> list[str]:
    """Return the names of a model's stages; refuse one that has none."""
    names = [name for name, _ in model.named_modules()]
    stages = [name for name in names if f".{name}".rpartition(".")[0].endswith(".stages")]
    if not stages:
        raise OptionError(
            f"{type(model).__name__} has no stages, so the layer must be named; its modules are "
            f"{', '.join(name for name, _ in model.named_children())}"
        )
    return stages


def _choose(what: str, scores: Any, target: int | Sequence[int] | None) -> NDArray[np.int64]:
    """Return the class of every image."""
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        raise ShapeError(
            f"{what}: the model must give scores (N, classes), got "
            f"{getattr(scores, 'shape', type(scores).__name__)}"
        )
    samples, classes = scores.shape
    if target is None:
        return np.asarray(scores.detach().cpu().numpy().argmax(1))
    given = numbers(f"{what}: target", target)
    if given.ndim > 1 or (given.ndim == 1 and len(given) != samples):
        raise ShapeError(f"{what}: one class for each of {samples} images, got {target}")
    if not (given == np.floor(given)).all():  # also NaN
        raise OptionError(f"{what}: a class is a whole number, got {target}")
    chosen = given.astype(np.int64)
    chosen = np.broadcast_to(chosen, (samples,))
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < classes:
        raise RangeError(f"{what}: classes are numbered 0 to {classes - 1}, got {target}")
    return chosen
