"""A model's weights under another library's names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError
from minigrad.models.weights.detect import as_arrays, recognise
from minigrad.models.weights.load import own_names
from minigrad.models.weights.naming import Naming
from minigrad.models.weights.tables import named
from minigrad.nn.module import Module

__all__ = ["dialect", "export_state_dict", "from_fcmae", "rename"]

_MAPS = re.compile(r"norm\d+\.\w+")  # norms of a backbone's maps


def export_state_dict(
    model: Module, naming: str = "timm", *, name: str = "convnext"
) -> dict[str, NDArray[Any]]:
    """Return a model's weights under another library's names and in its layouts.

    Parameters
    ----------
    model : Module
        A ConvNeXt, or a model around one: of a U-Net the encoder's weights are returned, with the
        norms of its maps only where the naming has them (facebook, huggingface).
    naming : str, default "timm"
        facebook, timm, timm_conv_mlp (as timm builds its atto to nano), torchvision, huggingface,
        keras (Keras 3's ``.weights.h5``), keras_h5 (the older one), open_clip, mmpretrain, dinov3,
        dinov3_huggingface, eupe; fcmae and fcmae_dense for a masked autoencoder.
    name : str, default "convnext"
        What Keras calls the model, for keras_h5.

    Returns
    -------
    dict of str to numpy.ndarray
        Copies, of the parameters' own element types.

    Raises
    ------
    OptionError
        If there is no such naming, or it has no name for something in the model.

    Examples
    --------
    >>> import minigrad.models as models
    >>> model = models.ConvNeXtV2(depths=(1, 1), dims=(8, 16))
    >>> weights = export_state_dict(model, "huggingface")
    >>> list(weights)[0]
    'convnextv2.embeddings.patch_embeddings.weight'
    >>> again, report = models.load_pretrained(None, weights)
    >>> report.naming, report.complete
    ('huggingface', True)
    """
    names = own_names(model)
    state = model.state_dict()
    ours = {key: np.array(state[actual].cpu().numpy()) for key, actual in names.items()}
    trunk = {key: array for key, array in ours.items() if not _MAPS.fullmatch(key)}
    table = dialect(naming, ours)
    if trunk and table.unwritable(ours.keys() - trunk.keys()):
        table, ours = dialect(naming, trunk), trunk
    return table.to_theirs(ours, name)


def rename(
    weights: Mapping[str, Any], naming: str, *, name: str = "convnext"
) -> dict[str, NDArray[Any]]:
    """Return weights of any naming under the names of another, without building a model.

    Parameters
    ----------
    weights : mapping of str to array or Tensor
        From any of the libraries. What belongs to no ConvNeXt is left out.
    naming, name : str
        As in `export_state_dict`.

    Examples
    --------
    >>> kernel = {"stages.0.0.dwconv.weight": np.ones((8, 1, 7, 7))}
    >>> list(rename(kernel, "torchvision"))
    ['features.1.0.block.0.weight']
    """
    ours = recognise(weights).weights
    return dialect(naming, ours).to_theirs(ours, name)


def from_fcmae(state: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Take the encoder out of a masked autoencoder's weights, under ConvNeXt V2's names.

    Parameters
    ----------
    state : mapping of str to Tensor or array
        Weights of `FCMAE`; of the official code's training checkpoints (``encoder.….kernel``,
        ``.ln.``, ``.linear.``), whose sparse layers have other layouts; or of the released files,
        which are plain already.

    Returns
    -------
    dict of str to array
        For ``load_state_dict(…, strict=False)`` of a ConvNeXt V2: no final norm and no head.

    Raises
    ------
    DataError
        If there is no encoder in it.

    Notes
    -----
    The official ``remap_checkpoint_keys``: a sparse kernel numbers the positions of its window
    column by column, ``kernel[w * k + h, …]``; biases and GRN have a leading axis of 1.

    Examples
    --------
    >>> import minigrad as mg
    >>> encoder = mg.models.ConvNeXtV2(1, 10, depths=(1,), dims=(8,), patch_size=2)
    >>> weights = from_fcmae(mg.models.FCMAE(encoder, decoder_embed_dim=8).state_dict())
    >>> encoder.load_state_dict(weights, strict=False).missing
    ('norm.weight', 'norm.bias', 'head.weight', 'head.bias')
    """
    arrays = as_arrays(state)
    for key, array in arrays.items():
        if key.endswith(".kernel") and math.isqrt(len(array)) ** 2 != len(array):
            raise DataError(f"from_fcmae: {key} has {len(array)} positions, which is no square")
    try:
        found = recognise(arrays).weights
    except DataError as error:
        raise DataError(
            f"from_fcmae: no weight of a masked autoencoder's encoder (encoder.stages.…); {error}"
        ) from None
    return {
        name: array.reshape(1, 1, 1, -1) if ".grn." in name and array.ndim < 3 else array
        for name, array in found.items()
        if name.startswith(("downsample_layers.", "stages."))
    }


def dialect(naming: str, ours: Mapping[str, Any]) -> Naming:
    """Return the first table of a naming that has a name for everything."""
    tables = named(naming)
    return next((table for table in tables if not table.unwritable(ours)), tables[0])
