"""Layer-CAM: where in the picture a model looks, in fine maps too; several layers combined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minigrad.data.transforms import resize
from minigrad.errors import OptionError
from minigrad.loading import check_kinds, several
from minigrad.nn import Module
from minigrad.tensor import Tensor
from minigrad.viz.grad_cam import find_stages, maps_and_gradients

__all__ = ["layer_cam"]

GAIN = 2.0  # γ of the authors


def layer_cam(
    model: Module,
    images: Tensor,
    target: int | Sequence[int] | None = None,
    layers: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Return how much every position of one or several layers' maps speaks for a class.

    L = relu(sum over channels k of relu(g_k) A_k), where A is the layer's output and g_k =
    ∂(score of the class)/∂A_k: each position has a weight of its own, where Grad-CAM gives a whole
    channel the mean. So the maps of early layers are of use, which show finer parts. Of several
    layers each becomes tanh(2 L / max L), is scaled to the largest sides among them, and the
    greatest value of each position counts.

    Parameters
    ----------
    model : Module
        A classifier; it is evaluated in evaluation mode and left as it was.
    images : Tensor, (N, C, *spatial)
        What is classified.
    target : int or sequence of int, optional
        The class, or one for each image; by default what the model takes each for.
    layers : sequence of str, optional
        Names of the modules whose outputs are A, such as ["stages.0", "stages.2"]; by default all
        stages (of the encoder, if there is one).

    Returns
    -------
    array (N, sides of the largest map …), float32
        Not negative; all zero where nothing in the image speaks for the class.

    Raises
    ------
    OptionError
        If there is no such layer, none at all is named, or several of other data than pictures.
    ShapeError, RangeError, GraphError
        As `grad_cam`.

    Notes
    -----
    Source: Jiang et al., "LayerCAM: exploring hierarchical class activation maps for localization",
    IEEE Transactions on Image Processing 30 (2021), equations 5 to 7 and 9.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> model = models.ConvNeXtV2(1, 10, depths=(1, 1), dims=(8, 16), patch_size=2)
    >>> x = mg.randn(2, 1, 28, 28)
    >>> layer_cam(model, x).shape, layer_cam(model, x, layers=["stages.1"]).shape
    ((2, 14, 14), (2, 7, 7))
    """
    check_kinds("layer_cam", Module, model=model)
    names: Sequence[str] = ()
    names = find_stages(model) if layers is None else several("layer_cam", "layers", layers, str)
    if not names:
        raise OptionError("layer_cam: name one layer at least, such as stages.1")
    found = maps_and_gradients("layer_cam", model, images, target, names)
    cams = [np.maximum((np.maximum(g, 0) * a).sum(1), 0) for a, g in found]
    if len(cams) == 1:
        return np.asarray(cams[0], np.float32)
    if cams[0].ndim != 3:
        raise OptionError(
            f"layer_cam: several layers are combined for pictures, these have {cams[0].ndim - 1} "
            "spatial axes; name one layer"
        )
    sides = max(int(cam.shape[1]) for cam in cams), max(int(cam.shape[2]) for cam in cams)
    return np.asarray(np.max([_stretched(cam, sides) for cam in cams], axis=0), np.float32)


def _stretched(cam: NDArray[np.floating], sides: tuple[int, int]) -> NDArray[np.float32]:
    """Return maps (N, H, W) in [0, 1), their largest values alike, of these sides."""
    top = cam.max((1, 2), keepdims=True)
    scaled = np.tanh(GAIN * cam / np.where(top > 0, top, 1.0)).astype(np.float32)
    return scaled if scaled.shape[1:] == sides else np.maximum(resize(scaled, sides), 0)
